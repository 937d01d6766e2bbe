//! What master and workers say to each other.
//!
//! Plain data in MessagePack with named fields, each message in an [`Envelope`]
//! with a version. Fields may be added: who does not know them passes over them.
//! Anything else makes another version, and nodes of two versions do not work
//! together; [`Hello`] alone is readable by all, so that they can say so.
//!
//! Nothing is lost and nothing counted twice, though the server may drop messages
//! and connections break:
//!
//! - What workers are told is a list, the log. Every [`Beat`] says how long it is;
//!   whoever lacks a part asks for it.
//! - A master that takes a run over from one that is gone has a higher term, see
//!   [`term_after`]. Who hears of a higher one heeds no lower one any more.
//! - What workers tell is a [`Report`]: everything since the last one of which the
//!   master said in a beat that it has it. The newest makes all before it needless,
//!   and one that comes twice does not follow on what the master has.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::plan::{Plan, Share};
use crate::run::OnLoss;
use crate::run::link::{ClockCheck, Command, Measured, Moment, News, WorkerId};

/// The version of everything here but [`Hello`].
pub const VERSION: u32 = 1;

/// A message with its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// The version.
    pub v: u32,
    /// The message.
    pub body: T,
}

/// What a worker is, told to whoever listens while it has nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The version of the messages.
    pub v: u32,
    /// Unique, and part of its subjects.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The version of the program.
    pub host_version: String,
    /// The WIT packages that it runs, with their versions.
    pub wit: Vec<String>,
    /// How many cores it may use.
    pub cores: u32,
    /// The master that it waits for, if not for any.
    pub run: Option<String>,
}

/// What a master says to one worker, or to all that listen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToWorker {
    /// Who is there?
    Call,
    /// Take part in a run.
    Assign(Box<Assignment>),
    /// You cannot take part, and why.
    Refuse(String),
    /// The run that you were given goes on without you, or is over.
    Release {
        /// Which.
        run: String,
        /// The master's term.
        term: u64,
    },
    /// Who has a part of this run, whose master is gone? Changes nothing.
    Who {
        /// Which.
        run: String,
        /// A number that comes back.
        number: u32,
    },
    /// There is a new master, which has nothing yet: tell it everything.
    Adopt {
        /// Which run.
        run: String,
        /// The new master's term.
        term: u64,
    },
    /// An answer to [`ToMaster::Ping`].
    Pong {
        /// The number of the ping.
        number: u32,
        /// The master's time.
        at: Moment,
        /// The master's wall clock, in milliseconds since the Unix epoch.
        wall_ms: f64,
    },
    /// A part of the log.
    Log {
        /// The run.
        run: String,
        /// The number of the first entry, from 1.
        from: u64,
        /// The entries.
        entries: Vec<Entry>,
        /// The master's term.
        term: u64,
    },
    /// A sign of life.
    Beat(Beat),
    /// A part of an artefact.
    Part(Part),
}

/// Something that one worker is told, or all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Who; `None` is all.
    pub to: Option<WorkerId>,
    /// What.
    pub command: Command,
}

/// A master's sign of life: at least one a second.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// The run.
    pub run: String,
    /// The master's term.
    pub term: u64,
    /// How many entries the log has.
    pub log: u64,
    /// How often the master asked what was measured.
    pub take: u64,
    /// What it has of each worker: the numbers of the last report, and of the last
    /// news.
    pub have: BTreeMap<WorkerId, (u64, u64)>,
    /// How long workers may take to answer, so that they do not all do it at once,
    /// in milliseconds.
    pub spread_ms: u32,
}

/// What a worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToMaster {
    /// It is there, and free.
    Hello(Hello),
    /// It has everything that it needs for a run, or cannot have it.
    Prepared {
        /// The run.
        run: String,
        /// How its clock stands, or what is in the way.
        outcome: Result<ClockCheck, Problem>,
    },
    /// It is still getting ready: how far it is, in words.
    Preparing {
        /// The run.
        run: String,
        /// What it does.
        doing: String,
    },
    /// What time is it?
    Ping {
        /// The run.
        run: String,
        /// A number that comes back.
        number: u32,
    },
    /// It lacks the log from an entry on.
    Missing {
        /// The run.
        run: String,
        /// The number of the entry, from 1.
        from: u64,
    },
    /// It wants a part of an artefact.
    Fetch {
        /// The run.
        run: String,
        /// The artefact.
        sha256: String,
        /// From which byte on.
        offset: u64,
    },
    /// What happened.
    Report(Box<Report>),
    /// What it has of a run whose master is gone.
    Kept(Box<Kept>),
    /// It is there, and not free.
    Engaged {
        /// What people call it.
        name: String,
        /// The run that it has a part in.
        run: String,
        /// Whether that run's master is gone.
        is_orphan: bool,
    },
    /// It leaves the run, and why.
    Leave {
        /// The run.
        run: String,
        /// Why.
        why: String,
    },
}

/// What a worker measured, and what it has to tell.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The run.
    pub run: String,
    /// The worker.
    pub worker: WorkerId,
    /// The number of the last report of which the master has everything.
    pub base: u64,
    /// This one's.
    pub number: u64,
    /// What was measured since `base`, if anything was.
    pub measured: Option<Box<Measured>>,
    /// The number of the first of the news, from 1.
    pub first: u64,
    /// Since the last ones that the master has.
    pub news: Vec<News>,
    /// Which question of the master's it answers.
    pub take: u64,
    /// The term of the master that it is for.
    pub term: u64,
}

