//! What happened in a run: the one thing between the engine and everything
//! that reports.
//!
//! The conductor makes the events of the life cycle and the aggregates, a VU's
//! thread the single measurements; recorders and the terminal receive them.
//! Nothing that receives an event can reach back into the run.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::measure::{LogLevel, MetricKind, RequestSample, ScriptError, Tag, json};
use crate::stats::Window;
use crate::stats::names::NameKind;
use crate::stats::thresholds::Verdict;

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub time_ms: f64,
    /// How long the run had been going.
    #[serde(rename = "elapsed_ms", with = "json")]
    pub elapsed: Duration,
    /// The node on which it happened.
    #[serde(with = "json")]
    pub node: Arc<str>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. The cases are those of `squall:recorder/events`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The run started.
    RunStarted,
    /// All VUs are running: so many.
    RampUpFinished {
        /// How many.
        vus: u32,
    },
    /// No new iterations start.
    RunStopping(StopReason),
    /// The run ended. The last event.
    RunFinished(#[serde(with = "json")] Arc<RunSummary>),
    /// A threshold went from passing to failing, or back.
    ThresholdChanged(Verdict),
    /// A scenario's load became another than the plan's.
    LoadChanged(Box<LoadChange>),
    /// The load is over, and the shape has said what it found out.
    ShapeReported(Box<ShapeReport>),
    /// So many events were dropped since the last one delivered.
    EventsDropped(u64),
    /// The node ran short of something.
    ResourceWarning(ResourceWarning),
    /// It no longer does.
    ResourceRecovered(ResourceWarning),
    /// A worker joined, or came back: its name.
    WorkerJoined(#[serde(with = "json")] Arc<str>),
    /// A worker left, or went silent: its name.
    WorkerLost(#[serde(with = "json")] Arc<str>),
    /// The statistics so far.
    Stats(#[serde(with = "json")] Arc<Stats>),
    /// What the node uses.
    System(SystemUsage),
    /// A request finished.
    Request(Box<Request>),
    /// A transaction finished.
    Transaction(Box<Transaction>),
    /// An iteration finished.
    Iteration(Iteration),
    /// A check was made.
    Check(Box<Check>),
    /// A value was added to a metric.
    Sample(Box<Sample>),
    /// The script failed.
    ScriptError(Box<ScriptFailure>),
    /// The script logged or printed something.
    Log(Box<LogMessage>),
}

/// A set of kinds of event beside the life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interests(pub u32);

impl Interests {
    /// [`EventKind::Stats`].
    pub const STATS: Self = Self(1);
    /// [`EventKind::System`].
    pub const SYSTEM: Self = Self(1 << 1);
    /// [`EventKind::Request`].
    pub const REQUESTS: Self = Self(1 << 2);
    /// [`EventKind::Transaction`].
    pub const TRANSACTIONS: Self = Self(1 << 3);
    /// [`EventKind::Iteration`].
    pub const ITERATIONS: Self = Self(1 << 4);
    /// [`EventKind::Check`].
    pub const CHECKS: Self = Self(1 << 5);
    /// [`EventKind::Sample`].
    pub const SAMPLES: Self = Self(1 << 6);
    /// [`EventKind::ScriptError`].
    pub const SCRIPT_ERRORS: Self = Self(1 << 7);
    /// [`EventKind::Log`].
    pub const LOGS: Self = Self(1 << 8);

    /// Every kind.
    pub const ALL: Self = Self((1 << 9) - 1);

    /// Whether all of `other` is in the set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl EventKind {
    /// The name of the kind, as in `squall:recorder/events`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunStarted => "run-started",
            Self::RampUpFinished { .. } => "ramp-up-finished",
            Self::RunStopping(_) => "run-stopping",
            Self::RunFinished(_) => "run-finished",
            Self::WorkerJoined(_) => "worker-joined",
            Self::WorkerLost(_) => "worker-lost",
            Self::ThresholdChanged(_) => "threshold-changed",
            Self::LoadChanged(_) => "load-changed",
            Self::ShapeReported(_) => "shape-reported",
            Self::EventsDropped(_) => "events-dropped",
            Self::ResourceWarning(_) => "resource-warning",
            Self::ResourceRecovered(_) => "resource-recovered",
            Self::Stats(_) => "stats",
            Self::System(_) => "system",
            Self::Request(_) => "request",
            Self::Transaction(_) => "transaction",
            Self::Iteration(_) => "iteration",
            Self::Check(_) => "check",
            Self::Sample(_) => "sample",
            Self::ScriptError(_) => "script-error",
            Self::Log(_) => "log",
        }
    }

    /// The set that a recorder must have asked for to get this event; empty
    /// for the life cycle, which always comes.
    pub fn interest(&self) -> Interests {
        match self {
            Self::RunStarted
            | Self::RampUpFinished { .. }
            | Self::RunStopping(_)
            | Self::RunFinished(_)
            | Self::ThresholdChanged(_)
            | Self::LoadChanged(_)
            | Self::ShapeReported(_)
            | Self::EventsDropped(_)
            | Self::ResourceWarning(_)
            | Self::ResourceRecovered(_)
            | Self::WorkerJoined(_)
            | Self::WorkerLost(_) => Interests::default(),
            Self::Stats(_) => Interests::STATS,
            Self::System(_) => Interests::SYSTEM,
            Self::Request(_) => Interests::REQUESTS,
            Self::Transaction(_) => Interests::TRANSACTIONS,
            Self::Iteration(_) => Interests::ITERATIONS,
            Self::Check(_) => Interests::CHECKS,
            Self::Sample(_) => Interests::SAMPLES,
            Self::ScriptError(_) => Interests::SCRIPT_ERRORS,
            Self::Log(_) => Interests::LOGS,
        }
    }
}

/// Why a run is winding down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Its executors are through.
    Completed,
    /// The user interrupted it.
    Interrupted,
    /// A threshold with `abort` ended it.
    Threshold(#[serde(with = "json")] Arc<str>),
    /// A script ended it, with this reason.
    Aborted(#[serde(with = "json")] Arc<str>),
    /// Something else, in words.
    Other(#[serde(with = "json")] Arc<str>),
}

/// What a scenario is to have: so many VUs, or so many new iterations a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// VUs.
    Vus(u32),
    /// Iterations a second.
    Rate(f64),
}

impl Default for Load {
    fn default() -> Self {
        Self::Vus(0)
    }
}

/// Prints it as people write it: `1 VU`, `50 VUs`, `12.5/s`.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vus(1) => f.write_str("1 VU"),
            Self::Vus(vus) => write!(f, "{vus} VUs"),
            // Three digits after the point tell any rate that was meant.
            Self::Rate(per_s) => write!(f, "{}/s", (per_s * 1e3).round() / 1e3),
        }
    }
}

