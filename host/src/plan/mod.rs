//! The plan: everything a run needs to know, resolved and valid.
//!
//! `config` makes a plan from what the user said; from then on nothing checks
//! it again. It is immutable while the run lasts, and plain data, so that it
//! can be shown, logged, and one day sent to a worker.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub mod share;
mod sink;
pub mod threshold;

pub use share::Share;
pub use sink::{FileSpec, Rotation, SinkSpec};
pub use threshold::Threshold;

use crate::measure::Tag;

/// A valid plan.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The name the user gave to the test plan.
    pub test_plan: String,
    /// What to run, side by side. Never empty.
    pub scenarios: Vec<Scenario>,
    /// What the result is judged by.
    pub thresholds: Vec<Threshold>,
    /// Tags on everything that is reported.
    #[serde(serialize_with = "tags_as_map")]
    pub tags: Vec<Tag>,
    /// Everything random follows from it.
    pub seed: u64,
    /// How requests are sent.
    pub http: HttpPlan,
    /// What a script may use.
    pub limits: Limits,
    /// How long iterations may go on after the run's end before they are cut.
    #[serde(serialize_with = "as_text")]
    pub graceful_stop: Duration,
    /// How often statistics are reported.
    #[serde(serialize_with = "as_text")]
    pub stats_interval: Duration,
    /// How often the use of the machine is reported.
    #[serde(serialize_with = "as_text")]
    pub system_interval: Duration,
    /// The recorders, in the order in which the user named them.
    pub recorders: Vec<RecorderSpec>,
}

impl Plan {
    /// The largest number of VUs that can run at once.
    pub fn max_vus(&self) -> u32 {
        self.scenarios
            .iter()
            .map(|scenario| scenario.executor.vus().get())
            .sum()
    }
}

/// A named way of running a script.
#[derive(Debug, Clone, Serialize)]
pub struct Scenario {
    /// The name, unique in the plan.
    #[serde(serialize_with = "as_str")]
    pub name: Arc<str>,
    /// The component to run.
    pub script: ScriptSource,
    /// How its iterations are started.
    pub executor: Executor,
    /// The script's environment: nothing else of the host's reaches it. Only
    /// the names are shown, since values are often secrets.
    #[serde(serialize_with = "names_only")]
    pub env: Vec<(String, String)>,
}

/// Where a script comes from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptSource {
    /// A component in a file.
    File(PathBuf),
    /// The script of `squall demo`, which is part of the program.
    Demo,
}

/// How iterations are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Executor {
    /// So many VUs, each running one iteration after the other.
    ConstantVus {
        /// How many VUs.
        vus: NonZeroU32,
        /// For how long new iterations start.
        #[serde(serialize_with = "as_text")]
        duration: Duration,
    },
    /// So many iterations, taken by whichever VU is free.
    SharedIterations {
        /// How many VUs.
        vus: NonZeroU32,
        /// How many iterations over all VUs.
        iterations: u64,
        /// For how long new iterations start at the most.
        #[serde(serialize_with = "as_text")]
        max_duration: Duration,
    },
}

impl Executor {
    /// Every executor's name, as users write it.
    pub const NAMES: [&str; 2] = ["constant-vus", "shared-iterations"];

    /// The name, as users write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConstantVus { .. } => "constant-vus",
            Self::SharedIterations { .. } => "shared-iterations",
        }
    }

    /// How many VUs run at once, over all nodes.
    pub fn vus(&self) -> NonZeroU32 {
        match self {
            Self::ConstantVus { vus, .. } | Self::SharedIterations { vus, .. } => *vus,
        }
    }

    /// For how long new iterations start at the most.
    pub fn max_duration(&self) -> Duration {
        match self {
            Self::ConstantVus { duration, .. } => *duration,
            Self::SharedIterations { max_duration, .. } => *max_duration,
        }
    }
}

/// How requests are sent.
#[derive(Debug, Clone, Serialize)]
pub struct HttpPlan {
    /// What relative URLs are resolved against: an absolute `http` or `https`
    /// URL.
    pub base_url: Option<String>,
    /// How long a request may take, unless the script says otherwise.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// The only hosts that a script may reach: names in lower case, without a
    /// port. `None` is any.
    pub allow_hosts: Option<Vec<String>>,
    /// Whether certificates are not checked.
    pub insecure_tls: bool,
}

/// What a script may use.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// The linear memory of one VU, in bytes.
    pub vu_memory: u64,
    /// How long one call into the script may compute. Waiting does not count.
    #[serde(serialize_with = "as_text")]
    pub iteration_timeout: Duration,
    /// How many distinct names of a kind get a row of their own.
    pub names: usize,
    /// How many messages the scripts of the run may log; more are counted.
    pub log_messages: u64,
}

/// A recorder as the user asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecorderSpec {
    /// Which component.
    pub source: RecorderSource,
    /// Where its log entries go; `None` is where `--telemetry` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkSpec>,
    /// Its options, as written: `NAME,key=value`, without those that the host
    /// keeps for itself.
    pub options: Vec<(String, String)>,
    /// How often it gets statistics, if not as often as the others.
    #[serde(
        serialize_with = "as_text_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub interval: Option<Duration>,
}

/// Where a recorder comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecorderSource {
    /// The recorder `json`, which is part of the program.
    Json,
    /// The recorder `locust`, which is part of the program.
    Locust,
    /// A component in a file.
    File(PathBuf),
}

fn as_text<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&crate::units::Pretty(*value))
}

fn as_text_if_any<S: serde::Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => as_text(value, serializer),
        None => serializer.serialize_none(),
    }
}

fn as_str<S: serde::Serializer>(value: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value)
}

fn names_only<S: serde::Serializer>(
    value: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(value.iter().map(|(name, _)| name))
}

fn tags_as_map<S: serde::Serializer>(value: &[Tag], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(value.iter().map(|(name, value)| (&**name, &**value)))
}
