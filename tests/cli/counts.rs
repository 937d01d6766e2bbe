//! The figures, held against those of servers that count for themselves.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::nginx::Nginx;
use crate::support::server::Server;

/// The sum of a number in all `entries` that a test accepts.
fn sum(entries: &[Value], pointer: &str, accept: impl Fn(&Value) -> bool) -> u64 {
    let accepted = entries.iter().filter(|entry| accept(entry));
    let number = |entry: &Value| entry.pointer(pointer).and_then(Value::as_u64);
    accepted
        .map(|entry| number(entry).unwrap_or_else(|| panic!("no `{pointer}` in {entry:#}")))
        .sum()
}

/// The requests in the log entries of one window (`interval` or `total`).
fn requests(outcome: &Outcome, window: &str, scope: &str) -> u64 {
    sum(
        &outcome.entries("loadtest.request.stats"),
        "/stats/count",
        |entry| entry["stats"]["window"] == window && entry["stats"]["scope"] == scope,
    )
}

fn iterations(outcome: &Outcome, window: &str) -> u64 {
    let entries = outcome.entries("loadtest.iteration.stats");
    sum(&entries, "/iterations/finished", |entry| {
        entry["iterations"]["window"] == window
    })
}

#[test]
fn the_summary_agrees_with_the_access_log_of_nginx() {
    let nginx = Nginx::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", nginx.url())
        .flag("--vus", "50")
        .flag("--iterations", "20000")
        .flag("--stats-interval", "200ms")
        .run()
        .exited(0);
    let logged = nginx.access_log();
    assert_eq!(logged.len(), 20_000);
    assert!(
        logged
            .iter()
            .all(|line| line.contains("\"GET / HTTP/1.1\" 200 13 "))
    );

    let summary = outcome.summary();
    assert_eq!(summary.count("/all/requests"), 20_000);
    assert_eq!(summary.count("/all/failures"), 0);
    assert_eq!(summary.count("/all/statuses/200"), 20_000);
    assert_eq!(summary.count("/all/duration/count"), 20_000);
    assert_eq!(summary.count("/iterations/finished"), 20_000);
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(summary.count("/iterations/duration/count"), 20_000);
    assert!(summary.count("/all/received_bytes") >= 20_000 * 13);
    assert_eq!(summary.at("/passed"), true);
    let front_page = summary.row("/requests", "/");
    assert_eq!(front_page["method"], "GET");
    assert_eq!(front_page["requests"], 20_000);
    assert_eq!(
        summary.row("/checks", "the front page is there")["passes"],
        20_000
    );
}

#[test]
fn interval_lines_add_up_to_the_total_the_summary_and_the_server() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "20")
        .flag("--duration", "2s")
        .flag("--stats-interval", "100ms")
        .run()
        .exited(0);
    let counted = server.count("/");
    assert!(counted > 0);
    assert_eq!(outcome.summary().count("/all/requests"), counted);
    for scope in ["total", "endpoint"] {
        assert_eq!(requests(&outcome, "total", scope), counted, "{scope}");
        assert_eq!(requests(&outcome, "interval", scope), counted, "{scope}");
    }
    let finished = outcome.summary().count("/iterations/finished");
    assert_eq!(iterations(&outcome, "interval"), finished);
    assert_eq!(iterations(&outcome, "total"), finished);

    let intervals = outcome.entries("loadtest.request.stats");
    let is_interval = |entry: &&Value| {
        entry["stats"]["window"] == "interval" && entry["stats"]["scope"] == "total"
    };
    assert!(
        intervals.iter().filter(is_interval).count() >= 10,
        "{}",
        outcome.story()
    );
    let end = outcome.entries("loadtest.run.end");
    assert_eq!(end.len(), 1);
    assert_eq!(end[0]["test"]["totals"]["requests"], counted);
    assert_eq!(end[0]["test"]["exit_code"], 0);
}

/// Fails unless the intervals add up to the total, and the total is what the
/// summary says: that number, with the iterations that finished.
#[track_caller]
fn adds_up(outcome: &Outcome) -> u64 {
    let summary = outcome.summary();
    let counted = summary.count("/all/requests");
    for scope in ["total", "endpoint"] {
        for window in ["interval", "total"] {
            let sum = requests(outcome, window, scope);
            assert_eq!(sum, counted, "{scope} {window}{}", outcome.story());
        }
    }
    let finished = summary.count("/iterations/finished");
    assert_eq!(iterations(outcome, "interval"), finished);
    assert_eq!(iterations(outcome, "total"), finished);
    let end = outcome.entries("loadtest.run.end");
    assert_eq!(end.len(), 1, "{}", outcome.story());
    assert_eq!(end[0]["test"]["totals"]["requests"], counted);
    let of = |rows: &str, count: &str| -> u64 {
        let rows = summary.rows(rows).iter();
        rows.map(|row| row[count].as_u64().expect("a count")).sum()
    };
    assert_eq!(of("/requests", "requests"), counted);
    assert_eq!(summary.count("/all/duration/count"), counted);
    counted
}

