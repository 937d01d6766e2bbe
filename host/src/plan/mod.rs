//! The plan: everything a run needs to know, resolved and valid.
//!
//! `config` makes a plan from what the user said; from then on nothing checks
//! it again. It is immutable while the run lasts, and plain data, so that it
//! can be shown, logged, and one day sent to a worker.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod data;
mod shape;
pub mod share;
mod sink;
pub mod threshold;
mod weight;

pub use data::{AtEnd, DataFormat, DataOrder, DataSpec};
pub use shape::{ENDLESS, ShapeSpec};
pub use share::Share;
pub use sink::{FileSpec, Rotation, SinkSpec};
pub use threshold::Threshold;
pub use weight::{TooLittle, deal};

use crate::measure::Tag;
use crate::units::Rate;

/// The tag in [`Plan::group_by`] that is the scenario's name.
pub const GROUP_BY_SCENARIO: &str = "scenario";

/// A valid plan.
///
/// It has two forms: one to be shown, with durations as people write them and
/// without the values of the environment, and one to be sent, where nothing is
/// lost. Which it is follows from whether the format is for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The name the user gave to the test plan.
    pub test_plan: String,
    /// What to run, side by side. Never empty.
    pub scenarios: Vec<Scenario>,
    /// What says, while the run goes on, how much load there is: of the only
    /// scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<ShapeSpec>,
    /// What the result is judged by.
    pub thresholds: Vec<Threshold>,
    /// Tags of the run, on everything that is reported.
    #[serde(with = "tags_as_map")]
    pub tags: Vec<Tag>,
    /// The tags by whose values results are split, each once. With more than one
    /// scenario [`GROUP_BY_SCENARIO`] is among them.
    pub group_by: Vec<String>,
    /// Everything random follows from it.
    pub seed: u64,
    /// The files whose rows scripts are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataSpec>,
    /// What a script may use.
    pub limits: Limits,
    /// How often statistics are reported.
    #[serde(with = "time")]
    pub stats_interval: Duration,
    /// How often the use of the machine is reported.
    #[serde(with = "time")]
    pub system_interval: Duration,
    /// The recorders, in the order in which the user named them. Those of one
    /// node: they are not read back.
    #[serde(skip_deserializing)]
    pub recorders: Vec<RecorderSpec>,
}

impl Plan {
    /// The largest number of VUs that can run at once.
    pub fn max_vus(&self) -> u32 {
        self.scenarios
            .iter()
            .map(|scenario| scenario.max_vus.get())
            .fold(0, u32::saturating_add)
    }

    /// How long the run lasts if nothing holds it up: until the last scenario
    /// starts no more iterations.
    pub fn duration(&self) -> Duration {
        self.scenarios
            .iter()
            .map(|scenario| scenario.start_time + scenario.executor.duration())
            .max()
            .unwrap_or_default()
    }
}

/// A named way of running a script.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// The name, unique in the plan.
    #[serde(with = "crate::measure::json")]
    pub name: Arc<str>,
    /// The component to run.
    pub script: ScriptSource,
    /// How its iterations are started.
    pub executor: Executor,
    /// How long after the run's start the scenario starts.
    #[serde(with = "time")]
    pub start_time: Duration,
    /// How long iterations may go on after the scenario's end before they are
    /// cut.
    #[serde(with = "time")]
    pub graceful_stop: Duration,
    /// The most VUs that can run at once, over all nodes.
    pub max_vus: NonZeroU32,
    /// The script's environment: nothing else of the host's reaches it. Only
    /// the names are shown, since values are often secrets.
    #[serde(with = "environment")]
    pub env: Vec<(String, String)>,
    /// How its requests are sent.
    pub http: HttpPlan,
    /// Tags on everything that it reports, the plan's among them.
    #[serde(with = "tags_as_map")]
    pub tags: Vec<Tag>,
}

/// Where a script comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptSource {
    /// A component in a file.
    File(PathBuf),
    /// The script of `squall demo`, which is part of the program.
    Demo,
}

