// What is sent and where to, and what comes back.

import * as execution from "squall:script/execution";
import * as http from "squall:script/http";
import * as timing from "squall:script/timing";
import { holds, lasts, same } from "./claims.js";
import { variable } from "./world.js";

export function methods() {
  /** @type {http.Body} */
  const body = { tag: "text", val: "hello" };
  /** @type {[string, http.Response][]} */
  const responses = [
    ["GET", http.get("/echo", null)],
    ["DELETE", http.delete("/echo", null)],
    ["POST", http.post("/echo", body, null)],
    ["PUT", http.put("/echo", body, null)],
    ["PATCH", http.patch("/echo", body, null)],
    ["OPTIONS", http.send({ method: "OPTIONS", url: "/echo" })],
    ["REPORT", http.send({ method: "REPORT", url: "/echo" })],
  ];
  for (const [method, response] of responses) {
    same(method, response.status(), 200);
    same(method, echoed(response, "/method"), method);
    const sent = ["POST", "PUT", "PATCH"].includes(method) ? "hello" : "";
    same(method, echoed(response, "/body"), sent);
  }

  const head = http.head("/echo", null);
  same("HEAD", head.status(), 200);
  same("the body of HEAD", head.body().length, 0);

  const nothing = http.post("/echo", null, null);
  same("POST of nothing", echoed(nothing, "/body"), "");
}

export function bodies() {
  /** @type {[string, string][]} */
  const fields = [
    ["name", "Ann & Bob"],
    ["city", "Köln"],
    ["empty", ""],
  ];
  const raw = Uint8Array.from("raw", (sign) => sign.charCodeAt(0));
  /** @type {[http.Body, string | null, string][]} */
  const sorts = [
    [{ tag: "bytes", val: raw }, null, "raw"],
    [{ tag: "text", val: "grüße" }, "text/plain; charset=utf-8", "grüße"],
    // Not checked: it is sent as it is.
    [{ tag: "json", val: "{ not json" }, "application/json", "{ not json"],
    [
      { tag: "form", val: fields },
      "application/x-www-form-urlencoded",
      "name=Ann+%26+Bob&city=K%C3%B6ln&empty=",
    ],
  ];
  for (const [body, contentType, sent] of sorts) {
    const response = http.post("/echo", body, null);
    same("the body", echoed(response, "/body"), sent);
    same(sent, maybeEchoed(response, "/headers/content-type"), contentType);

    const own = http.put("/echo", body, { headers: [["Content-Type", "application/mine"]] });
    const got = echoed(own, "/headers/content-type");
    same("a content type of one's own", got, "application/mine");
  }
}

export function headers() {
  /** @param {http.Params | null} params */
  const sent = (params) => maybeEchoed(http.get("/echo", params), "/headers/x-test");
  same("before", sent(null), null);

  http.setHeader("X-Test", "default");
  same("after set-header", sent(null), "default");
  same("a header of the request's own", sent({ headers: [["x-TEST", "own"]] }), "own");
  same("after a header of the request's own", sent(null), "default");

  http.setHeader("x-test", "second");
  same("set again", sent(null), "second");
  http.setHeader("x-test", null);
  same("removed", sent(null), null);
}

export function redirects() {
  const followed = http.get("/redirect/3", null);
  same("three redirects", followed.status(), 200);
  holds("the URL is the last one", followed.url().endsWith("/redirect/0"));

  const relative = http.get("/redirect-relative", null);
  same("a relative redirect", relative.status(), 200);
  holds("it leads to /echo", relative.url().endsWith("/echo"));

  const first = http.get("/redirect/3", { maxRedirects: 0 });
  same("not followed", first.status(), 302);
  same("its target", first.header("location"), "/redirect/2");
  holds("a redirect is a success", first.ok());
  holds("the URL is the first one", first.url().endsWith("/redirect/3"));

  same("exactly as many", http.get("/redirect/3", { maxRedirects: 3 }).status(), 200);
  failed("one too many", http.get("/redirect/3", { maxRedirects: 2 }), "too-many-redirects");
  same("ten", http.get("/redirect/10", null).status(), 200);
  failed("eleven", http.get("/redirect/11", null), "too-many-redirects");
}

export function timeout() {
  const startMs = timing.nowMs();
  const late = http.get("/delay/5000", { timeoutMs: 100 });
  const tookMs = timing.nowMs() - startMs;
  failed("a late answer", late, "timeout");
  lasts("about 100", tookMs, 95, 3_000);
  lasts("so is the duration", late.durationMs(), 95, 3_000);

  same("in time", http.get("/delay/50", { timeoutMs: 10_000 }).status(), 200);
}

