//! Outcomes for the tests of the report: made up, but through the real
//! statistics.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Key, Options, Place, Surroundings, resolve};
use crate::error::ExitCode;
use crate::event::{DataQuality, RunSummary, Stats, StopReason};
use crate::measure::{DropReason, IterationEnd, MetricKind, Phases, RequestSample, ScriptError};
use crate::plan::{Plan, Scenario, ScriptSource};
use crate::recorder::RecorderOutcome;
use crate::run::{Health, Outcome};
use crate::stats::tracking::SCENARIO;
use crate::stats::{Marks, Names, Shard, Snapshot, Tracking, thresholds};

/// 2026-11-23 03:41:05.250 UTC.
const STARTED_MS: f64 = 1_795_405_265_250.0;

/// Numbers from 0 to 1 that look random and never change.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A time with a long tail: about `median`, seldom many times as much.
    fn time(&mut self, median_ms: f64) -> Duration {
        let tail = (-self.next().max(1e-9).ln()).powf(1.6);
        let spread = 0.7 + 0.5 * self.next();
        Duration::from_nanos((median_ms * (spread + 0.35 * tail) * 1e6) as u64)
    }
}

fn plan(script: &str, options: &[(Key, &str)]) -> Plan {
    let mut given = Options::default();
    for (key, text) in options {
        given.say(*key, *text, Place::Flag);
    }
    let around = Surroundings {
        stdout_is_terminal: false,
        has_keys: false,
        cores: 2,
        vus_room: 10_000,
        cache_home: None,
    };
    resolve(ScriptSource::File(script.into()), &given, &around)
        .expect("made up well")
        .plan
}

fn outcome(plan: Plan, total: &Snapshot, duration: Duration, exit_code: ExitCode) -> Outcome {
    let stats = Stats {
        vus: 0,
        total: total.window(duration),
        complete: true,
        ..Stats::default()
    };
    Outcome {
        run_id: "019abf2e-6d3c-7a51-9b0e-3f6c2d8e4a17".to_owned(),
        started_ms: STARTED_MS,
        summary: RunSummary {
            passed: exit_code == ExitCode::Passed,
            exit_code: exit_code as u8,
            reason: StopReason::Completed,
            stats: Arc::new(stats),
            thresholds: thresholds::judge(&plan.thresholds, total, duration),
            quality: DataQuality::default(),
        },
        plan: Arc::new(plan),
        exit_code,
        duration_histogram: total.all_requests().duration,
        health: Health {
            cpu_is_known: true,
            cpu_mean_percent: 61.3,
            cpu_max_percent: 88.0,
            cores: 2,
            machine_cpu_max_percent: 57.5,
            steal_max_percent: Some(0.0),
            scheduler_lag_max: Duration::from_micros(2_310),
            scheduler_late_share: 0.0,
            memory_max_bytes: 47_316_992,
            threads: 2,
            open_files_max: 73,
        },
        telemetry: vec![RecorderOutcome {
            name: "json".to_owned(),
            entries_written: 214,
            entries_invalid: 0,
            first_invalid: None,
            entries_lost: 0,
            entries_lost_because: None,
            events_dropped: 0,
            restarts: 0,
            failure: None,
        }],
        warnings: Vec::new(),
        load_changes: Vec::new(),
        shape: None,
        workers: Vec::new(),
        abort_detail: None,
    }
}

