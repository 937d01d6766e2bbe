package main

import (
	"fmt"
	"math"

	"squall/imports/execution"
	"squall/imports/http"
	"squall/imports/log"
	"squall/imports/metrics"
	"squall/imports/random"
)

// Three of four hold in every iteration.
func checks() {
	holds("a check returns what held", metrics.Check("holds", true))
	holds("and what did not", !metrics.Check("fails", false))
	metrics.Check("holds", true)
	metrics.Check("holds", true)
}

func customMetrics() {
	metrics.CounterAdd("items", 2)
	metrics.CounterAdd("items", 0.5)
	metrics.GaugeSet("basket", 7)
	metrics.GaugeSet("basket", 3)
	for _, hit := range []bool{true, true, true, false} {
		metrics.RateAdd("hits", hit)
	}
	for _, value := range []float64{10, 20, 30} {
		metrics.TrendAdd("price", value)
	}
	// What cannot be added up is left out, and harms nobody.
	metrics.TrendAdd("price", math.NaN())
	metrics.CounterAdd("items", math.Inf(1))
}

var iterations uint32

// Globals last from one iteration to the next, and are this VU's own.
func globals() {
	before := iterations
	iterations++
	same("the iterations so far", before, execution.Iteration())
}

// The VU ends after its second iteration.
func stopVU() {
	if execution.Iteration() == 1 {
		execution.StopVu()
		// This iteration still comes to its end.
		same("after stop-vu", http.Get("/echo", noParams).Status(), 200)
		return
	}
	holds("no iteration after stop-vu", execution.Iteration() == 0)
}

// The first VU ends the run in its third iteration.
func abortRun() {
	if execution.VuId() == 1 && execution.Iteration() == 2 {
		execution.AbortRun("the shop is on fire")
	}
	same("the status", http.Get("/echo", noParams).Status(), 200)
}

// The first iteration of each VU panics, two functions further in.
func throw() {
	if execution.Iteration() == 0 {
		lookIntoBasket()
	}
	same("the status", http.Get("/echo", noParams).Status(), 200)
}

//go:noinline
func lookIntoBasket() {
	write(fmt.Sprintf("%d items", countItems(nil)))
}

//go:noinline
func countItems(basket []uint32) int {
	if len(basket) == 0 {
		panic("the basket is empty")
	}
	return len(basket)
}

// Logs what the host's source gives, to be compared between VUs and runs.
func randomNumbers() {
	uniform, between := random.Uniform(), random.Between(-3, 3)
	bytes := random.Bytes(16)
	holds("from 0 to 1", 0 <= uniform && uniform < 1)
	holds("from -3 to 3", -3 <= between && between <= 3)
	same("the number of bytes", len(bytes), 16)
	same("no bytes", len(random.Bytes(0)), 0)
	same("between a number and itself", random.Between(5, 5), 5)
	var seen [3]bool
	for range 200 {
		number := random.Uniform()
		holds("from 0 to 1", 0 <= number && number < 1)
		seen[random.Between(0, 2)] = true
	}
	holds("both bounds are included", seen == [3]bool{true, true, true})
	whole := random.Between(math.MinInt32, math.MaxInt32)
	write(fmt.Sprintf("random: %v %d %d %v", uniform, between, whole, bytes))
}

func logLevels() {
	log.Write(log.Level_Debug, "log: debug")
	log.Write(log.Level_Info, "log: info")
	log.Write(log.Level_Warn, "log: warn")
	log.Write(log.Level_Error, "log: error")
}
