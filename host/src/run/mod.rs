//! A run: from a plan to its outcome.
//!
//! [`run`] starts the recorders and a thread per core that plays VUs
//! (`engine`), and hands over to the `conductor`, which owns the run's
//! phase and makes its events. Nothing here knows what plays a VU, how a
//! recorder came to be, or how a run is shown.

mod cadence;
mod conductor;
mod engine;
pub mod preflight;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::ExitCode;
use crate::event::RunSummary;
use crate::plan::Plan;
pub use crate::recorder::RecorderOutcome;
use crate::stats::Histogram;
pub use crate::vu::Phase;

pub use self::conductor::run;

/// What a run needs.
pub struct Setup<S> {
    /// What to run.
    pub plan: Arc<Plan>,
    /// The script of each of the plan's scenarios.
    pub scripts: Vec<S>,
    /// The plan's recorders, not started yet, with their sinks.
    pub recorders: Vec<crate::recorder::Setup>,
    /// How many threads play VUs.
    pub threads: usize,
    /// How the user ends the run.
    pub stop: watch::Receiver<Stop>,
    /// Where the run shows how it is doing, about once a second.
    pub live: watch::Sender<Live>,
}

/// Whether the user has asked for the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// Not yet.
    #[default]
    No,
    /// No new iterations; those under way may end.
    Graceful,
    /// At once.
    Now,
}

/// How a run is doing.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// How far it has come.
    pub phase: Phase,
    /// How long iterations have been starting.
    pub elapsed: Duration,
    /// VUs now running.
    pub vus: u32,
    /// VUs in the plan.
    pub vus_planned: u32,
    /// How long the plan lasts, if time ends it.
    pub planned: Option<Duration>,
    /// Iterations that ended.
    pub iterations: u64,
    /// Iterations in the plan, if their number ends it.
    pub iterations_planned: Option<u64>,
    /// Requests so far.
    pub requests: u64,
    /// Requests a second, over the last second.
    pub requests_per_s: f64,
    /// Requests that failed so far.
    pub failures: u64,
    /// The 95th percentile over the last second, in milliseconds.
    pub p95_ms: f64,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The run's id.
    pub run_id: String,
    /// When iterations began to start: milliseconds since the Unix epoch.
    pub started_ms: f64,
    /// What was run.
    pub plan: Arc<Plan>,
    /// The result.
    pub summary: RunSummary,
    /// How the program ends.
    pub exit_code: ExitCode,
    /// The times of all requests, in microseconds.
    pub duration_histogram: Histogram,
    /// How the generator itself did.
    pub health: Health,
    /// What came of each recorder.
    pub telemetry: Vec<RecorderOutcome>,
    /// What the user should know about the result.
    pub warnings: Vec<String>,
    /// Why a script ended the run, if one did.
    pub abort_detail: Option<String>,
}

/// How the generator itself did.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Whether the run was long enough to tell the use of processors: without
    /// it the three percentages and the steal are 0 or absent.
    pub cpu_is_known: bool,
    /// The process's mean use of processors: 100 is one core.
    pub cpu_mean_percent: f64,
    /// Its largest use over one system interval.
    pub cpu_max_percent: f64,
    /// How many cores it may use.
    pub cores: u32,
    /// The machine's largest use: 100 is all its cores.
    pub machine_cpu_max_percent: f64,
    /// The largest part of the machine's time that its own host took from it,
    /// in percent, where the system tells.
    pub steal_max_percent: Option<f64>,
    /// The latest that a timer of a VUs' thread fired.
    pub scheduler_lag_max: Duration,
    /// The part of the time for which a VUs' thread ran late by more than 50 ms,
    /// from 0 to 1.
    pub scheduler_late_share: f64,
    /// The largest resident memory.
    pub memory_max_bytes: u64,
    /// How many threads played VUs.
    pub threads: usize,
    /// The largest number of open files.
    pub open_files_max: u32,
}
