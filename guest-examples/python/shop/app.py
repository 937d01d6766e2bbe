"""A customer of a web shop: logs in, looks around, fills a basket and checks out.

It uses nearly all that a script may use.

| the shop's endpoint | answer |
|---|---|
| `GET /`, `GET /static/a.css`, `GET /static/b.js` | anything |
| `GET /item/{id}`, for ids from 1 to `ITEMS` | `{"id": 7, "name": "Teapot", "price": 12.5}` |
| `POST /login` with `{"user": …}` | `{"token": …}` |
| `POST /basket` with `{"item": …, "quantity": …}` | any success |
| `POST /checkout` with `{"basket": …}` | any success |

The environment may set `ITEMS`, how many items the shop has (100).
"""

import json
import os
from dataclasses import dataclass, replace

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import execution, http, log, metrics, random, timing

# All of `params` may be left out, but the generated class has no defaults: begin with this.
PARAMS = http.Params(None, None, None, None, None, None, None, None)


@dataclass
class Item:
    """An item in the basket."""

    id: int
    price: float


@dataclass
class Customer:
    """What a user knows. One instance of the script plays one user."""

    items: int = 1
    orders: int = 0
    front_page: http.PreparedRequest | None = None


me = Customer()


class Options(exports.Options):
    def defaults(self) -> str:
        return json.dumps(
            {
                "vus": 5,
                "duration": "10s",
                "thresholds": ["http_req_failed: rate < 0.05", "checks: rate > 0.95"],
            }
        )


class Lifecycle(exports.Lifecycle):
    def setup(self) -> str:
        """Makes sure that the shop is open, before a single user comes."""
        items = os.environ.get("ITEMS", "100")
        if not items.isdecimal():
            raise Err(f"`ITEMS` is no number: {items}")
        page = http.get("/", None)
        if not page.ok():
            raise Err(f"the shop is closed: {outcome(page)}")
        return json.dumps({"items": int(items)})

    def on_start(self, data: str) -> None:
        me.items = json.loads(data)["items"]
        # Not at the top of the module: what stands there runs when the script is built.
        me.front_page = http.PreparedRequest(http.Request("GET", "/", None, None))

        user = f"user-{execution.vu_id()}"
        login = http.post("/login", http.Body_Json(json.dumps({"user": user})), None)
        token = login.json("/token")
        if token is None:
            raise Err(f"{user} cannot log in: {outcome(login)}")
        http.set_header("authorization", f"Bearer {json.loads(token)}")

    def on_stop(self) -> None:
        user = execution.vu_id()
        log.write(log.Level.DEBUG, f"user {user} made {me.orders} orders")

    def teardown(self, data: str) -> None:
        log.write(log.Level.INFO, "the shop closes")


class User(exports.User):
    def iterate(self) -> None:
        arrive()
        timing.sleep_between_ms(5, 20)

        basket = []
        for _ in range(random.between(1, 3)):
            basket.append(pick_item())
            timing.sleep_between_ms(5, 20)
        metrics.gauge_set("basket_size", len(basket))

        # Two of three customers buy what they have picked.
        buys = random.uniform() < 2 / 3
        metrics.rate_add("customers_who_buy", buys)
        if buys:
            check_out(basket)


def arrive() -> None:
    """Opens the front page and what belongs to it, as a browser would."""
    page = me.front_page.send()
    metrics.check("the front page is there", page.ok())

    params = replace(PARAMS, tags=[("kind", "asset")], discard_body=True)
    assets = http.batch(
        [
            http.Request("GET", url, None, params)
            for url in ("/static/a.css", "/static/b.js")
        ]
    )
    metrics.check("the page is complete", all(asset.ok() for asset in assets))


def pick_item() -> Item:
    """Looks at some item and puts it into the basket."""
    item = random.between(1, me.items)
    # Without a name, every item would be an endpoint of its own.
    page = http.get(f"/item/{item}", replace(PARAMS, name="/item/[id]"))
    metrics.check("the page shows the item", page.json("/id") == str(item))
    price = page.json("/price")
    if price is None:
        raise Err(f"item {item} has no price: {outcome(page)}")

    order = json.dumps({"item": item, "quantity": 1})
    added = http.post("/basket", http.Body_Json(order), None)
    metrics.check("the item is in the basket", added.ok())
    return Item(item, float(price))


def check_out(basket: list[Item]) -> None:
    """Pays for the basket: two requests that count as one step."""
    execution.set_tag("step", "checkout")
    with timing.Transaction("checkout") as checkout:
        review = http.get("/", None)
        order = http.post(
            "/checkout",
            http.Body_Json(json.dumps({"basket": [item.id for item in basket]})),
            replace(PARAMS, catch_response=True),
        )
        judge(order)

        if review.ok() and order.ok():
            duration_ms = checkout.finish_ms()
            metrics.counter_add("revenue", sum(item.price for item in basket))
            metrics.trend_add("checkout_per_item_ms", duration_ms / len(basket))
            me.orders += 1
        else:
            checkout.fail_ms("the order did not go through")
    execution.set_tag("step", None)


def judge(order: http.Response) -> None:
    """Says whether an order went through.

    The status alone does not tell: this shop says 200 to a refused card, too, and 409 to
    an order that it already has.
    """
    accepted = 200 <= order.status() < 300
    if accepted and "refused" in order.text():
        order.failure("the card was refused")
    elif accepted or order.status() == 409:
        order.success()
    else:
        order.failure(f"the order failed: {outcome(order)}")


def outcome(response: http.Response) -> str:
    """What came of a request, in words that are the same for the same failure."""
    error = response.error()
    return f"no response, {error.kind.name}" if error else f"status {response.status()}"
