//! Thresholds: the verdict, its exit code and where it is written.

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

fn judged(thresholds: &[&str]) -> Outcome {
    let server = Server::start();
    let mut squall = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--iterations", "50");
    for threshold in thresholds {
        squall = squall.flag("--threshold", threshold);
    }
    squall.run()
}

#[test]
fn a_run_within_its_thresholds_passes() {
    let outcome = judged(&[
        "http_req_duration: p(95) < 60000",
        "http_req_failed: rate < 0.01",
        "checks: rate > 0.99",
    ])
    .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.at("/passed"), true);
    let rows = summary.rows("/thresholds");
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row["passed"], true);
        assert!(row["value"].is_f64(), "{row}");
    }
    assert_eq!(outcome.entries("loadtest.threshold.result").len(), 3);
}

#[test]
fn a_run_beyond_a_threshold_fails() {
    let wrong = "http_req_duration: p(95) < 0.000001";
    let outcome = judged(&["checks: rate > 0.99", wrong]).exited(99);
    let summary = outcome.summary();
    assert_eq!(summary.at("/passed"), false);
    assert_eq!(summary.at("/exit_code"), 99);
    // It ran to its end all the same.
    assert_eq!(summary.count("/iterations/finished"), 50);
    let failed: Vec<_> = summary
        .rows("/thresholds")
        .iter()
        .filter(|row| row["passed"] == false)
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["expression"], wrong);
    assert!(failed[0]["value"].as_f64() > Some(0.000_001));
    assert!(outcome.stderr.contains(wrong), "{}", outcome.story());
    assert_eq!(
        outcome.entries("loadtest.run.end")[0]["test"]["exit_code"],
        99
    );
}

#[test]
fn the_share_of_failed_requests_can_be_held_against_a_threshold() {
    // One request of two fails.
    for (threshold, code) in [
        ("http_req_failed: rate < 0.4", 99),
        ("http_req_failed: rate < 0.6", 0),
    ] {
        let server = Server::start();
        Squall::script(test_guest("behaviour"))
            .script_env("CASE", "catch-forgotten")
            .flag("--base-url", server.url(""))
            .flag("--iterations", "10")
            .flag("--threshold", threshold)
            .run()
            .exited(code);
    }
}
