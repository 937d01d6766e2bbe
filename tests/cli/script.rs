//! What a script may do, tried by a script that judges it from inside, while the
//! figures of the host are judged here. What scripts in all languages are tried
//! with is in `tests/languages`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::command::Squall;
use crate::support::guests::test_guest;
use crate::support::script::{logged, passes};
use crate::support::server::Server;

/// `squall run` with the script whose `CASE` is this, against `server`.
fn case(name: &str, server: &Server) -> Squall {
    crate::support::script::case(&test_guest("behaviour"), name, server)
}

/// Tests that need nothing but the script's own judgement, and how many VUs and
/// iterations they take.
macro_rules! the_script_judges {
    ($($name:ident: $case:literal, $vus:literal, $iterations:literal;)*) => {$(
        #[test]
        fn $name() {
            let server = Server::start();
            passes(case($case, &server), $vus, $iterations);
        }
    )*};
}

the_script_judges! {
    every_vu_has_cookies_of_its_own: "cookies", 4, 40;
    a_malformed_request_fails_as_data: "invalid", 1, 1;
    relative_urls_resolve_against_the_base_url: "relative", 1, 1;
    tags_do_no_harm: "tags", 1, 1;
    a_tag_of_the_iteration_comes_and_goes: "set-tag", 1, 2;
    a_bad_request_spoils_no_other_of_its_batch: "batch-mixed", 1, 1;
    a_discarded_body_is_empty: "discard-body", 1, 1;
    headers_are_found_in_any_case: "response-headers", 1, 1;
    text_that_is_not_utf8_is_mended: "text", 1, 1;
    a_large_body_goes_out_and_comes_back: "large", 1, 1;
    a_response_knows_how_long_it_took: "durations", 1, 1;
    pacing_fills_the_period: "pace", 1, 1;
    the_clocks_of_the_host_go_on: "clocks", 1, 1;
    nothing_of_the_machine_is_granted: "nothing-granted", 1, 1;
    the_clocks_of_wasi_agree_with_the_hosts: "wasi-clocks", 1, 1;
}

#[test]
fn a_named_request_is_reported_under_its_name_and_another_under_its_path() {
    let server = Server::start();
    let summary = passes(case("names", &server), 2, 10).summary();
    assert_eq!(summary.rows("/requests").len(), 2);
    assert_eq!(summary.row("/requests", "/item/[id]")["requests"], 30);
    assert_eq!(summary.row("/requests", "/echo")["requests"], 10);
    assert_eq!(server.count("/echo"), 40);
}

#[test]
fn a_prepared_request_is_sent_again_and_again() {
    let server = Server::start();
    let summary = passes(case("prepared", &server), 2, 10).summary();
    assert_eq!(summary.row("/requests", "prepared")["requests"], 30);
    assert_eq!(server.count("/echo"), 30);
}

#[test]
fn the_expected_statuses_decide_what_is_a_failure() {
    let server = Server::start();
    let summary = passes(case("expect-status", &server), 1, 1).summary();
    for (name, requests, failures) in [
        ("/status/200", 2, 1),
        ("/status/399", 1, 0),
        ("/status/400", 1, 1),
        ("/status/404", 2, 0),
        ("/status/503", 1, 1),
    ] {
        let row = summary.row("/requests", name);
        assert_eq!(row["requests"], requests, "{name}");
        assert_eq!(row["failures"], failures, "{name}");
    }
}

#[test]
fn a_caught_response_is_judged_by_the_script() {
    let server = Server::start();
    let summary = passes(case("catch", &server), 1, 2).summary();
    assert_eq!(summary.row("/requests", "/status/503")["failures"], 0);
    assert_eq!(summary.row("/requests", "/echo")["failures"], 2);
    assert_eq!(summary.failures(), [("the basket is empty".to_owned(), 2)]);
}

#[test]
fn a_caught_response_that_nobody_judges_is_judged_by_its_status() {
    let server = Server::start();
    let summary = passes(case("catch-forgotten", &server), 1, 2).summary();
    assert_eq!(summary.row("/requests", "/echo")["requests"], 2);
    assert_eq!(summary.row("/requests", "/echo")["failures"], 0);
    assert_eq!(summary.row("/requests", "/status/503")["failures"], 2);
    assert_eq!(summary.count("/all/requests"), 4);
}

