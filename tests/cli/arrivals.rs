//! Open models: iterations start when they are due, whatever the server does,
//! and the response time from due tells what a stall cost.

use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::example;
use crate::support::server::Server;

fn hello(server: &Server) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
}

/// When the run's iterations were due, in milliseconds since its start, in
/// order: what the host says of each.
fn due_times(outcome: &Outcome) -> Vec<f64> {
    let events = outcome.read("events.ndjson");
    let mut times: Vec<f64> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|event| event["kind"].get("iteration").is_some())
        .map(|event| {
            let iteration = &event["kind"]["iteration"];
            let ms = |value: &Value| value.as_f64().expect("a number");
            ms(&event["elapsed_ms"]) - ms(&iteration["duration_ms"]) - ms(&iteration["lag_ms"])
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Fails unless at every 100 ms there have been as many arrivals as `area` says,
/// give or take one.
#[track_caller]
fn follow(times: &[f64], until_ms: u32, area: impl Fn(f64) -> f64) {
    for step in 0..=until_ms / 100 {
        // The event's time is read a few instructions after the iteration's.
        let at = f64::from(step) * 100.0;
        let count = times.iter().filter(|time| **time < at).count() as f64;
        let slack = 1.0 + area(at + 2.0) - area(at);
        assert!(
            (count - area(at)).abs() <= slack,
            "{count} at {at} ms, not {}",
            area(at)
        );
    }
}

#[test]
fn a_constant_rate_is_kept_to_the_last_iteration() {
    let server = Server::start();
    let squall = hello(&server)
        .flag("--rate", "200/s")
        .flag("--duration", "2s")
        .flag("--threshold", "http_req_duration_from_due: count == 400")
        .flag(
            "--threshold",
            "http_req_duration_from_due{scenario:default}: max > 0",
        );
    let events = squall.file("events.ndjson");
    let outcome = squall.flag("--events", events).run().exited(0);
    assert_eq!(server.count("/"), 400);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 400);
    assert_eq!(summary.count("/iterations/dropped"), 0);
    assert_eq!(summary.count("/iterations/lag/count"), 400);
    assert_eq!(summary.count("/all/from_due/count"), 400);
    let times = due_times(&outcome);
    assert_eq!(times.len(), 400);
    follow(&times, 2_000, |at| at.clamp(0.0, 2_000.0) * 0.2);
}

#[test]
fn a_ramp_of_the_rate_keeps_to_its_integral() {
    let server = Server::start();
    let squall = hello(&server)
        .flag("--rate", "0/s")
        .flag("--stage", "2s:200/s")
        .flag("--stage", "500ms:200/s")
        .flag("--stage", "500ms:0/s");
    let events = squall.file("events.ndjson");
    let outcome = squall.flag("--events", events).run().exited(0);
    // 200 + 100 + 50.
    assert_eq!(server.count("/"), 350);
    let times = due_times(&outcome);
    follow(&times, 3_000, |at| {
        let (up, hold) = (at.clamp(0.0, 2_000.0), (at - 2_000.0).clamp(0.0, 500.0));
        let down = (at - 2_500.0).clamp(0.0, 500.0);
        (up * up / 20.0 + hold * 200.0 + down * 200.0 - down * down / 5.0) / 1e3
    });
}

#[test]
fn the_end_of_a_ramp_up_is_told_with_the_vus_that_there_are() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--rate", "10/s")
        .flag("--stage", "1s:200/s")
        .flag("--stage", "1s:200/s")
        .flag("--max-vus", "20")
        .run()
        .exited(0);
    let told = outcome.entries("loadtest.users.ramp_complete");
    let [ramp] = told.as_slice() else {
        panic!("not once: {told:?}{}", outcome.story());
    };
    let vus = ramp["users"]["count"].as_u64().expect("a count");
    assert!((1..=20).contains(&vus), "{vus} VUs");
    // With the last ramp of the rate, and not when the run ends.
    let stop = outcome.entries("loadtest.run.stop_requested");
    assert!(ramp["time"].as_str() < stop[0]["time"].as_str());
}

#[test]
fn poisson_arrivals_are_the_same_for_the_same_seed() {
    let server = Server::start();
    let times = |threads: &str| {
        let squall = hello(&server)
            .flag("--rate", "100/s")
            .flag("--duration", "1s")
            .flag("--arrivals", "poisson")
            .flag("--threads", threads);
        let events = squall.file("events.ndjson");
        due_times(&squall.flag("--events", events).run().exited(0))
    };
    let (one, other) = (times("1"), times("3"));
    assert_eq!(one.len(), other.len());
    // Within what telling the time takes.
    let same = one
        .iter()
        .zip(&other)
        .filter(|(a, b)| (*a - *b).abs() < 2.0);
    assert!(same.count() * 10 >= one.len() * 9, "{one:?}\n{other:?}");
    let gaps = one.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.clone().any(|gap| gap > 15.0) && gaps.into_iter().any(|gap| gap < 5.0));
}

#[test]
fn a_server_that_stalls_is_seen_from_when_requests_were_due() {
    let server = Server::start();
    // The one VU is stuck for two seconds, as a client with one connection is:
    // what was due meanwhile finds it busy, and more may be made.
    server.slow_front_page(Duration::from_millis(10));
    let mut running = hello(&server)
        .flag("--rate", "50/s")
        .flag("--duration", "6s")
        .flag("--threads", "1")
        .start();
    running.until(&server, "/", 50);
    let stalled = server.stall(Duration::from_secs(2));
    let outcome = running.wait().exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 300);
    assert_eq!(summary.count("/iterations/dropped"), 0);
    // Each that was due in the stall waited for what was left of it: 100 of
    // them, evenly from 2 s down to nothing. The server tells when they came.
    let arrivals = server.arrivals("/");
    let end = stalled + Duration::from_secs(2);
    let mut expected: Vec<f64> = arrivals
        .iter()
        .map(|at| {
            let left = if *at >= stalled {
                end.saturating_duration_since(*at)
            } else {
                Duration::ZERO
            };
            left.as_secs_f64() * 1e3 + 10.0
        })
        .collect();
    expected.sort_by(f64::total_cmp);
    let quantile = |share: f64| expected[(share * 300.0).ceil() as usize - 1];
    let from_due = |key: &str| {
        let value = summary.at(&format!("/all/from_due/{key}"));
        value.as_f64().expect("a number")
    };
    assert!(
        quantile(0.99) > 1_500.0 && quantile(0.9) > 800.0,
        "{expected:?}"
    );
    let lag = summary.at("/iterations/lag/max_ms");
    let lag = lag.as_f64().expect("a number");
    for (key, share) in [
        ("median_ms", 0.5),
        ("p90_ms", 0.9),
        ("p95_ms", 0.95),
        ("p99_ms", 0.99),
    ] {
        let sent = summary.at(&format!("/all/duration/{key}"));
        let (found, seen) = (from_due(key), quantile(share));
        // An answer is there no sooner than the server sends it, and was due no
        // later than it came. The histogram is off by 0.1 % at the most.
        assert!(found >= seen * 0.998 - 1.0, "{key}: {found} ms, not {seen}");
        let sent = sent.as_f64().expect("a number");
        assert!(found <= (sent + lag) * 1.002 + 1.0, "{key}: {found} ms");
    }
}
