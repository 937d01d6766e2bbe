//! Recorders of the user's own: what they get, and what becomes of the run when
//! they do harm.

use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// Runs 20 iterations of `hello` with these recorders.
fn recorded(recorders: &[&str]) -> Outcome {
    let server = Server::start();
    let mut squall = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", "20");
    for recorder in recorders {
        squall = squall.flag("--recorder", recorder);
    }
    let outcome = squall.run();
    assert!(
        outcome.elapsed < Duration::from_secs(60),
        "{}",
        outcome.story()
    );
    outcome
}

/// The spec of the recorder that does harm in the way that `mode` says.
fn harm(mode: &str) -> String {
    format!("{},mode={mode}", test_guest("misrecord").display())
}

/// Fails unless the run itself came to its end.
#[track_caller]
fn ran(outcome: &Outcome) {
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 20);
    assert_eq!(summary.count("/iterations/failed"), 0);
}

fn events(outcome: &Outcome) -> Vec<String> {
    let name = |line: &Value| line["event"].as_str().map(str::to_owned);
    outcome.lines().iter().filter_map(name).collect()
}

#[test]
fn a_recorder_that_wants_everything_gets_it() {
    let outcome = recorded(&[&harm("none")]).exited(0);
    ran(&outcome);
    let events = events(&outcome);
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    for (name, expected) in [
        ("run-started", 1),
        ("request", 20),
        ("iteration", 20),
        ("check", 20),
        ("run-finished", 1),
        ("events-dropped", 0),
    ] {
        assert_eq!(count(name), expected, "{name}{}", outcome.story());
    }
    assert_eq!(events.first().map(String::as_str), Some("run-started"));
    assert_eq!(events.last().map(String::as_str), Some("run-finished"));
    // It counts what it got, and so do we.
    let lines = outcome.lines();
    let finish = lines.iter().find(|line| line["finish"] == true);
    assert_eq!(finish.expect("the last entry")["events"], events.len());
}

#[test]
fn no_recorder_means_no_log_entries() {
    let outcome = recorded(&["none"]).exited(0);
    ran(&outcome);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn recorders_work_side_by_side() {
    let outcome = recorded(&["json", &harm("none")]).exited(0);
    ran(&outcome);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
    assert_eq!(
        events(&outcome)
            .iter()
            .filter(|event| *event == "run-finished")
            .count(),
        1
    );
}

#[test]
fn recorders_of_the_same_name_are_told_apart() {
    let file = example("json");
    let file = file.to_str().expect("UTF-8");
    let outcome = recorded(&["json", "locust", "json,interval=1s", file]).exited(0);
    let summary = outcome.summary();
    let rows = summary.rows("/telemetry/recorders").iter();
    let names: Vec<_> = rows
        .map(|recorder| recorder["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["json", "locust", "json#2", "json#3"]);
    assert!(outcome.stderr.contains("`json#3`"), "{}", outcome.story());
}

#[test]
fn the_embedded_recorder_is_run_like_anybodys() {
    let embedded = recorded(&["json"]).exited(0);
    let path = example("json");
    let given = recorded(&[path.to_str().expect("UTF-8")]).exited(0);
    for name in [
        "run.start",
        "users.ramp_complete",
        "run.stop_requested",
        "run.end",
    ] {
        let name = format!("loadtest.{name}");
        assert_eq!(embedded.entries(&name).len(), 1, "{name}");
        assert_eq!(given.entries(&name).len(), 1, "{name}");
    }
}

#[test]
fn a_recorder_that_refuses_to_start_ends_the_run_before_it_starts() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--iterations", "5")
        .flag("--recorder", harm("err"))
        .run()
        .exited(104);
    assert!(
        outcome.stderr.contains("the recorder says no"),
        "{}",
        outcome.story()
    );
    assert_eq!(server.total(), 0);
}

#[test]
fn an_unknown_option_of_a_recorder_is_reported() {
    let outcome = recorded(&["json,colour=red"]).exited(104);
    assert!(outcome.stderr.contains("colour"), "{}", outcome.story());
    assert!(outcome.stderr.contains("hint:"), "{}", outcome.story());
}

#[test]
fn a_log_entry_that_is_no_json_object_is_dropped_and_counted() {
    let outcome = recorded(&[&harm("invalid-json")]);
    ran(&outcome);
    let lines = outcome.lines();
    let count = |entry: &str| lines.iter().filter(|line| line["entry"] == entry).count();
    assert!(count("before") > 0);
    assert_eq!(count("before"), count("after"));
    let invalid = outcome.summary().count("/telemetry/entries_invalid");
    // Four of a batch are no JSON objects; the one over two lines is one.
    assert_eq!(invalid, 4 * count("before") as u64);
}

#[test]
fn the_recorder_of_the_readme_writes_a_line_for_each_interval() {
    let brief = example("brief");
    let outcome = recorded(&[brief.to_str().expect("UTF-8")]).exited(0);
    ran(&outcome);
    let lines = outcome.lines();
    let sum = |key: &str| -> u64 { lines.iter().filter_map(|line| line[key].as_u64()).sum() };
    assert_eq!((sum("sent"), sum("failed")), (20, 0));
}
