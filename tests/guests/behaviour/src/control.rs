//! The run as the script sees it, and what the script adds to it.

use std::cell::Cell;

use crate::squall::script::timing::Transaction;
use crate::squall::script::{execution, http, log, metrics, random, timing};
use crate::{holds, same, variable};

/// Three of four hold in every iteration.
pub fn checks() -> Result<(), String> {
    holds("a check returns what held", metrics::check("holds", true))?;
    holds("and what did not", !metrics::check("fails", false))?;
    metrics::check("holds", true);
    metrics::check("holds", true);
    Ok(())
}

pub fn metrics() -> Result<(), String> {
    metrics::counter_add("items", 2.0);
    metrics::counter_add("items", 0.5);
    metrics::gauge_set("basket", 7.0);
    metrics::gauge_set("basket", 3.0);
    for hit in [true, true, true, false] {
        metrics::rate_add("hits", hit);
    }
    for value in [10.0, 20.0, 30.0] {
        metrics::trend_add("price", value);
    }
    // What cannot be added up is left out, and harms nobody.
    metrics::trend_add("price", f64::NAN);
    metrics::counter_add("items", f64::INFINITY);
    Ok(())
}

/// One name, two kinds: the second use is dropped.
pub fn metric_kinds() -> Result<(), String> {
    metrics::counter_add("ambiguous", 1.0);
    metrics::trend_add("ambiguous", 1_000.0);
    metrics::counter_add("ambiguous", 1.0);
    Ok(())
}

thread_local! {
    static ITERATIONS: Cell<u32> = const { Cell::new(0) };
}

/// Globals last from one iteration to the next, and are this VU's own.
pub fn globals() -> Result<(), String> {
    let before = ITERATIONS.replace(ITERATIONS.get() + 1);
    same("the iterations so far", before, execution::iteration())
}

/// Needs `SCENARIO` and `VUS`.
pub fn place() -> Result<(), String> {
    let vus: u32 = variable("VUS")?
        .parse()
        .map_err(|_| "`VUS` is no number".to_owned())?;
    let vu = execution::vu_id();
    holds(&format!("VU {vu} of {vus}"), (1..=vus).contains(&vu))?;
    same("the scenario", execution::scenario(), variable("SCENARIO")?)?;
    globals()?;
    write(&format!(
        "place: vu {vu} iteration {}",
        execution::iteration()
    ));
    Ok(())
}

/// Three requests, of which the second is tagged, and one that leaves its tag to
/// the end of the iteration.
pub fn set_tag() -> Result<(), String> {
    let get = |name: &str| {
        same(
            name,
            http::get(&format!("/echo/{name}"), None).status(),
            200,
        )
    };
    get("before")?;
    execution::set_tag("step", Some("search"));
    get("during")?;
    execution::set_tag("step", None);
    get("after")?;
    execution::set_tag("step", Some("last"));
    get("last")
}

/// What filters tell apart: requests, checks and metrics in a transaction and
/// outside of it, with a tag of the iteration's and without, and a request that
/// has a tag of its own.
pub fn filters() -> Result<(), String> {
    let get = |url: &str, tags: Option<Vec<(String, String)>>| {
        let params = http::Params {
            tags,
            ..http::Params::default()
        };
        http::get(url, Some(&params)).status()
    };
    let report = || {
        metrics::check("in stock", timing::now_ms() < 0.0);
        metrics::counter_add("orders", 2.0);
    };
    let login = Transaction::new("login");
    let inner = Transaction::new("token");
    same("the status", get("/login", None), 200)?;
    inner.finish_ms();
    same("the status", get("/status/503", None), 503)?;
    report();
    login.finish_ms();

    execution::set_tag("step", Some("search"));
    same("the status", get("/item/1", None), 200)?;
    let own = vec![("step".to_owned(), "buy".to_owned())];
    same("the status", get("/basket", Some(own)), 200)?;
    report();
    report();
    execution::set_tag("step", None);
    metrics::check("has price", true);
    same("the status", get("/item/2", None), 200)
}

/// The VU ends after its second iteration.
pub fn stop_vu() -> Result<(), String> {
    if execution::iteration() == 1 {
        execution::stop_vu();
        // This iteration still comes to its end.
        return same("after stop-vu", http::get("/echo", None).status(), 200);
    }
    holds("no iteration after stop-vu", execution::iteration() == 0)
}

/// The first VU ends the run in its third iteration.
pub fn abort_run() -> Result<(), String> {
    if execution::vu_id() == 1 && execution::iteration() == 2 {
        execution::abort_run("the shop is on fire");
    }
    same("the status", http::get("/echo", None).status(), 200)
}

/// The first iteration of each VU panics, two functions further in.
pub fn throw() -> Result<(), String> {
    if execution::iteration() == 0 {
        look_into_basket();
    }
    same("the status", http::get("/echo", None).status(), 200)
}

#[inline(never)]
fn look_into_basket() {
    let count = count_items(&[]);
    write(&format!("{count} items"));
}

#[inline(never)]
fn count_items(basket: &[u32]) -> usize {
    assert!(!basket.is_empty(), "the basket is empty");
    basket.len()
}

/// Logs what the host's source gives, to be compared between VUs and runs.
pub fn random() -> Result<(), String> {
    let (uniform, between) = (random::uniform(), random::between(-3, 3));
    let bytes = random::bytes(16);
    holds("from 0 to 1", (0.0..1.0).contains(&uniform))?;
    holds("from -3 to 3", (-3..=3).contains(&between))?;
    same("the number of bytes", bytes.len(), 16)?;
    same("no bytes", random::bytes(0).len(), 0)?;
    same("between a number and itself", random::between(5, 5), 5)?;
    let mut seen = [false; 3];
    for _ in 0..200 {
        holds("from 0 to 1", (0.0..1.0).contains(&random::uniform()))?;
        seen[random::between(0, 2) as usize] = true;
    }
    holds("both bounds are included", seen == [true; 3])?;
    let whole = random::between(i32::MIN, i32::MAX);
    write(&format!("random: {uniform} {between} {whole} {bytes:?}"));
    Ok(())
}

pub fn log() -> Result<(), String> {
    log::write(log::Level::Debug, "log: debug");
    log::write(log::Level::Info, "log: info");
    log::write(log::Level::Warn, "log: warn");
    log::write(log::Level::Error, "log: error");
    Ok(())
}

/// A request and a message of each level, a few times a second.
pub fn talk() -> Result<(), String> {
    http::get("/echo", None);
    log()?;
    timing::sleep_ms(200.0);
    Ok(())
}

/// More messages than any run keeps.
pub fn log_flood() -> Result<(), String> {
    for n in 0..10_000 {
        write(&format!("flood {n}"));
    }
    Ok(())
}

/// One of each kind of thing that is measured. The iteration fails.
pub fn everything() -> Result<(), String> {
    let transaction = Transaction::new("everything");
    same("the status", http::get("/fast", None).status(), 200)?;
    transaction.finish_ms();
    metrics::check("holds", true);
    metrics::counter_add("items", 1.0);
    write("a message");
    Err("a failure".to_owned())
}

fn write(message: &str) {
    log::write(log::Level::Info, message);
}
