//! What the recorder `json` writes when it is asked for more, or for other names.
//! That each line is what its schema says, every test holds: see
//! `support::command`.

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::example;
use crate::support::port;
use crate::support::server::Server;

/// Twenty iterations of `hello` with this recorder.
fn hello(url: &str, recorder: &str) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", url)
        .flag("--vus", "2")
        .flag("--iterations", "20")
        .flag("--recorder", recorder)
}

/// Fails unless the lines are numbered without a gap, to the end of the run.
#[track_caller]
fn nothing_is_lost(outcome: &Outcome) -> Vec<Value> {
    let lines = outcome.lines();
    for (line, number) in lines.iter().zip(1_u64..) {
        assert_eq!(line["seq"], number, "{}", outcome.story());
    }
    let last = lines.last().expect("there are lines");
    assert_eq!(last["event_name"], "loadtest.run.end");
    assert_eq!(last["test"]["data_quality"]["events_dropped"], 0);
    lines
}

#[test]
fn every_request_has_a_line_when_asked_for() {
    let server = Server::start();
    let outcome = hello(&server.url(""), "json,requests=all").run().exited(0);
    nothing_is_lost(&outcome);
    let requests = outcome.entries("loadtest.request.sample");
    assert_eq!(requests.len(), 20);
    for line in &requests {
        assert_eq!(line["http"]["request"]["method"], "GET");
        assert_eq!(line["http"]["response"]["status_code"], 200);
        assert_eq!(line["url"]["full"], server.url("/"));
        assert_eq!(line["request"]["failed"], false);
        let request = |key: &str| line["request"][key].as_f64().expect("it was measured");
        assert!(request("waiting_ms") <= request("duration_ms"), "{line}");
        assert!(request("receiving_ms") <= request("duration_ms"), "{line}");
    }
    // Each VU opens one connection.
    let opened = |line: &&Value| line["request"].get("connecting_ms").is_some();
    assert_eq!(requests.iter().filter(opened).count(), 2);
    let iterations = |vu: u64| {
        let of_vu = requests.iter().filter(|line| line["guest"]["vu"] == vu);
        let numbers = of_vu.map(|line| line["guest"]["iteration"].as_u64());
        numbers.collect::<Vec<_>>()
    };
    for vu in [1, 2] {
        let found = iterations(vu);
        let expected: Vec<_> = (0..found.len() as u64).map(Some).collect();
        assert_eq!(found, expected, "VU {vu}");
    }
}

#[test]
fn only_requests_that_failed_have_a_line_when_those_are_asked_for() {
    let server = Server::start();
    let fine = hello(&server.url(""), "json,requests=failed+slow:1h")
        .run()
        .exited(0);
    assert_eq!(fine.entries("loadtest.request.sample").len(), 0);
    nothing_is_lost(&fine);

    let nowhere = format!("http://{}", port::refusing());
    let failing = hello(&nowhere, "json,requests=failed").run().exited(0);
    nothing_is_lost(&failing);
    let requests = failing.entries("loadtest.request.sample");
    assert_eq!(requests.len(), 20);
    for line in requests {
        assert_eq!(line["level"], "warn");
        assert_eq!(line["http"].get("response"), None);
        assert!(line["error"]["message"].is_string(), "{line}");
    }
}

#[test]
fn other_measurements_have_a_line_each_when_asked_for() {
    let server = Server::start();
    let outcome = hello(&server.url(""), "json,measurements=iterations+checks")
        .run()
        .exited(0);
    nothing_is_lost(&outcome);
    for (name, expected) in [
        ("iteration.sample", 20),
        ("check.sample", 20),
        ("request.sample", 0),
        ("metric.sample", 0),
    ] {
        let entries = outcome.entries(&format!("loadtest.{name}"));
        assert_eq!(entries.len(), expected, "{name}");
    }
    let check = &outcome.entries("loadtest.check.sample")[0];
    assert_eq!(check["check"]["name"], "the front page is there");
    assert_eq!(check["check"]["passed"], true);
}

#[test]
fn transactions_and_values_have_a_line_each_when_asked_for() {
    let server = Server::start();
    let outcome = Squall::script(example("shop"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", "40")
        .flag("--recorder", "json,measurements=transactions+samples")
        .run()
        .exited(0);
    nothing_is_lost(&outcome);
    let totals = |name: &str, of: &str| -> u64 {
        let entries = outcome.entries(name);
        let in_total = entries.iter().filter(|line| line[of]["window"] == "total");
        in_total.filter_map(|line| line[of]["count"].as_u64()).sum()
    };
    let transactions = outcome.entries("loadtest.transaction.sample").len() as u64;
    assert_eq!(
        transactions,
        totals("loadtest.transaction.stats", "transactions")
    );
    let samples = outcome.entries("loadtest.metric.sample").len() as u64;
    assert_eq!(samples, totals("loadtest.metric.custom", "metric"));
    assert!(transactions > 0 && samples > 0, "{}", outcome.story());
}

#[test]
fn names_beyond_the_limit_are_told_at_the_end() {
    let server = Server::start();
    let outcome = Squall::script(example("shop"))
        .flag("--base-url", server.url(""))
        .flag("--iterations", "5")
        .flag("--names", "1")
        .run()
        .exited(0);
    let lines = nothing_is_lost(&outcome);
    let capped = &lines[lines.len() - 1]["test"]["data_quality"]["names_capped"];
    assert!(
        capped["requests"].as_u64() > Some(0),
        "{capped}{}",
        outcome.story()
    );
}

#[test]
fn a_profile_renames_every_line() {
    let server = Server::start();
    for (profile, first, name) in [
        ("ecs", r#"{"@timestamp":"2"#, "/event/action"),
        ("datadog", r#"{"timestamp":"2"#, "/event_name"),
        ("gcp", r#"{"time":"2"#, "/event_name"),
    ] {
        let recorder = format!("json,profile={profile},requests=all");
        let outcome = hello(&server.url(""), &recorder)
            .flag("--tag", "team=shop")
            .run()
            .exited(0);
        let lines = outcome.lines();
        assert!(lines.len() > 20, "{}", outcome.story());
        for (line, parsed) in outcome.stdout.lines().zip(&lines) {
            assert!(line.starts_with(first), "{line}");
            assert!(parsed.pointer(name).is_some_and(Value::is_string), "{line}");
        }
    }
}

#[test]
fn all_mistakes_in_its_options_are_told_at_once() {
    let server = Server::start();
    let recorder = "json,profile=splunk,requests=slow:fast,color=red";
    let outcome = hello(&server.url(""), recorder).run().exited(104);
    for told in ["`splunk`", "`slow:`", "`color`"] {
        assert!(outcome.stderr.contains(told), "{told}{}", outcome.story());
    }
    assert_eq!(outcome.stderr.matches("hint: ").count(), 3);
    assert_eq!(server.total(), 0);
}
