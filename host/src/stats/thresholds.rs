//! Judging a run by its thresholds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::snapshot::Snapshot;
use crate::plan::Threshold;
use crate::plan::threshold::{Aggregate, Metric};

/// A threshold and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold, as the user wrote it.
    pub expression: String,
    /// Whether it holds. One on something that was never measured holds,
    /// unless it asks for a number of things: nothing is 0 of them.
    pub passed: bool,
    /// The value that was compared; absent if nothing was measured.
    pub value: Option<f64>,
}

/// Judges each threshold by all that was measured in `elapsed`.
pub fn judge(thresholds: &[Threshold], total: &Snapshot, elapsed: Duration) -> Vec<Verdict> {
    if thresholds.is_empty() {
        return Vec::new();
    }
    let all = total.all_requests();
    let checks = total
        .checks
        .values()
        .fold((0, 0), |(passes, count), check| {
            (passes + check.passes, count + check.passes + check.failures)
        });
    thresholds
        .iter()
        .map(|threshold| {
            let count = |count: u64| counter(count as f64, threshold.aggregate, elapsed);
            let trend = |histogram: &Histogram| trend(histogram, threshold.aggregate);
            let value = match threshold.metric {
                Metric::HttpReqs => count(all.duration.count()),
                Metric::HttpReqDuration => trend(&all.duration),
                Metric::HttpReqConnecting => trend(&all.connecting),
                Metric::HttpReqTlsHandshaking => trend(&all.tls),
                Metric::HttpReqWaiting => trend(&all.waiting),
                Metric::HttpReqReceiving => trend(&all.receiving),
                Metric::HttpReqFailed => share(all.failed, all.duration.count()),
                Metric::Iterations => count(total.iterations.finished),
                Metric::IterationDuration => trend(&total.iterations.duration),
                Metric::IterationLag => trend(&total.iterations.lag),
                Metric::DroppedIterations => count(total.iterations.dropped),
                Metric::Checks => share(checks.0, checks.1),
                Metric::DataSent => count(all.sent_bytes),
                Metric::DataReceived => count(all.received_bytes),
            };
            Verdict {
                expression: threshold.text().to_owned(),
                passed: value.is_none_or(|value| threshold.operator.holds(value, threshold.limit)),
                value,
            }
        })
        .collect()
}

fn counter(count: f64, aggregate: Aggregate, elapsed: Duration) -> Option<f64> {
    match aggregate {
        Aggregate::Rate if elapsed.is_zero() => None,
        Aggregate::Rate => Some(count / elapsed.as_secs_f64()),
        _ => Some(count),
    }
}

fn share(hits: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| hits as f64 / count as f64)
}

/// In milliseconds.
fn trend(histogram: &Histogram, aggregate: Aggregate) -> Option<f64> {
    if let Aggregate::Count = aggregate {
        return Some(histogram.count() as f64);
    }
    if histogram.count() == 0 {
        return None;
    }
    let micros = match aggregate {
        Aggregate::Quantile(quantile) => histogram.quantile(quantile) as f64,
        Aggregate::Min => histogram.min() as f64,
        Aggregate::Max => histogram.max() as f64,
        Aggregate::Mean | Aggregate::Rate | Aggregate::Count => histogram.mean(),
    };
    Some(micros / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::RequestSample;
    use crate::stats::{Names, Shard};

    fn judged(threshold: &str) -> Verdict {
        let mut shard = Shard::new(Names::new(10));
        let id = shard.request_id("GET", "/");
        for millis in 1..=100 {
            shard.request(
                id,
                &RequestSample {
                    duration: Duration::from_millis(millis),
                    failed: millis > 98,
                    sent_bytes: 10,
                    ..RequestSample::default()
                },
            );
        }
        let threshold = Threshold::parse(threshold).expect("valid");
        judge(&[threshold], &shard.take(), Duration::from_secs(2)).remove(0)
    }

    #[test]
    fn thresholds_compare_what_they_name() {
        for (text, passed, value) in [
            ("http_req_duration: p(95) < 100", true, 95.0),
            ("http_req_duration: p(95) < 95", false, 95.0),
            ("http_req_duration: max <= 100", true, 100.0),
            ("http_req_duration: avg == 50.5", true, 50.5),
            ("http_req_failed: rate < 0.02", false, 0.02),
            ("http_reqs: count >= 100", true, 100.0),
            ("http_reqs: rate > 50", false, 50.0),
            ("data_sent: count == 1000", true, 1000.0),
            ("iterations: count > 0", false, 0.0),
        ] {
            let verdict = judged(text);
            assert_eq!(verdict.passed, passed, "{text}: {verdict:?}");
            let found = verdict.value.expect("measured");
            assert!(
                (found - value).abs() < value * 1e-3 + 1e-9,
                "{text}: {found}"
            );
        }
    }

    #[test]
    fn a_share_of_nothing_is_no_failure() {
        let verdict = judged("checks: rate > 0.99");
        assert_eq!((verdict.passed, verdict.value), (true, None));
    }
}
