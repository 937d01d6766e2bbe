//! A snapshot in numbers: what events, the summary and thresholds read.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OTHER;
use super::groups::NONE;
use super::histogram::Distribution;
use super::snapshot::{
    Dropped, FailureTable, GroupSeries, GroupTable, IterationSeries, MetricValue, RequestSeries,
    Snapshot,
};
use crate::measure::{FailureOrigin, MetricKind, json};

/// Statistics over one stretch of time. Lists are sorted: requests by name and
/// method, failures by how often they occurred, everything else by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Window {
    /// How long the stretch was.
    #[serde(rename = "duration_ms", with = "json")]
    pub duration: Duration,
    /// All requests together.
    pub all: RequestStats,
    /// One for each method and name.
    pub requests: Vec<RequestStats>,
    /// One for each name.
    pub transactions: Vec<TransactionStats>,
    /// One for each distinct failure.
    pub failures: Vec<FailureStats>,
    /// One for each name.
    pub checks: Vec<CheckStats>,
    /// One for each of the script's metrics.
    pub metrics: Vec<MetricStats>,
    /// All iterations.
    pub iterations: IterationStats,
    /// One for each tag that the run is grouped by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupStats>,
}

/// Requests of one method and name, or all of them with both empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestStats {
    /// The method.
    #[serde(with = "json")]
    pub method: Arc<str>,
    /// The name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// How many there were.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many a second.
    pub requests_per_s: f64,
    /// How many failed a second.
    pub failures_per_s: f64,
    /// Of all of them, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub duration: Distribution,
    /// Of those of an open model, from when their iteration was due, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub from_due: Distribution,
    /// Of those that opened a connection, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub connecting: Distribution,
    /// Of those that made a TLS handshake, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub tls: Distribution,
    /// Of those that were answered, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub waiting: Distribution,
    /// Of those that were answered in full, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub receiving: Distribution,
    /// How many answers had which status; 0 stands for none.
    pub statuses: Vec<(u16, u64)>,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// Requests by the value of one tag. Together they are all requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupStats {
    /// The tag.
    #[serde(with = "json")]
    pub tag: Arc<str>,
    /// One for each value; those without the tag and those beyond the limit on
    /// values come last.
    pub values: Vec<ValueStats>,
}

/// Requests with one value of a tag.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ValueStats {
    /// The value.
    #[serde(with = "json")]
    pub value: Arc<str>,
    /// How many there were.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many a second.
    pub requests_per_s: f64,
    /// How many failed a second.
    pub failures_per_s: f64,
    /// Of all of them, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub duration: Distribution,
    /// Of those of an open model, from when their iteration was due, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub from_due: Distribution,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// The iterations, if the tag is the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<IterationStats>,
}

/// Transactions of one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransactionStats {
    /// The name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// How many failed.
    pub failures: u64,
    /// Of all of them, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub duration: Distribution,
}

/// One distinct failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailureStats {
    /// What failed.
    pub origin: FailureOrigin,
    /// The request's method; empty for other origins.
    #[serde(with = "json")]
    pub method: Arc<str>,
    /// The name of the request or transaction; the scenario for a script.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// Why.
    #[serde(with = "json")]
    pub message: Arc<str>,
    /// The stack of one occurrence, if the failure is the script's own.
    #[serde(default, with = "json", skip_serializing_if = "Option::is_none")]
    pub stack: Option<Arc<str>>,
    /// How often.
    pub occurrences: u64,
    /// Milliseconds since the Unix epoch.
    pub first_seen_ms: f64,
    /// Milliseconds since the Unix epoch.
    pub last_seen_ms: f64,
}

/// Checks of one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckStats {
    /// The name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// How many held.
    pub passes: u64,
    /// How many did not.
    pub failures: u64,
}

/// One of the script's metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetricStats {
    /// The name.
    #[serde(with = "json")]
    pub name: Arc<str>,
    /// The kind.
    pub kind: MetricKind,
    /// How many values were added.
    pub count: u64,
    /// A counter's sum, a gauge's latest value, a rate's share of hits, a
    /// trend's mean.
    pub value: f64,
    /// A trend's distribution, in the script's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// Iterations.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct IterationStats {
    /// Those that came to an end by themselves.
    pub finished: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those that were cut short because the run ended.
    pub interrupted: u64,
    /// Those that were due but did not start.
    pub dropped: u64,
    /// Why they did not.
    #[serde(default, skip_serializing_if = "Dropped::is_none")]
    pub dropped_because: Dropped,
    /// Of the finished ones, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub duration: Distribution,
    /// Of the finished ones, from due until started, in milliseconds.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub lag: Distribution,
}

