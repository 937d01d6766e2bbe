//! What there is for authors of recorders: `recorder test`, recorded runs, and
//! the examples to start from.

use std::path::Path;

use serde_json::Value;

use crate::support::command::{Outcome, Squall, write};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// The spec of a recorder with these options.
fn spec(recorder: &Path, options: &str) -> String {
    format!("{}{options}", recorder.display())
}

fn test(spec: impl AsRef<str>) -> Squall {
    Squall::new(["recorder", "test", spec.as_ref()])
}

/// A run of `hello` with so many iterations.
fn run(server: &Server, iterations: u32) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", iterations.to_string())
}

#[track_caller]
fn says(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "no `{word}`{}",
            outcome.story()
        );
    }
}

/// The columns of the report's line on a run.
#[track_caller]
fn row(outcome: &Outcome, run: &str) -> Vec<String> {
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.split_whitespace().next() == Some(run));
    let line = line.unwrap_or_else(|| panic!("no line on `{run}`{}", outcome.story()));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_examples_pass_their_test() {
    let container = spec(&example("container"), ",memory-limit=512MiB");
    for recorder in [
        "json".to_owned(),
        spec(&example("brief"), ""),
        spec(&example("digest"), ""),
        container,
    ] {
        let outcome = test(recorder).run().exited(0);
        says(&outcome, &["good: every entry arrives, 0 warnings"]);
        let mut entries = 0;
        for run in ["normal", "failing", "distributed", "empty"] {
            let of_run: usize = row(&outcome, run)[3].parse().expect("a number");
            assert!(of_run > 0, "{run}{}", outcome.story());
            entries += of_run;
        }
        // Nothing but entries is on stdout.
        assert_eq!(outcome.lines().len(), entries);
    }
}

#[test]
fn the_format_of_locust_arrives_though_it_mixes_numbers() {
    let outcome = test("locust").run().exited(0);
    says(
        &outcome,
        &["good: every entry arrives", "`telemetry.value` "],
    );
}

#[test]
fn a_recorder_that_fails_is_told_with_the_event_it_fails_on() {
    let outcome = test(spec(&test_guest("misrecord"), ",mode=trap"))
        .run()
        .exited(99);
    says(
        &outcome,
        &[
            "error: normal, line 2 (request): it stopped: ",
            "error: empty, line 2 (run-started): it stopped: ",
            "bad: 4 errors, 0 warnings",
        ],
    );
    assert_eq!(outcome.stdout, "");
}

#[test]
fn everything_that_is_wrong_with_entries_is_told_at_once() {
    let outcome = test(spec(&test_guest("misrecord"), ",mode=invalid-json"))
        .run()
        .exited(99);
    says(
        &outcome,
        &[
            "error: normal, line 2 (request): an entry would be dropped: ",
            "warning: normal, line 2 (request): an entry has no point in time",
            "error: distributed, line ",
        ],
    );
    // What a run would write is printed all the same.
    assert!(outcome.lines().iter().any(|line| line["entry"] == "after"));
}

#[test]
fn a_recorder_that_refuses_to_start_is_told_once() {
    let outcome = test(spec(&test_guest("misrecord"), ",mode=err"))
        .run()
        .exited(104);
    assert_eq!(outcome.stdout, "");
    let told = outcome.stderr.matches("the recorder says no").count();
    assert_eq!(told, 1, "{}", outcome.story());
}

