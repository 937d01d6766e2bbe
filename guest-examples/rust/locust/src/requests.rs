//! The entries about requests: the run so far, the whole run, and each endpoint.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::envelope::{Entry, Level, extend, measured};
use crate::recent::{Rates, Recent};
use crate::squall::recorder::events::{
    Distribution, FailureOrigin, FailureStats, IterationStats, Phases, RequestStats, RunSummary,
    Stats, Window,
};

const STATS: &str = "request.metric.stats";

/// The run so far, and the interval since the last such line.
pub fn current(stats: &Stats, recent: &Recent) -> Entry {
    let mut fields = json!({ "stats_type": "current", "user_count": stats.vus });
    extend(
        &mut fields,
        block("Aggregated", &stats.total.all, recent.all()),
    );
    extend(&mut fields, quality(stats));
    extend(&mut fields, interval(&stats.interval));
    Entry::metrics(STATS, fields)
}

/// A run in which nothing has happened so far.
pub fn nothing_yet() -> Entry {
    let stats = Stats {
        vus: 0,
        interval: empty_window(),
        total: empty_window(),
        complete: true,
    };
    current(&stats, &Recent::default())
}

/// The whole run. `users` are the most that ran at once.
pub fn last(users: u32, summary: &RunSummary, recent: &Recent) -> Entry {
    let mut fields = json!({ "stats_type": "final", "user_count": users });
    extend(
        &mut fields,
        block("Aggregated", &summary.stats.total.all, recent.all()),
    );
    extend(&mut fields, quality(&summary.stats));
    extend(
        &mut fields,
        json!({ "events_dropped": summary.quality.events_dropped }),
    );
    Entry::metrics(STATS, fields)
}

/// An entry for each distinct failure of a request, then one for each endpoint.
pub fn endpoints(total: &Window, recent: &Recent) -> Vec<Entry> {
    let durations: HashMap<_, _> = total
        .requests
        .iter()
        .map(|stats| ((&*stats.method, &*stats.name), &stats.duration))
        .collect();
    let failed = |failure: &&FailureStats| failure.origin == FailureOrigin::Request;
    let failures = total.failures.iter().filter(failed).map(|failure| {
        let duration = durations.get(&(&*failure.method, &*failure.name));
        error(failure, duration.copied())
    });
    let asked_for = |stats: &&RequestStats| stats.requests > 0;
    let endpoints = total.requests.iter().filter(asked_for);
    failures
        .chain(endpoints.map(|stats| endpoint(stats, recent)))
        .collect()
}

/// `endpoint` is how long the requests took of which some failed.
fn error(failure: &FailureStats, endpoint: Option<&Distribution>) -> Entry {
    let percentile = |fraction| {
        endpoint.map_or(0, |duration| {
            whole_ms(percentile_ms(duration, fraction), duration)
        })
    };
    Entry::metrics(
        STATS,
        json!({
            "stats_type": "endpoint",
            "status": "error",
            "method": failure.method,
            "name": failure.name,
            "error": failure.message,
            "occurrences": failure.occurrences,
            "first_seen": measured(failure.first_seen_ms / 1e3),
            "last_seen": measured(failure.last_seen_ms / 1e3),
            "percentile_95": percentile(0.95),
            "percentile_99": percentile(0.99),
        }),
    )
}

fn endpoint(stats: &RequestStats, recent: &Recent) -> Entry {
    let mut fields = json!({ "stats_type": "endpoint", "status": "success" });
    extend(
        &mut fields,
        block(&stats.name, stats, recent.endpoint(stats)),
    );
    Entry::metrics(STATS, fields)
}

/// An entry for each distinct failure that is none of a request: those of
/// transactions and of the script itself.
pub fn script_failures(total: &Window) -> Vec<Entry> {
    let entry = |failure: &FailureStats| {
        let origin = match failure.origin {
            FailureOrigin::Request => return None,
            FailureOrigin::Transaction => "transaction",
            FailureOrigin::Script => "script",
        };
        let fields = json!({
            "origin": origin,
            "name": failure.name,
            "error": failure.message,
            "occurrences": failure.occurrences,
            "first_seen": measured(failure.first_seen_ms / 1e3),
            "last_seen": measured(failure.last_seen_ms / 1e3),
        });
        Some(Entry::metrics("script.metric.failures", fields).at(Level::Error))
    };
    total.failures.iter().filter_map(entry).collect()
}