impl Window {
    pub(super) fn of(snapshot: &Snapshot, duration: Duration) -> Self {
        let mut requests: Vec<_> = snapshot
            .requests
            .iter()
            .map(|(key, series)| {
                RequestStats::of(key.method.clone(), key.name.clone(), series, duration)
            })
            .collect();
        requests.sort_by(|a, b| (&a.name, &a.method).cmp(&(&b.name, &b.method)));

        let mut transactions: Vec<_> = snapshot
            .transactions
            .iter()
            .map(|(name, series)| TransactionStats {
                name: name.clone(),
                failures: series.failed,
                duration: series.duration.times(),
            })
            .collect();
        transactions.sort_by(|a, b| a.name.cmp(&b.name));

        let mut checks: Vec<_> = snapshot
            .checks
            .iter()
            .map(|(name, count)| CheckStats {
                name: name.clone(),
                passes: count.passes,
                failures: count.failures,
            })
            .collect();
        checks.sort_by(|a, b| a.name.cmp(&b.name));

        let mut metrics: Vec<_> = snapshot
            .metrics
            .iter()
            .map(|(name, series)| MetricStats::of(name, series.count, &series.value))
            .collect();
        metrics.sort_by(|a, b| a.name.cmp(&b.name));

        let iterations = &snapshot.iterations;
        Self {
            duration,
            all: RequestStats::of(
                Arc::default(),
                Arc::default(),
                &snapshot.all_requests(),
                duration,
            ),
            requests,
            transactions,
            failures: failures(snapshot),
            checks,
            metrics,
            iterations: IterationStats::of(iterations),
            groups: snapshot
                .groups
                .iter()
                .map(|table| GroupStats::of(table, duration))
                .collect(),
        }
    }
}

fn per_s(count: u64, window: Duration) -> f64 {
    match window.as_secs_f64() {
        0.0 => 0.0,
        seconds => count as f64 / seconds,
    }
}

impl IterationStats {
    fn of(series: &IterationSeries) -> Self {
        Self {
            finished: series.finished,
            failed: series.failed,
            interrupted: series.interrupted,
            dropped: series.dropped.total(),
            dropped_because: series.dropped,
            duration: series.duration.times(),
            lag: series.lag.times(),
        }
    }
}

impl GroupStats {
    fn of(table: &GroupTable, window: Duration) -> Self {
        let mut values: Vec<_> = table
            .values
            .iter()
            .map(|(value, series)| ValueStats::of(value.clone(), series, window))
            .collect();
        let is_last = |row: &ValueStats| [NONE, OTHER].contains(&&*row.value);
        values.sort_by(|a, b| (is_last(a), &a.value).cmp(&(is_last(b), &b.value)));
        Self {
            tag: table.tag.clone(),
            values,
        }
    }
}

impl ValueStats {
    fn of(value: Arc<str>, series: &GroupSeries, window: Duration) -> Self {
        let requests = series.duration.count();
        Self {
            value,
            requests,
            failures: series.failed,
            requests_per_s: per_s(requests, window),
            failures_per_s: per_s(series.failed, window),
            duration: series.duration.times(),
            from_due: series.from_due.times(),
            sent_bytes: series.sent_bytes,
            received_bytes: series.received_bytes,
            iterations: series.iterations.as_deref().map(IterationStats::of),
        }
    }
}

impl RequestStats {
    fn of(method: Arc<str>, name: Arc<str>, series: &RequestSeries, window: Duration) -> Self {
        let requests = series.duration.count();
        Self {
            method,
            name,
            requests,
            failures: series.failed,
            requests_per_s: per_s(requests, window),
            failures_per_s: per_s(series.failed, window),
            duration: series.duration.times(),
            from_due: series.from_due.times(),
            connecting: series.connecting.times(),
            tls: series.tls.times(),
            waiting: series.waiting.times(),
            receiving: series.receiving.times(),
            statuses: series.statuses.clone(),
            sent_bytes: series.sent_bytes,
            received_bytes: series.received_bytes,
        }
    }

    /// The share of the requests that failed, from 0 to 1.
    pub fn failed_share(&self) -> f64 {
        if self.requests == 0 {
            0.0
        } else {
            self.failures as f64 / self.requests as f64
        }
    }
}

impl MetricStats {
    fn of(name: &Arc<str>, count: u64, value: &MetricValue) -> Self {
        let distribution = match value {
            MetricValue::Trend(trend) => Some(trend.distribution()),
            _ => None,
        };
        let number = match value {
            MetricValue::Counter(sum) => *sum,
            MetricValue::Gauge(gauge) => gauge.value,
            MetricValue::Rate { hits } if count > 0 => *hits as f64 / count as f64,
            MetricValue::Rate { .. } => 0.0,
            MetricValue::Trend(_) => distribution.map_or(0.0, |trend| trend.mean),
        };
        Self {
            name: name.clone(),
            kind: value.kind(),
            count,
            value: number,
            distribution,
        }
    }
}

fn failures(snapshot: &Snapshot) -> Vec<FailureStats> {
    let mut list = Vec::new();
    let mut add = |origin, method: &Arc<str>, name: &Arc<str>, table: &FailureTable| {
        list.extend(table.0.iter().map(|(message, count)| FailureStats {
            origin,
            method: method.clone(),
            name: name.clone(),
            message: message.clone(),
            stack: count.stack.clone(),
            occurrences: count.occurrences,
            first_seen_ms: count.first_seen_ms,
            last_seen_ms: count.last_seen_ms,
        }));
    };
    let none = Arc::default();
    for (key, series) in &snapshot.requests {
        add(
            FailureOrigin::Request,
            &key.method,
            &key.name,
            &series.failures,
        );
    }
    for (name, series) in &snapshot.transactions {
        add(FailureOrigin::Transaction, &none, name, &series.failures);
    }
    for (scenario, table) in &snapshot.script_failures {
        add(FailureOrigin::Script, &none, scenario, table);
    }
    list.sort_by(|a, b| {
        let key = |failure: &FailureStats| {
            (
                failure.origin,
                failure.name.clone(),
                failure.method.clone(),
                failure.message.clone(),
            )
        };
        b.occurrences
            .cmp(&a.occurrences)
            .then_with(|| key(a).cmp(&key(b)))
    });
    list
}
