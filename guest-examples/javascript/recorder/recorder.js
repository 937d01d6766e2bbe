// Writes a line for each interval: its time, how many requests were sent, how many failed.

import { withStack } from "./stack.js";

export const eventHandler = withStack({
  start() {
    return { stats: true };
  },

  handle(events) {
    return events
      .filter((event) => event.kind.tag === "stats")
      .map(({ timeMs, kind }) => {
        const { requests, failures } = kind.val.interval.all;
        return JSON.stringify({ time: timeMs, sent: requests, failed: failures });
      });
  },

  finish() {
    return [];
  },
});