#[test]
fn a_response_that_was_not_caught_cannot_be_judged() {
    let server = Server::start();
    let summary = passes(case("catch-uncaught", &server), 1, 1).summary();
    assert_eq!(summary.row("/requests", "/echo")["failures"], 0);
    assert_eq!(summary.row("/requests", "/status/503")["failures"], 1);
}

#[test]
fn a_metric_keeps_the_kind_of_its_first_use() {
    let server = Server::start();
    let summary = passes(case("metric-kinds", &server), 1, 1).summary();
    let row = summary.row("/metrics", "ambiguous");
    assert_eq!(row["kind"], "counter");
    assert_eq!(row["value"].as_f64(), Some(2.0));
}

#[test]
fn a_script_knows_its_place_in_the_run() {
    let server = Server::start();
    let start = passes(case("checks", &server), 1, 1).entries("loadtest.run.start");
    let scenario = start[0]["test"]["scenarios"][0].as_str().expect("a name");
    let squall = case("place", &server)
        .script_env("VUS", "3")
        .script_env("SCENARIO", scenario);
    let outcome = passes(squall, 3, 12);
    let places: BTreeSet<_> = logged(&outcome, None).into_iter().collect();
    assert_eq!(places.len(), 12, "no two iterations are in the same place");
}

#[test]
fn random_numbers_of_wasi_follow_from_the_seed() {
    let server = Server::start();
    let run = |seed: &str| {
        let squall = Squall::new(["run".as_ref(), test_guest("behaviour").as_os_str()]);
        let summary = squall.file("summary.json");
        let squall = squall
            .flag("--summary", summary)
            .flag("--seed", seed)
            .flag("--base-url", server.url(""))
            .script_env("CASE", "wasi-random");
        logged(&passes(squall, 1, 3), None)
    };
    let first = run("7");
    assert_eq!(first.len(), 3);
    assert_eq!(first, run("7"));
    assert_ne!(first, run("8"));
}

#[test]
fn a_flood_of_log_messages_is_cut_off() {
    let server = Server::start();
    let outcome = passes(case("log-flood", &server), 1, 2);
    let kept = logged(&outcome, None).len();
    assert!((1..10_000).contains(&kept), "{kept} messages of 20,000");
}

#[test]
fn a_setup_that_traps_ends_the_run_before_it_starts() {
    let server = Server::start();
    let outcome = case("setup-trap", &server)
        .flag("--iterations", "5")
        .run()
        .exited(107);
    assert!(outcome.stderr.contains("setup"), "{}", outcome.story());
    assert!(outcome.stderr.contains("hint:"), "{}", outcome.story());
    outcome.lines();
    assert_eq!(server.total(), 0);
}

#[test]
fn a_start_that_traps_ends_its_vu() {
    let server = Server::start();
    let outcome = case("start-trap", &server)
        .flag("--vus", "3")
        .flag("--duration", "60s")
        .run();
    assert!(
        outcome.elapsed < Duration::from_secs(30),
        "{}",
        outcome.story()
    );
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 0);
    let failures = summary.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].1, 3, "{failures:?}");
}

#[test]
fn a_response_kept_beyond_its_iteration_costs_that_iteration() {
    let server = Server::start();
    let outcome = case("kept", &server)
        .flag("--vus", "1")
        .flag("--iterations", "3")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 3);
    assert_eq!(
        summary.count("/iterations/failed"),
        1,
        "{:?}",
        summary.failures()
    );
}

#[test]
fn a_sleeping_vu_wakes_up_when_the_run_ends() {
    let server = Server::start();
    let outcome = case("sleep-forever", &server)
        .flag("--vus", "3")
        .flag("--duration", "1s")
        .flag("--graceful-stop", "30s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "completed");
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert!(
        outcome.elapsed < Duration::from_secs(15),
        "{:?}",
        outcome.elapsed
    );
}
