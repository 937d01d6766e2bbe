//! Recorders that do harm, each beside `json`: the run is what it would be
//! without them, and so is what `json` says of it.

use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

const ITERATIONS: u64 = 2_000;

/// Runs `hello` with `json` and with a recorder that does harm in this way.
fn beside_json(harm: &str) -> Outcome {
    let server = Server::start();
    let spec = format!("{},{harm}", test_guest("misrecord").display());
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "4")
        .flag("--iterations", ITERATIONS.to_string())
        .flag("--stats-interval", "100ms")
        .flag("--recorder", "json")
        .flag("--recorder", spec)
        .run();
    assert_eq!(server.total(), ITERATIONS, "{}", outcome.story());
    is_whole(&outcome);
    outcome
}

/// Fails unless the load was all there, and `json` tells of all of it.
#[track_caller]
fn is_whole(outcome: &Outcome) {
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), ITERATIONS);
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    assert_eq!(summary.count("/iterations/dropped"), 0);
    assert_eq!(summary.count("/all/requests"), ITERATIONS);

    let lines = outcome.lines();
    let json: Vec<_> = lines
        .iter()
        .filter(|l| l["event_name"].is_string())
        .collect();
    for (line, number) in json.iter().zip(1_u64..) {
        assert_eq!(line["seq"], number, "{}", outcome.story());
    }
    let of = |window: &str| -> u64 {
        json.iter()
            .filter(|line| line["event_name"] == "loadtest.request.stats")
            .filter(|line| line["stats"]["scope"] == "total" && line["stats"]["window"] == window)
            .map(|line| line["stats"]["count"].as_u64().expect("a count"))
            .sum()
    };
    assert_eq!((of("interval"), of("total")), (ITERATIONS, ITERATIONS));
    let last = json.last().expect("lines");
    assert_eq!(last["event_name"], "loadtest.run.end");
    assert_eq!(last["test"]["totals"]["requests"], ITERATIONS);

    let recorder = &summary.rows("/telemetry/recorders")[0];
    assert_eq!(recorder["name"], "json");
    assert_eq!(recorder["entries_written"], json.len());
    for nothing in [
        "entries_invalid",
        "entries_lost",
        "events_dropped",
        "restarts",
    ] {
        assert_eq!(recorder[nothing], 0, "{nothing}");
    }
    assert_eq!(recorder["failure"], Value::Null);
}

/// What the summary file says of the recorder that does harm.
fn harmed(outcome: &Outcome) -> Value {
    outcome.summary().rows("/telemetry/recorders")[1].clone()
}

/// What was said on stderr: the summary breaks its lines.
fn said(outcome: &Outcome) -> String {
    let words: Vec<_> = outcome.stderr.split_whitespace().collect();
    words.join(" ")
}

#[test]
fn one_that_traps_on_its_third_batch_starts_afresh() {
    let outcome = beside_json("mode=trap,batch=3").exited(110);
    let harmed = harmed(&outcome);
    let failure = harmed["failure"].as_str().expect("a failure");
    assert!(failure.contains("the recorder panics"), "{failure}");
    assert!(harmed["restarts"].as_u64() >= Some(1), "{harmed}");
    assert!(
        outcome.stderr.contains("failed and starts afresh"),
        "{}",
        outcome.story()
    );
}

#[test]
fn one_that_traps_at_every_batch_is_left_out_after_three_restarts() {
    let outcome = beside_json("mode=trap").exited(110);
    let harmed = harmed(&outcome);
    assert_eq!(harmed["restarts"], 3);
    assert_eq!(harmed["entries_written"], 0);
    assert!(harmed["events_dropped"].as_u64() > Some(0), "{harmed}");
    let said = said(&outcome);
    for (words, times) in [
        ("failed and starts afresh", 1),
        ("failed too often", 1),
        ("failed (started afresh 3 times): it stopped:", 1),
        ("it was left out of the rest of the run", 1),
    ] {
        assert_eq!(
            said.matches(words).count(),
            times,
            "`{words}`{}",
            outcome.story()
        );
    }
}

#[test]
fn one_that_never_returns_is_given_up() {
    let outcome = beside_json("mode=spin").exited(110);
    let cause = "it did not finish within 10s";
    let failure = harmed(&outcome)["failure"].clone();
    assert!(
        failure
            .as_str()
            .is_some_and(|failure| failure.contains(cause)),
        "{failure}"
    );
    assert!(said(&outcome).contains(cause), "{}", outcome.story());
    assert_eq!(harmed(&outcome)["entries_written"], 0);
}

#[test]
fn one_that_never_finishes_is_given_up() {
    let outcome = beside_json("mode=spin,at=finish").exited(110);
    let failure = harmed(&outcome)["failure"].clone();
    // Its own limit and that of the end are the same.
    let failure = failure.as_str().expect("a failure");
    assert!(
        failure.contains("within 10s") || failure.contains("longer than 10s"),
        "{failure}"
    );
    // What it returned before is kept.
    assert!(harmed(&outcome)["entries_written"].as_u64() > Some(0));
}