/// A scenario's load was set to another one than the plan's, or paused, or
/// resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadChange {
    /// The scenario.
    #[serde(with = "json")]
    pub scenario: Arc<str>,
    /// The target until now; before a resumption nothing.
    #[serde(rename = "before")]
    pub from: Load,
    /// The target from now on; of a pause nothing.
    #[serde(rename = "after")]
    pub to: Load,
    /// What was done.
    #[serde(rename = "action")]
    pub kind: LoadChangeKind,
    /// Who did it.
    pub by: Steerer,
}

/// Prints it as a person is told: `browse: 10 VUs → 50 VUs`.
impl fmt::Display for LoadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario, from, to, ..
        } = self;
        match self.kind {
            LoadChangeKind::Target => write!(f, "{scenario}: {from} → {to}"),
            LoadChangeKind::Paused => write!(f, "{scenario}: paused"),
            LoadChangeKind::Resumed => write!(f, "{scenario}: resumed, {to}"),
        }
    }
}

/// What was done to a scenario's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadChangeKind {
    /// Its target was set.
    Target,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
}

/// What came of the run's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeReport {
    /// Its name.
    #[serde(with = "json")]
    pub shape: Arc<str>,
    /// What it found out, each by its name, in its own order.
    pub findings: Vec<(String, Finding)>,
    /// Why it failed, if it did; it then reports nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Something that a shape found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Finding {
    /// In words.
    Text(String),
    /// A number, which is finite.
    Number {
        /// How many.
        value: f64,
        /// Of what: `/s`, `VUs`. May be empty.
        unit: String,
    },
}

