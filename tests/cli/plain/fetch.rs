//! JavaScript's `fetch`, as StarlingMonkey has it: the guest `javascript-fetch`.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::{case_of, counts, fails_alike, is_denied, is_refused, passes};
use crate::support::command::{Outcome, Squall};
use crate::support::guests;
use crate::support::port;
use crate::support::server::Server;

/// The guest, compiled by an earlier run, so that no test waits for that: it takes
/// ten seconds, on a busy machine minutes.
fn guest() -> PathBuf {
    static COMPILED: OnceLock<()> = OnceLock::new();
    let file = guests::fetch();
    COMPILED.get_or_init(|| {
        let run = Squall::script(&file).script_env("CASE", "clock");
        run.timeout(Duration::from_secs(600)).run().exited(0);
    });
    file
}

fn case(name: &str, server: &Server) -> Squall {
    case_of(guest(), name, server)
}

/// The total of a case's one endpoint, as the recorder `json` wrote it.
#[track_caller]
fn endpoint(outcome: &Outcome) -> Value {
    let mut lines = outcome.entries("loadtest.request.stats");
    lines.retain(|line| line["stats"]["scope"] == "endpoint" && line["stats"]["window"] == "total");
    assert_eq!(lines.len(), 1, "{}", outcome.story());
    lines.remove(0)
}

#[test]
fn requests_are_counted_named_and_timed_as_the_server_saw_them() {
    let server = Server::start();
    let outcome = passes(case("get", &server).flag("--group-by", "kind"), 4, 100);
    let summary = outcome.summary();
    counts(&summary, 100, 0);
    assert_eq!(server.count("/echo/items"), 100);
    assert_eq!(server.total(), 100);
    // Connections are kept, one for each VU.
    assert_eq!(server.accepted(), 4);
    let row = summary.row("/requests", "/echo/items");
    assert_eq!(row["method"], "GET");
    assert_eq!(row["requests"], 100);
    assert_eq!(row["statuses"]["200"], 100);
    let groups = summary.at("/groups").to_string();
    assert!(groups.contains(r#""fetch""#), "{groups}");

    let line = endpoint(&outcome);
    assert_eq!(line["http"]["request"]["method"], "GET");
    assert_eq!(line["http"]["route"], "/echo/items");
    assert_eq!(line["stats"]["count"], 100);
    assert_eq!(line["stats"]["failures"], 0);
    assert_eq!(line["stats"]["status_class"]["2xx"], 100);
    assert_eq!(line["stats"]["phases_ms"]["connecting"]["count"], 4);
}

#[test]
fn the_time_of_a_request_is_the_servers_and_not_the_scripts() {
    let server = Server::start();
    let squall = case("fails", &server)
        .script_env("URL", &server.url("/delay/20000"))
        .flag("--http-timeout", "300ms");
    let outcome = passes(squall, 1, 2);
    counts(&outcome.summary(), 2, 2);
    let failures = outcome.summary().failures();
    assert_eq!(
        failures,
        [("no complete response within 300ms".to_owned(), 2)]
    );
    let line = endpoint(&outcome);
    assert_eq!(line["stats"]["status_class"]["none"], 2);
    let least = line["stats"]["latency_ms"]["min"].as_f64();
    assert!(least >= Some(299.0), "{line}");
}

#[test]
fn json_headers_and_bodies_go_both_ways() {
    let server = Server::start();
    counts(&passes(case("post", &server), 2, 20).summary(), 20, 0);
    assert_eq!(server.count("/echo"), 20);
    counts(&passes(case("bodies", &server), 2, 4).summary(), 24, 0);
    assert_eq!(server.count("/reflect"), 24);
}

#[test]
fn a_status_is_no_rejection_and_judged_like_any() {
    let server = Server::start();
    let summary = passes(case("missing", &server), 1, 3).summary();
    counts(&summary, 3, 3);
    assert_eq!(summary.failures(), [("status 404".to_owned(), 3)]);
    assert_eq!(server.count("/nowhere"), 3);
}

#[test]
fn a_redirect_is_the_scripts_to_follow() {
    let server = Server::start();
    let summary = passes(case("redirect", &server), 1, 2).summary();
    counts(&summary, 4, 0);
    assert_eq!(
        summary.row("/requests", "/redirect/1")["statuses"]["302"],
        2
    );
    assert_eq!(
        (server.count("/redirect/1"), server.count("/redirect/0")),
        (2, 2)
    );
}

#[test]
fn a_vu_keeps_its_cookies() {
    let server = Server::start();
    counts(&passes(case("cookies", &server), 2, 4).summary(), 8, 0);
}

#[test]
fn several_at_once_are_under_way_at_once() {
    let server = Server::start();
    // It answers nobody before all eight are there.
    let squall = case("together", &server).flag("--http-timeout", "20s");
    counts(&passes(squall, 1, 5).summary(), 40, 0);
    assert_eq!(server.count("/together/8"), 40);
}

#[test]
fn a_time_limit_of_the_scripts_own_gives_the_request_up() {
    let server = Server::start();
    let summary = passes(case("timeout", &server), 2, 4).summary();
    counts(&summary, 4, 4);
    fails_alike(&summary, "gave the request up");
}

#[test]
fn a_refused_connection_is_a_rejection_that_can_be_caught() {
    is_refused(guest());
}

#[test]
fn a_host_that_is_not_allowed_hears_nothing() {
    is_denied(guest());
}

/// Runs three iterations, each of which is to fail, and returns why: the message and
/// the stack.
#[track_caller]
fn fails(squall: Squall) -> (String, String) {
    let outcome = squall.flag("--iterations", "3").run().exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/failed"), 3);
    let of_script = |row: &&Value| row["origin"] == "script";
    let rows: Vec<&Value> = summary.rows("/failures").iter().filter(of_script).collect();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["occurrences"], 3);
    let text = |key: &str| rows[0][key].as_str().unwrap_or_default().to_owned();
    (text("message"), text("stack"))
}

#[test]
fn a_rejection_that_nobody_catches_fails_the_iteration() {
    let server = Server::start();
    let url = format!("http://{}/", port::refusing());
    let (message, _) = fails(case("uncaught", &server).script_env("URL", &url));
    assert_eq!(
        message,
        "TypeError: NetworkError when attempting to fetch resource"
    );
}

#[test]
fn an_uncaught_error_comes_with_the_scripts_functions() {
    let server = Server::start();
    let (message, stack) = fails(case("throw", &server));
    assert_eq!(message, "Error: the basket is empty");
    let functions: Vec<&str> = stack
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap_or_default())
        .collect();
    assert_eq!(
        functions,
        ["countItems", "lookIntoBasket", "throw", "iterate"],
        "{stack}"
    );
    assert!(stack.contains("(fetch.js:"), "{stack}");
    assert_eq!(server.count("/echo"), 3);
}

