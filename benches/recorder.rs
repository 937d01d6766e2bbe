//! What an event costs on the thread of the recorder `json`: to hand it to the
//! component, to make a line of it there, and to take the line back. Nothing of
//! this is on a VU's thread.
//!
//! `cargo bench --bench recorder`

#![expect(clippy::print_stdout, reason = "it is what a bench is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use squall::event::{Check, Event, EventKind, Iteration, LogMessage, Origin, Request, Sample};
use squall::measure::{LogLevel, MetricKind, Phases, RequestSample};
use squall::recorder::{Batch, Recorder, Role, RunInfo};
use squall::wasm::cache::CompileCache;
use squall::wasm::component::load_recorder;
use squall::wasm::engine::Ticker;
use squall::wasm::recorder::{JSON, LIMITS, WasmRecorder};

/// As many as the host hands over at once, at most.
const BATCH: usize = 256;
const BATCHES: usize = 2_000;

fn main() {
    println!("{:<44} {:>9} {:>9}", "", "µs/event", "bytes");
    let all = [
        ("requests", "all"),
        ("measurements", "iterations+checks+samples"),
    ];
    measure("a request, with a line", &all, request);
    measure("a request, without", &[("requests", "failed")], request);
    for profile in ["ecs", "datadog", "gcp"] {
        let options = [all[0], ("profile", profile)];
        measure(&format!("a request, profile {profile}"), &options, request);
    }
    measure("an iteration", &all, |origin| {
        EventKind::Iteration(Iteration {
            origin,
            duration: Duration::from_micros(12_345),
            lag: None,
            failure: None,
        })
    });
    measure("a check", &all, |origin| {
        EventKind::Check(Box::new(Check {
            origin,
            name: "the front page is there".into(),
            passed: true,
            tags: Vec::new(),
        }))
    });
    measure("a value of a metric", &all, |_| {
        EventKind::Sample(Box::new(Sample {
            metric: "basket".into(),
            kind: MetricKind::Trend,
            value: 12.5,
            tags: Vec::new(),
        }))
    });
    measure("a message of a script", &all, |origin| {
        EventKind::Log(Box::new(LogMessage {
            origin,
            level: LogLevel::Info,
            message: "the basket has 3 items".into(),
        }))
    });
}

/// Prints the best of several rounds: others use the machine as well.
fn measure(what: &str, options: &[(&str, &str)], kind: impl Fn(Origin) -> EventKind) {
    let component = load_recorder(&JSON).expect("it is a recorder");
    let cache = CompileCache::new(None);
    let ticker = Ticker::start().map(Arc::new).expect("a thread");
    let mut recorder = WasmRecorder::new(&component, &cache, LIMITS, &ticker).expect("it compiles");
    recorder.start(&run(options)).expect("it starts");
    let batch: Batch = (0..BATCH)
        .map(|number| {
            let origin = Origin {
                scenario: "default".into(),
                vu: 1 + number as u32 % 50,
                iteration: number as u32,
            };
            event(kind(origin), number)
        })
        .collect();
    let (mut best, mut bytes) = (f64::INFINITY, 0);
    for _ in 0..BATCHES {
        let start = Instant::now();
        let lines = recorder.handle(&batch).expect("it does not fail");
        let micros = start.elapsed().as_secs_f64() * 1e6 / BATCH as f64;
        best = best.min(micros);
        bytes = lines.iter().map(String::len).sum::<usize>() / BATCH;
    }
    println!("{what:<44} {best:>9.2} {bytes:>9}");
}

fn event(kind: EventKind, number: usize) -> Event {
    let elapsed = Duration::from_micros(100 * number as u64);
    Event {
        time_ms: 1_795_383_628_000.0 + elapsed.as_secs_f64() * 1e3,
        elapsed,
        node: "standalone".into(),
        kind,
    }
}

fn request(origin: Origin) -> EventKind {
    let ms = Duration::from_millis;
    EventKind::Request(Box::new(Request {
        origin,
        method: "GET".into(),
        name: "/item/[id]".into(),
        url: "http://127.0.0.1:8080/item/12345?color=red".into(),
        started_at_ms: 1_795_383_627_987.25,
        sample: RequestSample {
            duration: Duration::from_micros(12_345),
            from_due: None,
            phases: Phases {
                connecting: None,
                tls: None,
                waiting: Some(ms(11)),
                receiving: Some(ms(1)),
            },
            status: 200,
            failed: false,
            sent_bytes: 120,
            received_bytes: 4_096,
        },
        first_byte: Some(ms(11)),
        failure: None,
        tags: vec![("plan".into(), "checkout".into())],
    }))
}

fn run(options: &[(&str, &str)]) -> RunInfo {
    RunInfo {
        run_id: "01936d5e-7d4b-7000-8000-000000000001".to_owned(),
        test_plan: "checkout".to_owned(),
        host_version: "0.1.0".to_owned(),
        role: Role::Standalone,
        node: Arc::from("standalone"),
        hostname: "machine".to_owned(),
        process_id: 4711,
        scenarios: vec!["default".into()],
        tags: vec![("stage".into(), "test".into())],
        stats_interval: Duration::from_secs(2),
        plan: "{}".to_owned(),
        options: options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}
