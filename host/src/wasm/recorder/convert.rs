//! From the host's events to those of `squall:recorder`.

use std::sync::Arc;
use std::time::Duration;

use super::bindings::squall::recorder::events as wit;
use super::measured;
use crate::event::{
    CappedNames, DataQuality, EventKind, Finding, Interests, Load, LoadChange, LoadChangeKind,
    ResourceKind, ShapeReport, Steerer, StopReason,
};
use crate::measure::{FailureOrigin, LogLevel, MetricKind, Tag};
use crate::recorder::{Batch, Piece, Role, RunInfo};
use crate::stats::Distribution;
use crate::stats::histogram::QUANTILES;
use crate::stats::names::NameKind;
use crate::stats::thresholds::Verdict;
use crate::stats::window::{RequestStats, Window};

/// A batch of events for a recorder that so far has not got `dropped` events,
/// which is brought up to date.
pub(super) fn events(events: &Batch, dropped: &mut u64) -> Vec<wit::Event> {
    let convert = |piece: &Piece| match piece {
        Piece::Measured(measured) => measured::event(measured),
        Piece::Event(event) => {
            if let EventKind::EventsDropped(count) = event.kind {
                *dropped = dropped.saturating_add(count);
            }
            wit::Event {
                time_ms: event.time_ms,
                elapsed_ms: ms(event.elapsed),
                node: event.node.to_string(),
                kind: kind(&event.kind, *dropped),
            }
        }
    };
    events.pieces().iter().map(convert).collect()
}