/// Who steers a run beside its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steerer {
    /// Somebody at the keys of the terminal.
    Terminal,
    /// Somebody who called the control API at this address.
    #[serde(rename = "control-api")]
    Api(#[serde(with = "json")] Arc<str>),
    /// The plan's shape.
    Shape,
    /// The Locust master at this address, which gives the load.
    #[serde(rename = "locust-master")]
    Master(#[serde(with = "json")] Arc<str>),
}

impl Steerer {
    /// Whether it was a person's doing, and not foreseen by the plan.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Terminal | Self::Api(_))
    }
}

/// Prints it as the summary and log entries name it.
impl fmt::Display for Steerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal => f.write_str("terminal"),
            Self::Api(address) => write!(f, "control API at {address}"),
            Self::Shape => f.write_str("shape"),
            Self::Master(address) => write!(f, "Locust master at {address}"),
        }
    }
}

/// Statistics of the run: since the last one, and since the start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stats {
    /// The VUs now running.
    pub vus: u32,
    /// Since the last statistics.
    pub interval: Window,
    /// Since the start of the run.
    pub total: Window,
    /// Whether every worker's share is in it.
    pub complete: bool,
}

/// The run as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSummary {
    /// Whether every threshold held and nothing ended the run early.
    pub passed: bool,
    /// The exit code of the program.
    pub exit_code: u8,
    /// Why the run ended.
    pub reason: StopReason,
    /// The last statistics.
    #[serde(with = "json")]
    pub stats: Arc<Stats>,
    /// How the thresholds stand.
    pub thresholds: Vec<Verdict>,
    /// What is missing from the figures, or from what recorders were told.
    pub quality: DataQuality,
}

/// What is missing from a run's figures, or from what recorders were told of it.
/// Which events a recorder did not get, its queue knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataQuality {
    /// Messages of scripts beyond the run's limit.
    pub log_messages_dropped: u64,
    /// Failures of scripts beyond the run's limit, of which recorders were not
    /// told one by one.
    pub script_errors_dropped: u64,
    /// Workers that were lost and did not come back.
    pub workers_lost: u32,
    /// VUs that could not start.
    pub vus_not_started: u32,
    /// How many [`EventKind::ResourceWarning`]s there were.
    pub resource_warnings: u32,
    /// The kinds of names of which there were more than the run's limit.
    pub names_capped: Vec<CappedNames>,
}

/// Names beyond the run's limit, which have no statistics of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CappedNames {
    /// What they name.
    pub kind: NameKind,
    /// How many names have statistics of their own.
    pub limit: usize,
    /// How often others were used.
    pub uses: u64,
}

/// What runs short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Open files.
    OpenFiles,
}

/// A resource that runs short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResourceWarning {
    /// Which.
    pub resource: ResourceKind,
    /// What was measured, in the unit of `limit`.
    pub value: f64,
    /// What it is held against: percent for the processor, bytes for memory,
    /// a number for open files.
    pub limit: f64,
}

/// What a node's process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemUsage {
    /// 100 is one core fully used.
    pub cpu_percent: f64,
    /// How many cores the process may use.
    pub cores: u32,
    /// 100 is all the machine's cores fully used.
    pub machine_cpu_percent: f64,
    /// The part of the machine's time that its own host took from it, in
    /// percent, where the system tells.
    pub machine_steal_percent: Option<f64>,
    /// The latest that a timer of a VUs' thread fired since the last sample.
    pub scheduler_lag_ms: f64,
    /// Resident memory of the process, in bytes.
    pub memory_bytes: u64,
    /// Memory of the machine, in bytes.
    pub machine_memory_bytes: u64,
    /// Threads of the process.
    pub threads: u32,
    /// Files the process has open.
    pub open_files: u32,
    /// Files it may have open.
    pub open_files_limit: u32,
    /// Sent by the machine since the run started.
    pub network_sent_bytes: u64,
    /// Received by the machine since the run started.
    pub network_received_bytes: u64,
    /// Sent by the requests of this process since the run started.
    pub requests_sent_bytes: u64,
    /// Received by the requests of this process since the run started.
    pub requests_received_bytes: u64,
}

