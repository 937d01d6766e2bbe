// The cases, by their names. `../README.md` says what each of them tries.

import * as control from "./control.js";
import * as requests from "./requests.js";
import * as world from "./world.js";

/** @type {Record<string, () => void>} */
export const cases = {
  methods: requests.methods,
  bodies: requests.bodies,
  headers: requests.headers,
  redirects: requests.redirects,
  timeout: requests.timeout,
  refused: requests.refused,
  batch: requests.batch,
  json: requests.json,
  soak: requests.soak,

  sleep: control.sleep,
  transactions: control.transactions,
  checks: control.checks,
  metrics: control.allMetrics,
  "stop-vu": control.stopVu,
  "abort-run": control.abortRun,
  random: control.random,
  log: control.everyLevel,
  globals: control.globals,

  environment: world.environment,
  print: world.print,
};