fn hello(server: &Server) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "10")
        .flag("--stats-interval", "100ms")
}

#[test]
fn an_interrupted_run_adds_up() {
    let server = Server::start();
    let mut running = hello(&server).flag("--duration", "100s").start();
    running.until(&server, "/", 1_000);
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    assert_eq!(adds_up(&outcome), server.count("/"));
    assert_eq!(outcome.summary().count("/iterations/interrupted"), 0);
}

#[test]
fn a_run_that_was_cut_adds_up() {
    let server = Server::start();
    let mut running = hello(&server).flag("--duration", "100s").start();
    running.until(&server, "/", 1_000);
    // From now on no iteration ends by itself.
    server.slow_front_page(Duration::from_secs(100));
    let before = server.count("/");
    running.until(&server, "/", before + 1);
    running.signal(Signal::INT);
    // The first is given time to arrive: two at the same moment are one.
    thread::sleep(Duration::from_millis(300));
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    let counted = adds_up(&outcome);
    // The server has seen what was cut, too.
    let cut = outcome.summary().count("/iterations/interrupted");
    assert!(cut > 0, "{}", outcome.story());
    assert_eq!(counted + cut, server.count("/"));
}

#[test]
fn a_run_whose_target_dies_adds_up() {
    let mut server = Server::start();
    let mut running = hello(&server).flag("--duration", "100s").start();
    running.until(&server, "/", 1_000);
    server.stop();
    // Long enough that every VU finds nobody there.
    thread::sleep(Duration::from_millis(500));
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    let counted = adds_up(&outcome);
    let summary = outcome.summary();
    let answered = summary.count("/all/statuses/200");
    let failed = summary.count("/all/failures");
    assert!(
        failed >= 10,
        "each VU failed once at least, {failed} in all"
    );
    assert_eq!(answered + failed, counted);
    // It may have read a request of each VU whose answer was cut off.
    let reached = server.count("/");
    assert!(
        (answered..=answered + 10).contains(&reached),
        "{reached} of {answered}"
    );
}

#[test]
fn a_hundred_thousand_urls_add_up_in_bounded_memory() {
    let server = Server::start();
    let mut running = Squall::script(test_guest("behaviour"))
        .script_env("CASE", "distinct-urls")
        .flag("--base-url", server.url(""))
        .flag("--vus", "10")
        .flag("--iterations", "1000")
        .flag("--stats-interval", "1s")
        .start();
    let mut largest = 0;
    while running.is_running() {
        largest = largest.max(running.resident_bytes().unwrap_or(0));
        thread::sleep(Duration::from_millis(20));
    }
    let outcome = running.wait().exited(0);
    assert_eq!(adds_up(&outcome), 100_000);
    assert_eq!(server.count_below("/item/"), 100_000);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/statuses/200"), 100_000);
    // The limit on names is 1,000; the rest are one row.
    assert_eq!(summary.rows("/requests").len(), 1_001);
    assert_eq!(summary.row("/requests", "(other)")["requests"], 99_000);
    let warnings = summary.at("/warnings").to_string();
    assert!(warnings.contains("`(other)`"), "{warnings}");
    // A thousand rows take some 600 MiB on two cores; a hundred thousand would
    // take a hundred times as much.
    assert!(largest < 2 << 30, "{largest} bytes");
}

#[test]
fn each_recorder_has_intervals_of_its_own_that_add_up() {
    let server = Server::start();
    let own = |interval: &str| {
        let recorder = test_guest("misrecord");
        format!("{},want=stats{interval}", recorder.display())
    };
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "5")
        .flag("--duration", "2s")
        .flag("--stats-interval", "500ms")
        .flag("--recorder", own(""))
        .flag("--recorder", own(",interval=100ms"))
        .flag("--recorder", own(",interval=300ms"))
        .flag("--recorder", "json,interval=1h")
        .run()
        .exited(0);
    let counted = server.count("/");
    assert_eq!(outcome.summary().count("/all/requests"), counted);
    let lines = outcome.lines();
    for (every, least) in [(500, 4), (100, 10), (300, 5)] {
        let of: Vec<_> = lines
            .iter()
            .filter(|line| line["event"] == "stats" && line["every_ms"] == f64::from(every))
            .collect();
        assert!(of.len() >= least, "{} of {every} ms", of.len());
        for count in ["requests", "times"] {
            let sum: u64 = of
                .iter()
                .map(|line| line[count].as_u64().expect("a count"))
                .sum();
            assert_eq!(sum, counted, "{count} at {every} ms");
        }
        assert_eq!(of.last().expect("the last")["total"], counted);
        // One interval begins where the last one ended.
        let number = |line: &Value, key: &str| line[key].as_f64().expect("a number");
        let mut ended = 0.0;
        for line in of {
            ended += number(line, "duration_ms");
            assert!((ended - number(line, "end_ms")).abs() < 0.01, "{line}");
        }
    }
    // The interval that is still going on at the end is the last.
    let intervals = outcome.entries("loadtest.request.stats");
    let of_all = |entry: &&Value| {
        entry["stats"]["window"] == "interval" && entry["stats"]["scope"] == "total"
    };
    assert_eq!(intervals.iter().filter(of_all).count(), 1);
    assert_eq!(requests(&outcome, "interval", "total"), counted);
}