/// Where a single measurement was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    /// The scenario.
    #[serde(with = "json")]
    pub scenario: Arc<str>,
    /// The VU's number, from 1.
    pub vu: u32,
    /// The VU's iteration, from 0.
    pub iteration: u32,
}

/// A request and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// The method.
    #[serde(with = "json")]
    pub method: Arc<str>,
    /// The name it is reported under.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// The URL as it was sent.
    #[serde(with = "json")]
    pub url: Arc<str>,
    /// When it was sent: milliseconds since the Unix epoch.
    pub started_at_ms: f64,
    /// What was measured.
    #[serde(flatten)]
    pub sample: RequestSample,
    /// From the start to the end of the response's headers.
    #[serde(default, rename = "first_byte_ms", with = "json")]
    pub first_byte: Option<Duration>,
    /// Why it counts as a failure.
    #[serde(default, with = "json")]
    pub failure: Option<Arc<str>>,
    /// Its tags.
    #[serde(default, with = "json")]
    pub tags: Vec<Tag>,
}

/// A transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transaction {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// How long it took.
    #[serde(rename = "duration_ms", with = "json")]
    pub duration: Duration,
    /// Why it failed.
    #[serde(default, with = "json")]
    pub failure: Option<Arc<str>>,
    /// Its tags.
    #[serde(default, with = "json")]
    pub tags: Vec<Tag>,
}

/// An iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Iteration {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// How long it took.
    #[serde(rename = "duration_ms", with = "json")]
    pub duration: Duration,
    /// In an open model, how long after it was due it started.
    #[serde(
        default,
        rename = "lag_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<Duration>,
    /// Why it failed.
    #[serde(default, with = "json")]
    pub failure: Option<Arc<str>>,
}

/// A check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// Whether it held.
    pub passed: bool,
    /// Its tags.
    #[serde(default, with = "json")]
    pub tags: Vec<Tag>,
}

/// A value of one of the script's metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// The metric.
    #[serde(with = "json")]
    pub metric: Arc<str>,
    /// Its kind.
    pub kind: MetricKind,
    /// The value; 1 or 0 for a rate.
    pub value: f64,
    /// Its tags.
    #[serde(default, with = "json")]
    pub tags: Vec<Tag>,
}

/// A failure of the script's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScriptFailure {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// What went wrong.
    #[serde(flatten)]
    pub error: ScriptError,
}

/// Something the script logged or printed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogMessage {
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    #[serde(with = "json")]
    pub message: Arc<str>,
}

/// The run's clocks: one that never goes back, and the wall's at its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_ms: f64,
}

impl Clock {
    /// Starts the clock of a run.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_ms: since_epoch.as_secs_f64() * 1e3,
        }
    }

    /// The clock of a run that starts, or started, at another time than now, which
    /// is so many milliseconds after the Unix epoch.
    pub fn at(started: Instant, started_ms: f64) -> Self {
        Self {
            started,
            started_ms,
        }
    }

    /// The clock of a run that starts so much later.
    pub fn start_in(lead: Duration) -> Self {
        let now = Self::start();
        Self {
            started: now.started + lead,
            started_ms: now.started_ms + lead.as_secs_f64() * 1e3,
        }
    }

    /// When the run started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How long the run has been going.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A point in time, in milliseconds since the Unix epoch.
    pub fn wall_ms(&self, at: Instant) -> f64 {
        self.started_ms + self.elapsed_at(at).as_secs_f64() * 1e3
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> f64 {
        self.wall_ms(Instant::now())
    }

    /// An event that happens now.
    pub fn event(&self, node: Arc<str>, kind: EventKind) -> Event {
        let now = Instant::now();
        Event {
            time_ms: self.wall_ms(now),
            elapsed: self.elapsed_at(now),
            node,
            kind,
        }
    }

    /// How long the run had been going at a point in time.
    pub fn elapsed_at(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }
}