#[test]
fn only_one_recorder_that_is_a_recorder_is_tested() {
    for (recorder, words) in [
        (spec(&example("hello"), ""), ["hello.wasm", "recorder"]),
        ("json,./other.wasm".to_owned(), ["found 2", "hint:"]),
        ("none".to_owned(), ["found 0", "hint:"]),
        ("jsn".to_owned(), ["the recorder: expected", "`json`?"]),
    ] {
        let outcome = test(recorder).run().exited(104);
        says(&outcome, &words);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn what_a_run_records_is_what_its_recorders_got() {
    let server = Server::start();
    let all = spec(&test_guest("misrecord"), ",mode=none");
    let squall = run(&server, 20).flag("--recorder", &all);
    let events = squall.file("events.ndjson");
    let outcome = squall.flag("--events", &events).run().exited(0);
    let got = outcome.lines();
    let got = got.iter().find(|line| line["finish"] == true);
    let got = &got.expect("the last entry")["events"];
    let recorded = outcome.read("events.ndjson");
    assert_eq!(*got, recorded.lines().count() - 1);

    let replayed = test(all).flag("--events", &events).run().exited(0);
    let finish = replayed.lines().pop().expect("it has entries");
    assert_eq!(finish["events"], *got);
    let columns = row(&replayed, events.to_str().expect("UTF-8"));
    assert_eq!(columns[1], got.to_string());
}

#[test]
fn all_files_that_are_no_recorded_runs_are_told() {
    let squall = test("json");
    let notes = write(squall.file("notes.txt"), b"hello\n");
    let missing = squall.file("missing.ndjson");
    let outcome = squall
        .flag("--events", notes)
        .flag("--events", missing)
        .run()
        .exited(104);
    says(&outcome, &["notes.txt", "missing.ndjson", "hint:"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_file_for_events_that_cannot_be_written_ends_the_run_before_it_starts() {
    let server = Server::start();
    let outcome = run(&server, 5)
        .flag("--events", "/no/such/folder/events.ndjson")
        .run()
        .exited(104);
    says(&outcome, &["/no/such/folder/events.ndjson", "hint:"]);
    assert_eq!(server.total(), 0);
}

#[test]
fn digest_writes_one_line_that_tells_how_it_went() {
    let server = Server::start();
    let digest = example("digest");
    let passed = run(&server, 20).flag("--recorder", &digest).run().exited(0);
    let [line] = &passed.lines()[..] else {
        panic!("one line{}", passed.story());
    };
    assert_eq!(
        (&line["status"], &line["exit_code"]),
        (&"passed".into(), &0.into())
    );
    let text = line["text"].as_str().expect("a text");
    assert!(
        text.contains("*hello* passed") && text.contains("20 requests"),
        "{text}"
    );

    let rule = "http_reqs: count > 1000";
    let failed = run(&server, 20)
        .flag("--recorder", &digest)
        .flag("--threshold", rule)
        .run()
        .exited(99);
    let line = &failed.lines()[0];
    assert_eq!(line["status"], "failed");
    let text = line["text"].as_str().expect("a text");
    assert!(
        text.contains(&format!("✗ `{rule}` (it is 20.000)")),
        "{text}"
    );
}

#[test]
fn container_tells_memory_as_a_share_of_the_limit_and_warns_near_it() {
    let server = Server::start();
    let container = |options: &str| {
        // Long enough for its use of the machine to be measured.
        Squall::script(example("hello"))
            .flag("--base-url", server.url(""))
            .flag("--duration", "1s")
            .flag("--recorder", spec(&example("container"), options))
            .run()
    };
    let severities = |outcome: &Outcome| -> Vec<Value> {
        let mut lines = outcome.lines();
        lines
            .iter_mut()
            .map(|line| line["severity"].take())
            .collect()
    };
    let roomy = container(",memory-limit=100GiB,memory-request=1GiB").exited(0);
    let lines = roomy.lines();
    assert!(!lines.is_empty(), "{}", roomy.story());
    for line in &lines {
        let used = line["memory_bytes"].as_f64().expect("a number");
        let share = line["memory_limit_share"].as_f64().expect("a number");
        assert_eq!(share, used / (100.0 * f64::from(1 << 30)));
        assert_eq!(line["memory_request_bytes"], 1 << 30);
        assert_eq!(line["severity"], "info");
    }
    let tight = container(",memory-limit=1048576").exited(0);
    let warned = severities(&tight);
    assert!(!warned.is_empty());
    assert!(warned.iter().all(|severity| severity == "warning"));
    let boundless = container(",memory-limit=max").exited(0);
    assert!(boundless.lines()[0].get("memory_limit_share").is_none());
    let wrong = container(",memory-limit=much,limit=1").exited(104);
    says(&wrong, &["`memory-limit=much`", "`limit=1`"]);
}
