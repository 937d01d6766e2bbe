//! How runs end: by themselves, by ctrl-c once and twice, and by the graceful
//! stop's patience.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::command::{Running, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

fn hello(server: &Server) -> Squall {
    Squall::script(example("hello")).flag("--base-url", server.url(""))
}

/// Fails unless it ends within `limit`.
#[track_caller]
fn ends_within(running: &mut Running, limit: Duration) {
    let start = Instant::now();
    while running.is_running() {
        assert!(start.elapsed() < limit, "it still runs after {limit:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_lasts_as_long_as_asked() {
    let server = Server::start();
    let outcome = hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "1500ms")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "completed");
    let duration_ms = summary.at("/duration_ms").as_f64().expect("a number");
    assert!(
        (1_400.0..4_000.0).contains(&duration_ms),
        "{duration_ms} ms"
    );
}

#[test]
fn sleeping_vus_wake_when_the_run_ends() {
    let outcome = Squall::script(test_guest("idle"))
        .flag("--vus", "50")
        .flag("--duration", "500ms")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 50);
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    let duration_ms = summary.at("/duration_ms").as_f64().expect("a number");
    assert!(duration_ms < 10_000.0, "{duration_ms} ms");
}

#[test]
fn ctrl_c_lets_iterations_finish_and_sums_up() {
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(500));
    let mut running = hello(&server)
        .flag("--vus", "5")
        .flag("--duration", "60s")
        .start();
    running.until(&server, "/", 10);
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    assert!(
        outcome.elapsed < Duration::from_secs(30),
        "{:?}",
        outcome.elapsed
    );
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "interrupted");
    assert_eq!(summary.at("/exit_code"), 105);
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    assert_eq!(summary.count("/all/requests"), server.count("/"));
    assert_eq!(summary.count("/all/failures"), 0);
    let end = outcome.entries("loadtest.run.end");
    assert_eq!(end[0]["test"]["totals"]["requests"], server.count("/"));
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let server = Server::start();
    server.slow_front_page(Duration::from_secs(100));
    let mut running = hello(&server)
        .flag("--vus", "5")
        .flag("--duration", "60s")
        .start();
    running.until(&server, "/", 5);
    running.signal(Signal::INT);
    // The first is given time to arrive: two at the same moment are one.
    thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "the first waits for the iterations");
    running.signal(Signal::INT);
    ends_within(&mut running, Duration::from_secs(5));
    running.wait().exited(105);
}

#[test]
fn a_terminated_run_ends_like_an_interrupted_one() {
    let server = Server::start();
    let mut running = hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "60s")
        .start();
    running.until(&server, "/", 10);
    running.signal(Signal::TERM);
    let outcome = running.wait().exited(105);
    assert_eq!(outcome.summary().at("/reason/kind"), "interrupted");
}

#[test]
fn the_graceful_stop_cuts_what_takes_too_long() {
    let server = Server::start();
    server.slow_front_page(Duration::from_secs(100));
    let outcome = hello(&server)
        .flag("--vus", "4")
        .flag("--duration", "1s")
        .flag("--graceful-stop", "500ms")
        .run()
        .exited(0);
    assert!(
        outcome.elapsed < Duration::from_secs(10),
        "{:?}",
        outcome.elapsed
    );
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/interrupted"), 4);
    assert_eq!(summary.count("/iterations/finished"), 0);
    outcome.lines();
}

#[test]
fn the_graceful_stop_waits_for_what_ends_in_time() {
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(1_500));
    let outcome = hello(&server)
        .flag("--vus", "4")
        .flag("--duration", "1s")
        .flag("--graceful-stop", "30s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 4);
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    assert_eq!(summary.count("/all/requests"), 4);
}
