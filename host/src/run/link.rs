//! The link between the master of a run and its workers: what goes over it, and
//! nothing of how it gets there.
//!
//! ```text
//!  conductor ── Command, to one or to all ──► link ──► worker
//!            ◄── News, with whose it is ──── link ◄── News
//! ```
//!
//! The conductor knows a [`Fleet`]: two channels, and nothing else. In a run in
//! one process a worker is at their other end, and values are moved and never
//! written down. Everywhere else a link reads one channel and writes the other;
//! it is then the link's business that nothing of what was measured is lost or
//! counted twice.
//!
//! All of it is plain data, which a newer version of this program may add to:
//! who reads it passes over what they do not know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Health;
use super::pulse::Lag;
use crate::error::Problem;
use crate::event::LoadChange;
use crate::executor::{Played, Steer};
use crate::measure::{ScriptError, json};
use crate::plan::Share;
use crate::stats::Snapshot;
use crate::stats::names::NameKind;

/// A worker's number in its run, from 0.
pub type WorkerId = u32;

/// A point in time that master and workers mean alike: nanoseconds since the
/// master's [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

/// When the master's time began, on a node's own clock. Where the clock is not
/// the master's, an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub Instant);

impl Origin {
    /// A time of this node's clock in the master's time. What was before the
    /// master's time began, is its beginning.
    pub fn moment(self, at: Instant) -> Moment {
        let nanos = at.saturating_duration_since(self.0).as_nanos();
        Moment(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// A time of the master's on this node's clock.
    pub fn instant(self, moment: Moment) -> Instant {
        self.0 + Duration::from_nanos(moment.0)
    }
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Every worker that takes part.
    All,
    /// One.
    One(WorkerId),
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Runs each script's `setup`, once for all workers. Answered by
    /// [`News::SetUp`].
    SetUp,
    /// Starts the scenarios.
    Start(Box<Start>),
    /// Asks for what was measured since the last time. Answered by
    /// [`News::Measured`].
    Take,
    /// Another course for a scenario, from a time on: a target is that of all
    /// workers together.
    Steer(Box<Steering>),
    /// No more iterations: of one scenario, or of all.
    Stop(Option<u32>),
    /// Drops the iterations under way, or `setup` or `teardown`.
    Cut,
    /// Plays another part beside its own, that of a worker that was lost.
    TakeOver(Box<TakeOver>),
    /// Runs each script's `teardown`, with what `setup` returned. Answered by
    /// [`News::TornDown`].
    TearDown(Data),
    /// The run is over. Answered by [`News::Concluded`], a worker's last words.
    Conclude,
}

/// What `setup` returned, by scenario; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data(#[serde(with = "json")] pub Vec<Arc<str>>);

/// The start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// When: each scenario starts so much later.
    pub at: Moment,
    /// The same, in milliseconds since the Unix epoch.
    pub wall_ms: f64,
    /// What `setup` returned.
    pub data: Data,
}

/// A change of a scenario's course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steering {
    /// Which scenario, by its number in the plan.
    pub scenario: u32,
    /// From when on.
    pub at: Moment,
    /// What.
    pub steer: Steer,
    /// What that changes, for a master that takes the run over.
    pub change: LoadChange,
}

/// A part of a run that goes over to another worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakeOver {
    /// Which part.
    pub share: Share,
    /// Whose it was, or a part of it.
    pub from: WorkerId,
    /// From when on.
    pub at: Moment,
    /// By scenario: how many iterations are left, if their number ends it.
    pub left: Vec<Option<u64>>,
}

/// What a worker tells, or its link tells of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// The VUs are made, or one could not be.
    Ready(Result<Readiness, ScriptError>),
    /// What `setup` returned, or how it failed. The problem is of the script.
    SetUp(Result<Data, Problem>),
    /// What was measured since the last time.
    Measured(Box<Measured>),
    /// The script, or what it needs, ends the whole run.
    Ending(Ending),
    /// No more iterations start on this worker, of so many parts as it has.
    Stopped(u32),
    /// All of its VUs have ended, and everything they measured was told.
    Finished {
        /// How many parts it has.
        parts: u32,
        /// How many VUs started in all, and how many could not.
        played: Played,
        /// When.
        at: Moment,
    },
    /// `teardown` is through.
    TornDown,
    /// The worker's last words.
    Concluded(Box<Conclusion>),
    /// It joined after the others, and has nothing to do yet.
    Joined(String),
    /// It is gone, or silent for too long: why. Only a link says so.
    Lost(String),
    /// It is back, with all that it measured in between.
    Back,
}

/// What a worker is that is ready to start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readiness {
    /// Whether a script has hooks around its iterations.
    pub has_hooks: bool,
}

