//! Scripts whose requests go through an ordinary HTTP client, by `wasi:http`: sent,
//! counted, named and limited like those of `squall:script/http`.

mod fetch;

use std::path::PathBuf;

use crate::support::command::{Outcome, Squall, Summary};
use crate::support::guests::test_guest;
use crate::support::port;
use crate::support::server::Server;

fn case(name: &str, server: &Server) -> Squall {
    case_of(test_guest("plain"), name, server)
}

/// A case of one of the guests.
fn case_of(guest: PathBuf, name: &str, server: &Server) -> Squall {
    Squall::script(guest)
        .script_env("CASE", name)
        .script_env("BASE", &server.url(""))
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

/// Fails unless so many requests are in the summary, and so many of them failed.
#[track_caller]
fn counts(summary: &Summary, requests: u64, failures: u64) {
    let found = (
        summary.count("/all/requests"),
        summary.count("/all/failures"),
    );
    assert_eq!(found, (requests, failures), "{:#?}", summary.failures());
}

/// Fails unless all that failed failed alike, with these words in the message.
#[track_caller]
fn fails_alike(summary: &Summary, words: &str) {
    let failures = summary.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].0.contains(words), "{failures:?}");
}

/// Runs a guest whose requests go to where nobody listens.
#[track_caller]
fn is_refused(guest: PathBuf) {
    let address = port::refusing();
    let squall = Squall::script(guest)
        .script_env("CASE", "fails")
        .script_env("URL", &format!("http://{address}/"));
    let summary = passes(squall, 1, 2).summary();
    counts(&summary, 2, 2);
    let refused = format!("cannot connect to {address}: connection refused");
    assert_eq!(summary.failures(), [(refused, 2)]);
}

/// Runs a guest whose requests go to a host that is not allowed.
#[track_caller]
fn is_denied(guest: PathBuf) {
    let server = Server::start();
    let squall = Squall::script(guest)
        .script_env("CASE", "fails")
        .script_env("URL", &server.url("/"))
        .flag("--allow-host", "shop.test");
    let summary = passes(squall, 1, 2).summary();
    counts(&summary, 2, 2);
    fails_alike(&summary, "`--allow-host`");
    assert_eq!(server.total(), 0);
}

#[test]
fn requests_are_counted_and_named_as_the_server_saw_them() {
    let server = Server::start();
    let squall = case("get", &server).flag("--group-by", "kind");
    let summary = passes(squall, 4, 200).summary();
    counts(&summary, 200, 0);
    assert_eq!(server.count("/echo/items"), 200);
    let row = summary.row("/requests", "/echo/items");
    assert_eq!(row["method"], "GET");
    assert_eq!(row["requests"], 200);
    // Tags of the script's hold for them as for all others.
    let groups = summary.at("/groups").to_string();
    assert!(groups.contains(r#""plain""#), "{groups}");
}

#[test]
fn bodies_go_both_ways_whole() {
    let server = Server::start();
    let summary = passes(case("post", &server), 2, 20).summary();
    counts(&summary, 20, 0);
    let summary = passes(case("large", &server), 2, 6).summary();
    counts(&summary, 6, 0);
    assert_eq!(server.count("/reflect"), 26);
    let bytes = 6 * 3_000_000;
    assert!(summary.count("/all/sent_bytes") > bytes);
    assert!(summary.count("/all/received_bytes") > bytes);
}

#[test]
fn a_status_is_judged_like_that_of_any_request() {
    let server = Server::start();
    let summary = passes(case("status", &server), 1, 3).summary();
    counts(&summary, 3, 3);
    assert_eq!(summary.failures(), [("status 503".to_owned(), 3)]);
}

#[test]
fn a_redirect_is_the_scripts_to_follow() {
    let server = Server::start();
    counts(&passes(case("redirect", &server), 1, 2).summary(), 2, 0);
    assert_eq!(server.total(), 2);
}

#[test]
fn a_vu_keeps_its_cookies() {
    let server = Server::start();
    passes(case("cookies", &server), 2, 4);
}

#[test]
fn several_at_once_are_sent_at_once() {
    let server = Server::start();
    counts(&passes(case("several", &server), 2, 4).summary(), 8, 0);
    assert_eq!(server.count("/delay/200"), 8);
}

#[test]
fn a_limit_of_the_scripts_own_is_kept() {
    let server = Server::start();
    let summary = passes(case("timeout", &server), 1, 2).summary();
    counts(&summary, 2, 2);
    let failures = summary.failures();
    assert_eq!(
        failures,
        [("no complete response within 100ms".to_owned(), 2)]
    );
}

#[test]
fn a_refused_connection_is_a_failed_request() {
    is_refused(test_guest("plain"));
}

#[test]
fn a_host_that_is_not_allowed_hears_nothing() {
    is_denied(test_guest("plain"));
}

#[test]
fn a_body_that_nobody_reads_is_measured_and_holds_nobody_up() {
    let server = Server::start();
    let summary = passes(case("unread", &server), 2, 20).summary();
    counts(&summary, 20, 0);
    assert_eq!(server.count("/bytes/2000000"), 20);
    assert!(summary.count("/all/received_bytes") > 20 * 2_000_000);
}

#[test]
fn a_request_that_is_given_up_is_counted_as_that() {
    let server = Server::start();
    let summary = passes(case("given-up", &server), 2, 10).summary();
    counts(&summary, 10, 10);
    fails_alike(&summary, "gave the request up");
}

#[test]
fn a_request_whose_body_is_not_finished_is_not_sent() {
    let server = Server::start();
    let summary = passes(case("unfinished", &server), 1, 2).summary();
    counts(&summary, 2, 2);
    assert_eq!(server.total(), 0);
}

#[test]
fn responses_that_are_kept_for_ever_do_not_take_the_hosts_memory() {
    let server = Server::start();
    let outcome = case("kept", &server)
        .flag("--vu-memory", "8MiB")
        .flag("--vus", "1")
        .flag("--iterations", "12")
        .run()
        .exited(0);
    let summary = outcome.summary();
    counts(&summary, 12, 4);
    assert_eq!(summary.count("/iterations/failed"), 4);
    let failures = summary.failures();
    assert!(
        failures.iter().any(|(message, count)| message
            .contains("holds responses of more than 8.0 MiB")
            && *count == 4),
        "{failures:?}"
    );
}

#[test]
fn inspect_tells_how_its_requests_go() {
    let outcome = Squall::new(["inspect".as_ref(), test_guest("plain").as_os_str()])
        .run()
        .exited(0);
    assert!(
        outcome.stdout.contains("wasi:http are sent and measured"),
        "{}",
        outcome.story()
    );
}