/// How iterations are started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Executor {
    /// So many VUs, each running one iteration after the other.
    ConstantVus {
        /// How many VUs.
        vus: NonZeroU32,
        /// For how long new iterations start.
        #[serde(with = "time")]
        duration: Duration,
    },
    /// A number of VUs that changes, each running one iteration after the
    /// other.
    RampingVus {
        /// How many VUs there are at the start.
        start_vus: u32,
        /// What the number goes to. Never empty, and never lasting no time.
        stages: Vec<Stage<u32>>,
        /// How long a VU that is one too many may go on with its iteration
        /// before it is cut.
        #[serde(with = "time")]
        graceful_ramp_down: Duration,
    },
    /// So many iterations for each VU.
    PerVuIterations {
        /// How many VUs.
        vus: NonZeroU32,
        /// How many iterations each VU runs.
        iterations: u64,
        /// For how long new iterations start at the most.
        #[serde(with = "time")]
        max_duration: Duration,
    },
    /// So many iterations, taken by whichever VU is free.
    SharedIterations {
        /// How many VUs.
        vus: NonZeroU32,
        /// How many iterations over all VUs.
        iterations: u64,
        /// For how long new iterations start at the most.
        #[serde(with = "time")]
        max_duration: Duration,
    },
    /// So many iterations a second, whatever the target does.
    ConstantArrivalRate {
        /// How many.
        rate: Rate,
        /// For how long.
        #[serde(with = "time")]
        duration: Duration,
        /// How they are spread over time.
        arrivals: Arrivals,
    },
    /// Iterations at a rate that changes, whatever the target does.
    RampingArrivalRate {
        /// The rate at the start.
        start_rate: Rate,
        /// What the rate goes to. Never empty, and never lasting no time.
        stages: Vec<Stage<Rate>>,
        /// How they are spread over time.
        arrivals: Arrivals,
    },
}

/// A stretch of time in which a value goes in a straight line to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage<T> {
    /// How long it lasts. In none at all the value jumps.
    #[serde(with = "time")]
    pub duration: Duration,
    /// What the value is at its end.
    pub target: T,
}

/// How the arrivals of a rate are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// As evenly as can be.
    #[default]
    Even,
    /// As if by people who know nothing of each other: a Poisson process.
    Poisson,
}

impl Executor {
    /// Every executor's name, as users write it.
    pub const NAMES: [&str; 6] = [
        "constant-vus",
        "ramping-vus",
        "per-vu-iterations",
        "shared-iterations",
        "constant-arrival-rate",
        "ramping-arrival-rate",
    ];

    /// The name, as users write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConstantVus { .. } => "constant-vus",
            Self::RampingVus { .. } => "ramping-vus",
            Self::PerVuIterations { .. } => "per-vu-iterations",
            Self::SharedIterations { .. } => "shared-iterations",
            Self::ConstantArrivalRate { .. } => "constant-arrival-rate",
            Self::RampingArrivalRate { .. } => "ramping-arrival-rate",
        }
    }

    /// How many VUs there are at once at the most, over all nodes. `None` for
    /// an open model, which makes as many as it takes.
    pub fn vus(&self) -> Option<NonZeroU32> {
        match self {
            Self::ConstantVus { vus, .. }
            | Self::PerVuIterations { vus, .. }
            | Self::SharedIterations { vus, .. } => Some(*vus),
            Self::RampingVus {
                start_vus, stages, ..
            } => {
                let most = stages.iter().map(|stage| stage.target).max().unwrap_or(0);
                Some(NonZeroU32::new(most.max(*start_vus)).unwrap_or(NonZeroU32::MIN))
            }
            Self::ConstantArrivalRate { .. } | Self::RampingArrivalRate { .. } => None,
        }
    }

    /// For how long new iterations start at the most.
    pub fn duration(&self) -> Duration {
        fn total<T>(stages: &[Stage<T>]) -> Duration {
            stages.iter().map(|stage| stage.duration).sum()
        }
        match self {
            Self::ConstantVus { duration, .. } | Self::ConstantArrivalRate { duration, .. } => {
                *duration
            }
            Self::PerVuIterations { max_duration, .. }
            | Self::SharedIterations { max_duration, .. } => *max_duration,
            Self::RampingVus { stages, .. } => total(stages),
            Self::RampingArrivalRate { stages, .. } => total(stages),
        }
    }

    /// How many iterations there are in all, over all nodes, if it is their
    /// number that ends it.
    pub fn iterations(&self) -> Option<u64> {
        match self {
            Self::PerVuIterations {
                vus, iterations, ..
            } => Some(iterations.saturating_mul(vus.get().into())),
            Self::SharedIterations { iterations, .. } => Some(*iterations),
            _ => None,
        }
    }

    /// Whether iterations start when they are due, and not when a VU is free.
    pub fn is_open(&self) -> bool {
        matches!(
            self,
            Self::ConstantArrivalRate { .. } | Self::RampingArrivalRate { .. }
        )
    }
}