/// What was measured over some stretch of time, and how the worker stands at its
/// end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// What was measured.
    pub measured: Snapshot,
    /// How late its threads ran.
    pub lag: Lag,
    /// How it stands.
    pub standing: Standing,
    /// Whether it answers [`Command::Take`].
    pub asked: bool,
}

impl Measured {
    /// Adds what came after it.
    pub fn merge(&mut self, later: Self) {
        self.measured.merge(&later.measured);
        self.lag.merge(later.lag);
        self.standing = later.standing;
        self.asked |= later.asked;
    }
}

/// How a worker stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// By scenario: how many VUs are running.
    pub running: Vec<u32>,
    /// By scenario: how many could not start.
    pub never_came: Vec<u32>,
    /// Messages of scripts beyond the run's limit.
    pub log_messages_lost: u64,
    /// Failures of scripts beyond the run's limit.
    pub script_failures_untold: u64,
    /// Uses of names beyond the run's limit, in the order of [`NameKind::ALL`].
    pub names_refused: [u64; NameKind::ALL.len()],
    /// How often the node ran short of something.
    pub resource_warnings: u32,
}

/// Why a script, or what it needs, ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The script ended it as failed.
    Aborted(#[serde(with = "json")] Arc<str>),
    /// As if its time were over.
    Over(#[serde(with = "json")] Arc<str>),
    /// It cannot go on as planned: its result is incomplete.
    BrokenOff(#[serde(with = "json")] Arc<str>),
}

/// A worker's last words.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Conclusion {
    /// How it stands.
    pub standing: Standing,
    /// How the node did.
    pub health: Health,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The workers of a run, as the conductor knows them.
pub struct Fleet {
    /// Those that are there from the start.
    pub members: Vec<Member>,
    /// Where commands go: as many as there are things to say, a handful a
    /// second. A link that is gone hears nothing.
    pub commands: Box<dyn Fn(To, Command) + Send + Sync>,
    /// What workers tell, in the order in which each of them told it; about one
    /// for each of them in a second.
    pub news: UnboundedReceiver<(WorkerId, News)>,
    /// How the master's time is told.
    pub origin: Origin,
    /// How far ahead of everything the start is, so that each worker hears of it
    /// in time.
    pub lead: Duration,
    /// How far ahead the time is from which on a change of the load holds.
    pub ahead: Duration,
    /// How long workers have to tell what they measured before the others'
    /// figures are reported without them.
    pub patience: Duration,
}

/// What the workers of a run were told before this master, which takes it over
/// from one that is gone; it has started.
#[derive(Debug, Clone)]
pub struct Past {
    /// The start.
    pub start: Start,
    /// All of it, in order.
    pub told: Vec<(To, Command)>,
}

/// A worker, as it takes part in a run.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, unique in the run.
    pub name: Arc<str>,
    /// Its part; none if it waits until it is needed.
    pub share: Option<Share>,
    /// What its clock was compared to the master's, if it has one of its own.
    pub clock: Option<ClockCheck>,
}

/// How a worker's clock stands to the master's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockCheck {
    /// How far the worker's wall clock is ahead of the master's, in milliseconds.
    pub offset_ms: f64,
    /// How far off the estimate of its time can be at the most: half of the
    /// fastest way there and back, in milliseconds.
    pub error_ms: f64,
}

/// A worker's end of a link.
pub struct Post {
    /// What it is told. When the channel ends, so does the worker.
    pub commands: UnboundedReceiver<Command>,
    /// Where it tells what it has to tell. Never blocks.
    pub news: Box<dyn Fn(News) + Send + Sync>,
}

impl Post {
    /// The same end, where somebody else hears what the worker tells, too, on its
    /// thread.
    #[must_use]
    pub fn overheard(self, hear: Box<dyn Fn(&News) + Send + Sync>) -> Self {
        let Self { commands, news } = self;
        Self {
            commands,
            news: Box::new(move |one| {
                hear(&one);
                news(one);
            }),
        }
    }
}

/// How long before threads in the same process a time has to lie so that each of
/// them has heard of it.
const AHEAD: Duration = Duration::from_millis(20);

impl Fleet {
    /// A fleet of one worker in this process, which has the whole of the run, and
    /// the worker's end of the link.
    pub fn local(name: Arc<str>) -> (Self, Post) {
        let (to_worker, commands) = unbounded_channel();
        let (to_master, news) = unbounded_channel();
        let fleet = Self {
            members: vec![Member {
                name,
                share: Some(Share::WHOLE),
                clock: None,
            }],
            // Who is gone, on either side, needs nothing more.
            commands: Box::new(move |_, command| _ = to_worker.send(command)),
            news,
            origin: Origin(Instant::now()),
            lead: Duration::ZERO,
            ahead: AHEAD,
            patience: Duration::MAX,
        };
        let post = Post {
            commands,
            news: Box::new(move |one| _ = to_master.send((0, one))),
        };
        (fleet, post)
    }
}
