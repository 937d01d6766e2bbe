//! The entries of the aggregates: one for all requests, and one for each
//! endpoint, failure, check, transaction and metric.

use std::fmt::{self, Write as _};

use crate::envelope::{Entries, Level, Name};
use crate::line::{Object, Text};
use crate::squall::recorder::events::{
    CheckStats, Distribution, FailureOrigin, FailureStats, IterationStats, MetricKind, MetricStats,
    Phases, RequestStats, Stats, TransactionStats, Window,
};

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
pub fn entries(to: &mut Entries<'_>, stats: &Stats, span: Span) {
    let window = match span {
        Span::Interval => &stats.interval,
        Span::Total => &stats.total,
    };
    all_requests(to, stats, window, span);
    for endpoint in window.requests.iter().filter(|it| it.requests > 0) {
        this_endpoint(to, endpoint, stats, window, span);
    }
    for failure in window.failures.iter().filter(|it| it.occurrences > 0) {
        this_failure(to, failure, span);
    }
    iterations(to, &window.iterations, span);
    let made = |check: &&CheckStats| check.passes > 0 || check.failures > 0;
    for check in window.checks.iter().filter(made) {
        this_check(to, check, span);
    }
    let done = |transaction: &&TransactionStats| transaction.duration.count > 0;
    for transaction in window.transactions.iter().filter(done) {
        this_transaction(to, transaction, span);
    }
    for metric in window.metrics.iter().filter(|it| it.count > 0) {
        this_metric(to, metric, span);
    }
}

fn all_requests(to: &mut Entries<'_>, stats: &Stats, window: &Window, span: Span) {
    to.add(
        Level::Info,
        Name::RequestStats,
        |text| {
            write!(text, "{}: ", span.name())?;
            requests(text, &window.all)?;
            write!(text, ", {} VUs", stats.vus)
        },
        |line| {
            line.object("stats", |it| {
                request_values(it, &window.all, stats, window, span, "total");
                it.count("vus", stats.vus.into());
            });
        },
    );
}

fn this_endpoint(
    to: &mut Entries<'_>,
    endpoint: &RequestStats,
    stats: &Stats,
    window: &Window,
    span: Span,
) {
    let RequestStats { method, name, .. } = endpoint;
    to.add(
        Level::Info,
        Name::RequestStats,
        |text| {
            write!(text, "{} {method} {name}: ", span.name())?;
            requests(text, endpoint)
        },
        |line| {
            line.object("stats", |it| {
                request_values(it, endpoint, stats, window, span, "endpoint");
            });
            http(line, method, name);
        },
    );
}

fn http(line: &mut Object<'_>, method: &str, name: &str) {
    line.object("http", |http| {
        http.object("request", |request| request.text("method", method));
        http.text("route", name);
    });
}

/// Requests in words.
fn requests(text: &mut Text<'_>, requests: &RequestStats) -> fmt::Result {
    let RequestStats {
        requests,
        failures,
        requests_per_s,
        duration,
        ..
    } = requests;
    write!(
        text,
        "{requests} requests ({requests_per_s:.1}/s), {failures} failures"
    )?;
    p95(text, duration)
}

fn p95(text: &mut Text<'_>, duration: &Distribution) -> fmt::Result {
    match percentile(duration, 0.95) {
        Some(ms) => write!(text, ", p95 {ms:.1} ms"),
        None => Ok(()),
    }
}

fn request_values(
    it: &mut Object<'_>,
    requests: &RequestStats,
    stats: &Stats,
    window: &Window,
    span: Span,
    scope: &str,
) {
    it.text("window", span.name());
    it.text("scope", scope);
    it.flag("complete", stats.complete);
    it.measure("duration_s", window.duration_ms / 1e3);
    it.count("count", requests.requests);
    it.count("failures", requests.failures);
    it.measure("rps", requests.requests_per_s);
    it.measure("fail_rps", requests.failures_per_s);
    it.count("bytes_sent", requests.sent_bytes);
    it.count("bytes_received", requests.received_bytes);
    distribution(it, "latency_ms", &requests.duration);
    phases(it, &requests.phases);
    status_classes(it, &requests.statuses);
}

/// How many responses were of which class. All classes are always there.
fn status_classes(it: &mut Object<'_>, statuses: &[(u16, u64)]) {
    it.object("status_class", |classes| {
        let mut count = |key: &str, class: fn(u16) -> bool| {
            let of_class = statuses.iter().filter(|(status, _)| class(*status));
            classes.count(key, of_class.map(|(_, count)| count).sum());
        };
        count("1xx", |status| status / 100 == 1);
        count("2xx", |status| status / 100 == 2);
        count("3xx", |status| status / 100 == 3);
        count("4xx", |status| status / 100 == 4);
        count("5xx", |status| status / 100 == 5);
        count("other", |status| {
            status != 0 && !(100..600).contains(&status)
        });
        count("none", |status| status == 0);
    });
}

fn phases(it: &mut Object<'_>, phases: &Phases) {
    it.object("phases_ms", |it| {
        let mut phase = |key: &str, phase: &Distribution| {
            if phase.count > 0 {
                it.object(key, |it| {
                    it.count("count", phase.count);
                    it.measure("p50", phase.median_ms);
                    it.known("p95", percentile(phase, 0.95));
                    it.measure("max", phase.max_ms);
                });
            }
        };
        phase("connecting", &phases.connecting);
        phase("tls", &phases.tls);
        phase("waiting", &phases.waiting);
        phase("receiving", &phases.receiving);
    });
}