/// How requests are sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HttpPlan {
    /// What relative URLs are resolved against: an absolute `http` or `https`
    /// URL.
    pub base_url: Option<String>,
    /// How long a request may take, unless the script says otherwise.
    #[serde(with = "time")]
    pub timeout: Duration,
    /// The only hosts that a script may reach: names in lower case, without a
    /// port. `None` is any.
    pub allow_hosts: Option<Vec<String>>,
    /// Whether certificates are not checked.
    pub insecure_tls: bool,
}

/// What a script may use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limits {
    /// The linear memory of one VU, in bytes.
    pub vu_memory: u64,
    /// How long one call into the script may compute. Waiting does not count.
    #[serde(with = "time")]
    pub iteration_timeout: Duration,
    /// How long `setup` may take, waiting included.
    #[serde(with = "time")]
    pub setup_timeout: Duration,
    /// How long `teardown` may take, waiting included.
    #[serde(with = "time")]
    pub teardown_timeout: Duration,
    /// How long a VU's `on-start` may take, waiting included.
    #[serde(with = "time")]
    pub on_start_timeout: Duration,
    /// How long a VU's `on-stop` may take, waiting included.
    #[serde(with = "time")]
    pub on_stop_timeout: Duration,
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
        serialize_with = "time::if_any",
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

/// A length of time, as people write it or in nanoseconds.
mod time {
    use std::fmt;
    use std::time::Duration;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    use super::ENDLESS;
    use crate::units::{Pretty, parse_duration};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
            return serializer.serialize_u64(nanos);
        }
        if *value >= ENDLESS {
            return serializer.serialize_str("endless");
        }
        serializer.collect_str(&Pretty(*value))
    }

    pub(super) fn if_any<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        // Within an enum that names its case in a field, formats no longer tell
        // for whom they are: whatever is there is taken.
        deserializer.deserialize_any(Either)
    }

    struct Either;

    impl Visitor<'_> for Either {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("nanoseconds, or a duration such as `30s`")
        }

        fn visit_u64<E: Error>(self, nanos: u64) -> Result<Duration, E> {
            Ok(Duration::from_nanos(nanos))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            match text {
                "endless" => Ok(ENDLESS),
                text => parse_duration(text).map_err(E::custom),
            }
        }
    }
}

/// The names of the environment's variables, or everything.
mod environment {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &[(String, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_seq(value.iter().map(|(name, _)| name));
        }
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, String)>, D::Error> {
        Vec::deserialize(deserializer)
    }
}

/// Tags as an object, in their order.
mod tags_as_map {
    use std::fmt;

    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde::ser::Serializer;

    use crate::measure::Tag;

    pub(super) fn serialize<S: Serializer>(
        value: &[Tag],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(value.iter().map(|(name, value)| (&**name, &**value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Tag>, D::Error> {
        deserializer.deserialize_map(Tags)
    }

    struct Tags;

    impl<'de> Visitor<'de> for Tags {
        type Value = Vec<Tag>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tags by their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Tag>, A::Error> {
            let mut tags = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                tags.push((name.into(), value.into()));
            }
            Ok(tags)
        }
    }
}
