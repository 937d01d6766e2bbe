//! What was measured over some stretch of time, in a form that merges without
//! loss: counts, sums and histograms.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Trend};
use super::tally::{Gauge, Tally};
use super::window::Window;
use super::wire::{by_name, by_request};
use crate::measure::{DropReason, IterationEnd, MetricKind, RequestSample, json};

/// Counts and distributions by name. Merging is associative and commutative,
/// but for a gauge, which keeps its latest value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// By method and name.
    #[serde(with = "by_request")]
    pub requests: FxHashMap<RequestKey, RequestSeries>,
    /// By name.
    #[serde(with = "by_name")]
    pub transactions: FxHashMap<Arc<str>, TransactionSeries>,
    /// By scenario.
    #[serde(with = "by_name")]
    pub script_failures: FxHashMap<Arc<str>, FailureTable>,
    /// By name.
    #[serde(with = "by_name")]
    pub checks: FxHashMap<Arc<str>, CheckCount>,
    /// By name.
    #[serde(with = "by_name")]
    pub metrics: FxHashMap<Arc<str>, MetricSeries>,
    /// All iterations.
    pub iterations: IterationSeries,
    /// What thresholds are on beside all this, as
    /// [`Tracking`](super::Tracking) numbers it.
    pub tracked: Vec<Tally>,
    /// Requests by the value of a tag, a table for each tag that the run is
    /// grouped by.
    pub groups: Vec<GroupTable>,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestSeries {
    /// Of all requests; its count is theirs.
    pub duration: Histogram,
    /// Of the requests of an open model: from when their iteration was due.
    pub from_due: Histogram,
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
        let parts = [
            (&mut self.from_due, sample.from_due),
            (&mut self.connecting, sample.phases.connecting),
            (&mut self.tls, sample.phases.tls),
            (&mut self.waiting, sample.phases.waiting),
            (&mut self.receiving, sample.phases.receiving),
        ];
        for (histogram, time) in parts {
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
        self.from_due.merge(&other.from_due);
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

/// Requests by the value of one tag.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupTable {
    /// The tag.
    #[serde(with = "json")]
    pub tag: Arc<str>,
    /// By value. Those without the tag are a value, and so are all beyond the
    /// limit.
    #[serde(with = "by_name")]
    pub values: FxHashMap<Arc<str>, GroupSeries>,
}

impl GroupTable {
    fn merge(&mut self, other: &Self) {
        for (value, series) in &other.values {
            match self.values.get_mut(value) {
                Some(ours) => ours.merge(series),
                None => _ = self.values.insert(value.clone(), series.clone()),
            }
        }
    }
}

/// Requests with one value of a tag.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupSeries {
    /// Of all of them; its count is theirs.
    pub duration: Histogram,
    /// Of those of an open model: from when their iteration was due.
    pub from_due: Histogram,
    /// How many failed.
    pub failed: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// The iterations, if the tag is the scenario.
    pub iterations: Option<Box<IterationSeries>>,
}

impl GroupSeries {
    /// Adds one request.
    pub fn record(&mut self, sample: &RequestSample) {
        self.duration.record(sample.duration);
        if let Some(time) = sample.from_due {
            self.from_due.record(time);
        }
        self.failed += u64::from(sample.failed);
        self.sent_bytes += sample.sent_bytes;
        self.received_bytes += sample.received_bytes;
    }

    fn merge(&mut self, other: &Self) {
        self.duration.merge(&other.duration);
        self.from_due.merge(&other.from_due);
        self.failed += other.failed;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        if let Some(iterations) = &other.iterations {
            let ours = self.iterations.get_or_insert_default();
            ours.merge(iterations);
        }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        let iterations = self.iterations.as_deref();
        self.duration.count() == 0 && iterations.is_none_or(IterationSeries::is_empty)
    }
}

/// Transactions of one name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TransactionSeries {
    /// Of all of them; its count is theirs.
    pub duration: Histogram,
    /// How many failed.
    pub failed: u64,
    /// Why they failed.
    pub failures: FailureTable,
}

/// Failures by their message.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FailureTable(#[serde(with = "by_name")] pub FxHashMap<Arc<str>, FailureCount>);

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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailureCount {
    /// How often.
    pub occurrences: u64,
    /// Milliseconds since the Unix epoch.
    pub first_seen_ms: f64,
    /// Milliseconds since the Unix epoch.
    pub last_seen_ms: f64,
    /// The stack of one occurrence, if the failure is the script's own.
    #[serde(default, with = "json", skip_serializing_if = "Option::is_none")]
    pub stack: Option<Arc<str>>,
}

/// Checks of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCount {
    /// How many held.
    pub passes: u64,
    /// How many did not.
    pub failures: u64,
}

