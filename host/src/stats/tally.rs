//! What the measurements that a threshold is on come to, in a form that merges
//! without loss and of which every aggregate can be taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Trend};
use super::snapshot::{MetricSeries, MetricValue};
use crate::measure::{MetricKind, RequestSample};
use crate::plan::threshold::{Aggregate, BuiltIn, Metric, Shape};

/// The measurements of one metric, or of a part of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tally {
    /// None yet, and of a kind that is not known yet.
    #[default]
    Unknown,
    /// A sum.
    Counter {
        /// The sum.
        sum: f64,
        /// Of how many values.
        count: u64,
    },
    /// The share of hits.
    Rate {
        /// How many hits.
        hits: u64,
        /// Of how many.
        count: u64,
    },
    /// Times.
    Times(Histogram),
    /// The values of a trend of the script's.
    Trend(Box<Trend>),
    /// The values of a gauge.
    Gauge(Gauge),
}

/// The values of a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// The latest.
    pub value: f64,
    /// When it was set: milliseconds on any clock that all of them share.
    pub at_ms: f64,
    /// The smallest, from the first on.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            value: 0.0,
            at_ms: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Gauge {
    /// Whether it was never set.
    pub fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// Sets it.
    pub fn set(&mut self, value: f64, at_ms: f64) {
        self.merge(&Self {
            value,
            at_ms,
            min: value,
            max: value,
        });
    }

    /// Adds all that `other` holds. Of two values of the same time the other
    /// one counts.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() || !other.is_empty() && other.at_ms >= self.at_ms {
            (self.value, self.at_ms) = (other.value, other.at_ms);
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Tally {
    /// No measurements of a metric.
    pub fn of(metric: &Metric) -> Self {
        match metric.shape() {
            None => Self::Unknown,
            Some(Shape::Counter) => Self::Counter { sum: 0.0, count: 0 },
            Some(Shape::Rate) => Self::Rate { hits: 0, count: 0 },
            Some(Shape::Trend) => Self::Times(Histogram::default()),
            Some(Shape::Gauge) => Self::Gauge(Gauge::default()),
        }
    }

    /// No measurements of a metric of the script's.
    pub(super) fn of_kind(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter { sum: 0.0, count: 0 },
            MetricKind::Rate => Self::Rate { hits: 0, count: 0 },
            MetricKind::Trend => Self::Trend(Box::default()),
            MetricKind::Gauge => Self::Gauge(Gauge::default()),
        }
    }

    /// Gives up what was measured, and starts anew.
    pub(super) fn take(&mut self) -> Self {
        let anew = match self {
            Self::Unknown => Self::Unknown,
            Self::Counter { .. } => Self::Counter { sum: 0.0, count: 0 },
            Self::Rate { .. } => Self::Rate { hits: 0, count: 0 },
            Self::Times(_) => Self::Times(Histogram::default()),
            Self::Trend(_) => Self::Trend(Box::default()),
            Self::Gauge(_) => Self::Gauge(Gauge::default()),
        };
        std::mem::replace(self, anew)
    }

    /// Adds what a request is to a metric.
    pub(super) fn add_request(&mut self, metric: BuiltIn, sample: &RequestSample) {
        let phases = &sample.phases;
        match metric {
            BuiltIn::HttpReqs => self.add_count(1.0),
            BuiltIn::DataSent => self.add_count(sample.sent_bytes as f64),
            BuiltIn::DataReceived => self.add_count(sample.received_bytes as f64),
            BuiltIn::HttpReqFailed => self.add_hits(u64::from(sample.failed), 1),
            BuiltIn::HttpReqDuration => self.add_time(Some(sample.duration)),
            BuiltIn::HttpReqDurationFromDue => self.add_time(sample.from_due),
            BuiltIn::HttpReqConnecting => self.add_time(phases.connecting),
            BuiltIn::HttpReqTlsHandshaking => self.add_time(phases.tls),
            BuiltIn::HttpReqWaiting => self.add_time(phases.waiting),
            BuiltIn::HttpReqReceiving => self.add_time(phases.receiving),
            BuiltIn::TransactionDuration
            | BuiltIn::TransactionFailed
            | BuiltIn::Iterations
            | BuiltIn::IterationDuration
            | BuiltIn::IterationLag
            | BuiltIn::DroppedIterations
            | BuiltIn::Checks
            | BuiltIn::Vus
            | BuiltIn::VusMax => {}
        }
    }

    /// Adds to a sum.
    pub(super) fn add_count(&mut self, amount: f64) {
        if let Self::Counter { sum, count } = self {
            *sum += amount;
            *count += 1;
        }
    }

    /// Adds to a share.
    pub(super) fn add_hits(&mut self, more: u64, of: u64) {
        if let Self::Rate { hits, count } = self {
            *hits += more;
            *count += of;
        }
    }

    /// Adds a time, if there is one.
    pub(super) fn add_time(&mut self, time: Option<Duration>) {
        if let (Self::Times(times), Some(time)) = (self, time) {
            times.record(time);
        }
    }

    /// Adds a value of a metric of the script's, of the kind of its first use.
    pub(super) fn add_value(&mut self, kind: MetricKind, value: f64, now_ms: f64) {
        if let Self::Unknown = self {
            *self = Self::of_kind(kind);
        }
        match self {
            Self::Counter { .. } => self.add_count(value),
            Self::Rate { .. } => self.add_hits(u64::from(value != 0.0), 1),
            Self::Trend(trend) => trend.record(value),
            Self::Gauge(gauge) => gauge.set(value, now_ms),
            Self::Times(_) | Self::Unknown => {}
        }
    }

    /// Adds times.
    pub(super) fn merge_times(&mut self, more: &Histogram) {
        if let Self::Times(times) = self {
            times.merge(more);
        }
    }

    /// Adds what was added to a metric of the script's.
    pub(super) fn merge_series(&mut self, series: &MetricSeries) {
        if let Self::Unknown = self {
            *self = Self::of_kind(series.value.kind());
        }
        match (self, &series.value) {
            (Self::Counter { sum, count }, MetricValue::Counter(more)) => {
                *sum += more;
                *count += series.count;
            }
            (Self::Rate { hits, count }, MetricValue::Rate { hits: more }) => {
                *hits += more;
                *count += series.count;
            }
            (Self::Trend(ours), MetricValue::Trend(theirs)) => ours.merge(theirs),
            (Self::Gauge(ours), MetricValue::Gauge(theirs)) => ours.merge(theirs),
            _ => {}
        }
    }

    /// Adds all that `other` holds, which is of the same metric.
    pub fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Unknown, other) => *self = other.clone(),
            (
                Self::Counter { sum, count },
                Self::Counter {
                    sum: more,
                    count: of,
                },
            ) => {
                *sum += more;
                *count += of;
            }
            (
                Self::Rate { hits, count },
                Self::Rate {
                    hits: more,
                    count: of,
                },
            ) => {
                *hits += more;
                *count += of;
            }
            (Self::Times(ours), Self::Times(theirs)) => ours.merge(theirs),
            (Self::Trend(ours), Self::Trend(theirs)) => ours.merge(theirs),
            (Self::Gauge(ours), Self::Gauge(theirs)) => ours.merge(theirs),
            // Two VUs used the name with two kinds before either could know.
            _ => {}
        }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Counter { count, .. } | Self::Rate { count, .. } => *count == 0,
            Self::Times(times) => times.count() == 0,
            Self::Trend(trend) => trend.count() == 0,
            Self::Gauge(gauge) => gauge.is_empty(),
        }
    }

    /// The kind, if it is known.
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Self::Unknown => None,
            Self::Counter { .. } => Some(Shape::Counter),
            Self::Rate { .. } => Some(Shape::Rate),
            Self::Times(_) | Self::Trend(_) => Some(Shape::Trend),
            Self::Gauge(_) => Some(Shape::Gauge),
        }
    }

    /// A number of what was measured in `elapsed`: times in milliseconds. Absent
    /// if nothing was measured, unless it is a number of things; also if the
    /// kind has no such aggregate.
    pub fn aggregate(&self, aggregate: Aggregate, elapsed: Duration) -> Option<f64> {
        match self {
            Self::Unknown => (aggregate == Aggregate::Count).then_some(0.0),
            Self::Counter { sum, .. } => match aggregate {
                Aggregate::Count => Some(*sum),
                Aggregate::Rate if !elapsed.is_zero() => Some(sum / elapsed.as_secs_f64()),
                _ => None,
            },
            Self::Rate { hits, count } => {
                let is_known = aggregate == Aggregate::Rate && *count > 0;
                is_known.then(|| *hits as f64 / *count as f64)
            }
            Self::Times(times) if aggregate == Aggregate::Count => Some(times.count() as f64),
            Self::Trend(trend) if aggregate == Aggregate::Count => Some(trend.count() as f64),
            _ if self.is_empty() => None,
            Self::Times(times) => match aggregate {
                Aggregate::Quantile(quantile) => Some(times.quantile(quantile) as f64 / 1e3),
                Aggregate::Min => Some(times.min() as f64 / 1e3),
                Aggregate::Max => Some(times.max() as f64 / 1e3),
                Aggregate::Mean => Some(times.mean() / 1e3),
                Aggregate::Count | Aggregate::Rate | Aggregate::Value => None,
            },
            Self::Trend(trend) => match aggregate {
                Aggregate::Quantile(quantile) => Some(trend.quantile(quantile)),
                Aggregate::Min => Some(trend.distribution().min),
                Aggregate::Max => Some(trend.distribution().max),
                Aggregate::Mean => Some(trend.distribution().mean),
                Aggregate::Count | Aggregate::Rate | Aggregate::Value => None,
            },
            Self::Gauge(gauge) => match aggregate {
                Aggregate::Value => Some(gauge.value),
                Aggregate::Min => Some(gauge.min),
                Aggregate::Max => Some(gauge.max),
                _ => None,
            },
        }
    }
}
