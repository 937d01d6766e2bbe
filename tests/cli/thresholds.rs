//! Thresholds: the verdict, its exit code and where it is written.

use rustix::process::Signal;
use serde_json::Value;

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

/// How each of some thresholds stands after ten iterations of a case, where one
/// and only one of each pair holds.
#[track_caller]
fn one_of_each_pair_holds(case: &str, pairs: &[(&str, &str)], flags: &[(&str, &str)]) {
    let server = Server::start();
    let mut squall = Squall::script(test_guest("behaviour"))
        .script_env("CASE", case)
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", "10")
        .flag("--log-messages", "0");
    for (name, value) in flags {
        squall = squall.flag(name, value);
    }
    for (holds, fails) in pairs {
        squall = squall.flag("--threshold", holds).flag("--threshold", fails);
    }
    let outcome = squall.run().exited(99);
    let summary = outcome.summary();
    let rows = summary.rows("/thresholds");
    assert_eq!(rows.len(), 2 * pairs.len());
    for (pair, rows) in pairs.iter().zip(rows.chunks(2)) {
        assert_eq!(rows[0]["expression"], pair.0);
        assert_eq!(rows[0]["passed"], true, "{}", rows[0]);
        assert_eq!(rows[1]["expression"], pair.1);
        assert_eq!(rows[1]["passed"], false, "{}", rows[1]);
    }
    let told = outcome.entries("loadtest.threshold.result");
    assert_eq!(told.len(), rows.len());
}

#[test]
fn thresholds_judge_every_kind_of_metric_of_the_script() {
    one_of_each_pair_holds(
        "metrics",
        &[
            ("items: count == 25", "items: count < 25"),
            ("items: rate > 0.001", "items: rate > 1e9"),
            ("basket: value == 3", "basket: value > 3"),
            ("basket: max == 7", "basket: max < 7"),
            ("hits: rate >= 0.75", "hits: rate > 0.75"),
            ("price: p(90) <= 30.1", "price: p(90) < 30"),
            ("price: avg == 20", "price: med > 21"),
            ("price: count == 30", "price: count > 30"),
            ("\"items\": count > 1", "basket: p(95) < 100"),
        ],
        &[],
    );
}

#[test]
fn filters_judge_what_they_name() {
    one_of_each_pair_holds(
        "filters",
        &[
            ("http_reqs: count == 50", "http_reqs: count < 50"),
            (
                "http_reqs{name:/login}: count == 10",
                "http_reqs{name:/login}: count < 10",
            ),
            (
                "http_reqs{status:503}: count == 10",
                "http_reqs{status:5xx}: count < 10",
            ),
            (
                "http_reqs{group:login}: count == 20",
                "http_reqs{group:login}: count < 20",
            ),
            (
                "http_reqs{group:token}: count == 10",
                "http_reqs{group:token}: count < 10",
            ),
            (
                "http_reqs{step:search}: count == 10",
                "http_reqs{step:search}: count < 10",
            ),
            (
                "http_reqs{step:buy}: count == 10",
                "http_reqs{step:buy}: count < 10",
            ),
            (
                "http_reqs{team:shop}: count == 50",
                "http_reqs{team:other}: count > 0",
            ),
            (
                "http_reqs{scenario:default}: count == 50",
                "http_reqs{scenario:x}: count > 0",
            ),
            (
                "http_reqs{method:get,step:buy}: count == 10",
                "http_reqs{method:PUT}: count > 0",
            ),
            (
                "http_req_failed{group:login}: rate == 0.5",
                "http_req_failed{group:login}: rate < 0.5",
            ),
            (
                "http_req_duration{expected_response:true}: count == 40",
                "http_req_duration{step:sell}: p(95) < 60000",
            ),
            (
                "checks{check:has price}: rate == 1",
                "checks{check:in stock}: rate > 0",
            ),
            (
                "checks{step:search}: rate == 0",
                "checks{group:login}: rate > 0",
            ),
            (
                "orders{group:login}: count == 20",
                "orders{group:login}: count < 20",
            ),
            (
                "orders{step:search}: count == 40",
                "orders{step:search}: count < 40",
            ),
            (
                "iterations{team:shop}: count == 10",
                "iterations{scenario:default}: count < 10",
            ),
            (
                "transaction_duration{name:login}: max > 0",
                "transaction_duration{name:logout}: max > 0",
            ),
        ],
        &[("--tag", "team=shop")],
    );
}

/// Beyond the limit on names, what a filter names is still told apart.
#[test]
fn a_name_that_a_filter_asks_for_counts_however_many_there_are() {
    one_of_each_pair_holds(
        "distinct-urls",
        &[(
            "http_reqs{name:/item/2/99}: count >= 1",
            "http_reqs{name:/item/2/99}: count < 1",
        )],
        &[("--names", "5")],
    );
}

