// The run as the script sees it, and what the script adds to it.

import * as execution from "squall:script/execution";
import * as http from "squall:script/http";
import * as log from "squall:script/log";
import * as metrics from "squall:script/metrics";
import * as source from "squall:script/random";
import * as timing from "squall:script/timing";
import { holds, lasts, same } from "./claims.js";

export function sleep() {
  lasts("about 50", measured(() => timing.sleepMs(50)), 49, 1_000);
  lasts("about 30 to 60", measured(() => timing.sleepBetweenMs(30, 60)), 29, 1_000);
  for (const oddMs of [0, -5, NaN, -Infinity]) {
    lasts(`${oddMs}`, measured(() => timing.sleepMs(oddMs)), 0, 500);
    lasts(`between ${oddMs}`, measured(() => timing.sleepBetweenMs(oddMs, oddMs)), 0, 500);
  }
}

/**
 * One that finishes, one that fails, one that is stopped twice and one that is
 * dropped before it is stopped.
 */
export function transactions() {
  using finished = new timing.Transaction("finished");
  timing.sleepMs(30);
  lasts("about 30", finished.finishMs(), 29, 1_000);

  using failed = new timing.Transaction("failed");
  timing.sleepMs(10);
  lasts("about 10", failed.failMs("no luck"), 9, 1_000);

  using twice = new timing.Transaction("twice");
  const firstMs = twice.finishMs();
  timing.sleepMs(30);
  same("a second stop changes nothing", twice.failMs("too late"), firstMs);

  new timing.Transaction("dropped")[Symbol.dispose]();
}

/** Three of four hold in every iteration. */
export function checks() {
  holds("a check returns what held", metrics.check("holds", true));
  holds("and what did not", !metrics.check("fails", false));
  metrics.check("holds", true);
  metrics.check("holds", true);
}

export function allMetrics() {
  metrics.counterAdd("items", 2);
  metrics.counterAdd("items", 0.5);
  metrics.gaugeSet("basket", 7);
  metrics.gaugeSet("basket", 3);
  for (const hit of [true, true, true, false]) {
    metrics.rateAdd("hits", hit);
  }
  for (const value of [10, 20, 30]) {
    metrics.trendAdd("price", value);
  }
  // What cannot be added up is left out, and harms nobody.
  metrics.trendAdd("price", NaN);
  metrics.counterAdd("items", Infinity);
}

let iterations = 0;

/** Globals last from one iteration to the next, and are this VU's own. */
export function globals() {
  same("the iterations so far", iterations++, execution.iteration());
}

/** The VU ends after its second iteration. */
export function stopVu() {
  if (execution.iteration() === 1) {
    execution.stopVu();
    // This iteration still comes to its end.
    same("after stop-vu", http.get("/echo", null).status(), 200);
    return;
  }
  holds("no iteration after stop-vu", execution.iteration() === 0);
}

/** The first VU ends the run in its third iteration. */
export function abortRun() {
  if (execution.vuId() === 1 && execution.iteration() === 2) {
    execution.abortRun("the shop is on fire");
  }
  same("the status", http.get("/echo", null).status(), 200);
}

/** Logs what the host's source gives, to be compared between VUs and runs. */
export function random() {
  const [uniform, between] = [source.uniform(), source.between(-3, 3)];
  const bytes = source.bytes(16);
  holds("from 0 to 1", uniform >= 0 && uniform < 1);
  holds("from -3 to 3", between >= -3 && between <= 3);
  same("the number of bytes", bytes.length, 16);
  same("no bytes", source.bytes(0).length, 0);
  same("between a number and itself", source.between(5, 5), 5);
  const seen = new Set();
  for (let n = 0; n < 200; n++) {
    const number = source.uniform();
    holds("from 0 to 1", number >= 0 && number < 1);
    seen.add(source.between(0, 2));
  }
  same("both bounds are included", [...seen].sort(), [0, 1, 2]);
  const whole = source.between(-(2 ** 31), 2 ** 31 - 1);
  log.write("info", `random: ${uniform} ${between} ${whole} [${bytes.join(", ")}]`);
}

export function everyLevel() {
  log.write("debug", "log: debug");
  log.write("info", "log: info");
  log.write("warn", "log: warn");
  log.write("error", "log: error");
}

/** @param {() => void} action */
function measured(action) {
  const startMs = timing.nowMs();
  action();
  return timing.nowMs() - startMs;
}
