//! Events of the worst kind: thousands of them, made of numbers that are none,
//! texts that are endless or full of control characters, and lists of any length.

use super::{
    Told, event, everything, judge, parse, record, request, run_info, stats, summary, system,
};
use crate::envelope::LINE_LIMIT;
use crate::squall::recorder::events::*;

/// Makes values up, the same ones each time.
struct Nasty(u64);

impl Nasty {
    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn number(&mut self) -> f64 {
        let any = f64::from_bits(self.next());
        self.one_of(&[
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -0.0,
            0.0,
            -1.5,
            0.000_499,
            1e15,
            1e16,
            12.345_678,
            any,
        ])
    }

    fn count(&mut self) -> u64 {
        // Sums of counts must not overflow either; nobody counts this far.
        let any = self.next() >> 16;
        self.one_of(&[0, 1, 1 << 53, (1 << 53) + 1, any])
    }

    fn small(&mut self) -> u32 {
        let any = self.next() as u32;
        self.one_of(&[0, 1, u32::MAX, any])
    }

    fn text(&mut self) -> String {
        let length = self.one_of(&[0, 1, 5, 40, 1_022, 1_023, 1_024, 1_025, 9_000]);
        let alphabet: &[&str] = self.one_of(&[
            &["a", "b", " "][..],
            &["\0", "\u{1}", "\u{1f}", "\u{7f}"][..],
            &["\"", "\\", "/", "{", "}", "\n", "\r\n", "\t"][..],
            &["é", "„", "🦀", "\u{2028}", "\u{feff}", "e\u{301}"][..],
            &["a", "\"", "\\", "é", "\u{2}", "🦀", "{", "\n"][..],
        ]);
        let mut text = String::new();
        while text.len() < length {
            text.push_str(self.one_of(alphabet));
        }
        text
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let length = self.one_of(&[0, 1, 2, 17]);
        (0..length).map(|_| make(self)).collect()
    }

    fn tags(&mut self) -> Vec<Tag> {
        self.list(|it| (it.text(), it.text()))
    }

    fn distribution(&mut self) -> Distribution {
        Distribution {
            count: self.count(),
            min_ms: self.number(),
            mean_ms: self.number(),
            median_ms: self.number(),
            max_ms: self.number(),
            percentiles_ms: self.list(|it| (it.one_of(&[0.9, 0.95, f64::NAN]), it.number())),
        }
    }

    fn requests(&mut self) -> RequestStats {
        RequestStats {
            method: self.text(),
            name: self.text(),
            requests: self.count(),
            failures: self.count(),
            requests_per_s: self.number(),
            failures_per_s: self.number(),
            duration: self.distribution(),
            phases: Phases {
                connecting: self.distribution(),
                tls: self.distribution(),
                waiting: self.distribution(),
                receiving: self.distribution(),
            },
            statuses: self.list(|it| (it.next() as u16, it.count())),
            sent_bytes: self.count(),
            received_bytes: self.count(),
        }
    }

    fn window(&mut self) -> Window {
        Window {
            duration_ms: self.number(),
            all: self.requests(),
            requests: self.list(Self::requests),
            transactions: self.list(|it| TransactionStats {
                name: it.text(),
                failures: it.count(),
                duration: it.distribution(),
            }),
            failures: self.list(|it| FailureStats {
                origin: it.one_of(&[
                    FailureOrigin::Request,
                    FailureOrigin::Transaction,
                    FailureOrigin::Script,
                ]),
                method: it.text(),
                name: it.text(),
                message: it.text(),
                occurrences: it.count(),
                first_seen_ms: it.number(),
                last_seen_ms: it.number(),
            }),
            checks: self.list(|it| CheckStats {
                name: it.text(),
                passes: it.count(),
                failures: it.count(),
            }),
            metrics: self.list(|it| MetricStats {
                name: it.text(),
                kind: it.kind(),
                count: it.count(),
                value: it.number(),
                distribution: it.maybe(Self::distribution),
            }),
            iterations: IterationStats {
                finished: self.count(),
                failed: self.count(),
                interrupted: self.count(),
                dropped: self.count(),
                duration: self.distribution(),
                lag: self.distribution(),
            },
        }
    }

