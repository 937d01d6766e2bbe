//! What a script may do, tried by a script in each language that judges it from
//! inside, while the figures of the host are judged here.

use std::collections::BTreeSet;
use std::time::Duration;

use super::claim::claims;
use super::language::Language;
use super::{projects, recorder, shop, soak};
use crate::support::command::{Outcome, Squall};
use crate::support::port;
use crate::support::script::{self, logged, passes};
use crate::support::server::Server;

claims! {
    every_method_goes_out_and_has_a_row: "requests of every method", methods;
    every_kind_of_body_sets_its_content_type: "bodies: bytes, text, JSON, forms", bodies;
    a_header_of_the_request_wins_over_one_of_the_vu: "headers, and default ones", headers;
    redirects_are_followed_as_far_as_allowed: "redirects, up to a limit", redirects;
    a_timeout_ends_a_request_and_is_measured: "a timeout, as data", timeout;
    a_refused_connection_is_a_failed_request_and_no_failed_iteration:
        "a refused connection, as data", refused;
    a_json_pointer_finds_its_value: "one value of a JSON body", json;
    a_batch_is_sent_at_once: "requests in parallel", batch;
    sleeping_takes_as_long_as_asked: "sleeping", sleep;
    transactions_are_measured_and_their_failures_grouped: "transactions", transactions;
    checks_are_counted_and_fail_nothing: "checks", checks;
    metrics_of_the_script_add_up_by_their_kind: "metrics of its own", metrics;
    hooks_run_once_per_run_and_once_per_vu: "hooks, and what `setup` hands over", lifecycle;
    a_setup_that_fails_ends_the_run_before_it_starts: "a `setup` that fails", setup_err;
    a_start_that_fails_ends_its_vu: "an `on-start` that fails", start_err;
    a_script_can_abort_the_run: "ending the run", abort_run;
    a_vu_ends_when_its_script_says_so_and_the_run_with_the_last_of_them: "ending a VU", stop_vu;
    log_messages_become_log_entries_with_their_level_and_vu: "log messages", log;
    what_a_script_prints_becomes_log_entries_and_nothing_else: "printing", print;
    a_script_sees_the_environment_that_it_was_given_and_no_other:
        "the environment that was granted", environment;
    random_numbers_follow_from_the_seed: "random numbers that follow from the seed", same_numbers;
    no_two_vus_draw_the_same_random_numbers: "and differ between VUs", distinct_numbers;
    globals_last_from_one_iteration_to_the_next: "globals, a VU's own", globals;
    an_error_of_the_script_is_a_failed_iteration: "an `err` fails an iteration", err;
    an_uncaught_error_is_told_with_its_message_and_the_functions_it_went_through:
        "an uncaught error, with its stack", throw;
    a_vu_goes_on_after_an_uncaught_error: "the VU goes on after it", goes_on;
    memory_stays_flat_over_20_000_iterations: "20,000 iterations in the same memory", soak::soak;
    the_shop_is_what_it_is_in_rust: "the example `shop`", shop::shop;
    the_recorder_writes_what_it_writes_in_rust: "the example `recorder`", recorder::recorder;
    a_new_project_builds_and_runs_by_its_own_readme: "`squall new`, built and run", projects::built;
}

/// `squall run` with a language's guest whose `CASE` is this, against `server`.
fn case(language: Language, name: &str, server: &Server) -> Squall {
    script::case(&language.behaviour(), name, server)
}

/// Fails unless the script itself finds that all is well.
fn judges(language: Language, name: &str, vus: u32, iterations: u64) {
    let server = Server::start();
    passes(case(language, name, &server), vus, iterations);
}

fn bodies(language: Language) {
    judges(language, "bodies", 1, 1);
}

fn headers(language: Language) {
    judges(language, "headers", 1, 2);
}

fn redirects(language: Language) {
    judges(language, "redirects", 1, 1);
}

fn json(language: Language) {
    judges(language, "json", 1, 1);
}

fn sleep(language: Language) {
    judges(language, "sleep", 1, 1);
}

fn globals(language: Language) {
    judges(language, "globals", 3, 30);
}

fn methods(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "methods", &server), 1, 1).summary();
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

fn timeout(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "timeout", &server), 1, 1).summary();
    let late = summary.row("/requests", "/delay/5000");
    assert_eq!(
        (&late["requests"], &late["failures"]),
        (&1.into(), &1.into())
    );
    assert_eq!(late["statuses"]["0"], 1);
    assert_eq!(summary.row("/requests", "/delay/50")["failures"], 0);
}

fn refused(language: Language) {
    let server = Server::start();
    let address = port::refusing();
    let squall =
        case(language, "refused", &server).script_env("REFUSED_URL", &format!("http://{address}/"));
    let summary = passes(squall, 1, 3).summary();
    assert_eq!(summary.count("/all/requests"), 3);
    assert_eq!(summary.count("/all/failures"), 3);
    let failures = summary.rows("/failures");
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["origin"], "request");
    assert_eq!(failures[0]["occurrences"], 3);
}

