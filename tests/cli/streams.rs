//! What goes to which stream: log entries to stdout, all else to stderr.

use crate::support::command::Squall;
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

fn hello(server: &Server) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "5")
        .flag("--duration", "1s")
        .flag("--stats-interval", "200ms")
}

/// Fails unless no line of a report is wider than 100 columns, nor has colour.
#[track_caller]
fn is_plain_and_narrow(stderr: &str) {
    assert!(!stderr.contains('\x1b'), "an escape sequence in {stderr:?}");
    for line in stderr.lines().flat_map(|line| line.split('\r')) {
        let width = line.chars().count();
        assert!(width <= 100, "{width} columns: {line:?}");
    }
}

#[test]
fn stdout_carries_log_entries_and_stderr_the_report() {
    let server = Server::start();
    let outcome = hello(&server).env("COLUMNS", "100").run().exited(0);
    assert!(outcome.lines().len() > 5);
    assert!(outcome.stdout.ends_with('\n'));
    assert!(
        outcome.stderr.contains("the front page is there"),
        "{}",
        outcome.story()
    );
    assert!(
        !outcome.stderr.contains("event_name"),
        "{}",
        outcome.story()
    );
    is_plain_and_narrow(&outcome.stderr);
}

#[test]
fn a_report_full_of_failures_stays_within_100_columns() {
    let server = Server::start();
    for (case, shown) in [
        ("transactions", "no luck"),
        ("metrics", "basket"),
        ("expect-status", "/status/503"),
        ("redirects", "/redirect/11"),
        ("err", "the script says no"),
    ] {
        let outcome = Squall::script(test_guest("behaviour"))
            .script_env("CASE", case)
            .flag("--base-url", server.url(""))
            .flag("--iterations", "2")
            .flag("--test-plan", "p".repeat(200))
            .env("COLUMNS", "100")
            .run()
            .exited(0);
        assert!(
            outcome.stderr.contains(shown),
            "no `{shown}`{}",
            outcome.story()
        );
        is_plain_and_narrow(&outcome.stderr);
    }
}

#[test]
fn telemetry_can_go_to_a_file() {
    let server = Server::start();
    let squall = hello(&server);
    let file = squall.file("telemetry.ndjson");
    let outcome = squall.flag("--telemetry", &file).run().exited(0);
    assert_eq!(outcome.stdout, "");
    let written = outcome.read("telemetry.ndjson");
    let mut names = Vec::new();
    for line in written.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        names.push(entry["event_name"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(
        names.first().map(String::as_str),
        Some("loadtest.run.start")
    );
    assert_eq!(names.last().map(String::as_str), Some("loadtest.run.end"));
}

#[test]
fn on_a_terminal_stdout_carries_nothing() {
    let server = Server::start();
    let outcome = hello(&server).on_a_terminal("2>/dev/null").run().exited(0);
    assert_eq!(outcome.stdout.trim(), "");
    assert!(outcome.summary().count("/all/requests") > 0);
}

#[test]
fn on_a_terminal_stdout_carries_log_entries_if_asked_to() {
    let server = Server::start();
    let outcome = hello(&server)
        .flag("--telemetry", "-")
        .on_a_terminal("2>/dev/null")
        .run()
        .exited(0);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
}

#[test]
fn on_a_terminal_the_report_has_no_colour_when_none_is_wanted() {
    let server = Server::start();
    let outcome = hello(&server)
        .env("NO_COLOR", "1")
        .on_a_terminal(">/dev/null")
        .run()
        .exited(0);
    let report = outcome.stdout;
    assert!(report.contains("the front page is there"), "{report}");
    for sequence in report.split('\x1b').skip(1) {
        let parameters = sequence.strip_prefix('[').unwrap_or(sequence);
        let end = parameters.find(|sign: char| sign.is_ascii_alphabetic());
        let kind = end.and_then(|end| parameters[end..].chars().next());
        assert_ne!(kind, Some('m'), "a colour in {report:?}");
    }
}

#[test]
fn quiet_says_nothing_of_the_progress() {
    let server = Server::start();
    let outcome = hello(&server).arg("--quiet").run().exited(0);
    assert!(!outcome.lines().is_empty());
    let loud = hello(&server).run().exited(0);
    assert!(
        outcome.stderr.len() < loud.stderr.len(),
        "{}",
        outcome.story()
    );
}
