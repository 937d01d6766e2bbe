package main

import (
	"fmt"
	"math"

	"squall/imports/timing"
)

func sleep() {
	took := measured(func() { timing.SleepMs(50) })
	holds(fmt.Sprintf("%v ms is about 50", took), 49 <= took && took < 1_000)
	took = measured(func() { timing.SleepBetweenMs(30, 60) })
	holds(fmt.Sprintf("%v ms is about 30 to 60", took), 29 <= took && took < 1_000)
	for _, odd := range []float64{0, -5, math.NaN(), math.Inf(-1)} {
		took := measured(func() { timing.SleepMs(odd) })
		holds(fmt.Sprintf("%v ms for %v", took, odd), took < 500)
		took = measured(func() { timing.SleepBetweenMs(odd, odd) })
		holds(fmt.Sprintf("%v ms between %v", took, odd), took < 500)
	}
}

// One that finishes, one that fails, one that is stopped twice and one that is
// dropped before it is stopped.
func transactions() {
	finished := timing.MakeTransaction("finished")
	timing.SleepMs(30)
	first := finished.FinishMs()
	holds(fmt.Sprintf("%v ms is about 30", first), 29 <= first && first < 1_000)

	unlucky := timing.MakeTransaction("failed")
	timing.SleepMs(10)
	took := unlucky.FailMs("no luck")
	holds(fmt.Sprintf("%v ms is about 10", took), 9 <= took && took < 1_000)

	twice := timing.MakeTransaction("twice")
	first = twice.FinishMs()
	timing.SleepMs(30)
	same("a second stop changes nothing", twice.FailMs("too late"), first)

	timing.MakeTransaction("dropped").Drop()
}

func measured(action func()) float64 {
	start := timing.NowMs()
	action()
	return timing.NowMs() - start
}