    fn kind(&mut self) -> MetricKind {
        self.one_of(&[
            MetricKind::Counter,
            MetricKind::Gauge,
            MetricKind::Rate,
            MetricKind::Trend,
        ])
    }

    fn reason(&mut self) -> StopReason {
        let text = self.text();
        self.one_of(&[
            StopReason::Completed,
            StopReason::Interrupted,
            StopReason::Threshold(text.clone()),
            StopReason::Aborted(text.clone()),
            StopReason::Other(text),
        ])
    }

    fn threshold(&mut self) -> Threshold {
        Threshold {
            expression: self.text(),
            passed: self.below(2) == 0,
            value: self.maybe(Self::number),
        }
    }

    fn resource(&mut self) -> ResourceWarning {
        ResourceWarning {
            resource: self.one_of(&[
                ResourceKind::Cpu,
                ResourceKind::Memory,
                ResourceKind::OpenFiles,
                ResourceKind::Other,
            ]),
            value: self.number(),
            limit: self.number(),
        }
    }

    fn load(&mut self) -> Load {
        let load = [Load::Vus(self.small()), Load::Rate(self.number())];
        self.one_of(&load)
    }

    fn shape_report(&mut self) -> ShapeReport {
        ShapeReport {
            shape: self.text(),
            findings: self.list(|some| Finding {
                name: some.text(),
                value: match some.below(2) {
                    0 => FindingValue::Text(some.text()),
                    _ => FindingValue::Number(Quantity {
                        value: some.number(),
                        unit: some.text(),
                    }),
                },
            }),
            failure: self.maybe(Self::text),
        }
    }

    fn load_change(&mut self) -> LoadChange {
        let text = self.text();
        LoadChange {
            scenario: self.text(),
            action: self.one_of(&[
                LoadAction::Target,
                LoadAction::Paused,
                LoadAction::Resumed,
                LoadAction::Other,
            ]),
            before: self.load(),
            after: self.load(),
            by: self.one_of(&[
                Steerer::Terminal,
                Steerer::ControlApi(text.clone()),
                Steerer::Shape,
                Steerer::Other(text),
            ]),
        }
    }

    fn measurements(&mut self) -> Measurements {
        let mut told = Told::default();
        let count = self.one_of(&[1, 2, 5]);
        let kinds = (0..count).map(|_| self.measurement(&mut told)).collect();
        match told.event(kinds).kind {
            EventKind::Measured(mut measurements) => {
                for measurement in &mut measurements.all {
                    measurement.time_ms = self.number();
                }
                measurements
            }
            _ => unreachable!("it is of measurements"),
        }
    }

    fn measurement(&mut self, told: &mut Told) -> MeasurementKind {
        let mut text = |it: &mut Self| told.text(&it.text());
        let (scenario, name, method, url) = (text(self), text(self), text(self), text(self));
        let failure = self.maybe(text);
        let tags = told.tags(self.tags());
        let (vu, iteration, duration_ms) = (self.small(), self.small(), self.number());
        match self.below(6) {
            0 => MeasurementKind::Request(Request {
                scenario,
                vu,
                iteration,
                method,
                name,
                url,
                status: self.next() as u16,
                started_at_ms: self.number(),
                duration_ms,
                first_byte_ms: self.maybe(Self::number),
                failure,
                tags,
                ..request(told, 200, None)
            }),
            1 => MeasurementKind::Transaction(Transaction {
                scenario,
                vu,
                iteration,
                name,
                duration_ms,
                failure,
                tags,
            }),
            2 => MeasurementKind::Iteration(Iteration {
                scenario,
                vu,
                iteration,
                duration_ms,
                failure,
            }),
            3 => MeasurementKind::Check(Check {
                scenario,
                vu,
                iteration,
                name,
                passed: self.below(2) == 0,
                tags,
            }),
            4 => MeasurementKind::Sample(Sample {
                metric: name,
                kind: self.kind(),
                value: self.number(),
                tags,
            }),
            _ => MeasurementKind::Other(OtherMeasurement { name, payload: url }),
        }
    }

