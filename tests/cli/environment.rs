//! Flags given by environment variables, and which of the two wins.

use crate::support::command::Squall;
use crate::support::guests::example;
use crate::support::server::Server;

#[test]
fn a_variable_stands_for_its_flag() {
    let server = Server::start();
    let squall = Squall::new(["run".as_ref(), example("hello").as_os_str()]);
    let summary = squall.file("summary.json");
    let outcome = squall
        .env("SQUALL_SUMMARY", summary)
        .env("SQUALL_VUS", "3")
        .env("SQUALL_ITERATIONS", "30")
        .env("SQUALL_BASE_URL", server.url(""))
        .env("SQUALL_SEED", "42")
        .env("SQUALL_TEST_PLAN", "from the environment")
        .env("SQUALL_TAGS", "team=checkout")
        .env("SQUALL_THRESHOLDS", "http_req_duration: p(95) < 0.000001")
        .env("SQUALL_STATS_INTERVAL", "100ms")
        .env("SQUALL_RECORDERS", "json")
        .run()
        .exited(99);
    assert_eq!(server.count("/"), 30);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 30);
    assert_eq!(summary.at("/run/seed"), 42);
    assert_eq!(summary.at("/run/test_plan"), "from the environment");
    let start = &outcome.entries("loadtest.run.start")[0];
    assert_eq!(start["run"]["plan"], "from the environment");
    assert_eq!(start["run"]["labels"]["team"], "checkout");
    assert_eq!(start["test"]["stats_interval_ms"].as_f64(), Some(100.0));
}

#[test]
fn a_flag_wins_over_its_variable() {
    let server = Server::start();
    Squall::script(example("hello"))
        .env("SQUALL_ITERATIONS", "50")
        .env("SQUALL_BASE_URL", "http://127.0.0.1:9/")
        .flag("--base-url", server.url(""))
        .flag("--iterations", "20")
        .run()
        .exited(0);
    assert_eq!(server.count("/"), 20);
}

#[test]
fn a_host_that_is_not_allowed_is_not_reached() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--allow-host", "shop.example")
        .flag("--iterations", "3")
        .run()
        .exited(0);
    assert_eq!(server.accepted(), 0);
    assert_eq!(outcome.summary().count("/all/failures"), 3);
}
