// A script that tries one thing a script may do, chosen by the environment variable
// `CASE`, and throws when it does not go as `wit/script` promises.
//
// `../README.md` lists the cases, and what the server has to answer.

import * as execution from "squall:script/execution";
import * as http from "squall:script/http";
import * as log from "squall:script/log";
import { cases } from "./cases.js";
import { same } from "./claims.js";
import { echoed } from "./requests.js";
import { withStack } from "./stack.js";
import { variable, variables } from "./world.js";

let data = null;
let starts = 0;

export const user = withStack({
  iterate() {
    const name = variable("CASE");
    switch (name) {
      case "err":
        // No error, so there is no stack.
        throw "the script says no";
      case "throw":
        return throwOnce();
      case "lifecycle":
        return afterStart();
      default:
        if (!cases[name]) throw new Error(`no such case: ${name}`);
        return cases[name]();
    }
  },
});

/** The hooks. They log that they ran only if the case is about them. */
export const lifecycle = withStack({
  setup() {
    const name = variable("CASE");
    if (name === "setup-err") throw "the setup says no";
    if (name === "lifecycle") log.write("info", "lifecycle: setup");
    return variables().get("SETUP_DATA") ?? "";
  },

  onStart(given) {
    const name = variable("CASE");
    if (name === "start-err") throw "the start says no";
    if (name === "lifecycle") {
      same("the data", given, variable("SETUP_DATA"));
      log.write("info", `lifecycle: start of VU ${execution.vuId()}`);
      // What is done here lasts: the iterations look for the header.
      http.setHeader("x-started", "yes");
    }
    data = given;
    starts++;
  },

  onStop() {
    if (variable("CASE") === "lifecycle") {
      log.write("info", `lifecycle: stop of VU ${execution.vuId()}`);
    }
  },

  teardown(given) {
    if (variable("CASE") === "lifecycle") {
      log.write("info", `lifecycle: teardown with ${given}`);
    }
  },
});

function afterStart() {
  same("the data", data, variable("SETUP_DATA"));
  same("the number of starts", starts, 1);
  const started = echoed(http.get("/echo", null), "/headers/x-started");
  same("the header set at the start", started, "yes");
}

/** The first iteration of each VU throws, two functions further in. */
function throwOnce() {
  if (execution.iteration() === 0) {
    lookIntoBasket();
  }
  same("the status", http.get("/echo", null).status(), 200);
}

function lookIntoBasket() {
  const count = countItems([]);
  log.write("info", `${count} items`);
}

/** @param {unknown[]} basket */
function countItems(basket) {
  if (basket.length === 0) throw new Error("the basket is empty");
  return basket.length;
}
