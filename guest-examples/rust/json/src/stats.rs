//! The entries of the aggregates: one for all requests, and one for each
//! endpoint, failure, check, transaction and metric.

use serde_json::{Value, json};

use crate::envelope::{Entry, Level};
use crate::squall::recorder::events::{
    CheckStats, Distribution, FailureOrigin, FailureStats, IterationStats, MetricKind, MetricStats,
    Phases, RequestStats, Stats, TransactionStats, Window,
};
use crate::time::rfc3339;

/// The stretch of the run that an entry is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Since the last entry of its kind.
    Interval,
    /// The whole run.
    Total,
}

impl Span {
    fn name(self) -> &'static str {
        match self {
            Span::Interval => "interval",
            Span::Total => "total",
        }
    }
}

/// The entries for one stretch of the run. What did not occur in it has none,
/// but for all requests together and the iterations.
pub fn entries(stats: &Stats, span: Span) -> Vec<Entry> {
    let window = match span {
        Span::Interval => &stats.interval,
        Span::Total => &stats.total,
    };
    let mut entries = vec![all_requests(stats, window, span)];
    let requests = window
        .requests
        .iter()
        .filter(|endpoint| endpoint.requests > 0);
    entries.extend(requests.map(|endpoint| this_endpoint(endpoint, stats, window, span)));
    let failures = window
        .failures
        .iter()
        .filter(|failure| failure.occurrences > 0);
    entries.extend(failures.map(|failure| this_failure(failure, span)));
    entries.push(iterations(&window.iterations, span));
    let checks = window
        .checks
        .iter()
        .filter(|check| check.passes + check.failures > 0);
    entries.extend(checks.map(|check| this_check(check, span)));
    let transactions = window
        .transactions
        .iter()
        .filter(|it| it.duration.count > 0);
    entries.extend(transactions.map(|transaction| this_transaction(transaction, span)));
    let metrics = window.metrics.iter().filter(|metric| metric.count > 0);
    entries.extend(metrics.map(|metric| this_metric(metric, span)));
    entries
}

fn all_requests(stats: &Stats, window: &Window, span: Span) -> Entry {
    let mut values = request_values(&window.all, stats, window, span, "total");
    values["vus"] = json!(stats.vus);
    Entry {
        level: Level::Info,
        name: "request.stats",
        message: format!(
            "{}: {}, {} VUs",
            span.name(),
            requests(&window.all),
            stats.vus
        ),
        payload: json!({ "stats": values }),
    }
}

fn this_endpoint(endpoint: &RequestStats, stats: &Stats, window: &Window, span: Span) -> Entry {
    let RequestStats { method, name, .. } = endpoint;
    Entry {
        level: Level::Info,
        name: "request.stats",
        message: format!("{} {method} {name}: {}", span.name(), requests(endpoint)),
        payload: json!({
            "stats": request_values(endpoint, stats, window, span, "endpoint"),
            "http": { "request": { "method": method }, "route": name },
        }),
    }
}

/// Requests in words.
fn requests(requests: &RequestStats) -> String {
    let p95 = percentile(&requests.duration, 0.95);
    let p95 = p95
        .map(|ms| format!(", p95 {ms:.1} ms"))
        .unwrap_or_default();
    let RequestStats {
        requests,
        failures,
        requests_per_s,
        ..
    } = requests;
    format!("{requests} requests ({requests_per_s:.1}/s), {failures} failures{p95}")
}

fn request_values(
    requests: &RequestStats,
    stats: &Stats,
    window: &Window,
    span: Span,
    scope: &str,
) -> Value {
    json!({
        "window": span.name(),
        "scope": scope,
        "complete": stats.complete,
        "duration_s": rounded(window.duration_ms / 1e3),
        "count": requests.requests,
        "failures": requests.failures,
        "rps": rounded(requests.requests_per_s),
        "fail_rps": rounded(requests.failures_per_s),
        "bytes_sent": requests.sent_bytes,
        "bytes_received": requests.received_bytes,
        "latency_ms": distribution(&requests.duration),
        "phases_ms": phases(&requests.phases),
        "status_class": status_classes(&requests.statuses),
    })
}

/// How many responses were of which class. All classes are always there.
fn status_classes(statuses: &[(u16, u64)]) -> Value {
    let count = |class: fn(u16) -> bool| -> u64 {
        statuses
            .iter()
            .filter(|(status, _)| class(*status))
            .map(|(_, count)| count)
            .sum()
    };
    json!({
        "1xx": count(|status| status / 100 == 1),
        "2xx": count(|status| status / 100 == 2),
        "3xx": count(|status| status / 100 == 3),
        "4xx": count(|status| status / 100 == 4),
        "5xx": count(|status| status / 100 == 5),
        "other": count(|status| status != 0 && !(100..600).contains(&status)),
        "none": count(|status| status == 0),
    })
}

