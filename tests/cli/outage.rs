//! A server that goes away in mid-run and comes back.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::command::Squall;
use crate::support::guests::example;
use crate::support::server::Server;

#[test]
fn a_run_outlives_an_outage_and_counts_it() {
    let mut server = Server::start();
    let mut running = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "10")
        .flag("--duration", "100s")
        .start();
    running.until(&server, "/", 500);
    server.stop();
    let before = server.count("/");
    // Long enough that every VU finds nobody there.
    std::thread::sleep(Duration::from_secs(1));
    server.start_again();
    running.until(&server, "/", before + 500);
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    assert!(
        outcome.elapsed < Duration::from_secs(60),
        "{:?}",
        outcome.elapsed
    );

    let summary = outcome.summary();
    let requests = summary.count("/all/requests");
    let failures = summary.count("/all/failures");
    let answered = summary.count("/all/statuses/200");
    assert!(
        failures >= 10,
        "each VU failed once at least, {failures} in all"
    );
    assert_eq!(summary.count("/all/statuses/0"), failures);
    assert_eq!(answered + failures, requests);
    // The server may have read a request whose answer the outage cut off.
    let reached = server.count("/");
    assert!(
        (answered..=answered + 10).contains(&reached),
        "{reached} of {answered}"
    );

    let rows = summary.rows("/failures");
    let occurrences: u64 = rows
        .iter()
        .filter_map(|row| row["occurrences"].as_u64())
        .sum();
    assert_eq!(occurrences, failures);
    assert!(rows.len() <= 6, "the failures are grouped: {rows:#?}");
    assert!(
        rows.iter().all(|row| row["origin"] == "request"),
        "{rows:#?}"
    );
    // A failed request is no failed iteration, but its check failed.
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(
        summary.row("/checks", "the front page is there")["failures"],
        failures
    );
    assert!(!outcome.entries("loadtest.request.error").is_empty());
}

#[test]
fn a_server_that_closes_without_an_answer_is_a_failed_request() {
    let server = Server::start();
    let outcome = Squall::script(crate::support::guests::test_guest("behaviour"))
        .script_env("CASE", "refused")
        .script_env("REFUSED_URL", &server.url("/close"))
        .flag("--iterations", "1")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/failures"), 1);
    // Without a base URL, a request is called by its whole URL.
    let row = summary.row("/requests", &server.url("/close"));
    assert_eq!(row["statuses"]["0"], 1);
    // It is no refused connection, which is what this script waits for.
    let script = summary
        .rows("/failures")
        .iter()
        .find(|row| row["origin"] == "script");
    let message = script
        .and_then(|row| row["message"].as_str())
        .expect("a failure");
    assert!(message.contains("Closed"), "{message}");
}
