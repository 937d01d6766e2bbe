//! Runs of a script that tries one thing a script may do, chosen by `CASE`, and
//! judges it from inside.

use std::path::Path;

use serde_json::Value;

use super::command::{Outcome, Squall};
use super::server::Server;

/// `squall run` with a behaviour guest whose `CASE` is this, against `server`.
pub(crate) fn case(guest: &Path, name: &str, server: &Server) -> Squall {
    Squall::script(guest)
        .script_env("CASE", name)
        .flag("--base-url", server.url(""))
}

/// Runs to the end and fails unless all of `iterations` came out well.
#[track_caller]
pub(crate) fn passes(squall: Squall, vus: u32, iterations: u64) -> Outcome {
    let outcome = squall
        .flag("--vus", vus.to_string())
        .flag("--iterations", iterations.to_string())
        .run()
        .exited(0);
    let summary = outcome.summary();
    let failed = summary.count("/iterations/failed");
    assert_eq!(failed, 0, "{:#?}", summary.failures());
    assert_eq!(summary.count("/iterations/finished"), iterations);
    outcome
}

/// The messages that the script logged, in order, those of `vu` alone if given.
pub(crate) fn logged(outcome: &Outcome, vu: Option<u64>) -> Vec<String> {
    let of = |entry: &Value| entry["message"].as_str().expect("a message").to_owned();
    outcome
        .entries("loadtest.guest.log")
        .iter()
        .filter(|entry| vu.is_none_or(|vu| entry["guest"]["vu"] == vu))
        .map(of)
        .collect()
}