/// A shop under load: everything there is, with some failures.
pub(super) fn shop() -> Outcome {
    let plan = plan(
        "shop.wasm",
        &[
            (Key::Vus, "50"),
            (Key::Duration, "1m"),
            (Key::Seed, "42"),
            (Key::Threshold, "http_req_duration: p(95) < 250"),
            (Key::Threshold, "http_req_failed: rate < 0.01"),
            (Key::Threshold, "checks: rate > 0.99"),
            (Key::Threshold, "http_reqs: rate > 100"),
        ],
    );
    let mut noise = Noise(7);
    let mut shard = Shard::new(Names::new(1000));
    let endpoints = [
        ("GET", "/", 4_000, 1.1),
        ("GET", "/item/[id]", 6_000, 8.4),
        (
            "GET",
            "/api/v2/catalogue/search?query=[words]&page=[n]&sort=price",
            900,
            240.0,
        ),
        ("POST", "/basket", 1_200, 22.0),
        ("POST", "/checkout", 400, 310.0),
        ("DELETE", "/basket/[id]", 120, 5.2),
    ];
    for (method, name, requests, median_ms) in endpoints {
        let id = shard.request_id(method, name);
        for number in 0..requests {
            let duration = noise.time(median_ms);
            let at = STARTED_MS + 1_000.0 + f64::from(number) * 58_000.0 / f64::from(requests);
            let failed = name == "/checkout" && number % 9 == 4 || number % 1_499 == 500;
            let refused = name == "/basket" && number % 400 == 9;
            let opens = number < 9;
            shard.request(
                id,
                &RequestSample {
                    from_due: None,
                    duration,
                    phases: Phases {
                        connecting: opens.then(|| noise.time(0.4)),
                        tls: None,
                        waiting: (!refused).then(|| duration.mul_f64(0.9)),
                        receiving: (!refused).then(|| duration.mul_f64(0.08)),
                    },
                    status: match (refused, failed) {
                        (true, _) => 0,
                        (_, true) => 503,
                        _ => 200,
                    },
                    failed: failed || refused,
                    sent_bytes: 182,
                    received_bytes: 4_096,
                },
                Marks::NONE,
            );
            if refused {
                let refused = "connection refused: nothing listens on 127.0.0.1:8080";
                shard.request_failure(id, refused, at);
            } else if failed {
                shard.request_failure(id, "status 503", at);
            }
        }
    }
    for number in 0..400 {
        let failure = (number % 9 == 4).then_some("the order was not taken");
        let at = STARTED_MS + 2_000.0 + f64::from(number) * 140.0;
        shard.transaction("checkout", noise.time(345.0), failure, Marks::NONE, at);
    }
    for number in 0..2_500 {
        shard.check("the front page is there", true, Marks::NONE);
        shard.check("the item has a price", number % 2_000 != 1_999, Marks::NONE);
        if number < 400 {
            shard.check("the order is confirmed", number % 9 != 4, Marks::NONE);
        }
        let end = match number {
            777 | 1_888 => IterationEnd::Failed,
            2_490.. => IterationEnd::Interrupted,
            _ => IterationEnd::Passed,
        };
        shard.iteration(end, noise.time(1_150.0), None, Marks::NONE);
    }
    for number in 0..400 {
        let at = f64::from(number);
        let recorded = [
            shard.metric("revenue", MetricKind::Counter, 9.5, Marks::NONE, at),
            shard.metric(
                "basket_size",
                MetricKind::Trend,
                f64::from(number % 7),
                Marks::NONE,
                at,
            ),
            shard.metric("stock_left", MetricKind::Gauge, 612.0 - at, Marks::NONE, at),
            shard.metric(
                "used_coupon",
                MetricKind::Rate,
                f64::from(number % 4 / 3),
                Marks::NONE,
                at,
            ),
        ];
        assert!(recorded.iter().all(Result::is_ok));
    }
    for at in [21_000.0, 48_500.0] {
        let error = ScriptError {
            message: "panicked at src/lib.rs:88:41: index out of bounds: the len is 0 but the index is 0"
                .into(),
            stack: Some(
                "shop::pick_item at src/lib.rs:88\nshop::browse at src/lib.rs:61\nshop::iterate at src/lib.rs:40\nsquall:script/user@0.1.0#iterate\ncanonical lift\n"
                    .into(),
            ),
        };
        shard.script_failure("default", &error, STARTED_MS + at);
    }
    let total = shard.take();
    outcome(
        plan,
        &total,
        Duration::from_millis(60_214),
        ExitCode::ThresholdFailed,
    )
}

/// Two scenarios of an open model, split by a tag of which some requests have
/// none and some one beyond the limit.
pub(super) fn mix() -> Outcome {
    let mut plan = plan(
        "mix.wasm",
        &[
            (Key::Rate, "50/s"),
            (Key::Duration, "20s"),
            (Key::Seed, "3"),
            (Key::TestPlan, "mix"),
            (Key::Names, "5"),
            (Key::GroupBy, "scenario"),
            (Key::GroupBy, "part"),
        ],
    );
    let like = plan.scenarios[0].clone();
    let scenario = |name: &str| Scenario {
        name: name.into(),
        ..like.clone()
    };
    plan.scenarios = ["browse", "buy", "late"].map(scenario).into();
    let tracking = Arc::new(Tracking::of(&plan));
    let mut noise = Noise(5);
    let mut shard = Shard::new(Names::tracking(5, tracking.clone()));
    let mut total = Snapshot {
        groups: tracking.grouping().tables(),
        ..Snapshot::default()
    };
    let parts = [
        "catalogue",
        "search",
        "a part that somebody gave a very long name",
        "",
        "cart",
        "pay",
        "ship",
    ];
    for number in 0..1_200_usize {
        let buys = number % 5 == 0;
        let scenario = shard.marks([(SCENARIO, if buys { "buy" } else { "browse" })]);
        let part = parts.get(number % 9).map(|part| ("part", *part));
        let marks = shard.marks(part).over(scenario);
        let id = shard.request_id("GET", if buys { "/buy" } else { "/" });
        let duration = noise.time(if buys { 35.0 } else { 4.0 });
        let lag = noise.time(0.03);
        let failed = buys && number % 4 == 0;
        let sample = RequestSample {
            duration,
            from_due: Some(duration + lag),
            status: if failed { 500 } else { 200 },
            failed,
            sent_bytes: 100,
            received_bytes: 1_000,
            ..RequestSample::default()
        };
        shard.request(id, &sample, marks);
        let end = match number {
            1_190.. => IterationEnd::Interrupted,
            _ if failed => IterationEnd::Failed,
            _ => IterationEnd::Passed,
        };
        shard.iteration(end, duration, Some(lag), scenario);
    }
    let buy = shard.marks([(SCENARIO, "buy")]);
    shard.dropped_iterations(40, DropReason::NoFreeVu, buy);
    shard.dropped_iterations(2, DropReason::RunEnded, buy);
    total.merge(&shard.take());
    outcome(plan, &total, Duration::from_secs(20), ExitCode::Passed)
}

