//! A customer of a web shop: logs in, looks around, fills a basket and checks
//! out. It uses nearly all that a script may use.
//!
//! | the shop's endpoint | answer |
//! |---|---|
//! | `GET /`, `GET /static/a.css`, `GET /static/b.js` | anything |
//! | `GET /item/{id}`, for ids from 1 to `ITEMS` | `{"id": 7, "name": "Teapot", "price": 12.5}` |
//! | `POST /login` with `{"user": …}` | `{"token": …}` |
//! | `POST /basket` with `{"item": …, "quantity": …}` | any success |
//! | `POST /checkout` with `{"basket": …}` | any success |
//!
//! The environment may set `ITEMS`, how many items the shop has (100).

use std::cell::Cell;

use serde_json::{Value, json};

use exports::squall::script::{lifecycle, options, user};
use squall::script::http::{self, Body, Params, PreparedRequest, Request, Response};
use squall::script::timing::{self, Transaction};
use squall::script::{execution, log, metrics, random};

wit_bindgen::generate!({
    world: "script-with-options",
    path: "../../../wit/script",
    additional_type_attributes: { "squall:script/http@0.1.0/params": [#[derive(Default)]] },
});

thread_local! {
    // One instance plays one user, so what it keeps is that user's own.
    static ITEMS: Cell<i32> = const { Cell::new(1) };
    static ORDERS: Cell<u32> = const { Cell::new(0) };
    static FRONT_PAGE: PreparedRequest = PreparedRequest::new(&Request {
        method: "GET".into(),
        url: "/".into(),
        body: None,
        params: None,
    });
}

struct Shop;

export!(Shop);

impl options::Guest for Shop {
    fn defaults() -> String {
        json!({
            "vus": 5,
            "duration": "10s",
            "thresholds": ["http_req_failed: rate < 0.05", "checks: rate > 0.95"],
        })
        .to_string()
    }
}

impl lifecycle::Guest for Shop {
    /// Makes sure that the shop is open, before a single user comes.
    fn setup() -> Result<String, String> {
        let items: i32 = match std::env::var("ITEMS") {
            Ok(items) => items
                .parse()
                .map_err(|_| format!("`ITEMS` is no number: {items}"))?,
            Err(_) => 100,
        };
        let page = http::get("/", None);
        if !page.ok() {
            return Err(format!("the shop is closed: {}", outcome(&page)));
        }
        Ok(json!({ "items": items }).to_string())
    }

    fn on_start(data: String) -> Result<(), String> {
        let data: Value = serde_json::from_str(&data).map_err(|error| error.to_string())?;
        let items = data["items"]
            .as_i64()
            .and_then(|items| i32::try_from(items).ok());
        ITEMS.set(items.ok_or("setup did not say how many items there are")?);

        let user = format!("user-{}", execution::vu_id());
        let login = http::post(
            "/login",
            Some(&Body::Json(json!({ "user": user }).to_string())),
            None,
        );
        let token = login
            .json("/token")
            .and_then(|token| serde_json::from_str::<String>(&token).ok());
        let token = token.ok_or_else(|| format!("{user} cannot log in: {}", outcome(&login)))?;
        http::set_header("authorization", Some(&format!("Bearer {token}")));
        Ok(())
    }

    fn on_stop() {
        let orders = ORDERS.get();
        log::write(
            log::Level::Debug,
            &format!("user {} made {orders} orders", execution::vu_id()),
        );
    }

    fn teardown(_data: String) {
        log::write(log::Level::Info, "the shop closes");
    }
}

impl user::Guest for Shop {
    fn iterate() -> Result<(), String> {
        arrive();
        timing::sleep_between_ms(5.0, 20.0);

        let mut basket = Vec::new();
        for _ in 0..random::between(1, 3) {
            basket.push(pick_item()?);
            timing::sleep_between_ms(5.0, 20.0);
        }
        metrics::gauge_set("basket_size", basket.len() as f64);

        // Two of three customers buy what they have picked.
        let buys = random::uniform() < 2.0 / 3.0;
        metrics::rate_add("customers_who_buy", buys);
        if buys {
            check_out(&basket)?;
        }
        Ok(())
    }
}

/// Opens the front page and what belongs to it, as a browser would.
fn arrive() {
    let page = FRONT_PAGE.with(PreparedRequest::send);
    metrics::check("the front page is there", page.ok());

    let assets = ["/static/a.css", "/static/b.js"].map(|url| Request {
        method: "GET".into(),
        url: url.into(),
        body: None,
        params: Some(Params {
            tags: Some(vec![("kind".into(), "asset".into())]),
            discard_body: Some(true),
            ..Params::default()
        }),
    });
    let assets = http::batch(&assets);
    metrics::check("the page is complete", assets.iter().all(Response::ok));
}

/// An item in the basket.
struct Item {
    id: i32,
    price: f64,
}

/// Looks at some item and puts it into the basket.
fn pick_item() -> Result<Item, String> {
    let id = random::between(1, ITEMS.get());
    let page = http::get(
        &format!("/item/{id}"),
        // Without a name, every item would be an endpoint of its own.
        Some(&Params {
            name: Some("/item/[id]".into()),
            ..Params::default()
        }),
    );
    let shown = page
        .json("/id")
        .is_some_and(|shown| shown == id.to_string());
    metrics::check("the page shows the item", shown);
    let price = page.json("/price").and_then(|price| price.parse().ok());
    let price = price.ok_or_else(|| format!("item {id} has no price: {}", outcome(&page)))?;

    let item = json!({ "item": id, "quantity": 1 });
    let added = http::post("/basket", Some(&Body::Json(item.to_string())), None);
    metrics::check("the item is in the basket", added.ok());
    Ok(Item { id, price })
}

/// Pays for the basket: two requests that count as one step.
fn check_out(basket: &[Item]) -> Result<(), String> {
    execution::set_tag("step", Some("checkout"));
    let checkout = Transaction::new("checkout");

    let review = http::get("/", None);
    let ids: Vec<i32> = basket.iter().map(|item| item.id).collect();
    let order = http::post(
        "/checkout",
        Some(&Body::Json(json!({ "basket": ids }).to_string())),
        Some(&Params {
            catch_response: Some(true),
            ..Params::default()
        }),
    );
    // The status alone does not tell: this shop says 200 to a refused card, too,
    // and 409 to an order that it already has.
    match order.status() {
        200..=299 if order.text().contains("refused") => order.failure("the card was refused"),
        200..=299 | 409 => order.success(),
        _ => order.failure(&format!("the order failed: {}", outcome(&order))),
    }

    if review.ok() && order.ok() {
        let duration_ms = checkout.finish_ms();
        let value: f64 = basket.iter().map(|item| item.price).sum();
        metrics::counter_add("revenue", value);
        metrics::trend_add("checkout_per_item_ms", duration_ms / basket.len() as f64);
        ORDERS.set(ORDERS.get() + 1);
    } else {
        checkout.fail_ms("the order did not go through");
    }
    execution::set_tag("step", None);
    Ok(())
}

/// What came of a request, in words that are the same for the same failure.
fn outcome(response: &Response) -> String {
    match response.error() {
        Some(error) => format!("no response, {:?}", error.kind),
        None => format!("status {}", response.status()),
    }
}
