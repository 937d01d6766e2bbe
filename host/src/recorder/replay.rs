//! A recorded run fed to a recorder, call by call as in a run.
//!
//! For `squall recorder test`. What the recorder returned comes back with the
//! events it was returned for; [`review`](super::review) judges it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::recording::{Batching, Numbered, Recording};
use super::{Batch, Recorder, RecorderError, RunInfo, entry};

/// What a recorder made of a recorded run.
#[derive(Debug)]
pub struct Replay {
    /// What it returned, in order.
    pub entries: Vec<Returned>,
    /// How many events it was given.
    pub events: u64,
    /// How many calls it took: a `handle` for each batch, and `finish`.
    pub calls: u64,
    /// How long it took to start: a fresh instance, and the call of `start`.
    pub startup: Duration,
    /// How long the calls took together.
    pub busy: Duration,
    /// Where and how it failed. It was called no more.
    pub failure: Option<(Place, RecorderError)>,
}

impl Replay {
    /// Whether it did not get over its `start`.
    pub fn never_started(&self) -> bool {
        matches!(self.failure, Some((Place::Start, _)))
    }
}

/// A log entry as the recorder returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Where.
    pub place: Place,
    /// Its text.
    pub text: String,
}

/// A call into a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `start`.
    Start,
    /// `handle`, with these events.
    Events {
        /// The first one's line in the recording.
        first: usize,
        /// The last one's line.
        last: usize,
        /// What they are, such as `stats` or `check ×3, request`.
        kinds: String,
    },
    /// `finish`.
    Finish,
}

impl Place {
    fn of(batch: &[Numbered]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for numbered in batch {
            *counts.entry(numbered.event.kind.name()).or_default() += 1;
        }
        let kinds: Vec<_> = counts
            .into_iter()
            .map(|(name, count)| match count {
                1 => name.to_owned(),
                count => format!("{name} ×{count}"),
            })
            .collect();
        let line = |numbered: Option<&Numbered>| numbered.map_or(0, |numbered| numbered.line);
        Self::Events {
            first: line(batch.first()),
            last: line(batch.last()),
            kinds: kinds.join(", "),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("`start`"),
            Self::Finish => f.write_str("`finish`"),
            Self::Events { first, last, kinds } if first == last => {
                write!(f, "line {first} ({kinds})")
            }
            Self::Events { first, last, kinds } => write!(f, "lines {first} to {last} ({kinds})"),
        }
    }
}

/// Feeds a recorded run to a recorder with these options. Blocks until the
/// recorder has finished or failed.
pub fn replay(
    recorder: &mut dyn Recorder,
    recording: &Recording,
    options: &[(String, String)],
    batching: Batching,
) -> Replay {
    let run = RunInfo {
        options: options.to_vec(),
        ..recording.run.clone()
    };
    let mut replay = Replay {
        entries: Vec::new(),
        events: 0,
        calls: 0,
        startup: Duration::ZERO,
        busy: Duration::ZERO,
        failure: None,
    };
    let began = Instant::now();
    let started = recorder.start(&run);
    replay.startup = began.elapsed();
    let interests = match started {
        Ok(interests) => interests,
        Err(error) => {
            replay.failure = Some((Place::Start, error));
            return replay;
        }
    };
    for batch in recording.batches(interests, batching) {
        let place = Place::of(&batch);
        let events: Batch = batch.into_iter().map(|numbered| numbered.event).collect();
        replay.events += events.len() as u64;
        if !replay.call(place, || recorder.handle(&events)) {
            return replay;
        }
    }
    replay.call(Place::Finish, || recorder.finish());
    replay
}

impl Replay {
    /// Makes a call and keeps what came of it; whether there may be another.
    fn call(
        &mut self,
        place: Place,
        call: impl FnOnce() -> Result<Vec<String>, RecorderError>,
    ) -> bool {
        let began = Instant::now();
        let returned = call();
        self.busy += began.elapsed();
        self.calls += 1;
        match returned {
            Ok(texts) => {
                let texts = texts.iter().flat_map(|text| entry::split(text));
                self.entries.extend(texts.map(|text| Returned {
                    place: place.clone(),
                    text: text.to_owned(),
                }));
                true
            }
            Err(error) => {
                self.failure = Some((place, error));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::{RUNS, written};
    use super::*;
    use crate::event::{Event, EventKind, Interests};
    use crate::recorder::feed::tests::{check, event, system};

    /// Returns the names of the events it gets, and fails with a system event.
    struct Names(Vec<(String, String)>);

    impl Recorder for Names {
        fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError> {
            self.0 = run.options.clone();
            match self.0.is_empty() {
                true => Err(RecorderError::Refused("no options".to_owned())),
                false => Ok(Interests::CHECKS.with(Interests::SYSTEM)),
            }
        }

        fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError> {
            let names: Vec<_> = events.events().map(|event| event.kind.name()).collect();
            match names.contains(&"system") {
                true => Err(RecorderError::Trapped("oh".to_owned())),
                // Several in one string are several.
                false => Ok(vec![names.join("\n")]),
            }
        }

        fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
            Ok(vec!["finish".to_owned()])
        }
    }

    fn recording(events: &[Event]) -> Recording {
        let normal = Recording::parse("normal", RUNS[0].1).expect("it is one");
        Recording::parse("a", &written(&normal.run, events)).expect("it was just written")
    }

    fn options() -> [(String, String); 1] {
        [("a".to_owned(), "b".to_owned())]
    }

    #[test]
    fn each_entry_comes_with_the_events_it_was_returned_for() {
        let recording = recording(&[check(1), check(2), event(EventKind::RunStarted)]);
        let played = replay(
            &mut Names(Vec::new()),
            &recording,
            &options(),
            Batching::AsInARun,
        );
        let places: Vec<_> = played
            .entries
            .iter()
            .map(|entry| format!("{}: {}", entry.place, entry.text))
            .collect();
        assert_eq!(
            places,
            [
                "lines 2 to 4 (check ×2, run-started): check",
                "lines 2 to 4 (check ×2, run-started): check",
                "lines 2 to 4 (check ×2, run-started): run-started",
                "`finish`: finish",
            ]
        );
        assert_eq!((played.events, played.calls), (3, 2));
        assert_eq!(played.failure, None);
    }

    #[test]
    fn a_failure_ends_it_where_it_was() {
        let recording = recording(&[check(1), system(), check(2)]);
        let played = replay(
            &mut Names(Vec::new()),
            &recording,
            &options(),
            Batching::OneByOne,
        );
        let (place, error) = played.failure.expect("it fails");
        assert_eq!(place.to_string(), "line 3 (system)");
        assert_eq!(error, RecorderError::Trapped("oh".to_owned()));
        assert_eq!((played.events, played.entries.len()), (2, 1));

        let refused = replay(&mut Names(Vec::new()), &recording, &[], Batching::OneByOne);
        assert!(refused.never_started());
        assert_eq!((refused.events, refused.calls), (0, 0));
    }
}
