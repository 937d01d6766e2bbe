//! Scripts that do harm: each loses its iteration, and nobody else anything.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::test_guest;
use crate::support::server::Server;

/// `squall run` with the script that does harm in the way that `case` says.
fn harm(case: &str, server: &Server) -> Squall {
    Squall::script(test_guest("misbehave"))
        .script_env("CASE", case)
        .flag("--base-url", server.url(""))
}

/// Runs 2,000 iterations of 100 VUs of which every VU's `every`th does harm, and
/// fails unless each iteration is either a failure or a request that the server
/// saw. Returns the failure's row.
#[track_caller]
fn loses_only_its_own(case: &str, every: u32, squall: Squall, server: &Server) -> Value {
    let outcome = squall
        .script_env("EVERY", &every.to_string())
        .flag("--vus", "100")
        .flag("--iterations", "2000")
        .run()
        .exited(0);
    let summary = outcome.summary();
    let failed = summary.count("/iterations/failed");
    assert_eq!(summary.count("/iterations/finished"), 2_000);
    assert!(failed > 0, "no iteration did harm");
    assert_eq!(server.count("/") + failed, 2_000);
    assert_eq!(summary.count("/all/requests"), server.count("/"));
    assert_eq!(summary.count("/all/failures"), 0);
    let failures = summary.failures();
    let occurrences: u64 = failures.iter().map(|(_, occurrences)| occurrences).sum();
    assert_eq!(occurrences, failed, "{failures:?}");
    assert_eq!(failures.len(), 1, "`{case}` fails in one way: {failures:?}");
    assert_eq!(summary.at("/failures/0/origin"), "script");
    outcome.lines();
    summary.at("/failures/0").clone()
}

/// Fails unless the failure's message has one of `words`, and its stack names
/// the script's function.
#[track_caller]
fn tells(failure: &Value, words: &[&str], function: &str) {
    let message = failure["message"].as_str().expect("a message");
    let lower = message.to_lowercase();
    assert!(words.iter().any(|word| lower.contains(word)), "{failure:#}");
    let stack = failure["stack"].as_str().expect("a stack");
    assert!(stack.contains(function), "no `{function}` in {failure:#}");
}

#[test]
fn a_panic_costs_one_iteration() {
    let server = Server::start();
    let failure = loses_only_its_own("panic", 10, harm("panic", &server), &server);
    tells(&failure, &["panic", "unreachable"], "panic_with_a_message");
}

#[test]
fn a_trap_costs_one_iteration() {
    let server = Server::start();
    let failure = loses_only_its_own("trap", 10, harm("trap", &server), &server);
    tells(&failure, &["unreachable"], "trap");
}

#[test]
fn an_endless_loop_costs_one_iteration() {
    let server = Server::start();
    // Long enough that no other VU is taken for one that computes, however busy
    // the machine.
    let squall = harm("spin", &server).flag("--iteration-timeout", "1s");
    let failure = loses_only_its_own("spin", 15, squall, &server);
    tells(
        &failure,
        &["timeout", "timed out", "deadline", "too long"],
        "spin",
    );
}

#[test]
fn waiting_is_not_computing() {
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(700));
    let summary = harm("none", &server)
        .flag("--iteration-timeout", "500ms")
        .flag("--vus", "5")
        .flag("--iterations", "10")
        .run()
        .exited(0)
        .summary();
    assert_eq!(summary.count("/iterations/finished"), 10);
    assert_eq!(
        summary.count("/iterations/failed"),
        0,
        "{:#?}",
        summary.failures()
    );
}