fn phases(phases: &Phases) -> Value {
    let phase = |phase: &Distribution| match phase.count {
        0 => Value::Null,
        count => json!({
            "count": count,
            "p50": rounded(phase.median_ms),
            "p95": percentile(phase, 0.95).map(rounded),
            "max": rounded(phase.max_ms),
        }),
    };
    json!({
        "connecting": phase(&phases.connecting),
        "tls": phase(&phases.tls),
        "waiting": phase(&phases.waiting),
        "receiving": phase(&phases.receiving),
    })
}

fn this_failure(failure: &FailureStats, span: Span) -> Entry {
    let FailureStats {
        origin,
        method,
        name,
        message,
        occurrences,
        ..
    } = failure;
    let (origin, what, transaction, scenario) = match origin {
        FailureOrigin::Request => ("request", format!("{method} {name}"), None, None),
        FailureOrigin::Transaction => ("transaction", name.clone(), Some(name), None),
        FailureOrigin::Script => ("script", name.clone(), None, Some(name)),
    };
    let http = match failure.origin {
        FailureOrigin::Request => json!({ "request": { "method": method }, "route": name }),
        FailureOrigin::Transaction | FailureOrigin::Script => Value::Null,
    };
    Entry {
        level: Level::Error,
        name: "request.error",
        message: format!(
            "{}: {occurrences} x {origin} {what}: {message}",
            span.name()
        ),
        payload: json!({
            "error": {
                "window": span.name(),
                "origin": origin,
                "transaction": transaction,
                "scenario": scenario,
                "message": message,
                "count": occurrences,
                "first_seen": rfc3339(failure.first_seen_ms),
                "last_seen": rfc3339(failure.last_seen_ms),
            },
            "http": http,
        }),
    }
}

fn iterations(iterations: &IterationStats, span: Span) -> Entry {
    let IterationStats {
        finished,
        failed,
        interrupted,
        dropped,
        duration,
        lag,
    } = iterations;
    Entry {
        level: Level::Info,
        name: "iteration.stats",
        message: format!(
            "{}: {finished} iterations finished, {failed} of them failed, \
             {interrupted} interrupted, {dropped} dropped",
            span.name()
        ),
        payload: json!({
            "iterations": {
                "window": span.name(),
                "finished": finished,
                "failed": failed,
                "interrupted": interrupted,
                "dropped": dropped,
                "duration_ms": distribution(duration),
                "lag_ms": distribution(lag),
            },
        }),
    }
}

fn this_check(check: &CheckStats, span: Span) -> Entry {
    let CheckStats {
        name,
        passes,
        failures,
    } = check;
    Entry {
        level: Level::Info,
        name: "check.stats",
        message: format!(
            "{} check {name}: {passes} passed, {failures} failed",
            span.name()
        ),
        payload: json!({
            "checks": {
                "window": span.name(),
                "name": name,
                "passed": passes,
                "failed": failures,
            },
        }),
    }
}

fn this_transaction(transaction: &TransactionStats, span: Span) -> Entry {
    let TransactionStats {
        name,
        failures,
        duration,
    } = transaction;
    let p95 = percentile(duration, 0.95);
    let p95 = p95
        .map(|ms| format!(", p95 {ms:.1} ms"))
        .unwrap_or_default();
    let count = duration.count;
    Entry {
        level: Level::Info,
        name: "transaction.stats",
        message: format!(
            "{} {name}: {count} transactions, {failures} failures{p95}",
            span.name()
        ),
        payload: json!({
            "transactions": {
                "window": span.name(),
                "name": name,
                "count": count,
                "failures": failures,
                "duration_ms": distribution(duration),
            },
        }),
    }
}

fn this_metric(metric: &MetricStats, span: Span) -> Entry {
    let MetricStats {
        name, count, value, ..
    } = metric;
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Rate => "rate",
        MetricKind::Trend => "trend",
    };
    Entry {
        level: Level::Info,
        name: "metric.custom",
        message: format!("{} {kind} {name}: {value} from {count} values", span.name()),
        payload: json!({
            "metric": {
                "window": span.name(),
                "name": name,
                "kind": kind,
                "count": count,
                "value": value,
                "distribution": metric.distribution.as_ref().map(distribution),
            },
        }),
    }
}

/// How long something took; nothing if it never happened.
fn distribution(of: &Distribution) -> Value {
    if of.count == 0 {
        return Value::Null;
    }
    let percentile = |fraction| percentile(of, fraction).map(rounded);
    json!({
        "min": rounded(of.min_ms),
        "mean": rounded(of.mean_ms),
        "p50": rounded(of.median_ms),
        "p90": percentile(0.9),
        "p95": percentile(0.95),
        "p99": percentile(0.99),
        "p999": percentile(0.999),
        "max": rounded(of.max_ms),
    })
}

fn percentile(of: &Distribution, fraction: f64) -> Option<f64> {
    let same = |(given, _): &&(f64, f64)| (given - fraction).abs() < 1e-6;
    of.percentiles_ms.iter().find(same).map(|(_, ms)| *ms)
}

/// Three decimals: microseconds, where the unit is milliseconds.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