/// One of the script's metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
            MetricKind::Gauge => MetricValue::Gauge(Gauge::default()),
            MetricKind::Rate => MetricValue::Rate { hits: 0 },
            MetricKind::Trend => MetricValue::Trend(Box::default()),
        };
        Self { count: 0, value }
    }

    /// Gives up what was added and starts anew, with the same kind.
    pub fn take(&mut self) -> Self {
        let anew = Self::new(self.value.kind());
        std::mem::replace(self, anew)
    }

    fn merge(&mut self, other: &Self) {
        match (&mut self.value, &other.value) {
            (MetricValue::Counter(ours), MetricValue::Counter(theirs)) => *ours += theirs,
            (MetricValue::Gauge(ours), MetricValue::Gauge(theirs)) => ours.merge(theirs),
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricValue {
    /// The sum.
    Counter(f64),
    /// The latest value, and its bounds. Its time is since the Unix epoch.
    Gauge(Gauge),
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
            Self::Gauge(_) => MetricKind::Gauge,
            Self::Rate { .. } => MetricKind::Rate,
            Self::Trend(_) => MetricKind::Trend,
        }
    }
}

/// Iterations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IterationSeries {
    /// Those that came to an end by themselves.
    pub finished: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those that were cut short because the run ended.
    pub interrupted: u64,
    /// Those that were due but did not start.
    pub dropped: Dropped,
    /// Of the finished ones.
    pub duration: Histogram,
    /// Of the finished ones: from due until started.
    pub lag: Histogram,
}

/// Iterations that were due but did not start, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    no_free_vu: u64,
    vu_failed: u64,
    run_ended: u64,
    no_row: u64,
}

impl Dropped {
    /// Counts some more.
    pub fn add(&mut self, count: u64, reason: DropReason) {
        *match reason {
            DropReason::NoFreeVu => &mut self.no_free_vu,
            DropReason::VuFailed => &mut self.vu_failed,
            DropReason::RunEnded => &mut self.run_ended,
            DropReason::NoRow => &mut self.no_row,
        } += count;
    }

    /// How many there were for this reason.
    pub fn because(&self, reason: DropReason) -> u64 {
        match reason {
            DropReason::NoFreeVu => self.no_free_vu,
            DropReason::VuFailed => self.vu_failed,
            DropReason::RunEnded => self.run_ended,
            DropReason::NoRow => self.no_row,
        }
    }

    /// Whether there were none.
    pub fn is_none(&self) -> bool {
        self.total() == 0
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        DropReason::ALL
            .map(|reason| self.because(reason))
            .iter()
            .sum()
    }
}

impl IterationSeries {
    /// Adds one that came to an end. `lag` is the time from when it was due until
    /// it started, if it was due at any time.
    pub fn record(&mut self, end: IterationEnd, time: Duration, lag: Option<Duration>) {
        match end {
            IterationEnd::Interrupted => {
                self.interrupted += 1;
                return;
            }
            IterationEnd::Failed => self.failed += 1,
            IterationEnd::Passed => {}
        }
        self.finished += 1;
        self.duration.record(time);
        if let Some(lag) = lag {
            self.lag.record(lag);
        }
    }

    /// Whether there were none, and none were due.
    pub fn is_empty(&self) -> bool {
        self.finished + self.interrupted + self.dropped.total() == 0
    }

    fn merge(&mut self, other: &Self) {
        self.finished += other.finished;
        self.failed += other.failed;
        self.interrupted += other.interrupted;
        for reason in DropReason::ALL {
            self.dropped.add(other.dropped.because(reason), reason);
        }
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
        if self.tracked.len() < other.tracked.len() {
            self.tracked
                .resize_with(other.tracked.len(), Tally::default);
        }
        for (ours, theirs) in self.tracked.iter_mut().zip(&other.tracked) {
            ours.merge(theirs);
        }
        for (number, theirs) in other.groups.iter().enumerate() {
            match self.groups.get_mut(number) {
                Some(ours) => ours.merge(theirs),
                None => self.groups.push(theirs.clone()),
            }
        }
    }

    /// Adds the requests and iterations that `other` holds, without their names:
    /// all requests count as one series.
    pub fn merge_nameless(&mut self, other: &Self) {
        let nameless = RequestKey {
            method: Arc::default(),
            name: Arc::default(),
        };
        let ours = self.requests.entry(nameless).or_default();
        other
            .requests
            .values()
            .for_each(|series| ours.merge(series));
        self.iterations.merge(&other.iterations);
    }

    /// Whether nothing at all was recorded.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.transactions.is_empty()
            && self.script_failures.is_empty()
            && self.checks.is_empty()
            && self.metrics.is_empty()
            && self.iterations.is_empty()
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