#[test]
fn a_vu_that_does_nothing_but_loop_is_cut_off_each_time_while_the_others_go_on() {
    let server = Server::start();
    let outcome = harm("spin", &server)
        .script_env("ONLY_VU", "1")
        .flag("--iteration-timeout", "1s")
        .flag("--vus", "100")
        .flag("--duration", "4s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    let failed = summary.count("/iterations/failed");
    // 4 fit in, less what the others need of the processor.
    assert!((1..=5).contains(&failed), "{failed} iterations");
    assert_eq!(summary.count("/all/requests"), server.count("/"));
    assert_eq!(
        summary.count("/iterations/finished"),
        server.count("/") + failed
    );
    assert!(
        server.count("/") > 1_000,
        "the others made {} iterations",
        server.count("/")
    );
    // A tick of the clock that cuts it off is 10 ms. Those on its thread wait for
    // some of them, and not until it is cut off for good.
    let p999_ms = summary.at("/all/duration/p999_ms").as_f64();
    assert!(p999_ms < Some(1000.0), "{p999_ms:?} ms");
}

#[test]
fn a_stack_overflow_costs_one_iteration() {
    let server = Server::start();
    let failure = loses_only_its_own("overflow", 10, harm("overflow", &server), &server);
    tells(&failure, &["stack"], "recurse");
}

#[test]
fn an_allocation_beyond_the_cap_costs_one_iteration() {
    let server = Server::start();
    let failure = loses_only_its_own("allocate", 10, harm("allocate", &server), &server);
    tells(&failure, &["memory", "unreachable"], "allocate_at_once");
}

#[test]
fn a_leak_up_to_the_cap_costs_one_iteration() {
    let server = Server::start();
    let squall = harm("deep-alloc-loop", &server).flag("--vu-memory", "8MiB");
    let failure = loses_only_its_own("deep-alloc-loop", 10, squall, &server);
    tells(
        &failure,
        &["memory", "unreachable"],
        "allocate_piece_by_piece",
    );
}

#[test]
fn an_exit_costs_one_iteration() {
    for case in ["exit", "exit-well"] {
        let server = Server::start();
        let failure = loses_only_its_own(case, 10, harm(case, &server), &server);
        let message = failure["message"].as_str().expect("a message");
        assert!(message.contains("exit"), "{message}");
    }
}

#[test]
fn an_error_costs_one_iteration() {
    let server = Server::start();
    let failure = loses_only_its_own("err", 10, harm("err", &server), &server);
    assert_eq!(failure["message"], "the script says no");
}

#[test]
fn a_flood_of_failures_is_counted_whole_and_does_not_drown_the_telemetry() {
    let server = Server::start();
    let outcome = harm("err", &server)
        .script_env("EVERY", "1")
        .flag("--vus", "20")
        .flag("--iterations", "100000")
        .flag("--log-messages", "50")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/failed"), 100_000);
    let failures = summary.failures();
    assert_eq!(failures, [("the script says no".to_owned(), 100_000)]);
    assert_eq!(outcome.entries("loadtest.guest.error").len(), 50);
    assert!(outcome.stderr.contains("99950"), "{}", outcome.story());
    let end = outcome.entries("loadtest.run.end");
    assert_eq!(end[0]["test"]["totals"]["iterations_failed"], 100_000);
    let quality = &end[0]["test"]["data_quality"];
    assert_eq!(quality["script_errors_dropped"], 99_950);
}

#[test]
fn a_loop_in_a_hook_ends_what_it_is_a_hook_of() {
    let server = Server::start();
    let limited = |case| {
        harm(case, &server)
            .flag("--iteration-timeout", "100ms")
            .flag("--vus", "3")
            .flag("--duration", "60s")
            .run()
    };
    let setup = limited("spin-in-setup").exited(107);
    assert!(setup.elapsed < Duration::from_secs(30), "{}", setup.story());
    let start = limited("spin-in-start");
    assert!(start.elapsed < Duration::from_secs(30), "{}", start.story());
    assert_eq!(start.summary().count("/iterations/finished"), 0);
    assert_eq!(server.total(), 0);
}

#[test]
fn memory_does_not_grow_over_10000_trapped_iterations() {
    let server = Server::start();
    let mut running = harm("trap", &server)
        .flag("--vus", "10")
        .flag("--iterations", "10000")
        .timeout(Duration::from_secs(300))
        .start();
    let mut samples = Vec::new();
    while running.is_running() {
        samples.extend(running.resident_bytes());
        thread::sleep(Duration::from_millis(5));
    }
    let outcome: Outcome = running.wait().exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/failed"), 10_000);
    assert_eq!(summary.failures().len(), 1);

    // A fifth of the run is for warming up: after that it holds what it needs.
    assert!(
        samples.len() >= 10,
        "it was over after {} samples",
        samples.len()
    );
    let early = samples[..samples.len() / 5 + 1].iter().max().copied();
    let late = samples[samples.len() * 4 / 5..].iter().min().copied();
    let grown = late.unwrap_or(0).saturating_sub(early.unwrap_or(0));
    assert!(grown < 16 << 20, "it grew by {grown} bytes: {samples:?}");
}