fn batch(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "batch", &server), 1, 1).summary();
    assert_eq!(summary.row("/requests", "/delay/100")["requests"], 10);
    let arrivals = server.arrivals("/delay/100");
    let spread = *arrivals.last().expect("ten of them") - arrivals[0];
    assert!(
        spread < Duration::from_millis(100),
        "spread over {spread:?}"
    );
}

fn transactions(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "transactions", &server), 1, 3).summary();
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

fn checks(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "checks", &server), 2, 20).summary();
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

fn metrics(language: Language) {
    let server = Server::start();
    let summary = passes(case(language, "metrics", &server), 1, 2).summary();
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

fn stop_vu(language: Language) {
    let server = Server::start();
    let outcome = case(language, "stop-vu", &server)
        .flag("--vus", "3")
        .flag("--duration", "60s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 6);
    assert_eq!(summary.failures(), []);
    assert!(outcome.elapsed < Duration::from_secs(30));
}

fn abort_run(language: Language) {
    let server = Server::start();
    let outcome = case(language, "abort-run", &server)
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

fn distinct_numbers(language: Language) {
    let server = Server::start();
    let outcome = passes(case(language, "random", &server), 8, 200);
    let messages = logged(&outcome, None);
    let distinct: BTreeSet<_> = messages.iter().collect();
    assert_eq!(messages.len(), 200);
    assert_eq!(distinct.len(), 200);
}

fn log(language: Language) {
    let server = Server::start();
    let outcome = passes(case(language, "log", &server), 1, 1);
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

fn print(language: Language) {
    let server = Server::start();
    let outcome = passes(case(language, "print", &server), 1, 1);
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

fn environment(language: Language) {
    let server = Server::start();
    let squall = case(language, "environment", &server)
        .script_env("GRANTED", "a value = with, signs")
        .env("NOT_GRANTED", "secret");
    let messages = logged(&passes(squall, 1, 1), None);
    assert!(
        messages.contains(&"environment: CASE,GRANTED".to_owned()),
        "{messages:?}"
    );
}

fn lifecycle(language: Language) {
    let server = Server::start();
    let data = r#"{"key":"value"}"#;
    let squall = case(language, "lifecycle", &server).script_env("SETUP_DATA", data);
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

fn err(language: Language) {
    let server = Server::start();
    let outcome = case(language, "err", &server)
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

fn same_numbers(language: Language) {
    let server = Server::start();
    let run = |seed: &str| {
        let squall = Squall::new(["run".as_ref(), language.behaviour().as_os_str()]);
        let summary = squall.file("summary.json");
        let squall = squall
            .flag("--summary", summary)
            .flag("--seed", seed)
            .flag("--base-url", server.url(""))
            .script_env("CASE", "random");
        logged(&passes(squall, 1, 3), None)
    };
    let first = run("7");
    assert_eq!(first.len(), 3);
    assert_eq!(first, run("7"));
    assert_ne!(first, run("8"));
}

fn setup_err(language: Language) {
    let server = Server::start();
    let outcome = case(language, "setup-err", &server)
        .flag("--iterations", "5")
        .run()
        .exited(107);
    let story = outcome.story();
    assert!(outcome.stderr.contains("the setup says no"), "{story}");
    assert!(outcome.stderr.contains("hint:"), "{story}");
    outcome.lines();
    assert_eq!(server.total(), 0);
}

fn start_err(language: Language) {
    let server = Server::start();
    let outcome = case(language, "start-err", &server)
        .flag("--vus", "3")
        .flag("--duration", "60s")
        .run();
    let story = outcome.story();
    assert!(outcome.elapsed < Duration::from_secs(30), "{story}");
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 0);
    assert_eq!(summary.failures(), [("the start says no".to_owned(), 3)]);
}

/// Three VUs, each of which throws in its first iteration and goes on with three more.
fn thrown(language: Language, server: &Server) -> Outcome {
    case(language, "throw", server)
        .flag("--executor", "per-vu-iterations")
        .flag("--vus", "3")
        .flag("--iterations", "4")
        .run()
        .exited(0)
}

fn throw(language: Language) {
    let server = Server::start();
    let summary = thrown(language, &server).summary();
    let failures = summary.rows("/failures");
    assert_eq!(failures.len(), 1, "not grouped: {failures:#?}");
    let failure = &failures[0];
    assert_eq!(failure["origin"], "script");
    assert_eq!(failure["occurrences"], 3);
    // The functions' names are in the language's own case.
    let text = |key: &str| failure[key].as_str().unwrap_or_default();
    let told = format!("{}\n{}", text("message"), text("stack"));
    let told = told.to_lowercase().replace('_', "");
    for words in ["the basket is empty", "lookintobasket", "countitems"] {
        assert!(told.contains(words), "no `{words}` in {failure:#}");
    }
}

fn goes_on(language: Language) {
    let server = Server::start();
    let summary = thrown(language, &server).summary();
    assert_eq!(summary.count("/iterations/finished"), 12);
    assert_eq!(summary.count("/iterations/failed"), 3);
    assert_eq!(server.count("/echo"), 9);
}
