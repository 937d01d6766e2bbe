//! Between the host's types and those generated from `wit/shape`.

use std::time::Duration;

use super::bindings::exports::squall::shape::load_shape as wit;
use crate::event::{Finding, Stats};
use crate::shape::{ShapeError, ShapeInfo, Target};
use crate::stats::Window;
use crate::stats::histogram::{Distribution, QUANTILES};
use crate::units::Rate;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(super) fn run_info(run: &ShapeInfo) -> wit::RunInfo {
    wit::RunInfo {
        test_plan: run.test_plan.clone(),
        options: run.options.clone(),
        max_vus: run.max_vus,
        max_duration_ms: run.max_duration.map(ms),
    }
}

pub(super) fn stats(stats: &Stats) -> wit::Stats {
    wit::Stats {
        vus: stats.vus,
        interval: window(&stats.interval),
        total: window(&stats.total),
    }
}

fn window(window: &Window) -> wit::Window {
    let Window {
        duration,
        all,
        iterations,
        ..
    } = window;
    wit::Window {
        duration_ms: ms(*duration),
        iterations: iterations.finished,
        failed_iterations: iterations.failed,
        dropped_iterations: iterations.dropped,
        requests: all.requests,
        failures: all.failures,
        requests_per_s: all.requests_per_s,
        error_rate: all.failed_share(),
        duration: distribution(&all.duration),
        from_due: distribution(&all.from_due),
        iteration_duration: distribution(&iterations.duration),
    }
}

fn distribution(distribution: &Distribution) -> wit::Distribution {
    let quantile = |wanted: f64| {
        let place = QUANTILES.iter().position(|known| *known == wanted);
        let place = place.expect("the quantile is among those that are reported");
        distribution.quantiles[place]
    };
    wit::Distribution {
        count: distribution.count,
        min_ms: distribution.min,
        mean_ms: distribution.mean,
        max_ms: distribution.max,
        p50_ms: distribution.median,
        p90_ms: quantile(0.9),
        p95_ms: quantile(0.95),
        p99_ms: quantile(0.99),
    }
}

/// Something that a shape found out, with its name.
pub(super) fn finding(finding: wit::Finding) -> (String, Finding) {
    let value = match finding.value {
        wit::Value::Text(text) => Finding::Text(text),
        wit::Value::Number(wit::Quantity { value, unit }) if value.is_finite() => {
            Finding::Number { value, unit }
        }
        // JSON has no such number.
        wit::Value::Number(wit::Quantity { value, unit }) => {
            Finding::Text(format!("{value} {unit}").trim_end().to_owned())
        }
    };
    (finding.name, value)
}

/// What a shape asked for, if it can be.
pub(super) fn target(target: wit::Target) -> Result<Target, ShapeError> {
    match target {
        wit::Target::Rate(per_s) if !(0.0..=Rate::MAX).contains(&per_s) => Err(
            ShapeError::Senseless(format!("a rate of {per_s:?} a second")),
        ),
        wit::Target::Rate(per_s) => Ok(Target::Rate(per_s)),
        wit::Target::Vus(wit::Vus { count, per_s }) => match per_s {
            Some(per_s) if !(per_s.is_finite() && per_s > 0.0) => Err(ShapeError::Senseless(
                format!("{count} VUs, {per_s} more a second"),
            )),
            per_s => Ok(Target::Vus { count, per_s }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::window::{IterationStats, RequestStats};

    #[test]
    fn statistics_arrive_as_they_are() {
        let times = Distribution {
            count: 4,
            min: 1.0,
            mean: 5.0,
            median: 4.0,
            max: 11.0,
            quantiles: [8.0, 9.0, 10.0, 10.5],
        };
        let window = Window {
            duration: Duration::from_millis(1_500),
            all: RequestStats {
                requests: 4,
                failures: 1,
                requests_per_s: 2.5,
                duration: times,
                ..RequestStats::default()
            },
            iterations: IterationStats {
                finished: 3,
                failed: 2,
                dropped: 7,
                ..IterationStats::default()
            },
            ..Window::default()
        };
        let sent = stats(&Stats {
            vus: 9,
            interval: window.clone(),
            total: window,
            complete: true,
        });
        assert_eq!(sent.vus, 9);
        for window in [sent.interval, sent.total] {
            assert_eq!(window.duration_ms, 1_500.0);
            let iterations = (
                window.iterations,
                window.failed_iterations,
                window.dropped_iterations,
            );
            assert_eq!(iterations, (3, 2, 7));
            assert_eq!((window.requests, window.failures), (4, 1));
            assert_eq!((window.requests_per_s, window.error_rate), (2.5, 0.25));
            let times = window.duration;
            assert_eq!((times.count, times.min_ms, times.mean_ms), (4, 1.0, 5.0));
            assert_eq!((times.p50_ms, times.p90_ms), (4.0, 8.0));
            assert_eq!((times.p95_ms, times.p99_ms), (9.0, 10.0));
            assert_eq!(times.max_ms, 11.0);
            assert_eq!(window.iteration_duration.count, 0);
        }
    }

    #[test]
    fn findings_arrive_as_they_are_but_for_what_json_does_not_know() {
        let number = |value: f64, unit: &str| {
            let unit = unit.to_owned();
            let (name, value) = (
                "n".to_owned(),
                wit::Value::Number(wit::Quantity { value, unit }),
            );
            finding(wit::Finding { name, value }).1
        };
        let unit = "/s".to_owned();
        assert_eq!(number(2.5, "/s"), Finding::Number { value: 2.5, unit });
        assert_eq!(number(f64::NAN, "/s"), Finding::Text("NaN /s".to_owned()));
        assert_eq!(number(f64::INFINITY, ""), Finding::Text("inf".to_owned()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let vus = |count, per_s| wit::Target::Vus(wit::Vus { count, per_s });
        assert_eq!(target(wit::Target::Rate(0.0)), Ok(Target::Rate(0.0)));
        assert_eq!(
            target(vus(5, Some(0.5))),
            Ok(Target::Vus {
                count: 5,
                per_s: Some(0.5)
            })
        );
        for (asked, words) in [
            (wit::Target::Rate(f64::NAN), "a rate of NaN a second"),
            (wit::Target::Rate(-1.0), "a rate of -1.0 a second"),
            (wit::Target::Rate(1e300), "a rate of 1e300 a second"),
            (wit::Target::Rate(f64::INFINITY), "a rate of inf a second"),
            (vus(5, Some(0.0)), "5 VUs, 0 more a second"),
        ] {
            assert_eq!(target(asked), Err(ShapeError::Senseless(words.to_owned())));
        }
    }
}