fn this_failure(to: &mut Entries<'_>, failure: &FailureStats, span: Span) {
    let FailureStats {
        origin,
        method,
        name,
        message,
        occurrences,
        ..
    } = failure;
    let (origin, transaction, scenario) = match origin {
        FailureOrigin::Request => ("request", None, None),
        FailureOrigin::Transaction => ("transaction", Some(name), None),
        FailureOrigin::Script => ("script", None, Some(name)),
    };
    let is_request = failure.origin == FailureOrigin::Request;
    to.add(
        Level::Error,
        Name::RequestError,
        |text| {
            write!(text, "{}: {occurrences} x {origin} ", span.name())?;
            if is_request {
                write!(text, "{method} ")?;
            }
            write!(text, "{name}: {message}")
        },
        |line| {
            line.object("error", |error| {
                error.text("window", span.name());
                error.text("origin", origin);
                if let Some(name) = transaction {
                    error.text("transaction", name);
                }
                if let Some(name) = scenario {
                    error.text("scenario", name);
                }
                error.text("message", message);
                error.count("count", *occurrences);
                error.time("first_seen", failure.first_seen_ms);
                error.time("last_seen", failure.last_seen_ms);
            });
            if is_request {
                http(line, method, name);
            }
        },
    );
}

fn iterations(to: &mut Entries<'_>, iterations: &IterationStats, span: Span) {
    let IterationStats {
        finished,
        failed,
        interrupted,
        dropped,
        duration,
        lag,
    } = iterations;
    to.add(
        Level::Info,
        Name::IterationStats,
        |text| {
            write!(
                text,
                "{}: {finished} iterations finished, {failed} of them failed, \
                 {interrupted} interrupted, {dropped} dropped",
                span.name()
            )
        },
        |line| {
            line.object("iterations", |it| {
                it.text("window", span.name());
                it.count("finished", *finished);
                it.count("failed", *failed);
                it.count("interrupted", *interrupted);
                it.count("dropped", *dropped);
                distribution(it, "duration_ms", duration);
                distribution(it, "lag_ms", lag);
            });
        },
    );
}

fn this_check(to: &mut Entries<'_>, check: &CheckStats, span: Span) {
    let CheckStats {
        name,
        passes,
        failures,
    } = check;
    to.add(
        Level::Info,
        Name::CheckStats,
        |text| {
            write!(
                text,
                "{} check {name}: {passes} passed, {failures} failed",
                span.name()
            )
        },
        |line| {
            line.object("checks", |it| {
                it.text("window", span.name());
                it.text("name", name);
                it.count("passed", *passes);
                it.count("failed", *failures);
            });
        },
    );
}

fn this_transaction(to: &mut Entries<'_>, transaction: &TransactionStats, span: Span) {
    let TransactionStats {
        name,
        failures,
        duration,
    } = transaction;
    to.add(
        Level::Info,
        Name::TransactionStats,
        |text| {
            let (span, count) = (span.name(), duration.count);
            write!(
                text,
                "{span} {name}: {count} transactions, {failures} failures"
            )?;
            p95(text, duration)
        },
        |line| {
            line.object("transactions", |it| {
                it.text("window", span.name());
                it.text("name", name);
                it.count("count", duration.count);
                it.count("failures", *failures);
                distribution(it, "duration_ms", duration);
            });
        },
    );
}

fn this_metric(to: &mut Entries<'_>, metric: &MetricStats, span: Span) {
    let MetricStats {
        name, count, value, ..
    } = metric;
    let kind = kind_name(metric.kind);
    to.add(
        Level::Info,
        Name::MetricCustom,
        |text| {
            write!(
                text,
                "{} {kind} {name}: {value} from {count} values",
                span.name()
            )
        },
        |line| {
            line.object("metric", |it| {
                it.text("window", span.name());
                it.text("name", name);
                it.text("kind", kind);
                it.count("count", *count);
                it.exact("value", *value);
                if let Some(of) = &metric.distribution {
                    distribution(it, "distribution", of);
                }
            });
        },
    );
}

pub fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Rate => "rate",
        MetricKind::Trend => "trend",
    }
}

/// How long something took; nothing if it never happened.
fn distribution(it: &mut Object<'_>, key: &str, of: &Distribution) {
    if of.count == 0 {
        return;
    }
    it.object(key, |it| {
        it.measure("min", of.min_ms);
        it.measure("mean", of.mean_ms);
        it.measure("p50", of.median_ms);
        it.known("p90", percentile(of, 0.9));
        it.known("p95", percentile(of, 0.95));
        it.known("p99", percentile(of, 0.99));
        it.known("p999", percentile(of, 0.999));
        it.measure("max", of.max_ms);
    });
}

fn percentile(of: &Distribution, fraction: f64) -> Option<f64> {
    let same = |(given, _): &&(f64, f64)| (given - fraction).abs() < 1e-6;
    of.percentiles_ms.iter().find(same).map(|(_, ms)| *ms)
}
