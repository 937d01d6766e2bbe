//! A run: from a plan to its outcome.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ExitCode};
use crate::event::RunSummary;
use crate::plan::Plan;
use crate::stats::Histogram;

/// What a run needs.
pub struct Setup {
    /// What to run.
    pub plan: Arc<Plan>,
    /// How many threads run VUs.
    pub threads: usize,
    /// Where compiled components are kept, if they are.
    pub cache_dir: Option<PathBuf>,
    /// Where log entries go, if anywhere.
    pub telemetry: Option<Box<dyn std::io::Write + Send>>,
    /// What the user wants of the run; `cli` sends.
    pub stop: watch::Receiver<Stop>,
    /// How the run stands; `cli` receives.
    pub live: watch::Sender<Live>,
}

/// What the user wants of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stop {
    /// It goes on.
    #[default]
    No,
    /// No new iterations start.
    Graceful,
    /// It ends at once.
    Now,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Components are loaded, VUs made.
    #[default]
    Starting,
    /// Iterations start.
    Running,
    /// Iterations end, none start.
    Stopping,
    /// The last figures are gathered.
    Finishing,
}

/// How a run stands.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Where it is.
    pub phase: Phase,
    /// How long it has been going.
    pub elapsed: Duration,
    /// The VUs now running.
    pub vus: u32,
    /// The VUs that shall run.
    pub vus_planned: u32,
    /// For how long iterations start, if that is what ends the run.
    pub planned: Option<Duration>,
    /// Iterations that ended.
    pub iterations: u64,
    /// After how many the run ends, if that is what ends it.
    pub iterations_planned: Option<u64>,
    /// Requests so far.
    pub requests: u64,
    /// Requests a second, over the last second.
    pub requests_per_s: f64,
    /// Failed requests so far.
    pub failures: u64,
    /// The 95th percentile of request times over the last second, in
    /// milliseconds.
    pub p95_ms: f64,
}

/// What came of a run.
pub struct Outcome {
    /// The run's id.
    pub run_id: String,
    /// When it started: milliseconds since the Unix epoch.
    pub started_ms: f64,
    /// What was run.
    pub plan: Arc<Plan>,
    /// What was measured, and how it was judged.
    pub summary: RunSummary,
    /// How the program ends.
    pub exit_code: ExitCode,
    /// The times of all requests, in microseconds.
    pub duration_histogram: Histogram,
    /// How the generator itself did.
    pub health: Health,
    /// What each recorder did.
    pub telemetry: Vec<RecorderOutcome>,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
    /// Why the run ended early, in the words of whoever ended it.
    pub abort_detail: Option<String>,
}

/// What the process used.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// 100 is one core.
    pub cpu_mean_percent: f64,
    /// The highest sample; 100 is one core.
    pub cpu_max_percent: f64,
    /// How many cores the process may use.
    pub cores: u32,
    /// The highest sample; 100 is all of the machine's cores.
    pub machine_cpu_max_percent: f64,
    /// The most memory that was resident, in bytes.
    pub memory_max_bytes: u64,
    /// Threads that ran VUs.
    pub threads: usize,
    /// The most files that were open.
    pub open_files_max: u32,
}

/// What a recorder did.
#[derive(Debug, Clone)]
pub struct RecorderOutcome {
    /// Which.
    pub name: String,
    /// Log entries written.
    pub entries_written: u64,
    /// Log entries that were not JSON objects.
    pub entries_invalid: u64,
    /// Events it was too slow for.
    pub events_dropped: u64,
    /// Why it was left out, if it was.
    pub failure: Option<String>,
}

/// Runs a plan. Blocks the thread.
///
/// # Errors
///
/// If the run cannot start.
pub fn run(setup: Setup) -> Result<Outcome, Error> {
    drop(setup);
    Err(Error::Machine(crate::error::Problem::new(
        "this branch has no engine",
    )))
}
