"""Writes a line for each interval: its time, how many requests were sent, how many failed."""

import json

from wit_world import exports
from wit_world.imports.events import Event, EventKind_Stats, Interests, RunInfo


class EventHandler(exports.EventHandler):
    def start(self, run: RunInfo) -> Interests:
        return Interests.STATS

    def handle(self, events: list[Event]) -> list[str]:
        return [
            line(event.time_ms, event.kind)
            for event in events
            if isinstance(event.kind, EventKind_Stats)
        ]

    def finish(self) -> list[str]:
        return []


def line(time_ms: float, stats: EventKind_Stats) -> str:
    requests = stats.value.interval.all
    entry = {"time": time_ms, "sent": requests.requests, "failed": requests.failures}
    return json.dumps(entry)
