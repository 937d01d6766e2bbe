//! Everything a script may do, tried by a script that judges it from inside,
//! while the figures of the host are judged here.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::test_guest;
use crate::support::port;
use crate::support::server::Server;

/// `squall run` with the script whose `CASE` is this, against `server`.
fn case(name: &str, server: &Server) -> Squall {
    Squall::script(test_guest("behaviour"))
        .script_env("CASE", name)
        .flag("--base-url", server.url(""))
}

/// Runs to the end and fails unless all of `iterations` came out well.
#[track_caller]
fn passes(squall: Squall, vus: u32, iterations: u64) -> Outcome {
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
fn logged(outcome: &Outcome, vu: Option<u64>) -> Vec<String> {
    let of = |entry: &Value| entry["message"].as_str().expect("a message").to_owned();
    outcome
        .entries("loadtest.guest.log")
        .iter()
        .filter(|entry| vu.is_none_or(|vu| entry["guest"]["vu"] == vu))
        .map(of)
        .collect()
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
    every_kind_of_body_sets_its_content_type: "bodies", 1, 1;
    a_header_of_the_request_wins_over_one_of_the_vu: "headers", 1, 2;
    every_vu_has_cookies_of_its_own: "cookies", 4, 40;
    redirects_are_followed_as_far_as_allowed: "redirects", 1, 1;
    a_malformed_request_fails_as_data: "invalid", 1, 1;
    relative_urls_resolve_against_the_base_url: "relative", 1, 1;
    tags_do_no_harm: "tags", 1, 1;
    a_tag_of_the_iteration_comes_and_goes: "set-tag", 1, 2;
    a_bad_request_spoils_no_other_of_its_batch: "batch-mixed", 1, 1;
    a_discarded_body_is_empty: "discard-body", 1, 1;
    a_json_pointer_finds_its_value: "json", 1, 1;
    headers_are_found_in_any_case: "response-headers", 1, 1;
    text_that_is_not_utf8_is_mended: "text", 1, 1;
    a_large_body_goes_out_and_comes_back: "large", 1, 1;
    a_response_knows_how_long_it_took: "durations", 1, 1;
    sleeping_takes_as_long_as_asked: "sleep", 1, 1;
    pacing_fills_the_period: "pace", 1, 1;
    the_clocks_of_the_host_go_on: "clocks", 1, 1;
    globals_last_from_one_iteration_to_the_next: "globals", 3, 30;
    nothing_of_the_machine_is_granted: "nothing-granted", 1, 1;
    the_clocks_of_wasi_agree_with_the_hosts: "wasi-clocks", 1, 1;
}

#[test]
fn every_method_goes_out_and_has_a_row() {
    let server = Server::start();
    let summary = passes(case("methods", &server), 1, 1).summary();
    let rows = summary.rows("/requests");
    let methods: BTreeSet<_> = rows
        .iter()
        .filter_map(|row| row["method"].as_str())
        .collect();
    let expected = [
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "REPORT",
    ];
    assert_eq!(methods, BTreeSet::from(expected));
    assert_eq!(summary.count("/all/requests"), server.total());
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
fn a_timeout_ends_a_request_and_is_measured() {
    let server = Server::start();
    let summary = passes(case("timeout", &server), 1, 1).summary();
    let late = summary.row("/requests", "/delay/5000");
    assert_eq!(
        (&late["requests"], &late["failures"]),
        (&1.into(), &1.into())
    );
    assert_eq!(late["statuses"]["0"], 1);
    assert_eq!(summary.row("/requests", "/delay/50")["failures"], 0);
}

#[test]
fn a_refused_connection_is_a_failed_request_and_no_failed_iteration() {
    let server = Server::start();
    let address = port::refusing();
    let squall = case("refused", &server).script_env("REFUSED_URL", &format!("http://{address}/"));
    let summary = passes(squall, 1, 3).summary();
    assert_eq!(summary.count("/all/requests"), 3);
    assert_eq!(summary.count("/all/failures"), 3);
    let failures = summary.rows("/failures");
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["origin"], "request");
    assert_eq!(failures[0]["occurrences"], 3);
}

#[test]
fn a_batch_is_sent_at_once() {
    let server = Server::start();
    let summary = passes(case("batch", &server), 1, 1).summary();
    assert_eq!(summary.row("/requests", "/delay/100")["requests"], 10);
    let arrivals = server.arrivals("/delay/100");
    let spread = *arrivals.last().expect("ten of them") - arrivals[0];
    assert!(
        spread < Duration::from_millis(100),
        "spread over {spread:?}"
    );
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
fn transactions_are_measured_and_their_failures_grouped() {
    let server = Server::start();
    let summary = passes(case("transactions", &server), 1, 3).summary();
    for (name, failures) in [("finished", 0), ("failed", 3), ("twice", 0)] {
        let row = summary.row("/transactions", name);
        assert_eq!(row["duration"]["count"], 3, "{name}");
        assert_eq!(row["failures"], failures, "{name}");
    }
    let finished = summary.row("/transactions", "finished");
    assert!(finished["duration"]["min_ms"].as_f64() >= Some(29.0));
    let failure = summary.row("/failures", "failed");
    assert_eq!(failure["origin"], "transaction");
    assert_eq!(failure["message"], "no luck");
    assert_eq!(failure["occurrences"], 3);
}

#[test]
fn checks_are_counted_and_fail_nothing() {
    let server = Server::start();
    let summary = passes(case("checks", &server), 2, 20).summary();
    let holds = summary.row("/checks", "holds");
    assert_eq!(
        (&holds["passes"], &holds["failures"]),
        (&60.into(), &0.into())
    );
    let fails = summary.row("/checks", "fails");
    assert_eq!(
        (&fails["passes"], &fails["failures"]),
        (&0.into(), &20.into())
    );
}

#[test]
fn metrics_of_the_script_add_up_by_their_kind() {
    let server = Server::start();
    let summary = passes(case("metrics", &server), 1, 2).summary();
    for (name, kind, count, value) in [
        ("items", "counter", 4, 5.0),
        ("basket", "gauge", 4, 3.0),
        ("hits", "rate", 8, 0.75),
        ("price", "trend", 6, 20.0),
    ] {
        let row = summary.row("/metrics", name);
        assert_eq!(row["kind"], kind, "{name}");
        assert_eq!(row["count"], count, "{name}");
        let got = row["value"].as_f64().expect("a number");
        assert!((got - value).abs() < 0.01 * value, "{name} is {got}");
    }
    let price = &summary.row("/metrics", "price")["distribution"];
    assert_eq!(price["count"], 6);
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
fn a_vu_ends_when_its_script_says_so_and_the_run_with_the_last_of_them() {
    let server = Server::start();
    let outcome = case("stop-vu", &server)
        .flag("--vus", "3")
        .flag("--duration", "60s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 6);
    assert_eq!(summary.failures(), []);
    assert!(outcome.elapsed < Duration::from_secs(30));
}

#[test]
fn a_script_can_abort_the_run() {
    let server = Server::start();
    let outcome = case("abort-run", &server)
        .flag("--vus", "2")
        .flag("--duration", "60s")
        .run()
        .exited(108);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "aborted");
    assert_eq!(summary.at("/reason/detail"), "the shop is on fire");
    assert_eq!(summary.at("/exit_code"), 108);
    assert!(
        outcome.stderr.contains("the shop is on fire"),
        "{}",
        outcome.story()
    );
    assert!(outcome.elapsed < Duration::from_secs(30));
}

#[test]
fn random_numbers_follow_from_the_seed() {
    let server = Server::start();
    for name in ["random", "wasi-random"] {
        let run = |seed: &str| {
            let squall = Squall::new(["run".as_ref(), test_guest("behaviour").as_os_str()]);
            let summary = squall.file("summary.json");
            let squall = squall
                .flag("--summary", summary)
                .flag("--seed", seed)
                .flag("--base-url", server.url(""))
                .script_env("CASE", name);
            logged(&passes(squall, 1, 3), None)
        };
        let first = run("7");
        assert_eq!(first.len(), 3, "{name}");
        assert_eq!(first, run("7"), "{name}");
        assert_ne!(first, run("8"), "{name}");
    }
}

#[test]
fn no_two_vus_draw_the_same_random_numbers() {
    let server = Server::start();
    let outcome = passes(case("random", &server), 8, 200);
    let messages = logged(&outcome, None);
    let distinct: BTreeSet<_> = messages.iter().collect();
    assert_eq!(messages.len(), 200);
    assert_eq!(distinct.len(), 200);
}

#[test]
fn log_messages_become_log_entries_with_their_level_and_vu() {
    let server = Server::start();
    let outcome = passes(case("log", &server), 1, 1);
    let entries = outcome.entries("loadtest.guest.log");
    for level in ["debug", "info", "warn", "error"] {
        let message = format!("log: {level}");
        let found = entries.iter().find(|entry| entry["message"] == *message);
        let entry = found.unwrap_or_else(|| panic!("no `{message}`{}", outcome.story()));
        assert_eq!(entry["level"], level);
        assert_eq!(entry["guest"]["vu"], 1);
        assert_eq!(entry["guest"]["iteration"], 0);
    }
}

#[test]
fn a_flood_of_log_messages_is_cut_off() {
    let server = Server::start();
    let outcome = passes(case("log-flood", &server), 1, 2);
    let kept = logged(&outcome, None).len();
    assert!((1..10_000).contains(&kept), "{kept} messages of 20,000");
}

#[test]
fn what_a_script_prints_becomes_log_entries_and_nothing_else() {
    let server = Server::start();
    let outcome = passes(case("print", &server), 1, 1);
    let messages = logged(&outcome, Some(1));
    for expected in [
        "print: to stdout",
        "print: to stderr",
        "print: two",
        "print: lines",
        "print: in pieces",
        "print: without an end",
    ] {
        let count = messages
            .iter()
            .filter(|message| *message == expected)
            .count();
        assert_eq!(count, 1, "{expected}{}", outcome.story());
    }
    assert!(!outcome.stderr.contains("print:"), "{}", outcome.story());
}

#[test]
fn a_script_sees_the_environment_that_it_was_given_and_no_other() {
    let server = Server::start();
    let squall = case("environment", &server)
        .script_env("GRANTED", "a value = with, signs")
        .env("NOT_GRANTED", "secret");
    let messages = logged(&passes(squall, 1, 1), None);
    assert!(
        messages.contains(&"environment: CASE,GRANTED".to_owned()),
        "{messages:?}"
    );
}

#[test]
fn hooks_run_once_per_run_and_once_per_vu() {
    let server = Server::start();
    let data = r#"{"key":"value"}"#;
    let squall = case("lifecycle", &server).script_env("SETUP_DATA", data);
    let messages = logged(&passes(squall, 3, 12), None);
    let count = |message: &str| messages.iter().filter(|known| *known == message).count();
    assert_eq!(count("lifecycle: setup"), 1, "{messages:?}");
    assert_eq!(
        count(&format!("lifecycle: teardown with {data}")),
        1,
        "{messages:?}"
    );
    for vu in 1..=3 {
        assert_eq!(
            count(&format!("lifecycle: start of VU {vu}")),
            1,
            "{messages:?}"
        );
        assert_eq!(
            count(&format!("lifecycle: stop of VU {vu}")),
            1,
            "{messages:?}"
        );
    }
    assert_eq!(
        messages.first().map(String::as_str),
        Some("lifecycle: setup")
    );
    assert_eq!(server.count("/echo"), 12);
}

#[test]
fn a_setup_that_fails_ends_the_run_before_it_starts() {
    let server = Server::start();
    for (name, message) in [("setup-err", "the setup says no"), ("setup-trap", "setup")] {
        let outcome = case(name, &server)
            .flag("--iterations", "5")
            .run()
            .exited(107);
        assert!(outcome.stderr.contains(message), "{}", outcome.story());
        assert!(outcome.stderr.contains("hint:"), "{}", outcome.story());
        outcome.lines();
    }
    assert_eq!(server.total(), 0);
}

#[test]
fn a_start_that_fails_ends_its_vu() {
    let server = Server::start();
    for name in ["start-err", "start-trap"] {
        let outcome = case(name, &server)
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
        assert_eq!(failures.len(), 1, "`{name}`: {failures:?}");
        let (message, occurrences) = &failures[0];
        assert_eq!(*occurrences, 3, "`{name}`");
        assert!(
            name != "start-err" || message == "the start says no",
            "{message}"
        );
    }
}

#[test]
fn an_error_of_the_script_is_a_failed_iteration() {
    let server = Server::start();
    let outcome = case("err", &server)
        .flag("--vus", "2")
        .flag("--iterations", "10")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 10);
    assert_eq!(summary.count("/iterations/failed"), 10);
    assert_eq!(summary.failures(), [("the script says no".to_owned(), 10)]);
    assert_eq!(summary.at("/failures/0/origin"), "script");
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
