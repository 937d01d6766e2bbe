// Writes a line for each interval: its time, how many requests were sent, how many failed.
package main

import (
	"fmt"

	_ "squall/exports"
	handler "squall/exports/event_handler"
	"squall/imports/events"
	"squall/types"
)

func init() {
	handler.Start = start
	handler.Handle = handle
	handler.Finish = func() []string { return nil }
}

func start(events.RunInfo) types.Result[events.Interests, string] {
	return types.Ok[events.Interests, string](events.Interests_Stats)
}

func handle(batch []events.Event) []string {
	var lines []string
	for _, event := range batch {
		if event.Kind.Tag() != events.EventKind_Stats {
			continue
		}
		all := event.Kind.Stats().Interval.All
		lines = append(lines, fmt.Sprintf(`{"time":%.3f,"sent":%d,"failed":%d}`,
			event.TimeMs, all.Requests, all.Failures))
	}
	return lines
}

func main() {} // The host calls the functions that are set above.