/// What a recorder asked for.
pub(super) fn interests(flags: wit::Interests) -> Interests {
    [
        (wit::Interests::STATS, Interests::STATS),
        (wit::Interests::SYSTEM, Interests::SYSTEM),
        (wit::Interests::REQUESTS, Interests::REQUESTS),
        (wit::Interests::TRANSACTIONS, Interests::TRANSACTIONS),
        (wit::Interests::ITERATIONS, Interests::ITERATIONS),
        (wit::Interests::CHECKS, Interests::CHECKS),
        (wit::Interests::SAMPLES, Interests::SAMPLES),
        (wit::Interests::SCRIPT_ERRORS, Interests::SCRIPT_ERRORS),
        (wit::Interests::LOGS, Interests::LOGS),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(Interests::default(), |all, (_, interest)| {
        all.with(interest)
    })
}

/// The run, for a recorder's `start`.
pub(super) fn run_info(run: &RunInfo) -> wit::RunInfo {
    wit::RunInfo {
        run_id: run.run_id.clone(),
        test_plan: run.test_plan.clone(),
        host_version: run.host_version.clone(),
        role: match run.role {
            Role::Standalone => wit::Role::Standalone,
            Role::Master => wit::Role::Master,
            Role::Worker => wit::Role::Worker,
        },
        node: run.node.to_string(),
        hostname: run.hostname.clone(),
        process_id: run.process_id,
        scenarios: run.scenarios.iter().map(ToString::to_string).collect(),
        tags: tags(&run.tags),
        stats_interval_ms: ms(run.stats_interval),
        plan: run.plan.clone(),
        options: run.options.clone(),
    }
}

/// What happened.
///
/// # Panics
///
/// If it is a measurement: a batch has those many in one.
fn kind(kind: &EventKind, dropped: u64) -> wit::EventKind {
    use wit::EventKind as Wit;
    match kind {
        EventKind::Request(_)
        | EventKind::Transaction(_)
        | EventKind::Iteration(_)
        | EventKind::Check(_)
        | EventKind::Sample(_) => unreachable!("`{}` stands by itself in a batch", kind.name()),
        EventKind::RunStarted => Wit::RunStarted,
        EventKind::RampUpFinished { vus } => Wit::RampUpFinished(wit::RampUp { vus: *vus }),
        EventKind::RunStopping(reason) => Wit::RunStopping(stop_reason(reason)),
        EventKind::RunFinished(summary) => Wit::RunFinished(wit::RunSummary {
            passed: summary.passed,
            exit_code: summary.exit_code,
            reason: stop_reason(&summary.reason),
            stats: stats(&summary.stats),
            thresholds: summary.thresholds.iter().map(threshold).collect(),
            quality: quality(&summary.quality, dropped),
        }),
        EventKind::ThresholdChanged(verdict) => Wit::ThresholdChanged(threshold(verdict)),
        EventKind::LoadChanged(change) => Wit::LoadChanged(load_change(change)),
        EventKind::ShapeReported(report) => Wit::ShapeReported(shape_report(report)),
        EventKind::EventsDropped(count) => Wit::EventsDropped(*count),
        EventKind::ResourceWarning(warning) => Wit::ResourceWarning(resource(warning)),
        EventKind::ResourceRecovered(warning) => Wit::ResourceRecovered(resource(warning)),
        EventKind::WorkerJoined(name) => Wit::WorkerJoined(name.to_string()),
        EventKind::WorkerLost(name) => Wit::WorkerLost(name.to_string()),
        EventKind::Stats(found) => Wit::Stats(stats(found)),
        EventKind::System(usage) => Wit::System(wit::SystemUsage {
            cpu_percent: usage.cpu_percent,
            cores: usage.cores,
            machine_cpu_percent: usage.machine_cpu_percent,
            machine_steal_percent: usage.machine_steal_percent,
            scheduler_lag_ms: usage.scheduler_lag_ms,
            memory_bytes: usage.memory_bytes,
            machine_memory_bytes: usage.machine_memory_bytes,
            threads: usage.threads,
            open_files: usage.open_files,
            open_files_limit: usage.open_files_limit,
            network_sent_bytes: usage.network_sent_bytes,
            network_received_bytes: usage.network_received_bytes,
            requests_sent_bytes: usage.requests_sent_bytes,
            requests_received_bytes: usage.requests_received_bytes,
        }),
        EventKind::ScriptError(failure) => Wit::ScriptError(wit::ScriptError {
            scenario: failure.origin.scenario.to_string(),
            vu: failure.origin.vu,
            iteration: failure.origin.iteration,
            message: failure.error.message.to_string(),
            stack: text(&failure.error.stack),
        }),
        EventKind::Log(log) => Wit::Log(wit::LogMessage {
            scenario: log.origin.scenario.to_string(),
            vu: log.origin.vu,
            iteration: log.origin.iteration,
            level: match log.level {
                LogLevel::Debug => wit::LogLevel::Debug,
                LogLevel::Info => wit::LogLevel::Info,
                LogLevel::Warn => wit::LogLevel::Warn,
                LogLevel::Error => wit::LogLevel::Error,
            },
            message: log.message.to_string(),
        }),
    }
}

fn stop_reason(reason: &StopReason) -> wit::StopReason {
    match reason {
        StopReason::Completed => wit::StopReason::Completed,
        StopReason::Interrupted => wit::StopReason::Interrupted,
        StopReason::Threshold(threshold) => wit::StopReason::Threshold(threshold.to_string()),
        StopReason::Aborted(reason) => wit::StopReason::Aborted(reason.to_string()),
        StopReason::Other(reason) => wit::StopReason::Other(reason.to_string()),
    }
}

fn threshold(verdict: &Verdict) -> wit::Threshold {
    wit::Threshold {
        expression: verdict.expression.clone(),
        passed: verdict.passed,
        value: verdict.value,
    }
}

fn load_change(change: &LoadChange) -> wit::LoadChange {
    let load = |load| match load {
        Load::Vus(vus) => wit::Load::Vus(vus),
        Load::Rate(per_s) => wit::Load::Rate(per_s),
    };
    wit::LoadChange {
        scenario: change.scenario.to_string(),
        action: match change.kind {
            LoadChangeKind::Target => wit::LoadAction::Target,
            LoadChangeKind::Paused => wit::LoadAction::Paused,
            LoadChangeKind::Resumed => wit::LoadAction::Resumed,
        },
        before: load(change.from),
        after: load(change.to),
        by: match &change.by {
            Steerer::Terminal => wit::Steerer::Terminal,
            Steerer::Api(address) => wit::Steerer::ControlApi(address.to_string()),
            Steerer::Shape => wit::Steerer::Shape,
            Steerer::Master(_) => wit::Steerer::Other(change.by.to_string()),
        },
    }
}

fn shape_report(report: &ShapeReport) -> wit::ShapeReport {
    let finding = |(name, finding): &(String, Finding)| wit::Finding {
        name: name.clone(),
        value: match finding {
            Finding::Text(text) => wit::FindingValue::Text(text.clone()),
            Finding::Number { value, unit } => wit::FindingValue::Number(wit::Quantity {
                value: *value,
                unit: unit.clone(),
            }),
        },
    };
    wit::ShapeReport {
        shape: report.shape.to_string(),
        findings: report.findings.iter().map(finding).collect(),
        failure: report.failure.clone(),
    }
}

fn quality(quality: &DataQuality, events_dropped: u64) -> wit::DataQuality {
    let capped = |names: &CappedNames| wit::CappedNames {
        kind: match names.kind {
            NameKind::Request => wit::NameKind::Request,
            NameKind::Transaction => wit::NameKind::Transaction,
            NameKind::Check => wit::NameKind::Check,
            NameKind::Metric => wit::NameKind::Metric,
            NameKind::Failure => wit::NameKind::Failure,
            NameKind::TagValue => wit::NameKind::Other,
        },
        limit: names.limit as u64,
        uses: names.uses,
    };
    wit::DataQuality {
        events_dropped,
        log_messages_dropped: quality.log_messages_dropped,
        script_errors_dropped: quality.script_errors_dropped,
        workers_lost: quality.workers_lost,
        vus_not_started: quality.vus_not_started,
        resource_warnings: quality.resource_warnings,
        names_capped: quality.names_capped.iter().map(capped).collect(),
    }
}

fn resource(warning: &crate::event::ResourceWarning) -> wit::ResourceWarning {
    wit::ResourceWarning {
        resource: match warning.resource {
            ResourceKind::Cpu => wit::ResourceKind::Cpu,
            ResourceKind::Memory => wit::ResourceKind::Memory,
            ResourceKind::OpenFiles => wit::ResourceKind::OpenFiles,
        },
        value: warning.value,
        limit: warning.limit,
    }
}

fn stats(stats: &crate::event::Stats) -> wit::Stats {
    wit::Stats {
        vus: stats.vus,
        interval: window(&stats.interval),
        total: window(&stats.total),
        complete: stats.complete,
    }
}

fn window(window: &Window) -> wit::Window {
    wit::Window {
        duration_ms: ms(window.duration),
        all: requests(&window.all),
        requests: window.requests.iter().map(requests).collect(),
        transactions: window
            .transactions
            .iter()
            .map(|transaction| wit::TransactionStats {
                name: transaction.name.to_string(),
                failures: transaction.failures,
                duration: distribution(&transaction.duration),
            })
            .collect(),
        failures: window
            .failures
            .iter()
            .map(|failure| wit::FailureStats {
                origin: match failure.origin {
                    FailureOrigin::Request => wit::FailureOrigin::Request,
                    FailureOrigin::Transaction => wit::FailureOrigin::Transaction,
                    FailureOrigin::Script => wit::FailureOrigin::Script,
                },
                method: failure.method.to_string(),
                name: failure.name.to_string(),
                message: failure.message.to_string(),
                occurrences: failure.occurrences,
                first_seen_ms: failure.first_seen_ms,
                last_seen_ms: failure.last_seen_ms,
            })
            .collect(),
        checks: window
            .checks
            .iter()
            .map(|check| wit::CheckStats {
                name: check.name.to_string(),
                passes: check.passes,
                failures: check.failures,
            })
            .collect(),
        metrics: window
            .metrics
            .iter()
            .map(|metric| wit::MetricStats {
                name: metric.name.to_string(),
                kind: metric_kind(metric.kind),
                count: metric.count,
                value: metric.value,
                distribution: metric.distribution.as_ref().map(distribution),
            })
            .collect(),
        iterations: wit::IterationStats {
            finished: window.iterations.finished,
            failed: window.iterations.failed,
            interrupted: window.iterations.interrupted,
            dropped: window.iterations.dropped,
            duration: distribution(&window.iterations.duration),
            lag: distribution(&window.iterations.lag),
        },
    }
}

fn requests(stats: &RequestStats) -> wit::RequestStats {
    wit::RequestStats {
        method: stats.method.to_string(),
        name: stats.name.to_string(),
        requests: stats.requests,
        failures: stats.failures,
        requests_per_s: stats.requests_per_s,
        failures_per_s: stats.failures_per_s,
        duration: distribution(&stats.duration),
        phases: wit::Phases {
            connecting: distribution(&stats.connecting),
            tls: distribution(&stats.tls),
            waiting: distribution(&stats.waiting),
            receiving: distribution(&stats.receiving),
        },
        statuses: stats.statuses.clone(),
        sent_bytes: stats.sent_bytes,
        received_bytes: stats.received_bytes,
    }
}

fn distribution(distribution: &Distribution) -> wit::Distribution {
    wit::Distribution {
        count: distribution.count,
        min_ms: distribution.min,
        mean_ms: distribution.mean,
        median_ms: distribution.median,
        max_ms: distribution.max,
        percentiles_ms: QUANTILES.into_iter().zip(distribution.quantiles).collect(),
    }
}

pub(super) fn metric_kind(kind: MetricKind) -> wit::MetricKind {
    match kind {
        MetricKind::Counter => wit::MetricKind::Counter,
        MetricKind::Gauge => wit::MetricKind::Gauge,
        MetricKind::Rate => wit::MetricKind::Rate,
        MetricKind::Trend => wit::MetricKind::Trend,
    }
}

pub(super) fn tags(tags: &[Tag]) -> Vec<wit::Tag> {
    tags.iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn text(text: &Option<Arc<str>>) -> Option<String> {
    text.as_ref().map(ToString::to_string)
}

pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Check, Event, Iteration, LogMessage, Origin, Request, RunSummary, Sample, ScriptFailure,
        Stats, SystemUsage, Transaction,
    };
    use crate::measure::{Phases, RequestSample, ScriptError};
    use crate::recorder::recording::{Recording, written};
    use crate::stats::{Marks, Names, Shard};

    fn one(event: &Event) -> wit::Event {
        let mut converted = events(&std::iter::once(event.clone()).collect(), &mut 3);
        assert_eq!(converted.len(), 1);
        converted.remove(0)
    }

    fn converted(kind: EventKind) -> wit::Event {
        one(&Event {
            time_ms: 1_700_000_000_000.5,
            elapsed: Duration::from_micros(1_500),
            node: "worker-1".into(),
            kind,
        })
    }

    #[test]
    fn an_event_keeps_time_and_place() {
        let event = converted(EventKind::RunStarted);
        assert_eq!(event.time_ms, 1_700_000_000_000.5);
        assert_eq!(event.elapsed_ms, 1.5);
        assert_eq!(event.node, "worker-1");
        assert!(matches!(event.kind, wit::EventKind::RunStarted));
    }

    #[test]
    fn workers_come_and_go_by_name() {
        let joined = converted(EventKind::WorkerJoined("worker-2".into())).kind;
        assert!(matches!(joined, wit::EventKind::WorkerJoined(name) if name == "worker-2"));
        let lost = converted(EventKind::WorkerLost("worker-2".into())).kind;
        assert!(matches!(lost, wit::EventKind::WorkerLost(name) if name == "worker-2"));
    }

    #[test]
    fn statistics_keep_their_numbers() {
        let mut shard = Shard::new(Names::new(10));
        let id = shard.request_id("GET", "/");
        for millis in 1..=100 {
            shard.request(
                id,
                &RequestSample {
                    duration: Duration::from_millis(millis),
                    status: 200,
                    sent_bytes: 1,
                    received_bytes: 2,
                    ..RequestSample::default()
                },
                Marks::NONE,
            );
        }
        let total = shard.take().window(Duration::from_secs(2));
        let found = window(&total);
        assert_eq!(found.duration_ms, 2000.0);
        assert_eq!((found.all.requests, found.all.requests_per_s), (100, 50.0));
        let [request] = &found.requests[..] else {
            panic!("one row: {found:?}");
        };
        assert_eq!((&*request.method, &*request.name), ("GET", "/"));
        assert_eq!(request.statuses, [(200, 100)]);
        assert_eq!((request.sent_bytes, request.received_bytes), (100, 200));
        assert_eq!(request.duration.count, 100);
        let (share, p95) = request.duration.percentiles_ms[1];
        assert_eq!(share, 0.95);
        assert!((p95 - 95.0).abs() < 0.2, "{p95}");
        assert_eq!(request.phases.tls.count, 0);
    }

    #[test]
    fn the_end_tells_what_was_dropped() {
        let summary = RunSummary {
            passed: false,
            exit_code: 99,
            reason: StopReason::Aborted("enough".into()),
            stats: Arc::new(Stats {
                vus: 5,
                ..Stats::default()
            }),
            thresholds: vec![Verdict {
                expression: "http_reqs: count > 1".to_owned(),
                passed: false,
                value: Some(1.0),
                note: None,
            }],
            quality: DataQuality {
                log_messages_dropped: 1,
                script_errors_dropped: 2,
                workers_lost: 4,
                vus_not_started: 5,
                resource_warnings: 6,
                names_capped: vec![CappedNames {
                    kind: NameKind::Check,
                    limit: 7,
                    uses: 8,
                }],
            },
        };
        let event = converted(EventKind::RunFinished(Arc::new(summary)));
        let wit::EventKind::RunFinished(summary) = event.kind else {
            panic!("not the end: {event:?}");
        };
        assert_eq!((summary.passed, summary.exit_code), (false, 99));
        let quality = summary.quality;
        assert_eq!(
            [
                quality.log_messages_dropped,
                quality.script_errors_dropped,
                quality.events_dropped,
                quality.workers_lost.into(),
                quality.vus_not_started.into(),
                quality.resource_warnings.into(),
            ],
            [1, 2, 3, 4, 5, 6]
        );
        let [capped] = quality.names_capped[..] else {
            panic!("one kind: {:?}", quality.names_capped);
        };
        assert_eq!(capped.kind, wit::NameKind::Check);
        assert_eq!((capped.limit, capped.uses), (7, 8));
        assert_eq!(summary.stats.vus, 5);
        assert_eq!(summary.thresholds[0].expression, "http_reqs: count > 1");
        assert!(matches!(summary.reason, wit::StopReason::Aborted(reason) if reason == "enough"));
    }

    /// Every kind of event, with values that are easily lost on the way.
    fn every_kind() -> Vec<EventKind> {
        let origin = Origin {
            scenario: "\u{1f422} \"browse\"".into(),
            vu: u32::MAX,
            iteration: 7,
        };
        let tags: Vec<Tag> = vec![("a".into(), "b\n".into()), ("a".into(), "".into())];
        let mut shard = Shard::new(Names::new(10));
        let id = shard.request_id("GET", "/");
        for micros in 1..100 {
            let sample = RequestSample {
                from_due: None,
                duration: Duration::from_micros(micros * 37),
                phases: Phases {
                    waiting: Some(Duration::from_nanos(micros * 1_001)),
                    ..Phases::default()
                },
                status: 200,
                failed: micros % 7 == 0,
                sent_bytes: u64::MAX >> 12,
                received_bytes: 2,
            };
            shard.request(id, &sample, Marks::NONE);
        }
        let error = ScriptError {
            message: "oh\tno".into(),
            stack: Some("a\nb".into()),
        };
        shard.script_failure(&origin.scenario, &error, 1.0 / 3.0);
        let window = shard.take().window(Duration::from_nanos(1_999_999_999));
        let stats = Arc::new(Stats {
            vus: 5,
            interval: Window::default(),
            total: window,
            complete: false,
        });
        let verdict = |value| Verdict {
            expression: "http_reqs: count > 1".to_owned(),
            passed: false,
            value,
            note: None,
        };
        let warning = crate::event::ResourceWarning {
            resource: ResourceKind::OpenFiles,
            value: 0.1 + 0.2,
            limit: 1e9,
        };
        let change = |kind, to, by| {
            EventKind::LoadChanged(Box::new(LoadChange {
                scenario: "s".into(),
                from: Load::Vus(u32::MAX),
                to,
                kind,
                by,
            }))
        };
        let message = |level| {
            EventKind::Log(Box::new(LogMessage {
                origin: origin.clone(),
                level,
                message: "".into(),
            }))
        };
        let summary = |reason| {
            EventKind::RunFinished(Arc::new(RunSummary {
                passed: false,
                exit_code: 110,
                reason,
                stats: stats.clone(),
                thresholds: vec![verdict(None), verdict(Some(1.0 / 3.0))],
                quality: DataQuality {
                    workers_lost: 1,
                    names_capped: vec![CappedNames {
                        kind: NameKind::Transaction,
                        limit: 7,
                        uses: u64::MAX,
                    }],
                    ..DataQuality::default()
                },
            }))
        };
        let request = |first_byte, failure: Option<Arc<str>>| {
            EventKind::Request(Box::new(Request {
                origin: origin.clone(),
                method: "GET".into(),
                name: "/item/{id}".into(),
                url: "http://a.example/item/5".into(),
                started_at_ms: 1_700_000_000_000.123,
                sample: RequestSample {
                    from_due: None,
                    duration: Duration::from_nanos(20_000_001),
                    status: 503,
                    failed: failure.is_some(),
                    ..RequestSample::default()
                },
                first_byte,
                failure,
                tags: tags.clone(),
            }))
        };
        vec![
            EventKind::RunStarted,
            EventKind::RampUpFinished { vus: 3 },
            EventKind::RunStopping(StopReason::Interrupted),
            EventKind::RunStopping(StopReason::Other("x".into())),
            summary(StopReason::Completed),
            summary(StopReason::Threshold("checks: rate > 0.9 abort".into())),
            summary(StopReason::Aborted("enough".into())),
            EventKind::WorkerJoined("worker-1".into()),
            EventKind::WorkerLost("worker-2".into()),
            EventKind::ThresholdChanged(verdict(Some(7.0))),
            EventKind::EventsDropped(u64::MAX),
            change(LoadChangeKind::Target, Load::Vus(9), Steerer::Terminal),
            change(
                LoadChangeKind::Paused,
                Load::Rate(1.0 / 3.0),
                Steerer::Shape,
            ),
            change(
                LoadChangeKind::Resumed,
                Load::Vus(0),
                Steerer::Api("127.0.0.1:1".into()),
            ),
            EventKind::ShapeReported(Box::new(ShapeReport {
                shape: "wave".into(),
                findings: vec![
                    ("found".to_owned(), Finding::Text("yes".to_owned())),
                    (
                        "held".to_owned(),
                        Finding::Number {
                            value: 1.0 / 3.0,
                            unit: "/s".to_owned(),
                        },
                    ),
                ],
                failure: Some("".to_owned()),
            })),
            EventKind::ResourceWarning(warning),
            EventKind::ResourceRecovered(warning),
            EventKind::Stats(stats.clone()),
            EventKind::System(SystemUsage {
                cpu_percent: 12.345_678_9,
                memory_bytes: u64::MAX,
                machine_steal_percent: Some(0.1),
                ..SystemUsage::default()
            }),
            request(Some(Duration::from_nanos(1)), Some("status 503".into())),
            request(None, None),
            EventKind::Transaction(Box::new(Transaction {
                origin: origin.clone(),
                name: "buy".into(),
                duration: Duration::from_nanos(123_456_789),
                failure: Some("".into()),
                tags: tags.clone(),
            })),
            EventKind::Iteration(Iteration {
                origin: origin.clone(),
                duration: Duration::from_secs(3600),
                lag: None,
                failure: None,
            }),
            EventKind::Check(Box::new(Check {
                origin: origin.clone(),
                name: "ok".into(),
                passed: true,
                tags: Vec::new(),
            })),
            EventKind::Sample(Box::new(Sample {
                metric: "m".into(),
                kind: MetricKind::Trend,
                value: -0.1,
                tags: tags.clone(),
            })),
            EventKind::ScriptError(Box::new(ScriptFailure {
                origin: origin.clone(),
                error,
            })),
            message(LogLevel::Debug),
            message(LogLevel::Error),
        ]
    }

    #[test]
    fn a_recorded_event_is_the_event_that_happened() {
        let event_of = |(number, kind)| Event {
            time_ms: 1_700_000_000_000.1 + number as f64 / 3.0,
            elapsed: Duration::from_nanos(number as u64 * 1_234_567_891),
            node: "worker-1".into(),
            kind,
        };
        let happened: Vec<Event> = every_kind().into_iter().enumerate().map(event_of).collect();
        let info = RunInfo {
            run_id: "run-1".to_owned(),
            test_plan: "\"checkout\"".to_owned(),
            host_version: "0.1.0".to_owned(),
            role: Role::Master,
            node: "master".into(),
            hostname: "here".to_owned(),
            process_id: 1,
            scenarios: vec!["a".into(), "b".into()],
            tags: vec![("team".into(), "shop".into())],
            stats_interval: Duration::from_millis(1_500),
            plan: r#"{"b":1,"a":"\n"}"#.to_owned(),
            options: Vec::new(),
        };
        let recording = Recording::parse("a", &written(&info, &happened)).expect("it reads back");
        assert_eq!(
            format!("{:?}", run_info(&recording.run)),
            format!("{:?}", run_info(&info))
        );
        assert_eq!(recording.events().count(), happened.len());
        for (read, happened) in recording.events().zip(&happened) {
            assert_eq!(format!("{:?}", one(read)), format!("{:?}", one(happened)));
        }
    }

    #[test]
    fn each_interest_is_mapped() {
        assert_eq!(interests(wit::Interests::empty()), Interests::default());
        assert_eq!(
            interests(wit::Interests::STATS | wit::Interests::LOGS),
            Interests::STATS.with(Interests::LOGS)
        );
        assert_eq!(interests(wit::Interests::all()), Interests::ALL);
    }
}
