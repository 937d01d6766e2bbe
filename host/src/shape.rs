//! The port of shapes: what says, while a run goes on, how much load there is to
//! be.
//!
//! A run has one at the most. `run::pilot` asks it once a second, on a thread of
//! its own, and the conductor does what it says.

use std::fmt;
use std::time::Duration;

use crate::event::{Finding, Stats};
use crate::units::Pretty;

/// Says how much load there is to be. The functions are called one at a time, on
/// the shape's own thread, and may take their time.
pub trait Shape: Send {
    /// Begins. Called once.
    ///
    /// # Errors
    ///
    /// If the shape refuses, or fails: the run then does not start.
    fn start(&mut self, run: &ShapeInfo) -> Result<(), ShapeError>;

    /// The load from now on; `None` ends the run. `elapsed` is for how long
    /// iterations have been starting, and the interval of `stats` what happened
    /// since the last call.
    ///
    /// # Errors
    ///
    /// If the shape fails. It is not called again.
    fn target_at(&mut self, elapsed: Duration, stats: &Stats)
    -> Result<Option<Target>, ShapeError>;

    /// What it found out, each by its name. Called once, when the load is over.
    ///
    /// # Errors
    ///
    /// If the shape fails.
    fn report(&mut self) -> Result<Vec<(String, Finding)>, ShapeError>;
}

/// What a shape is told of its run.
#[derive(Debug, Clone)]
pub struct ShapeInfo {
    /// The name the user gave to the test plan.
    pub test_plan: String,
    /// Its options, as the user wrote them.
    pub options: Vec<(String, String)>,
    /// The most VUs that can run at once.
    pub max_vus: u32,
    /// What all that is random in the shape follows from.
    pub seed: u64,
    /// When the run ends at the latest, if not only the shape ends it.
    pub max_duration: Option<Duration>,
}

/// How much load there is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// So many VUs.
    Vus {
        /// How many.
        count: u32,
        /// How many start, or end, a second until there are so many; at once if
        /// it is not said. Above 0.
        per_s: Option<f64>,
    },
    /// So many new iterations a second, from 0 to [`Rate::MAX`](crate::units::Rate::MAX).
    Rate(f64),
}

/// How a shape failed.
#[derive(Debug, Clone, PartialEq)]
pub enum ShapeError {
    /// It said that it cannot start, and why.
    Refused(String),
    /// It stopped in the middle of a call: the reason, with the functions that
    /// led there where they are known.
    Trapped(String),
    /// A call took longer than this.
    TimedOut(Duration),
    /// What it asked for cannot be.
    Senseless(String),
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "it refused to start: {reason}"),
            Self::Trapped(reason) => write!(f, "it stopped: {reason}"),
            Self::TimedOut(limit) => write!(f, "a call took longer than {}", Pretty(*limit)),
            Self::Senseless(what) => write!(f, "it asked for {what}"),
        }
    }
}

impl std::error::Error for ShapeError {}
