//! The port of recorders: what a recorder is, and the queue in front of it.
//!
//! Between the run's events and the sinks. The conductor and the VUs publish
//! events to a [`Feed`], which never blocks; each recorder handles them on a
//! thread of its own and writes its log entries to its [`Sink`]. A recorder
//! that is slow loses events, one that fails is left out, and the run notices
//! neither; both are counted and told in the [`RecorderOutcome`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Interests;
use crate::measure::{Tag, json};
use crate::sink::Sink;

mod batch;
mod entry;
mod feed;
pub mod gathered;
pub mod measured;
pub(crate) mod priority;
pub mod recording;
pub mod replay;
pub mod review;
mod scan;
mod task;

pub use batch::{Batch, Piece};
pub use feed::Feed;
pub use recording::EventLog;
pub use task::Recorders;

/// Turns events into log entries. The functions are called one at a time, on
/// the recorder's own thread, and may take their time.
pub trait Recorder: Send {
    /// Begins a run; says which events to deliver beside those of the life
    /// cycle. Called once, and again after each failure, to begin afresh with
    /// nothing kept of what was before.
    ///
    /// # Errors
    ///
    /// If the recorder refuses, or fails. At the first call that ends the run.
    fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError>;

    /// Handles events, in order, and returns log entries: each string is one JSON
    /// object, or several, a line each.
    ///
    /// # Errors
    ///
    /// If the recorder fails. Nothing it returned for these events is kept.
    fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError>;

    /// Ends the run, after the last event, and returns what was held back, as
    /// [`Recorder::handle`] does.
    ///
    /// # Errors
    ///
    /// If the recorder fails.
    fn finish(&mut self) -> Result<Vec<String>, RecorderError>;

    /// Whether it is a part of this program, whose tests prove that all of its
    /// log entries are JSON objects on one line: nobody looks again at those that it
    /// returns with a line break at the end of each.
    fn is_proven(&self) -> bool {
        false
    }
}

/// How a recorder failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderError {
    /// It said that it cannot start, and why.
    Refused(String),
    /// It stopped in the middle of a call: the reason, with the functions that
    /// led there where they are known.
    Trapped(String),
    /// A call took longer than this.
    TimedOut(Duration),
}

impl fmt::Display for RecorderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "it refused to start: {reason}"),
            Self::Trapped(reason) => write!(f, "it stopped: {reason}"),
            Self::TimedOut(limit) => {
                let limit = crate::units::Pretty(*limit);
                write!(f, "a call took longer than {limit}")
            }
        }
    }
}

impl std::error::Error for RecorderError {}

/// The run a recorder is part of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// Unique to the run, and the same on every node. Sorts by time.
    pub run_id: String,
    /// The name the user gave to the test plan.
    pub test_plan: String,
    /// The version of this program.
    pub host_version: String,
    /// This node's part in the run.
    pub role: Role,
    /// This node's name.
    #[serde(with = "json")]
    pub node: Arc<str>,
    /// The machine's name.
    pub hostname: String,
    /// This process's id.
    pub process_id: u32,
    /// The scenarios' names.
    #[serde(with = "json")]
    pub scenarios: Vec<Arc<str>>,
    /// The tags on the whole run.
    #[serde(with = "json")]
    pub tags: Vec<Tag>,
    /// How often the recorder that reads this gets statistics.
    #[serde(rename = "stats_interval_ms", with = "json")]
    pub stats_interval: Duration,
    /// The resolved plan, as one JSON object.
    pub plan: String,
    /// What the user set for the recorder that reads this.
    #[serde(skip)]
    pub options: Vec<(String, String)>,
}

/// A node's part in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The only node.
    Standalone,
    /// The node that steers.
    Master,
    /// A node that makes load.
    Worker,
}

/// A recorder with all it needs.
pub struct Setup {
    /// The name it is reported under.
    pub name: String,
    /// The recorder.
    pub recorder: Box<dyn Recorder>,
    /// Where its log entries go.
    pub sink: Box<dyn Sink>,
    /// What the user set for it.
    pub options: Vec<(String, String)>,
    /// How often it gets statistics, if not as often as the run has them.
    pub stats_interval: Option<Duration>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What came of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderOutcome {
    /// Its name.
    pub name: String,
    /// Log entries that reached the sink.
    pub entries_written: u64,
    /// Log entries that were no JSON object or longer than 1 MiB, and were left
    /// out.
    pub entries_invalid: u64,
    /// The first of these, shortened, and what is wrong with it.
    pub first_invalid: Option<String>,
    /// Log entries that the sink did not take.
    pub entries_lost: u64,
    /// Why, if the sink knows: the first cause there was.
    pub entries_lost_because: Option<String>,
    /// Events that the recorder did not get, or failed to handle, before it was
    /// left out.
    pub events_dropped: u64,
    /// How often it started afresh after a failure.
    pub restarts: u32,
    /// Why it was left out of the rest of the run, or how it failed last.
    pub failure: Option<String>,
}

impl RecorderOutcome {
    /// Whether all that the recorder was to record has reached its sink.
    pub fn is_complete(&self) -> bool {
        self.entries_invalid + self.entries_lost + self.events_dropped == 0
            && self.failure.is_none()
    }
}
