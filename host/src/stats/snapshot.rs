//! What was measured over some stretch of time, in a form that merges without
//! loss: counts, sums and histograms.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::histogram::{Histogram, Trend};
use super::window::Window;
use crate::measure::{MetricKind, RequestSample};

/// Counts and distributions by name. Merging is associative and commutative,
/// but for a gauge, which keeps its latest value.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By method and name.
    pub requests: FxHashMap<RequestKey, RequestSeries>,
    /// By name.
    pub transactions: FxHashMap<Arc<str>, TransactionSeries>,
    /// By scenario.
    pub script_failures: FxHashMap<Arc<str>, FailureTable>,
    /// By name.
    pub checks: FxHashMap<Arc<str>, CheckCount>,
    /// By name.
    pub metrics: FxHashMap<Arc<str>, MetricSeries>,
    /// All iterations.
    pub iterations: IterationSeries,
}

/// What requests are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// The method, as it goes over the wire.
    pub method: Arc<str>,
    /// The name the script gave, or the path.
    pub name: Arc<str>,
}

/// Requests of one method and name.
#[derive(Debug, Clone, Default)]
pub struct RequestSeries {
    /// Of all requests; its count is theirs.
    pub duration: Histogram,
    /// Of the requests that opened a connection.
    pub connecting: Histogram,
    /// Of the requests that made a TLS handshake.
    pub tls: Histogram,
    /// Of the requests that were answered.
    pub waiting: Histogram,
    /// Of the requests that were answered in full.
    pub receiving: Histogram,
    /// How many of the requests failed.
    pub failed: u64,
    /// How many answers had which status, in ascending order; 0 for none.
    pub statuses: Vec<(u16, u64)>,
    /// Why requests failed.
    pub failures: FailureTable,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

impl RequestSeries {
    /// Adds one request.
    pub fn record(&mut self, sample: &RequestSample) {
        self.duration.record(sample.duration);
        let phases = [
            (&mut self.connecting, sample.phases.connecting),
            (&mut self.tls, sample.phases.tls),
            (&mut self.waiting, sample.phases.waiting),
            (&mut self.receiving, sample.phases.receiving),
        ];
        for (histogram, time) in phases {
            if let Some(time) = time {
                histogram.record(time);
            }
        }
        self.failed += u64::from(sample.failed);
        self.count_status(sample.status, 1);
        self.sent_bytes += sample.sent_bytes;
        self.received_bytes += sample.received_bytes;
    }

    fn count_status(&mut self, status: u16, count: u64) {
        match self
            .statuses
            .binary_search_by_key(&status, |(status, _)| *status)
        {
            Ok(at) => self.statuses[at].1 += count,
            Err(at) => self.statuses.insert(at, (status, count)),
        }
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.duration.merge(&other.duration);
        self.connecting.merge(&other.connecting);
        self.tls.merge(&other.tls);
        self.waiting.merge(&other.waiting);
        self.receiving.merge(&other.receiving);
        self.failed += other.failed;
        for (status, count) in &other.statuses {
            self.count_status(*status, *count);
        }
        self.failures.merge(&other.failures);
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

/// Transactions of one name.
#[derive(Debug, Clone, Default)]
pub struct TransactionSeries {
    /// Of all of them; its count is theirs.
    pub duration: Histogram,
    /// How many failed.
    pub failed: u64,
    /// Why they failed.
    pub failures: FailureTable,
}

/// Failures by their message.
#[derive(Debug, Clone, Default)]
pub struct FailureTable(pub FxHashMap<Arc<str>, FailureCount>);

impl FailureTable {
    fn merge(&mut self, other: &Self) {
        for (message, theirs) in &other.0 {
            match self.0.get_mut(message) {
                Some(ours) => {
                    ours.occurrences += theirs.occurrences;
                    ours.first_seen_ms = ours.first_seen_ms.min(theirs.first_seen_ms);
                    ours.last_seen_ms = ours.last_seen_ms.max(theirs.last_seen_ms);
                    if ours.stack.is_none() {
                        ours.stack.clone_from(&theirs.stack);
                    }
                }
                None => {
                    self.0.insert(message.clone(), theirs.clone());
                }
            }
        }
    }
}

/// How often one failure occurred, and when.
#[derive(Debug, Clone)]
pub struct FailureCount {
    /// How often.
    pub occurrences: u64,
    /// Milliseconds since the Unix epoch.
    pub first_seen_ms: f64,
    /// Milliseconds since the Unix epoch.
    pub last_seen_ms: f64,
    /// The stack of one occurrence, if the failure is the script's own.
    pub stack: Option<Arc<str>>,
}

/// Checks of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCount {
    /// How many held.
    pub passes: u64,
    /// How many did not.
    pub failures: u64,
}

/// One of the script's metrics.
#[derive(Debug, Clone)]
pub struct MetricSeries {
    /// How many values were added.
    pub count: u64,
    /// What they come to.
    pub value: MetricValue,
}

impl MetricSeries {
    /// A metric without a value.
    pub fn new(kind: MetricKind) -> Self {
        let value = match kind {
            MetricKind::Counter => MetricValue::Counter(0.0),
            MetricKind::Gauge => MetricValue::Gauge {
                value: 0.0,
                at_ms: 0.0,
            },
            MetricKind::Rate => MetricValue::Rate { hits: 0 },
            MetricKind::Trend => MetricValue::Trend(Box::default()),
        };
        Self { count: 0, value }
    }