#[test]
fn several_conditions_are_judged_each() {
    let outcome = judged(&["http_reqs: count == 50, count < 50, rate > 0"]).exited(99);
    let summary = outcome.summary();
    let rows = summary.rows("/thresholds");
    let stands = |at: usize| {
        (
            rows[at]["expression"].as_str(),
            rows[at]["passed"].as_bool(),
        )
    };
    assert_eq!(stands(0), (Some("http_reqs: count == 50"), Some(true)));
    assert_eq!(stands(1), (Some("http_reqs: count < 50"), Some(false)));
    assert_eq!(stands(2), (Some("http_reqs: rate > 0"), Some(true)));
    let flat = outcome.flat_stderr();
    assert!(
        flat.contains("1 of 3 thresholds does not hold"),
        "{}",
        outcome.story()
    );
}

#[test]
fn a_threshold_that_nothing_was_measured_for_does_not_hold() {
    let misspelt = "http_req_duration{name:/logn}: p(95) < 60000";
    let outcome = judged(&[misspelt, "my_errors: count < 5"]).exited(99);
    let summary = outcome.summary();
    let rows = summary.rows("/thresholds");
    assert_eq!(
        (&rows[0]["passed"], &rows[0]["note"]),
        (&false.into(), &"nothing measured".into())
    );
    assert!(rows[0]["value"].is_null());
    // None of something is 0, and that may be meant; but it is not silent.
    assert_eq!(
        (&rows[1]["passed"], &rows[1]["value"]),
        (&true.into(), &0.0.into())
    );
    let flat = outcome.flat_stderr();
    let warning = "nothing was measured that the threshold `my_errors: count < 5` is on";
    assert!(flat.contains(warning), "{}", outcome.story());
    assert!(flat.contains("nothing measured"), "{}", outcome.story());
    assert_eq!(outcome.entries("loadtest.threshold.breached").len(), 1);
}

fn front_page(server: &Server, duration: &str, threshold: &str) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", duration)
        .flag("--stats-interval", "100ms")
        .flag("--threshold", threshold)
}

#[test]
fn a_window_that_failed_and_recovered_is_told_and_fails_the_run() {
    let server = Server::start();
    let rule = "http_req_failed: rate[1s] < 0.5";
    let squall = front_page(&server, "100s", rule);
    let entries = squall.file("entries");
    let mut running = squall.flag("--telemetry", entries).start();
    running.until(&server, "/", 100);
    for _ in 0..2 {
        server.break_front_page(true);
        running.until_written("entries", "threshold.breached");
        server.break_front_page(false);
        running.until_written("entries", "threshold.recovered");
    }
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    let written = outcome.read("entries");
    let changes: Vec<_> = written
        .lines()
        .filter_map(|line| {
            let entry: Value = serde_json::from_str(line).expect("a log entry");
            let name = entry["event_name"]
                .as_str()?
                .strip_prefix("loadtest.threshold.")?
                .to_owned();
            assert_eq!(entry["threshold"]["expression"], rule);
            Some(name)
        })
        .collect();
    assert_eq!(changes[..2], ["breached", "recovered"], "{changes:?}");
    assert_eq!(changes.last().map(String::as_str), Some("result"));
    // Each change is told once.
    assert!(
        changes.windows(2).all(|pair| pair[0] != pair[1]),
        "{changes:?}"
    );
    let summary = outcome.summary();
    let row = &summary.rows("/thresholds")[0];
    assert_eq!(row["passed"], false);
    assert!(row["value"].as_f64() >= Some(0.5), "{row}");
    let flat = outcome.flat_stderr();
    assert!(flat.contains("% at worst"), "{}", outcome.story());
}

#[test]
fn a_threshold_with_abort_ends_the_run_after_its_grace() {
    let server = Server::start();
    server.break_front_page(true);
    let rule = "http_req_failed: rate < 0.1 abort after 1s";
    let outcome = front_page(&server, "100s", rule).run().exited(99);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "threshold");
    assert_eq!(summary.at("/reason/detail"), rule);
    let ran_ms = summary.at("/duration_ms").as_f64().expect("a number");
    assert!((1_000.0..50_000.0).contains(&ran_ms), "{ran_ms} ms");
    // It broke at once, and ended later; what was under way came to its end.
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    assert_eq!(summary.count("/all/requests"), server.count("/"));
    let breached = outcome.entries("loadtest.threshold.breached");
    assert_eq!(breached.len(), 1, "{}", outcome.story());
    let stops = outcome.entries("loadtest.run.stop_requested");
    assert_eq!(stops.len(), 1, "{}", outcome.story());
    assert_eq!(stops[0]["stop"]["reason"], "threshold");
    assert_eq!(stops[0]["stop"]["detail"], rule);
    let flat = outcome.flat_stderr();
    assert!(
        flat.contains("FAILED, ended by a threshold after"),
        "{}",
        outcome.story()
    );
    assert!(flat.contains(rule), "{}", outcome.story());
}

#[test]
fn a_threshold_that_recovers_within_its_grace_ends_nothing() {
    let server = Server::start();
    server.break_front_page(true);
    let rule = "http_req_failed: rate < 0.5 abort after 30s";
    let mut running = front_page(&server, "3s", rule).start();
    running.until(&server, "/", 10);
    server.break_front_page(false);
    let outcome = running.wait().exited(0);
    assert_eq!(outcome.summary().at("/reason/kind"), "completed");
}