/// The figures that all lines about requests share, those of locust-telemetry
/// before our own.
fn block(name: &str, stats: &RequestStats, recent: Rates) -> Value {
    let RequestStats {
        method, duration, ..
    } = stats;
    let percentile = |fraction| percentile_ms(duration, fraction);
    let received_each = stats.received_bytes as f64 / stats.requests.max(1) as f64;
    json!({
        "method": method,
        "name": name,
        "num_requests": stats.requests,
        "num_failures": stats.failures,
        "min_response_time": measured(duration.min_ms),
        "max_response_time": measured(duration.max_ms),
        "current_rps": measured(recent.requests),
        "current_fail_per_sec": measured(recent.failures),
        "avg_response_time": measured(duration.mean_ms),
        "median_response_time": whole_ms(duration.median_ms, duration),
        "total_rps": measured(stats.requests_per_s),
        "total_fail_per_sec": measured(stats.failures_per_s),
        "avg_content_length": measured(received_each),
        "percentile_95": whole_ms(percentile(0.95), duration),
        "percentile_99": whole_ms(percentile(0.99), duration),

        "percentile_50_ms": measured(duration.median_ms),
        "percentile_90_ms": measured(percentile(0.9)),
        "percentile_95_ms": measured(percentile(0.95)),
        "percentile_99_ms": measured(percentile(0.99)),
        "percentile_999_ms": measured(percentile(0.999)),
        "sent_bytes": stats.sent_bytes,
        "received_bytes": stats.received_bytes,
    })
}

fn quality(stats: &Stats) -> Value {
    json!({ "complete": stats.complete })
}

fn interval(interval: &Window) -> Value {
    let Window {
        duration_ms, all, ..
    } = interval;
    json!({
        "interval_ms": measured(*duration_ms),
        "interval_num_requests": all.requests,
        "interval_num_failures": all.failures,
        "interval_rps": measured(all.requests_per_s),
        "interval_fail_per_sec": measured(all.failures_per_s),
        "interval_avg_ms": measured(all.duration.mean_ms),
        "interval_max_ms": measured(all.duration.max_ms),
        "interval_percentile_95_ms": measured(percentile_ms(&all.duration, 0.95)),
        "interval_percentile_99_ms": measured(percentile_ms(&all.duration, 0.99)),
    })
}

/// 0 if the host does not tell this percentile.
fn percentile_ms(distribution: &Distribution, fraction: f64) -> f64 {
    let told = distribution.percentiles_ms.iter();
    told.copied()
        .find(|(told, _)| (told - fraction).abs() < 1e-9)
        .map_or(0.0, |(_, ms)| ms)
}

/// A time in whole milliseconds, and never more than the longest of all.
fn whole_ms(ms: f64, distribution: &Distribution) -> u64 {
    // A cast of a float rounds down, and makes 0 of what is not a number.
    (ms.round() as u64).min(distribution.max_ms as u64)
}

fn empty_window() -> Window {
    Window {
        duration_ms: 0.0,
        all: RequestStats {
            method: String::new(),
            name: String::new(),
            requests: 0,
            failures: 0,
            requests_per_s: 0.0,
            failures_per_s: 0.0,
            duration: empty_distribution(),
            phases: Phases {
                connecting: empty_distribution(),
                tls: empty_distribution(),
                waiting: empty_distribution(),
                receiving: empty_distribution(),
            },
            statuses: Vec::new(),
            sent_bytes: 0,
            received_bytes: 0,
        },
        requests: Vec::new(),
        transactions: Vec::new(),
        failures: Vec::new(),
        checks: Vec::new(),
        metrics: Vec::new(),
        iterations: IterationStats {
            finished: 0,
            failed: 0,
            interrupted: 0,
            dropped: 0,
            duration: empty_distribution(),
            lag: empty_distribution(),
        },
    }
}

fn empty_distribution() -> Distribution {
    Distribution {
        count: 0,
        min_ms: 0.0,
        mean_ms: 0.0,
        median_ms: 0.0,
        max_ms: 0.0,
        percentiles_ms: Vec::new(),
    }
}