    /// Gives up what was added and starts anew. A gauge keeps its value.
    pub fn take(&mut self) -> Self {
        let anew = match &self.value {
            MetricValue::Gauge { value, at_ms } => MetricValue::Gauge {
                value: *value,
                at_ms: *at_ms,
            },
            value => Self::new(value.kind()).value,
        };
        Self {
            count: std::mem::take(&mut self.count),
            value: std::mem::replace(&mut self.value, anew),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.value, &other.value) {
            (MetricValue::Counter(ours), MetricValue::Counter(theirs)) => *ours += theirs,
            (
                MetricValue::Gauge { value, at_ms },
                MetricValue::Gauge {
                    value: theirs,
                    at_ms: their_ms,
                },
            ) => {
                if *their_ms >= *at_ms {
                    (*value, *at_ms) = (*theirs, *their_ms);
                }
            }
            (MetricValue::Rate { hits }, MetricValue::Rate { hits: theirs }) => *hits += theirs,
            (MetricValue::Trend(ours), MetricValue::Trend(theirs)) => ours.merge(theirs),
            // Two VUs used the name with two kinds before either could know:
            // the first one merged stays, as the first use does.
            _ => return,
        }
        self.count += other.count;
    }
}

/// What a metric's values come to.
#[derive(Debug, Clone)]
pub enum MetricValue {
    /// The sum.
    Counter(f64),
    /// The latest value.
    Gauge {
        /// The value.
        value: f64,
        /// When it was set: milliseconds since the Unix epoch.
        at_ms: f64,
    },
    /// The hits among the values.
    Rate {
        /// How many.
        hits: u64,
    },
    /// The distribution.
    Trend(Box<Trend>),
}

impl MetricValue {
    /// The kind of the metric.
    pub fn kind(&self) -> MetricKind {
        match self {
            Self::Counter(_) => MetricKind::Counter,
            Self::Gauge { .. } => MetricKind::Gauge,
            Self::Rate { .. } => MetricKind::Rate,
            Self::Trend(_) => MetricKind::Trend,
        }
    }
}

/// Iterations.
#[derive(Debug, Clone, Default)]
pub struct IterationSeries {
    /// Those that came to an end by themselves.
    pub finished: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those that were cut short because the run ended.
    pub interrupted: u64,
    /// Those that were due but could not start.
    pub dropped: u64,
    /// Of the finished ones.
    pub duration: Histogram,
    /// Of the finished ones: from due until started.
    pub lag: Histogram,
}

impl IterationSeries {
    fn merge(&mut self, other: &Self) {
        self.finished += other.finished;
        self.failed += other.failed;
        self.interrupted += other.interrupted;
        self.dropped += other.dropped;
        self.duration.merge(&other.duration);
        self.lag.merge(&other.lag);
    }
}

impl Snapshot {
    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (key, series) in &other.requests {
            self.requests.entry(key.clone()).or_default().merge(series);
        }
        for (name, series) in &other.transactions {
            let ours = self.transactions.entry(name.clone()).or_default();
            ours.duration.merge(&series.duration);
            ours.failed += series.failed;
            ours.failures.merge(&series.failures);
        }
        for (scenario, failures) in &other.script_failures {
            self.script_failures
                .entry(scenario.clone())
                .or_default()
                .merge(failures);
        }
        for (name, count) in &other.checks {
            let ours = self.checks.entry(name.clone()).or_default();
            ours.passes += count.passes;
            ours.failures += count.failures;
        }
        for (name, series) in &other.metrics {
            self.metrics
                .entry(name.clone())
                .or_insert_with(|| MetricSeries::new(series.value.kind()))
                .merge(series);
        }
        self.iterations.merge(&other.iterations);
    }

    /// Whether nothing at all was recorded.
    pub fn is_empty(&self) -> bool {
        let iterations = &self.iterations;
        self.requests.is_empty()
            && self.transactions.is_empty()
            && self.script_failures.is_empty()
            && self.checks.is_empty()
            && self.metrics.is_empty()
            && iterations.finished + iterations.interrupted + iterations.dropped == 0
    }

    /// All requests together.
    pub fn all_requests(&self) -> RequestSeries {
        let mut all = RequestSeries::default();
        self.requests.values().for_each(|series| all.merge(series));
        all
    }

    /// The snapshot in numbers, taken to span `duration`.
    pub fn window(&self, duration: Duration) -> Window {
        Window::of(self, duration)
    }
}
