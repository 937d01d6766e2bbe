// A script whose requests are `fetch`'s alone, on StarlingMonkey. The environment variable
// `CASE` says which case it tries, and `BASE` where the server is.
//
// `../README.md` lists the cases.

import { setTag } from "squall:script/execution@0.1.0";
import { getEnvironment } from "wasi:cli/environment@0.2.0";
import { user as documented } from "./order.js";

const cases = {
  async get() {
    setTag("kind", "fetch");
    const query = new URLSearchParams({ page: "2", of: "a b" });
    const response = await fetch(url(`/echo/items?${query}`), { headers: { "x-own": "a value" } });
    same("the status", response.status, 200);
    same("ok", response.ok, true);
    same("the type", response.headers.get("content-type"), "application/json");
    const echo = await response.json();
    same("the method", echo.method, "GET");
    same("the query", echo.query, "page=2&of=a+b");
    same("the header", echo.headers["x-own"], "a value");
    same("the client", echo.headers["user-agent"].startsWith("squall/"), true);
  },

  async post() {
    const headers = new Headers({ "content-type": "application/json" });
    headers.append("x-fruit", "apple");
    const body = JSON.stringify({ apples: 3, "in": "Köln" });
    const response = await fetch(new Request(url("/echo"), { method: "POST", headers, body }));
    const echo = await response.json();
    same("the method", echo.method, "POST");
    same("the type", echo.headers["content-type"], "application/json");
    same("the header", echo.headers["x-fruit"], "apple");
    same("the body", echo.body, body);
  },

  /** Bodies of every sort that goes, and of many pieces. */
  async bodies() {
    const pieces = new ReadableStream({
      start(controller) {
        for (const piece of ["three ", "apples"]) {
          controller.enqueue(new TextEncoder().encode(piece));
        }
        controller.close();
      },
    });
    for (const [body, expected] of [
      ["grüße", "grüße"],
      [new TextEncoder().encode("bytes"), "bytes"],
      [new URLSearchParams({ city: "Köln" }), "city=K%C3%B6ln"],
      [pieces, "three apples"],
    ]) {
      const response = await reflected(body);
      same("the body", await response.text(), expected);
    }

    const large = Uint8Array.from({ length: 500_000 }, (_, at) => at / 7);
    const back = new Uint8Array(await (await reflected(large)).arrayBuffer());
    same("the length", back.length, large.length);
    same("a byte", back[499_999], large[499_999]);

    const reader = (await reflected(large)).body.getReader();
    let count = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      count += read.value.length;
    }
    same("the length of the pieces", count, large.length);
  },

  async missing() {
    const response = await fetch(url("/nowhere"));
    same("ok", response.ok, false);
    same("the status", response.status, 404);
    same("the text", await response.text(), "no such page\n");
  },

  /** It is the script's to follow, whatever `redirect` says. */
  async redirect() {
    const response = await fetch(url("/redirect/1"), { redirect: "follow" });
    same("the status", response.status, 302);
    const next = new URL(response.headers.get("location"), response.url);
    same("the text", await (await fetch(next)).text(), "arrived\n");
  },

  async cookies() {
    await (await fetch(url("/cookies/set?basket=7"))).text();
    const cookies = await (await fetch(url("/cookies"))).json();
    same("the cookies", JSON.stringify(cookies), '{"basket":"7"}');
  },

  /** The server answers none of them before it has all. */
  async together() {
    const responses = await Promise.all(Array.from({ length: 8 }, () => fetch(url("/together/8"))));
    const texts = await Promise.all(responses.map((response) => response.text()));
    same("the answers", texts.join(""), "all here\n".repeat(8));
  },

  async timeout() {
    const signal = AbortSignal.timeout(100);
    const error = await rejected(fetch(url("/delay/20000"), { signal }));
    same("the error", error.name, "TimeoutError");
  },

  /** A request that is to fail: to `URL`. The script is told, and goes on. */
  async fails() {
    const error = await rejected(fetch(variable("URL")));
    same("the error", `${error}`, "TypeError: NetworkError when attempting to fetch resource");
  },

  /** The same without a `catch` of the case's own. */
  async uncaught() {
    await fetch(variable("URL"));
  },

  async throw() {
    await (await fetch(url("/echo"))).text();
    await lookIntoBasket();
  },

  /** Time goes on, also while nothing is under way but a timer. */
  async clock() {
    const [before, exactly] = [Date.now(), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const took of [Date.now() - before, performance.now() - exactly]) {
      same(`between 49 and 5000 ms: ${took}`, took > 49 && took < 5_000, true);
    }
  },

  async soak() {
    const headers = { "content-type": "application/json" };
    for (let at = 0; at < 8; at++) headers[`x-soak-${at}`] = "some value that comes back";
    const body = JSON.stringify({ text: "x".repeat(1_000) });
    const response = await fetch(url("/reflect"), { method: "POST", headers, body });
    same("a header", response.headers.get("x-soak-7"), headers["x-soak-7"]);
    same("the text", (await response.json()).text.length, 1_000);
  },

  order: documented.iterate,
};

export const user = {
  async iterate() {
    const name = variable("CASE");
    // What nobody makes a text of.
    if (name === "kept") await lookIntoBasket();
    if (!cases[name]) throw `no such case: ${name}`;
    try {
      await cases[name]();
    } catch (error) {
      throw error instanceof Error ? `${error}\n${error.stack}` : error;
    }
  },
};

async function lookIntoBasket() {
  await null;
  return countItems([]);
}

/** @param {unknown[]} basket */
function countItems(basket) {
  if (basket.length === 0) throw new Error("the basket is empty");
  return basket.length;
}

/** What the server gets, it sends back. */
function reflected(body) {
  return fetch(url("/reflect"), { method: "POST", body });
}

/** @param {Promise<Response>} response */
async function rejected(response) {
  let answer;
  try {
    answer = await response;
  } catch (error) {
    return error;
  }
  throw new Error(`answered with ${answer.status}`);
}

/** @param {string} path */
function url(path) {
  return variable("BASE") + path;
}

/** @param {string} name */
function variable(name) {
  return new Map(getEnvironment()).get(name);
}

function same(what, found, expected) {
  if (found !== expected) throw new Error(`${what}: ${found} and not ${expected}`);
}