/// A worker's part in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// The run's id.
    pub run: String,
    /// The worker's number in it.
    pub worker: WorkerId,
    /// Its name in it.
    pub name: String,
    /// The plan. Its paths are the master's.
    pub plan: Plan,
    /// Its part of the plan; none if it waits until it is needed.
    pub share: Option<Share>,
    /// What happens when a worker is lost.
    pub on_loss: OnLoss,
    /// By scenario: the script, unless it is part of the program.
    pub scripts: Vec<Option<Artefact>>,
    /// By data source: the file.
    pub data: Vec<Artefact>,
    /// How long it goes on without a sign of life.
    pub lease: Lease,
    /// The master's term.
    pub term: u64,
    /// The names of all workers that take part from the start, if somebody may take
    /// the run over.
    pub team: Vec<String>,
}

/// How long workers go on without a sign of life of their master's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lease {
    /// For so many milliseconds. Then the load ends, and they are free.
    Millis(u64),
    /// To the end of the plan. Then they keep what they measured until another
    /// master takes the run over.
    Plan,
}

impl Lease {
    /// After how long it ends, if it does before the plan.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Millis(millis) => Some(Duration::from_millis(millis)),
            Self::Plan => None,
        }
    }
}

/// The term of a master that comes after those that had terms up to this one. Two
/// that come at the same time have different ones.
pub fn term_after(term: u64) -> u64 {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    (((term >> 32) + 1) << 32) | (random & u64::from(u32::MAX))
}

/// What a worker has of a run whose master is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The number of the question.
    pub number: u32,
    /// Its part, as it was given.
    pub assignment: Assignment,
    /// What it was told, from the beginning.
    pub log: Vec<Entry>,
    /// The time of the master that is gone, now.
    pub at: Moment,
    /// How its clock stood to that master's.
    pub clock: ClockCheck,
    /// The highest term that it heard of.
    pub term: u64,
}

/// A file by what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artefact {
    /// The hash of its content, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The name of the file, for messages.
    pub name: String,
}

/// A part of an artefact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// The artefact.
    pub sha256: String,
    /// From which byte on.
    pub offset: u64,
    /// The bytes; without any the master cannot read it any more.
    #[serde(with = "super::wire::bytes_form")]
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Key, Options, Place, Surroundings, resolve};
    use crate::plan::ScriptSource;

    fn plan(options: &[(Key, &str)]) -> Plan {
        let mut given = Options::default();
        for (key, text) in options {
            given.say(*key, *text, Place::Flag);
        }
        let around = Surroundings {
            stdout_is_terminal: false,
            has_keys: false,
            cores: 2,
            vus_room: 10_000,
            cache_home: None,
        };
        let source = ScriptSource::File("shop.wasm".into());
        resolve(source, &given, &around).expect("valid").plan
    }

    fn there_and_back(plan: &Plan) -> Plan {
        let bytes = rmp_serde::to_vec_named(plan).expect("it has a form");
        rmp_serde::from_slice(&bytes).expect("it reads back")
    }

    #[test]
    fn a_plan_comes_back_as_it_was_with_its_secrets() {
        let loads: [&[(Key, &str)]; 5] = [
            &[(Key::Vus, "3"), (Key::Duration, "1m30s")],
            &[(Key::Vus, "3"), (Key::Iterations, "7")],
            &[
                (Key::Stage, "1s:5"),
                (Key::Stage, "0s:9"),
                (Key::Stage, "3s:1"),
            ],
            &[
                (Key::Rate, "12.5/m"),
                (Key::Duration, "1h"),
                (Key::Arrivals, "poisson"),
            ],
            &[(Key::Rate, "0/s"), (Key::Stage, "1500ms:7/s")],
        ];
        for load in loads {
            let more = [
                (Key::Env, "PASSWORD=secret"),
                (Key::Tag, "stage=test"),
                (Key::Tag, "a=b"),
                (
                    Key::Threshold,
                    "http_req_duration{name:login}: p(95)[30s] < 500 abort after 10s",
                ),
                (Key::AllowHost, "shop.example"),
                (Key::Recorder, "none"),
            ];
            let plan = plan(&[load, &more].concat());
            let back = there_and_back(&plan);
            // Everything but what is hidden.
            assert_eq!(format!("{plan:?}"), format!("{back:?}"));
            let shown = serde_json::to_string(&plan).expect("it has a form");
            assert!(
                !shown.contains("secret") && shown.contains("PASSWORD"),
                "{shown}"
            );
        }
    }

    #[test]
    fn who_comes_after_another_has_a_higher_term_and_one_of_its_own() {
        let first = term_after(0);
        let (one, other) = (term_after(first), term_after(first));
        assert!(0 < first && first < one && first < other);
        assert!(one.max(other) < term_after(one) && one.max(other) < term_after(other));
        assert_ne!(one, other);
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over() {
        #[derive(Serialize)]
        struct Newer {
            run: &'static str,
            log: u64,
            mood: &'static str,
        }
        let newer = Newer {
            run: "r",
            log: 3,
            mood: "good",
        };
        let bytes = rmp_serde::to_vec_named(&newer).expect("plain data");
        let beat: Beat = rmp_serde::from_slice(&bytes).expect("it reads");
        assert_eq!((&*beat.run, beat.log, beat.take), ("r", 3, 0));
    }
}
