//! A script that tries one thing a script may do, chosen by the environment
//! variable `CASE`, and fails the iteration with a message when it does not go
//! as `wit/script` promises.
//!
//! `../README.md` lists the cases, and what the server has to answer.

mod control;
mod lifecycle;
mod requests;
mod responses;
mod timing;
mod wasi;

use std::fmt::Debug;

wit_bindgen::generate!({
    world: "script-with-lifecycle",
    path: "../../../wit/script",
    additional_type_attributes: {
        "squall:script/http@0.1.0/params": [#[derive(Default)]],
    },
});

struct Behaviour;

export!(Behaviour);

impl exports::squall::script::user::Guest for Behaviour {
    fn iterate() -> Result<(), String> {
        let case = variable("CASE")?;
        match case.as_str() {
            "methods" => requests::methods(),
            "bodies" => requests::bodies(),
            "headers" => requests::headers(),
            "cookies" => requests::cookies(),
            "redirects" => requests::redirects(),
            "timeout" => requests::timeout(),
            "refused" => requests::refused(),
            "invalid" => requests::invalid(),
            "relative" => requests::relative(),
            "names" => requests::names(),
            "tags" => requests::tags(),
            "batch" => requests::batch(),
            "crowd" => requests::crowd(),
            "distinct-urls" => requests::distinct_urls(),
            "batch-mixed" => requests::batch_mixed(),
            "prepared" => requests::prepared(),

            "expect-status" => responses::expect_status(),
            "catch" => responses::catch(),
            "catch-forgotten" => responses::catch_forgotten(),
            "catch-uncaught" => responses::catch_uncaught(),
            "discard-body" => responses::discard_body(),
            "json" => responses::json(),
            "response-headers" => responses::headers(),
            "text" => responses::text(),
            "large" => responses::large(),
            "durations" => responses::durations(),
            "kept" => responses::kept(),
            "soak" => responses::soak(),

            "sleep" => timing::sleep(),
            "sleep-forever" => timing::sleep_forever(),
            "pace" => timing::pace(),
            "clocks" => timing::clocks(),
            "transactions" => timing::transactions(),

            "checks" => control::checks(),
            "metrics" => control::metrics(),
            "metric-kinds" => control::metric_kinds(),
            "place" => control::place(),
            "set-tag" => control::set_tag(),
            "filters" => control::filters(),
            "stop-vu" => control::stop_vu(),
            "abort-run" => control::abort_run(),
            "random" => control::random(),
            "log" => control::log(),
            "log-flood" => control::log_flood(),
            "talk" => control::talk(),
            "globals" => control::globals(),
            "everything" => control::everything(),
            "err" => Err("the script says no".to_owned()),
            "throw" => control::throw(),

            "environment" => wasi::environment(),
            "nothing-granted" => wasi::nothing_granted(),
            "wasi-clocks" => wasi::clocks(),
            "wasi-random" => wasi::random(),
            "print" => wasi::print(),

            "lifecycle" | "setup-err" | "setup-trap" | "start-err" | "start-trap" => {
                lifecycle::iterate()
            }
            "requests-in-hooks" => lifecycle::request("iteration"),
            _ => Err(format!("no such case: {case}")),
        }
    }
}

/// An environment variable that the case needs.
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("`{name}`: {error}"))
}

/// A whole number that the case needs.
fn number(name: &str) -> Result<u32, String> {
    let text = variable(name)?;
    text.parse().map_err(|error| format!("`{name}`: {error}"))
}

/// Errs unless something is so.
fn holds(what: &str, is_so: bool) -> Result<(), String> {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {what}"))
    }
}

/// Errs unless two values are the same.
fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, want: U) -> Result<(), String> {
    if got == want {
        Ok(())
    } else {
        Err(format!("{what}: got {got:?}, want {want:?}"))
    }
}
