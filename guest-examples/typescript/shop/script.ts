// A customer of a web shop: logs in, looks around, fills a basket and checks out. It uses
// nearly all that a script may use.
//
// | the shop's endpoint | answer |
// |---|---|
// | `GET /`, `GET /static/a.css`, `GET /static/b.js` | anything |
// | `GET /item/{id}`, for ids from 1 to `ITEMS` | `{"id": 7, "name": "Teapot", "price": 12.5}` |
// | `POST /login` with `{"user": …}` | `{"token": …}` |
// | `POST /basket` with `{"item": …, "quantity": …}` | any success |
// | `POST /checkout` with `{"basket": …}` | any success |
//
// The environment may set `ITEMS`, how many items the shop has (100).

import * as execution from "squall:script/execution";
import * as http from "squall:script/http";
import type { Lifecycle } from "squall:script/lifecycle";
import * as log from "squall:script/log";
import * as metrics from "squall:script/metrics";
import type { Options } from "squall:script/options";
import * as random from "squall:script/random";
import * as timing from "squall:script/timing";
import type { User } from "squall:script/user";
import { getEnvironment } from "wasi:cli/environment";
import { withStack } from "./stack";

// One instance plays one user, so what it keeps is that user's own.
let items = 1;
let orders = 0;
let frontPage: http.PreparedRequest;

/** An item in the basket. */
interface Item {
  id: number;
  price: number;
}

export const options: Options = {
  defaults() {
    return JSON.stringify({
      vus: 5,
      duration: "10s",
      thresholds: ["http_req_failed: rate < 0.05", "checks: rate > 0.95"],
    });
  },
};

export const lifecycle = withStack<Lifecycle>({
  /** Makes sure that the shop is open, before a single user comes. */
  setup() {
    const { ITEMS = "100" }: Record<string, string> = Object.fromEntries(getEnvironment());
    if (!/^\d+$/.test(ITEMS)) {
      throw new Error(`\`ITEMS\` is no number: ${ITEMS}`);
    }
    const page = http.get("/", null);
    if (!page.ok()) {
      throw new Error(`the shop is closed: ${outcome(page)}`);
    }
    return JSON.stringify({ items: Number(ITEMS) });
  },

  onStart(data) {
    items = JSON.parse(data).items;
    // Made on first use, not above: what stands there runs when the script is built.
    frontPage = new http.PreparedRequest({ method: "GET", url: "/" });

    const user = `user-${execution.vuId()}`;
    const login = http.post("/login", { tag: "json", val: JSON.stringify({ user }) }, null);
    const token = login.json("/token");
    if (token === null) {
      throw new Error(`${user} cannot log in: ${outcome(login)}`);
    }
    http.setHeader("authorization", `Bearer ${JSON.parse(token)}`);
  },

  onStop() {
    log.write("debug", `user ${execution.vuId()} made ${orders} orders`);
  },

  teardown(_data) {
    log.write("info", "the shop closes");
  },
});

export const user = withStack<User>({
  iterate() {
    arrive();
    timing.sleepBetweenMs(5, 20);

    const basket: Item[] = [];
    for (let left = random.between(1, 3); left > 0; left--) {
      basket.push(pickItem());
      timing.sleepBetweenMs(5, 20);
    }
    metrics.gaugeSet("basket_size", basket.length);

    // Two of three customers buy what they have picked. `Math.random()` would give every
    // VU the same numbers.
    const buys = random.uniform() < 2 / 3;
    metrics.rateAdd("customers_who_buy", buys);
    if (buys) {
      checkOut(basket);
    }
  },
});

/** Opens the front page and what belongs to it, as a browser would. */
function arrive(): void {
  const page = frontPage.send();
  metrics.check("the front page is there", page.ok());

  const assets = http.batch(
    ["/static/a.css", "/static/b.js"].map((url) => ({
      method: "GET",
      url,
      params: { tags: [["kind", "asset"]], discardBody: true },
    })),
  );
  metrics.check(
    "the page is complete",
    assets.every((asset) => asset.ok()),
  );
}

/** Looks at some item and puts it into the basket. */
function pickItem(): Item {
  const id = random.between(1, items);
  // Without a name, every item would be an endpoint of its own.
  const page = http.get(`/item/${id}`, { name: "/item/[id]" });
  metrics.check("the page shows the item", page.json("/id") === `${id}`);
  const price = Number(page.json("/price") ?? NaN);
  if (Number.isNaN(price)) {
    throw new Error(`item ${id} has no price: ${outcome(page)}`);
  }

  const item = JSON.stringify({ item: id, quantity: 1 });
  const added = http.post("/basket", { tag: "json", val: item }, null);
  metrics.check("the item is in the basket", added.ok());
  return { id, price };
}

/** Pays for the basket: two requests that count as one step. */
function checkOut(basket: Item[]): void {
  execution.setTag("step", "checkout");
  using checkout = new timing.Transaction("checkout");

  const review = http.get("/", null);
  const order = http.post(
    "/checkout",
    { tag: "json", val: JSON.stringify({ basket: basket.map((item) => item.id) }) },
    { catchResponse: true },
  );
  judge(order);

  if (review.ok() && order.ok()) {
    const durationMs = checkout.finishMs();
    const value = basket.reduce((sum, item) => sum + item.price, 0);
    metrics.counterAdd("revenue", value);
    metrics.trendAdd("checkout_per_item_ms", durationMs / basket.length);
    orders++;
  } else {
    checkout.failMs("the order did not go through");
  }
  execution.setTag("step", null);
}

/**
 * Says whether an order went through. The status alone does not tell: this shop says 200
 * to a refused card, too, and 409 to an order that it already has.
 */
function judge(order: http.Response): void {
  const status = order.status();
  const accepted = status >= 200 && status < 300;
  if (accepted && order.text().includes("refused")) {
    order.failure("the card was refused");
  } else if (accepted || status === 409) {
    order.success();
  } else {
    order.failure(`the order failed: ${outcome(order)}`);
  }
}

/** What came of a request, in words that are the same for the same failure. */
function outcome(response: http.Response): string {
  const error = response.error();
  return error ? `no response, ${error.kind}` : `status ${response.status()}`;
}