#[test]
fn what_the_hooks_request_is_counted_everywhere() {
    let server = Server::start();
    let outcome = Squall::script(test_guest("behaviour"))
        .script_env("CASE", "requests-in-hooks")
        .flag("--base-url", server.url(""))
        .flag("--vus", "3")
        .flag("--iterations", "3000")
        .flag("--stats-interval", "100ms")
        .run()
        .exited(0);
    // Once for the run, once for each VU, and once for each iteration.
    let counted = 2 + 2 * 3 + 3_000;
    assert_eq!(server.count("/echo"), counted);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/requests"), counted);
    for (name, expected) in [
        ("setup", 1),
        ("on-start", 3),
        ("iteration", 3_000),
        ("on-stop", 3),
        ("teardown", 1),
    ] {
        assert_eq!(
            summary.row("/requests", name)["requests"],
            expected,
            "{name}"
        );
    }
    for scope in ["total", "endpoint"] {
        assert_eq!(requests(&outcome, "total", scope), counted, "{scope}");
        assert_eq!(requests(&outcome, "interval", scope), counted, "{scope}");
    }
    let end = outcome.entries("loadtest.run.end");
    assert_eq!(end[0]["test"]["totals"]["requests"], counted);
}

#[test]
fn log_entries_are_numbered_without_a_gap_from_the_start_to_the_end_of_the_run() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "1s")
        .flag("--stats-interval", "100ms")
        .flag("--system-interval", "200ms")
        .flag("--tag", "team=checkout")
        .flag("--test-plan", "a plan")
        .run()
        .exited(0);
    let lines = outcome.lines();
    for (line, number) in lines.iter().zip(1_u64..) {
        assert_eq!(line["seq"], number);
        assert_eq!(line["run"]["plan"], "a plan");
        assert_eq!(line["run"]["labels"]["team"], "checkout");
        assert_eq!(line["run"]["id"], lines[0]["run"]["id"]);
    }
    assert_eq!(lines[0]["event_name"], "loadtest.run.start");
    let last = lines.last().expect("lines");
    assert_eq!(last["event_name"], "loadtest.run.end");
    assert_eq!(last["run"]["id"], *outcome.summary().at("/run/id"));
    for name in [
        "users.ramp_complete",
        "run.stop_requested",
        "resource.stats",
    ] {
        let entries = outcome.entries(&format!("loadtest.{name}"));
        assert!(!entries.is_empty(), "no `{name}`{}", outcome.story());
    }
}

#[test]
fn a_shop_full_of_customers_is_counted_as_the_server_counts_it() {
    let server = Server::start();
    let outcome = Squall::script(example("shop"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "5")
        .flag("--iterations", "40")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(
        summary.count("/iterations/finished"),
        40,
        "{}",
        outcome.story()
    );
    assert_eq!(summary.failures(), []);
    assert_eq!(summary.count("/all/requests"), server.total());
    for (name, counted) in [
        ("/login", server.count("/login")),
        ("/item/[id]", server.count_below("/item/")),
        ("/basket", server.count("/basket")),
        ("/checkout", server.count("/checkout")),
        ("/static/a.css", server.count("/static/a.css")),
    ] {
        assert_eq!(
            summary.row("/requests", name)["requests"],
            counted,
            "{name}"
        );
    }
    assert_eq!(server.count("/login"), 5);
    let orders = server.count("/checkout");
    assert!(orders > 0);
    let checkouts = summary.row("/transactions", "checkout");
    assert_eq!(checkouts["duration"]["count"], orders);
    assert_eq!(checkouts["failures"], 0);
    assert!(summary.row("/metrics", "revenue")["value"].as_f64() >= Some(9.5));
    assert!(
        summary
            .rows("/checks")
            .iter()
            .all(|check| check["failures"] == 0)
    );
    // The script's own options: `http_req_failed` and `checks`.
    assert_eq!(summary.rows("/thresholds").len(), 2);
}

#[test]
fn a_vu_keeps_its_connection() {
    let server = Server::start();
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "5")
        .flag("--iterations", "500")
        .run()
        .exited(0);
    assert_eq!(server.total(), 500);
    assert!(server.accepted() <= 5, "{} connections", server.accepted());
}