#[test]
fn one_that_never_starts_ends_the_run_before_it_starts() {
    let server = Server::start();
    let spec = format!("{},mode=spin,at=start", test_guest("misrecord").display());
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--recorder", "json")
        .flag("--recorder", spec)
        .run()
        .exited(104);
    assert!(
        outcome.stderr.contains("a call took longer than 10s"),
        "{}",
        outcome.story()
    );
    assert_eq!(server.total(), 0);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn one_that_takes_five_seconds_a_batch_holds_nobody_up() {
    let outcome = beside_json("mode=slow");
    // It may come to its end within the patience at the end, or not.
    assert!(matches!(outcome.code, Some(0 | 110)), "{}", outcome.story());
}

#[test]
fn one_that_wakes_too_late_is_told_how_many_events_it_missed() {
    let server = Server::start();
    let spec = format!("{},mode=slow,batch=1", test_guest("misrecord").display());
    // Three events each, more than wait for a recorder.
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "4")
        .flag("--iterations", "8000")
        .flag("--recorder", spec)
        .run()
        .exited(110);
    let lines = outcome.lines();
    let of = |event: &str| {
        lines
            .iter()
            .filter(|line| line["event"] == event)
            .collect::<Vec<_>>()
    };
    let told: u64 = of("events-dropped")
        .iter()
        .map(|line| line["count"].as_u64().expect("a count"))
        .sum();
    let got = (of("request").len() + of("iteration").len() + of("check").len()) as u64;
    assert_eq!(got + told, 3 * 8_000, "{}", outcome.story());
    assert!(told > 0, "{}", outcome.story());
    let [end] = of("run-finished")[..] else {
        panic!("one end{}", outcome.story());
    };
    assert_eq!(
        (end["dropped"].as_u64(), end["total"].as_u64()),
        (Some(told), Some(8_000))
    );
    assert_eq!(outcome.summary().count("/telemetry/events_dropped"), told);
    assert!(
        said(&outcome).contains("its telemetry lacks"),
        "{}",
        outcome.story()
    );
}

#[test]
fn one_that_allocates_without_end_is_stopped_at_its_limit() {
    let outcome = beside_json("mode=alloc").exited(110);
    is_told_in_full(&outcome, "it wanted more than 256.0 MiB of memory");
}

#[test]
fn one_that_prints_without_end_is_stopped_and_not_heard() {
    let outcome = beside_json("mode=print,batch=1").exited(110);
    assert!(
        outcome.stderr.matches("on and on").count() < 10,
        "{}",
        outcome.story()
    );
}

#[test]
fn an_entry_of_ten_mebibytes_is_left_out_and_counted() {
    let outcome = beside_json("mode=too-big").exited(110);
    let harmed = harmed(&outcome);
    let written = harmed["entries_written"].as_u64().expect("a count");
    let refused = harmed["entries_invalid"].as_u64().expect("a count");
    // Two good ones to each, and one at the end.
    assert!(refused > 0, "{harmed}");
    assert_eq!(written, 2 * refused + 1);
    assert_eq!(
        (&harmed["restarts"], &harmed["failure"]),
        (&Value::from(0), &Value::Null)
    );
    let first = harmed["first_invalid"].as_str().expect("the first");
    assert!(
        first.contains("it has 10.0 MiB, and 1.0 MiB is the most"),
        "{first}"
    );
    is_warned_once(&outcome);
}

#[test]
fn an_entry_of_a_mebibyte_is_written_whole() {
    let outcome = beside_json("mode=big").exited(0);
    let lines = outcome.lines();
    let whole = |line: &&Value| line.to_string().len() == 1 << 20;
    assert!(lines.iter().filter(whole).count() > 0);
}

#[test]
fn ten_mebibytes_of_small_entries_are_written_whole() {
    let outcome = beside_json("mode=much,batch=1").exited(0);
    let lines = outcome.lines();
    assert_eq!(
        lines.iter().filter(|line| line["big"].is_string()).count(),
        1_024
    );
}

#[test]
fn more_than_may_be_handed_over_is_a_failure() {
    let outcome = beside_json("mode=too-much").exited(110);
    is_told_in_full(&outcome, "it handed over more than 64.0 MiB in one call");
}

#[test]
fn many_entries_at_once_are_written() {
    let outcome = beside_json("mode=flood,batch=1,want=nothing").exited(0);
    let flood = outcome
        .stdout
        .lines()
        .filter(|line| *line == r#"{"flood":1}"#)
        .count();
    assert_eq!(flood, 200_000);
}

#[test]
fn what_is_no_json_is_left_out_and_its_recorder_goes_on() {
    let outcome = beside_json("mode=not-json,want=stats").exited(110);
    let harmed = harmed(&outcome);
    assert!(harmed["entries_invalid"].as_u64() > Some(0), "{harmed}");
    assert_eq!(
        (&harmed["restarts"], &harmed["failure"]),
        (&Value::from(0), &Value::Null)
    );
    let first = harmed["first_invalid"].as_str().expect("the first");
    assert!(first.starts_with("`not json`: expected ident"), "{first}");
    is_warned_once(&outcome);
    // It was there to the end.
    let finish = outcome
        .lines()
        .into_iter()
        .filter(|line| line["finish"] == true);
    assert_eq!(finish.count(), 1);
}

#[track_caller]
fn is_warned_once(outcome: &Outcome) {
    let warned = outcome
        .stderr
        .matches("log entry that cannot be written")
        .count();
    assert_eq!(warned, 1, "{}", outcome.story());
    let words = "had to be left out, the first of them";
    assert!(said(outcome).contains(words), "{}", outcome.story());
}

/// Fails unless the cause stands in the diagnostics and in the summary.
#[track_caller]
fn is_told_in_full(outcome: &Outcome, cause: &str) {
    let said = said(outcome);
    let (during, end) = said.split_once("Load generator:").expect("a summary");
    assert!(
        during.contains(cause) && end.contains(cause),
        "`{cause}`{}",
        outcome.story()
    );
    assert_eq!(harmed(outcome)["restarts"], 3);
}