    fn event_kind(&mut self) -> EventKind {
        match self.below(22) {
            20 => EventKind::LoadChanged(self.load_change()),
            21 => EventKind::ShapeReported(self.shape_report()),
            0 => EventKind::RunStarted,
            1 => EventKind::RampUpFinished(RampUp { vus: self.small() }),
            2 => EventKind::RunStopping(self.reason()),
            3 => EventKind::RunFinished(RunSummary {
                exit_code: self.next() as u8,
                reason: self.reason(),
                stats: Stats {
                    total: self.window(),
                    ..stats(&[])
                },
                thresholds: self.list(Self::threshold),
                ..summary()
            }),
            4 => EventKind::WorkerJoined(self.text()),
            5 => EventKind::WorkerLost(self.text()),
            6 => EventKind::ThresholdChanged(self.threshold()),
            7 => EventKind::EventsDropped(self.count()),
            8 => EventKind::ResourceWarning(self.resource()),
            9 => EventKind::ResourceRecovered(self.resource()),
            10 => EventKind::Stats(Stats {
                vus: self.small(),
                interval: self.window(),
                complete: self.below(2) == 0,
                ..stats(&[])
            }),
            11 => EventKind::System(SystemUsage {
                cores: self.small(),
                machine_cpu_percent: self.number(),
                network_sent_bytes: self.next(),
                ..system(self.number())
            }),
            12..=16 => EventKind::Measured(self.measurements()),
            17 => EventKind::ScriptError(ScriptError {
                scenario: self.text(),
                vu: self.small(),
                iteration: self.small(),
                message: self.text(),
                stack: self.maybe(Self::text),
            }),
            18 => EventKind::Log(LogMessage {
                scenario: self.text(),
                vu: self.small(),
                iteration: self.small(),
                level: self.one_of(&[LogLevel::Debug, LogLevel::Info, LogLevel::Error]),
                message: self.text(),
            }),
            _ => EventKind::Other(OtherEvent {
                name: self.text(),
                payload: self.text(),
            }),
        }
    }

    fn event(&mut self) -> Event {
        let node = self.text();
        Event {
            time_ms: self.number(),
            elapsed_ms: self.number(),
            node: self.one_of(&["standalone".to_owned(), "worker-7".to_owned(), node]),
            ..event(self.event_kind())
        }
    }

    fn run(&mut self) -> RunInfo {
        let (text, length) = (self.text(), self.below(9_000));
        let plan = format!(r#"{{"{}": "b", "x": null}}"#, "a".repeat(length));
        RunInfo {
            run_id: self.text(),
            test_plan: self.text(),
            host_version: self.text(),
            hostname: self.text(),
            scenarios: self.list(Self::text),
            tags: self.tags(),
            stats_interval_ms: self.number(),
            plan: self.one_of(&[plan, String::new(), text]),
            ..run_info()
        }
    }
}

/// A line without what numbers are made of: a large one may be read as its
/// neighbour, which is written with other digits.
fn without_digits(line: &str) -> String {
    line.replace(
        |sign: char| matches!(sign, '0'..='9' | '.' | 'e' | '+' | '-'),
        "",
    )
}

#[test]
fn whatever_comes_becomes_lines_that_keep_what_is_promised() {
    let judge = judge();
    for (seed, profile) in (1..).zip(["native", "native", "native", "ecs", "datadog", "gcp"]) {
        let mut nasty = Nasty(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut options = everything().options;
        options.push(("profile".into(), profile.into()));
        let run = RunInfo {
            options,
            ..nasty.run()
        };
        let events: Vec<_> = (0..100).map(|_| nasty.event()).collect();
        let lines = record(run, &events);
        assert!(lines.len() >= events.len());
        for (line, number) in lines.iter().zip(1_u64..) {
            assert!(line.len() <= LINE_LIMIT, "{} bytes: {line}", line.len());
            assert!(!line.contains(|sign: char| sign < ' '), "{line:?}");
            let parsed = parse(line);
            assert_eq!(
                without_digits(&parsed.to_string()),
                without_digits(line),
                "a key came twice"
            );
            judge
                .check(&parsed)
                .unwrap_or_else(|mistake| panic!("{mistake}"));
            let seq = match profile {
                "ecs" => &parsed["event"]["sequence"],
                _ => &parsed["seq"],
            };
            assert_eq!(*seq, number);
        }
    }
}
