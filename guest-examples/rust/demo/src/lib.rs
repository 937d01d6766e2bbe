//! What `squall demo` plays: a reader of a small site, part of which is slow
//! and part of which fails now and then.

use squall::script::http::{self, Params};
use squall::script::timing::{self, Transaction};
use squall::script::{metrics, random};

wit_bindgen::generate!({
    world: "script",
    path: "../../../wit/script",
    additional_type_attributes: { "squall:script/http@0.1.0/params": [#[derive(Default)]] },
});

/// How many pages the reader may turn to.
const PAGES: i32 = 20;

struct Reader;

export!(Reader);

impl exports::squall::script::user::Guest for Reader {
    fn iterate() -> Result<(), String> {
        let start = http::get("/fast", None);
        metrics::check("the start page is there", start.status() == 200);
        think();

        read_page(random::between(1, PAGES));
        think();

        // About one of twenty answers is a 503: it shows up among the failures.
        let flaky = http::get("/flaky", None);
        metrics::check("the flaky page is there", flaky.ok());
        think();
        Ok(())
    }
}

/// Turns to a page and waits for its slow part: a transaction of two requests.
fn read_page(number: i32) {
    let reading = Transaction::new("read a page");
    let page = http::get(
        &format!("/json?page={number}"),
        // Without a name, every page would be an endpoint of its own.
        Some(&Params {
            name: Some("/json?page=[n]".into()),
            ..Params::default()
        }),
    );
    let shown = page
        .json("/page")
        .is_some_and(|shown| shown == number.to_string());
    metrics::check("it is the page asked for", shown);
    metrics::check("the page has items", page.json("/items/0/id").is_some());

    let slow = http::get("/slow", None);
    metrics::check("the slow part is there", slow.ok());

    if page.ok() && slow.ok() {
        metrics::trend_add("page_size_bytes", page.text().len() as f64);
        reading.finish_ms();
    } else {
        reading.fail_ms("a part of the page is missing");
    }
}

/// What a person does between two clicks, at a pace that suits a demo.
fn think() {
    timing::sleep_between_ms(5.0, 30.0);
}