#[test]
fn an_error_that_the_bindings_keep_is_told_with_the_way_out() {
    let server = Server::start();
    let (message, stack) = fails(case("kept", &server));
    assert!(
        message.contains("`componentize-js`") && message.contains("throw a string"),
        "{message}"
    );
    assert_eq!(stack, "");
}

/// It stays documented for as long as it is so.
#[test]
fn a_vu_whose_fetch_lets_go_of_nothing_fails_once_and_goes_on() {
    let server = Server::start();
    let outcome = case("soak", &server)
        .flag("--vus", "1")
        .flag("--iterations", "1500")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 1_500);
    assert_eq!(
        summary.count("/iterations/failed"),
        1,
        "{:#?}",
        summary.failures()
    );
    let failures = summary.failures();
    assert!(failures[0].0.contains("10000 handles"), "{failures:?}");
    assert_eq!(summary.count("/all/requests"), server.count("/reflect"));
    assert!(server.count("/reflect") >= 1_499);
}

#[test]
fn the_script_of_the_guide_does_what_it_says() {
    let server = Server::start();
    let squall = case("order", &server).script_env("SHOP", &server.url(""));
    let summary = passes(squall, 2, 10).summary();
    counts(&summary, 30, 0);
    for path in ["/item/7", "/basket", "/checkout"] {
        assert_eq!(server.count(path), 10, "{path}");
    }
    let check = summary.row("/checks", "the order is accepted");
    assert_eq!(
        (&check["passes"], &check["failures"]),
        (&10.into(), &0.into())
    );
}

#[test]
fn inspect_tells_how_its_requests_go() {
    let outcome = Squall::new(["inspect".as_ref(), guest().as_os_str()])
        .run()
        .exited(0);
    for told in [
        "ComponentizeJS 0.23.0",
        "wasi:http are sent and measured",
        "squall can run it",
    ] {
        assert!(outcome.stdout.contains(told), "{told}{}", outcome.story());
    }
}
