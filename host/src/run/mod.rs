//! A run: from a plan to its outcome.
//!
//! The [`conductor`](self::conduct) owns the run's phase and makes its events; a
//! [`Worker`] has a thread per core that plays VUs (`engine`). They know each
//! other by a [`link`] alone: [`run`] puts both of them into one process. Nothing
//! here knows what plays a VU, how a recorder came to be, how a run is shown, or
//! how a link gets to another machine.

mod cadence;
mod conductor;
pub mod control;
mod engine;
mod judge;
pub mod link;
pub mod node;
pub mod pilot;
pub mod preflight;
mod pulse;
mod steering;
mod usage;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::ExitCode;
use crate::event::{LoadChange, RunSummary};
use crate::plan::{Plan, Share};
pub use crate::recorder::RecorderOutcome;
use crate::recorder::Role;
use crate::stats::Histogram;
pub use crate::vu::Phase;

pub use self::conductor::{conduct, run, run_info, run_part};
pub use self::pulse::Lag;
pub use self::worker::{Duty, Worker};

use self::link::{ClockCheck, Fleet, News, Past};

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
    /// Where the run takes orders while it goes on, if somebody gives any.
    pub control: Option<control::Controlled>,
    /// What asks the plan's shape, if it has one.
    pub pilot: Option<pilot::Pilot>,
    /// What else the user should know, asked for after the run.
    pub warnings: Box<dyn Fn() -> Vec<String> + Send>,
}

/// How a run in this process is a part of what somebody else runs.
pub struct Part {
    /// Its id, if that is given.
    pub run_id: Option<String>,
    /// What this node is.
    pub role: Role,
    /// This node's name.
    pub node: Arc<str>,
    /// Hears all that the run's worker tells its conductor, on the run's thread.
    pub hear: Box<dyn Fn(&News) + Send + Sync>,
}

/// What it takes to conduct a run whose workers are there.
pub struct Conducting {
    /// What to run.
    pub plan: Arc<Plan>,
    /// The run's id, which the workers know.
    pub run_id: String,
    /// Whether this process also has the run's only worker.
    pub role: Role,
    /// This node's name.
    pub node: Arc<str>,
    /// The workers.
    pub fleet: Fleet,
    /// How the user ends the run.
    pub stop: watch::Receiver<Stop>,
    /// Where the run shows how it is doing, about once a second.
    pub live: watch::Sender<Live>,
    /// Where the run takes orders while it goes on, if somebody gives any.
    pub control: Option<control::Controlled>,
    /// What asks the plan's shape, if it has one.
    pub pilot: Option<pilot::Pilot>,
    /// What to do when a worker is lost.
    pub on_loss: OnLoss,
    /// What the workers were told before, by a master that is gone.
    pub past: Option<Past>,
}

/// What to do when a worker is lost while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// The others go on with what they have.
    #[default]
    Continue,
    /// The others, or one that waits, take its part over.
    Rebalance,
    /// The run ends.
    Abort,
}

/// Whether the user has asked for the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    /// Whether all of its scenarios are paused.
    pub paused: bool,
    /// VUs that the plan's closed models come to at the most, or now if somebody
    /// set another target.
    pub vus_planned: u32,
    /// If the plan has open models: how many iterations a second they start now.
    pub rate_planned: Option<f64>,
    /// How long the plan lasts, pauses included, if time ends it.
    pub planned: Option<Duration>,
    /// Iterations that ended.
    pub iterations: u64,
    /// Iterations in the plan, if their number ends it.
    pub iterations_planned: Option<u64>,
    /// Iterations that were due and did not start.
    pub iterations_dropped: u64,
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
    /// How the load was changed beside the plan, by people, each with how long
    /// the run had been going.
    pub load_changes: Vec<(Duration, LoadChange)>,
    /// What came of the shape, if there was one.
    pub shape: Option<pilot::ShapeOutcome>,
    /// What came of each worker, if there were several processes.
    pub workers: Vec<WorkerOutcome>,
    /// Why a script ended the run, if one did.
    pub abort_detail: Option<String>,
}

/// What came of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOutcome {
    /// Its name.
    pub name: String,
    /// Its part of the plan; none if it waited for one.
    pub share: Option<Share>,
    /// How its clock stood to the master's.
    pub clock: Option<ClockCheck>,
    /// How many requests it told of.
    pub requests: u64,
    /// How many iterations that ended it told of.
    pub iterations: u64,
    /// The times of its requests, in microseconds.
    pub duration_histogram: Histogram,
    /// How it did, if it came to its end.
    pub health: Option<Health>,
    /// How long the run had been going when it was lost, and why.
    pub lost: Option<(Duration, String)>,
    /// How long the run had been going when it last told what it measured: what it
    /// did after that is counted nowhere, if it is lost.
    pub told: Option<Duration>,
    /// How often it was lost and came back.
    pub returns: u32,
}

/// How the generator itself did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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

impl Health {
    /// The worse of both in each respect, and the most cores and threads.
    fn worst(self, other: Self) -> Self {
        let steal = [self.steal_max_percent, other.steal_max_percent];
        Self {
            cpu_is_known: self.cpu_is_known || other.cpu_is_known,
            cpu_mean_percent: self.cpu_mean_percent.max(other.cpu_mean_percent),
            cpu_max_percent: self.cpu_max_percent.max(other.cpu_max_percent),
            cores: self.cores.min(other.cores),
            machine_cpu_max_percent: self
                .machine_cpu_max_percent
                .max(other.machine_cpu_max_percent),
            steal_max_percent: steal.into_iter().flatten().reduce(f64::max),
            scheduler_lag_max: self.scheduler_lag_max.max(other.scheduler_lag_max),
            scheduler_late_share: self.scheduler_late_share.max(other.scheduler_late_share),
            memory_max_bytes: self.memory_max_bytes.max(other.memory_max_bytes),
            threads: self.threads.min(other.threads),
            open_files_max: self.open_files_max.max(other.open_files_max),
        }
    }
}