/// The first run of a beginner: one endpoint, nothing wrong.
pub(super) fn hello() -> Outcome {
    let plan = plan(
        "hello.wasm",
        &[
            (Key::Iterations, "200"),
            (Key::Vus, "4"),
            (Key::Seed, "1"),
            (Key::Threshold, "http_req_failed: rate < 0.01"),
        ],
    );
    let mut noise = Noise(3);
    let mut shard = Shard::new(Names::new(1000));
    let id = shard.request_id("GET", "/");
    for _ in 0..200 {
        let duration = noise.time(0.42);
        shard.request(
            id,
            &RequestSample {
                duration,
                phases: Phases {
                    waiting: Some(duration.mul_f64(0.95)),
                    receiving: Some(duration.mul_f64(0.05)),
                    ..Phases::default()
                },
                status: 200,
                sent_bytes: 120,
                received_bytes: 320,
                ..RequestSample::default()
            },
            Marks::NONE,
        );
        shard.check("the front page is there", true, Marks::NONE);
        shard.iteration(IterationEnd::Passed, duration, None, Marks::NONE);
    }
    let total = shard.take();
    outcome(plan, &total, Duration::from_millis(38), ExitCode::Passed)
}

/// A server that is gone, a script that gives up, and a generator that is
/// short of everything.
pub(super) fn trouble() -> Outcome {
    let long = "a-name-without-an-end-".repeat(10);
    let plan = plan(
        "trouble.wasm",
        &[
            (Key::Vus, "1000"),
            (Key::Duration, "10m"),
            (Key::Seed, "18446744073709551615"),
            (Key::TestPlan, &long),
            (Key::Threshold, "http_req_tls_handshaking: p(99) < 100"),
            (Key::Threshold, "http_req_failed: rate < 0.01"),
        ],
    );
    let mut noise = Noise(11);
    let mut shard = Shard::new(Names::new(1000));
    for endpoint in 0..70 {
        let id = shard.request_id("PATCH", &format!("/{long}{endpoint}"));
        for number in 0..=endpoint {
            shard.request(
                id,
                &RequestSample {
                    duration: noise.time(9_000.0),
                    failed: true,
                    ..RequestSample::default()
                },
                Marks::NONE,
            );
            let message = format!("\x1b[31mconnection {} reset by peer\n", number % 3);
            shard.request_failure(id, &message, STARTED_MS + f64::from(number));
        }
    }
    for _ in 0..1_000 {
        let lag = noise.time(40.0);
        shard.iteration(
            IterationEnd::Failed,
            noise.time(9_000.0),
            Some(lag),
            Marks::NONE,
        );
    }
    shard.dropped_iterations(12_345, DropReason::NoFreeVu, Marks::NONE);
    let total = shard.take();
    let mut outcome = outcome(plan, &total, Duration::from_secs(431), ExitCode::Aborted);
    outcome.summary.reason = StopReason::Aborted("the shop is on fire".into());
    outcome.health.cpu_max_percent = 199.2;
    outcome.health.machine_cpu_max_percent = 100.0;
    outcome.health.steal_max_percent = Some(12.5);
    outcome.health.scheduler_lag_max = Duration::from_millis(312);
    outcome.health.scheduler_late_share = 0.042;
    outcome.telemetry.push(RecorderOutcome {
        name: "./recorders/misrecord.wasm".to_owned(),
        entries_written: 3,
        entries_invalid: 2,
        first_invalid: Some("`[1]`: it is not an object".to_owned()),
        entries_lost: 1,
        entries_lost_because: Some("`brief.ndjson`: No space left on device".to_owned()),
        events_dropped: 40_213,
        restarts: 1,
        failure: Some("it stopped: unreachable".to_owned()),
    });
    outcome.warnings = vec![
        "more than 1,000 request names: 5,231 requests are counted under `(other)`; name requests that hold an id"
            .to_owned(),
    ];
    outcome
}

/// A run that was interrupted before anything happened.
pub(super) fn nothing() -> Outcome {
    let plan = plan("hello.wasm", &[(Key::Seed, "5"), (Key::Recorder, "none")]);
    let mut outcome = outcome(
        plan,
        &Snapshot::default(),
        Duration::from_millis(900),
        ExitCode::Interrupted,
    );
    outcome.summary.reason = StopReason::Interrupted;
    outcome.health = Health::default();
    outcome.telemetry.clear();
    outcome
}
