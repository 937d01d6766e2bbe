//! The events that a recorder gets: every kind that one node has, when it was
//! asked for and only then.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

const LIFE_CYCLE: [&str; 4] = [
    "run-started",
    "ramp-up-finished",
    "run-stopping",
    "run-finished",
];

/// The spec of a recorder that asks for these events.
fn wants(what: &str) -> String {
    format!("{},want={what}", test_guest("misrecord").display())
}

/// How many events of a kind the recorder got that asked for `want`.
fn got(lines: &[Value], want: &str, event: &str) -> usize {
    let of = |line: &&Value| line["want"] == want && line["event"] == event;
    lines.iter().filter(of).count()
}

#[test]
fn each_kind_comes_to_those_who_asked_for_it_and_to_nobody_else() {
    let kinds = [
        ("nothing", None),
        ("stats", Some("stats")),
        ("system", Some("system")),
        ("requests", Some("request")),
        ("transactions", Some("transaction")),
        ("iterations", Some("iteration")),
        ("checks", Some("check")),
        ("samples", Some("sample")),
        ("script-errors", Some("script-error")),
        ("logs", Some("log")),
    ];
    let server = Server::start();
    let mut squall = Squall::script(test_guest("behaviour"))
        .script_env("CASE", "everything")
        .flag("--base-url", server.url(""))
        // At a pace that ten recorders keep on a machine that is busy with others.
        .flag("--rate", "100/s")
        .flag("--duration", "1s")
        .flag("--stats-interval", "200ms")
        .flag("--system-interval", "200ms")
        .flag("--log-messages", "1000000000");
    for (want, _) in kinds {
        squall = squall.flag("--recorder", wants(want));
    }
    let outcome = squall.run();
    let lines = outcome.lines();
    let finished = outcome.summary().count("/iterations/finished") as usize;
    assert!(finished > 0, "{}", outcome.story());
    // The machine may be busy with others, which is told to all.
    let resources = ["resource-warning", "resource-recovered"];
    for (want, kind) in kinds {
        for event in LIFE_CYCLE {
            assert_eq!(got(&lines, want, event), 1, "{event} for {want}");
        }
        let all = lines.iter().filter(|line| line["want"] == want);
        for line in all {
            let event = line["event"].as_str().expect("a name");
            assert!(
                LIFE_CYCLE.contains(&event) || resources.contains(&event) || Some(event) == kind,
                "{event} for {want}"
            );
        }
        let count = kind.map_or(0, |kind| got(&lines, want, kind));
        match want {
            "nothing" => {}
            "stats" | "system" => assert!(count >= 2, "{count} of {want}"),
            _ => assert_eq!(count, finished, "{want}{}", outcome.story()),
        }
    }
}

#[test]
fn a_threshold_changes_both_ways() {
    let server = Server::start();
    server.break_front_page(true);
    let squall = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "1")
        .flag("--duration", "100s")
        .flag("--stats-interval", "100ms")
        .flag("--threshold", "http_req_failed: rate < 0.9")
        .flag("--recorder", wants("nothing"));
    let telemetry = squall.file("telemetry.ndjson");
    let mut running = squall.flag("--telemetry", telemetry).start();
    let changed = |passed: bool| {
        format!(r#"{{"event":"threshold-changed","want":"nothing","passed":{passed}}}"#)
    };
    running.until_written("telemetry.ndjson", &changed(false));
    server.break_front_page(false);
    running.until_written("telemetry.ndjson", &changed(true));
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    let written = outcome.read("telemetry.ndjson");
    let changes: Vec<_> = written
        .lines()
        .filter(|l| l.contains("threshold-changed"))
        .collect();
    assert_eq!(changes, [changed(false), changed(true)]);
}

#[test]
fn a_run_short_of_open_files_warns() {
    let server = Server::start();
    let outcome = Squall::script(test_guest("behaviour"))
        .script_env("CASE", "crowd")
        .script_env("CROWD", "100")
        .script_env("MILLIS", "1500")
        .flag("--base-url", server.url(""))
        .flag("--iterations", "1")
        .flag("--system-interval", "100ms")
        .flag("--recorder", "json")
        .flag("--recorder", wants("nothing"))
        .with_open_files(128)
        .run();
    let lines = outcome.lines();
    let warned: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "resource-warning" && is_about_files(line))
        .collect();
    let [warning] = warned[..] else {
        panic!("one warning, not {}{}", warned.len(), outcome.story());
    };
    assert_eq!(warning["limit"], 128);
    assert!(warning["value"].as_f64() > Some(0.9 * 128.0), "{warning}");
    assert!(outcome.summary().count("/health/open_files_max") > 115);
}

fn is_about_files(line: &Value) -> bool {
    let resource = line["resource"].as_str();
    resource.is_some_and(|resource| resource.contains("OpenFiles"))
}

#[test]
fn threads_that_run_late_put_the_figures_in_doubt() {
    // Each computes for as long as it may, and they take turns of 10 ms.
    let outcome = Squall::script(test_guest("misbehave"))
        .script_env("CASE", "spin")
        .flag("--vus", "20")
        .flag("--threads", "1")
        .flag("--duration", "2s")
        .flag("--iteration-timeout", "200ms")
        .flag("--system-interval", "500ms")
        .flag("--recorder", wants("system"))
        .run();
    let summary = outcome.summary();
    let lag_ms = |value: &Value| value.as_f64().expect("a number");
    assert!(
        lag_ms(summary.at("/health/scheduler_lag_max_ms")) > 50.0,
        "{}",
        outcome.story()
    );
    assert_eq!(summary.at("/health/trusted"), false);
    let doubts = summary.at("/health/doubts").to_string();
    assert!(
        doubts.contains("the threads that play VUs ran late by up to"),
        "{doubts}"
    );
    let lines = outcome.lines();
    let system = lines.iter().filter(|line| line["event"] == "system");
    let late = system.filter(|line| lag_ms(&line["lag_ms"]) > 50.0);
    assert!(late.count() > 0, "{}", outcome.story());
}

#[test]
fn a_run_too_short_to_measure_says_so() {
    let run = || -> Outcome {
        Squall::script(test_guest("behaviour"))
            .script_env("CASE", "globals")
            .flag("--iterations", "1")
            .flag("--recorder", wants("system"))
            .run()
            .exited(0)
    };
    // An iteration that does nothing takes no time, but on a machine that is
    // held up.
    let is_short = |outcome: &Outcome| {
        let duration_ms = outcome.summary().at("/duration_ms").as_f64();
        duration_ms.is_some_and(|duration_ms| duration_ms < 100.0)
    };
    let mut runs = std::iter::repeat_with(run).take(20);
    let outcome = runs.find(is_short).expect("one run is short");
    let summary = outcome.summary();
    assert_eq!(
        summary.at("/health/cpu_max_percent"),
        &Value::Null,
        "{}",
        outcome.story()
    );
    assert_eq!(summary.at("/health/trusted"), false);
    let words = "Load generator: the run was too short to see what it used";
    assert!(outcome.stderr.contains(words), "{}", outcome.story());
    assert!(
        !outcome.stderr.contains("can be trusted"),
        "{}",
        outcome.story()
    );
    assert_eq!(got(&outcome.lines(), "system", "system"), 0);
}
