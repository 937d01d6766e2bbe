// Writes a line for each interval: its time, how many requests were sent, how many failed.

import type { EventHandler } from "squall:recorder/event-handler";
import type { Event } from "squall:recorder/events";
import { withStack } from "./stack";

export const eventHandler = withStack<EventHandler>({
  start() {
    return { stats: true };
  },

  handle(events) {
    return events.flatMap(line);
  },

  finish() {
    return [];
  },
});

/** An event's line, if it has one. */
function line({ timeMs, kind }: Event): string[] {
  if (kind.tag !== "stats") return [];
  const { requests, failures } = kind.val.interval.all;
  return [JSON.stringify({ time: timeMs, sent: requests, failed: failures })];
}
