//! A run on file: its events as lines of JSON, to be fed to recorders again.
//!
//! `squall run --events FILE` writes such a file: the [`EventLog`] stands beside
//! the recorders, behind a queue like theirs. [`Recording::parse`] reads it back.
//!
//! The first line is `{"format":1,"run":{…}}` and tells of the run; each line
//! after it is one event, `{"time_ms":…,"elapsed_ms":…,"node":…,"kind":…}`. A
//! kind without a value is its name, any other an object of one key. Names are
//! those of `squall:recorder/events`, keys with `_` for `-`; an absent key stands
//! for none, or for a distribution of no values.

use serde::{Deserialize, Serialize};

use super::batch::{Class, class};
use super::task::{BATCH, LINGER};
use super::{Batch, Recorder, RecorderError, RunInfo};
use crate::error::Problem;
use crate::event::{Event, Interests};

/// The version of the format.
const FORMAT: u32 = 1;

/// How many of a file's mistakes are told.
const MISTAKES: usize = 10;

/// The runs that are part of the program, with their names.
pub const RUNS: [(&str, &str); 4] = [
    ("normal", include_str!("../../recorded/normal.ndjson")),
    ("failing", include_str!("../../recorded/failing.ndjson")),
    (
        "distributed",
        include_str!("../../recorded/distributed.ndjson"),
    ),
    ("empty", include_str!("../../recorded/empty.ndjson")),
];

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header<R> {
    format: u32,
    run: R,
}

/// A recorded run.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What it is called in reports.
    pub name: String,
    /// The run.
    pub run: RunInfo,
    events: Vec<Numbered>,
}

/// An event and its line.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// The line of its file, from 1.
    pub line: usize,
    /// The event.
    pub event: Event,
}

/// How events are dealt out to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// As in a run: single measurements of a tenth of a second go together.
    AsInARun,
    /// Each event by itself.
    OneByOne,
}

impl Recording {
    /// Reads a recording that is called `name`.
    ///
    /// # Errors
    ///
    /// If it is not one: what is wrong, with the lines.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let first = text.lines().next().unwrap_or_default();
        let header: Header<RunInfo> = serde_json::from_str(first).map_err(|error| {
            Problem::new(format!(
                "`{name}` is no recorded run: its first line does not tell of the run: {error}"
            ))
            .hint("`squall run SCRIPT --events FILE` records one")
        })?;
        if header.format != FORMAT {
            return Err(Problem::new(format!(
                "`{name}` is a recorded run in format {}, and this squall reads format {FORMAT}",
                header.format
            ))
            .hint("record the run again with this squall: `squall run SCRIPT --events FILE`"));
        }
        let mut events = Vec::new();
        let mut mistakes = Vec::new();
        let lines = text.lines().enumerate().skip(1);
        for (index, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
            let line = index + 1;
            match serde_json::from_str(text) {
                Ok(event) => events.push(Numbered { line, event }),
                Err(error) => mistakes.push(format!("\n  line {line}: {error}")),
            }
        }
        if mistakes.is_empty() {
            return Ok(Self {
                name: name.to_owned(),
                run: header.run,
                events,
            });
        }
        let mut what = format!("`{name}` has {} lines that are no events:", mistakes.len());
        let more = mistakes.len().saturating_sub(MISTAKES);
        what.extend(mistakes.into_iter().take(MISTAKES));
        if more > 0 {
            what += &format!("\n  and {more} more");
        }
        Err(Problem::new(what).hint("the keys of events are those of `wit/recorder/events.wit`"))
    }

    /// All events, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|numbered| &numbered.event)
    }

    /// The events for a recorder with these interests, a batch for each call.
    pub fn batches(&self, interests: Interests, batching: Batching) -> Vec<Vec<Numbered>> {
        let linger_ms = LINGER.as_secs_f64() * 1e3;
        // A recorder waits for more behind single measurements alone.
        let waits = |last: Option<&Numbered>| {
            last.is_some_and(|last| class(&last.event.kind) == Class::Measurement)
        };
        let mut batches: Vec<Vec<Numbered>> = Vec::new();
        for numbered in &self.events {
            if !interests.contains(numbered.event.kind.interest()) {
                continue;
            }
            match batches.last_mut() {
                Some(batch)
                    if batching == Batching::AsInARun
                        && batch.len() < BATCH
                        && waits(batch.last())
                        && numbered.event.time_ms - batch[0].event.time_ms < linger_ms =>
                {
                    batch.push(numbered.clone());
                }
                _ => batches.push(vec![numbered.clone()]),
            }
        }
        batches
    }
}

/// Writes down every event of a run: a recorder whose log entries are the lines
/// of a recording.
#[derive(Debug, Default)]
pub struct EventLog {
    /// The first line, until it is written.
    header: Option<String>,
}

impl Recorder for EventLog {
    fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError> {
        self.header = Some(line(&Header {
            format: FORMAT,
            run,
        }));
        Ok(Interests::ALL)
    }

    fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError> {
        let events = events.events().map(|event| line(&event));
        Ok(self.header.take().into_iter().chain(events).collect())
    }

    fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
        Ok(self.header.take().into_iter().collect())
    }

    fn is_proven(&self) -> bool {
        true
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("events are plain data with text as keys")
}