export function refused() {
  failed("a port on which nobody listens", http.get(variable("REFUSED_URL"), null), "connect");
}

/** Ten requests of 100 ms each take about 100 ms together. */
export function batch() {
  const requests = Array.from({ length: 10 }, (_, n) => ({
    method: "GET",
    url: `/delay/100?n=${n}`,
  }));
  const startMs = timing.nowMs();
  const responses = http.batch(requests);
  const tookMs = timing.nowMs() - startMs;
  same("the number of responses", responses.length, 10);
  for (const [n, response] of responses.entries()) {
    same("the status", response.status(), 200);
    holds("the order is kept", response.url().endsWith(`?n=${n}`));
    lasts("each", response.durationMs(), 99, 500);
  }
  lasts("all", tookMs, 99, 500);
}

export function json() {
  const document = String.raw`{"a":{"b":[1,2.5,"x\"y",null,true,{}]},"m~n":"tilde","s/t":"slash","":"empty","big":12345678901234567890}`;
  const response = reflect({ tag: "json", val: document });
  for (const [pointer, value] of [
    ["/a/b/0", "1"],
    ["/a/b/1", "2.5"],
    ["/a/b/2", String.raw`"x\"y"`],
    ["/a/b/3", "null"],
    ["/a/b/4", "true"],
    ["/a/b/5", "{}"],
    ["/a/b/6", null],
    ["/a/b/-", null],
    ["/a/b/00", null],
    ["/m~0n", '"tilde"'],
    ["/s~1t", '"slash"'],
    ["/", '"empty"'],
    ["/big", "12345678901234567890"],
    ["/none", null],
    ["no-slash", null],
  ]) {
    same(`${pointer}`, response.json(`${pointer}`), value);
  }
  const whole = response.json("") ?? "";
  holds("the whole document", whole.startsWith("{") && whole.includes('"tilde"'));
  same("the text is untouched", response.text(), document);

  const broken = reflect({ tag: "json", val: '{"a":1' });
  same("a body that is no JSON", broken.json("/a"), null);
  same("as a whole", broken.json(""), null);
  same("its text", broken.text(), '{"a":1');
}

/**
 * Sends 8 headers and 1 KiB, reads both back, and keeps nothing: over thousands of
 * iterations a VU's memory stays what it was.
 */
export function soak() {
  const iteration = execution.iteration();
  const start = `{"iteration":${iteration},"fill":"`;
  const document = `${start.padEnd(1_022, "x")}"}`;
  /** @type {[string, string][]} */
  const sent = Array.from({ length: 8 }, (_, n) => [`x-soak-${n}`, `value ${n} of ${iteration}`]);
  const response = http.post("/reflect", { tag: "json", val: document }, { headers: sent });
  same("the status", response.status(), 200);
  const headers = new Map(response.headers());
  for (const [name, value] of sent) {
    same(`${name} came back`, headers.get(name), value);
  }
  const body = response.body();
  same("the length of the body", body.length, 1_024);
  same("the body", String.fromCharCode(...body), document);
}

/**
 * Sends a body that the server sends back.
 *
 * @param {http.Body} body
 */
function reflect(body) {
  return http.post("/reflect", body, null);
}

/**
 * A string in what `/echo` answered.
 *
 * @param {http.Response} response
 * @param {string} pointer
 * @returns {string}
 */
export function echoed(response, pointer) {
  const value = maybeEchoed(response, pointer);
  if (value === null) throw new Error(`no ${pointer} in ${response.text()}`);
  return value;
}

/**
 * A string in what `/echo` answered, if it is there.
 *
 * @param {http.Response} response
 * @param {string} pointer
 * @returns {string | null}
 */
function maybeEchoed(response, pointer) {
  const value = response.json(pointer);
  return value === null ? null : JSON.parse(value);
}

/**
 * Throws unless a request failed in the expected way, as data.
 *
 * @param {string} what
 * @param {http.Response} response
 * @param {http.ErrorKind} kind
 */
function failed(what, response, kind) {
  const error = response.error();
  if (error === null) throw new Error(`${what}: no error`);
  same(what, error.kind, kind);
  holds("an error has a message", error.message !== "");
  same("the status", response.status(), 0);
  holds("it is no success", !response.ok());
  same("the headers", response.headers().length, 0);
  same("the body", response.body().length, 0);
  same("the text", response.text(), "");
  same("the JSON", response.json(""), null);
}