/// The whole of a recorded run as it stands on file.
#[cfg(test)]
pub(crate) fn written(run: &RunInfo, events: &[Event]) -> String {
    let mut log = EventLog::default();
    log.start(run).expect("it never refuses");
    let events = events.iter().cloned().collect();
    let mut lines = log.handle(&events).expect("it never fails");
    lines.extend(log.finish().expect("it never fails"));
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::super::feed::tests::{check, event, system};
    use super::*;
    use crate::event::EventKind;

    fn embedded() -> Vec<Recording> {
        RUNS.iter()
            .map(|(name, text)| Recording::parse(name, text).expect("it is a recorded run"))
            .collect()
    }

    #[test]
    fn the_runs_of_the_program_are_what_it_would_write() {
        for (recording, (name, text)) in embedded().iter().zip(RUNS) {
            let events: Vec<_> = recording.events().cloned().collect();
            let lines = written(&recording.run, &events);
            for (again, line) in lines.lines().zip(text.lines()) {
                assert_eq!(again, line, "{name}");
            }
            assert_eq!(lines.len(), text.len(), "{name}");
        }
    }

    #[test]
    fn the_runs_of_the_program_have_every_kind_of_event() {
        let runs = embedded();
        let found: BTreeSet<_> = runs
            .iter()
            .flat_map(Recording::events)
            .map(|event| event.kind.name())
            .collect();
        let wit = include_str!("../../../wit/recorder/events.wit");
        let cases = |variant: &str| {
            let (_, cases) = wit.split_once(variant).expect("it is there");
            let (cases, _) = cases.split_once("\n  }").expect("it ends");
            cases
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("//"))
                .filter_map(|line| line.split(['(', ',']).next())
                // What is measured has cases of its own.
                .filter(|case| !["other", "measured"].contains(case))
                .collect::<BTreeSet<_>>()
        };
        let known: BTreeSet<_> = cases("variant event-kind {")
            .union(&cases("variant measurement-kind {"))
            .copied()
            .collect();
        assert_eq!(found, known);
        for run in &runs {
            let kinds: Vec<_> = run.events().map(|event| event.kind.name()).collect();
            let starts = kinds.iter().filter(|kind| **kind == "run-started").count();
            assert_eq!(starts, 1, "{}", run.name);
            assert_eq!(kinds.last(), Some(&"run-finished"), "{}", run.name);
        }
    }

    #[test]
    fn the_runs_of_the_program_are_small_and_tell_of_no_machine() {
        let size: usize = RUNS.iter().map(|(_, text)| text.len()).sum();
        assert!(size < 200_000, "{size} bytes");
        for (name, text) in RUNS {
            for trace in ["127.0.0.1", "localhost", "/home/", "/tmp/", "target/"] {
                assert!(!text.contains(trace), "`{trace}` in {name}");
            }
        }
    }

    fn recording(events: &[Event]) -> Recording {
        let run = &embedded()[0].run;
        Recording::parse("a", &written(run, events)).expect("it was just written")
    }

    fn at(time_ms: f64, event: Event) -> Event {
        Event { time_ms, ..event }
    }

    #[test]
    fn a_recorder_gets_what_it_asked_for_in_batches_as_in_a_run() {
        let recording = recording(&[
            at(0.0, event(EventKind::RunStarted)),
            at(1.0, check(1)),
            at(2.0, system()),
            at(3.0, check(2)),
            at(104.0, check(3)),
        ]);
        let lines = |batching| -> Vec<Vec<usize>> {
            let batches = recording.batches(Interests::CHECKS, batching);
            let of = |batch: &Vec<Numbered>| batch.iter().map(|event| event.line).collect();
            batches.iter().map(of).collect()
        };
        assert_eq!(lines(Batching::AsInARun), [vec![2], vec![3, 5], vec![6]]);
        assert_eq!(
            lines(Batching::OneByOne),
            [vec![2], vec![3], vec![5], vec![6]]
        );
        let many = self::recording(&vec![check(1); BATCH + 1]);
        let batches = many.batches(Interests::ALL, Batching::AsInARun);
        assert_eq!(batches.len(), 2);
    }

    #[test]
    fn all_that_is_no_event_is_told_with_its_line() {
        let mut text = written(&embedded()[0].run, &[system()]);
        text += "{\"time_ms\":1}\n\nno\n";
        text += r#"{"time_ms":1,"elapsed_ms":-1,"node":"a","kind":"run-started"}"#;
        let problem = Recording::parse("mine.ndjson", &text).expect_err("no recording");
        let told = problem.to_string();
        for part in [
            "`mine.ndjson` has 3 lines",
            "line 3: missing field `elapsed_ms`",
            "line 5: ",
            "line 6: `-1` is no duration",
            "hint: ",
        ] {
            assert!(told.contains(part), "no `{part}` in {told}");
        }
        let first = Recording::parse("x", "{\"a\":1}").expect_err("no header");
        assert!(first.to_string().contains("--events"), "{first}");
        let other = text.replacen("\"format\":1", "\"format\":9", 1);
        let other = Recording::parse("x", &other).expect_err("another format");
        assert!(other.to_string().contains("format 9"), "{other}");
    }

    #[test]
    fn a_run_without_events_still_tells_of_itself() {
        let empty = recording(&[]);
        assert_eq!(empty.events().count(), 0);
        assert_eq!(empty.run.host_version, embedded()[0].run.host_version);
    }

    #[test]
    fn kinds_are_named_as_in_the_wit() {
        let text = written(
            &embedded()[0].run,
            &[event(EventKind::WorkerJoined(Arc::from("worker-1")))],
        );
        assert!(
            text.contains(r#""kind":{"worker-joined":"worker-1"}"#),
            "{text}"
        );
    }
}
