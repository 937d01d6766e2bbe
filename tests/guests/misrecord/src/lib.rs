//! A recorder that does harm, in the way that its option `mode` says. In any
//! other mode it writes a small entry for each event.
//!
//! `--recorder misrecord.wasm,mode=spin`, and with `at=start` or `at=finish` it
//! does so there and not at the batches of events; with `batch=3` only at the
//! third of them. `want=requests+logs` asks for these events and no others.
//! `../README.md` lists the modes and the entries.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::time::{Duration, Instant};

use exports::squall::recorder::event_handler::Guest;
use squall::recorder::events::{
    Event, EventKind, Interests, Measurement, MeasurementKind, ResourceWarning, RunInfo,
};

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });

/// How long a slow recorder computes.
const SLOW: Duration = Duration::from_secs(5);

/// What a recorder can ask for.
const EVERYTHING: &str =
    "stats+system+requests+transactions+iterations+checks+samples+script-errors+logs";

/// What the user asked for.
#[derive(Clone, Default)]
struct Options {
    mode: String,
    at: String,
    batch: Option<u64>,
    want: String,
    stats_interval_ms: f64,
}

thread_local! {
    static OPTIONS: RefCell<Options> = RefCell::default();
    static BATCHES: Cell<u64> = const { Cell::new(0) };
    static EVENTS: Cell<u64> = const { Cell::new(0) };
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Misrecord;

export!(Misrecord);

impl Guest for Misrecord {
    fn start(run: RunInfo) -> Result<Interests, String> {
        let mut options = Options {
            at: "handle".to_owned(),
            stats_interval_ms: run.stats_interval_ms,
            ..Options::default()
        };
        for (name, value) in run.options {
            match name.as_str() {
                "mode" => options.mode = value,
                "at" => options.at = value,
                "batch" => options.batch = Some(value.parse().map_err(|_| "no number")?),
                "want" => options.want = value,
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        if options.mode == "err" {
            return Err("the recorder says no".to_owned());
        }
        let interests = match options.want.as_str() {
            "" => interests(EVERYTHING),
            want => interests(want),
        };
        OPTIONS.set(options);
        do_harm("start");
        interests
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        BATCHES.set(BATCHES.get() + 1);
        let entries: Vec<_> = events.iter().flat_map(entries).collect();
        EVENTS.set(EVENTS.get() + entries.len() as u64);
        do_harm("handle").unwrap_or(entries)
    }

    fn finish() -> Vec<String> {
        let entries = vec![format!(r#"{{"finish":true,"events":{}}}"#, EVENTS.get())];
        do_harm("finish").unwrap_or(entries)
    }
}

fn interests(want: &str) -> Result<Interests, String> {
    let mut interests = Interests::empty();
    for name in want.split('+') {
        let wanted = match name {
            "nothing" => Interests::empty(),
            "stats" => Interests::STATS,
            "system" => Interests::SYSTEM,
            "requests" => Interests::REQUESTS,
            "transactions" => Interests::TRANSACTIONS,
            "iterations" => Interests::ITERATIONS,
            "checks" => Interests::CHECKS,
            "samples" => Interests::SAMPLES,
            "script-errors" => Interests::SCRIPT_ERRORS,
            "logs" => Interests::LOGS,
            _ => return Err(format!("no events are called `{name}`")),
        };
        interests = interests | wanted;
    }
    Ok(interests)
}

/// An entry for each event, and for each measurement.
fn entries(event: &Event) -> Vec<String> {
    let EventKind::Measured(measurements) = &event.kind else {
        return vec![entry(event)];
    };
    let want = OPTIONS.with_borrow(|options| options.want.clone());
    let name = |measurement: &Measurement| match measurement.kind {
        MeasurementKind::Request(_) => "request",
        MeasurementKind::Transaction(_) => "transaction",
        MeasurementKind::Iteration(_) => "iteration",
        MeasurementKind::Check(_) => "check",
        MeasurementKind::Sample(_) => "sample",
        MeasurementKind::Other(_) => "other",
    };
    let all = measurements.all.iter();
    all.map(|measurement| format!(r#"{{"event":"{}","want":"{want}"}}"#, name(measurement)))
        .collect()
}

fn entry(event: &Event) -> String {
    let mut rest = String::new();
    let mut also = |name: &str, value: &dyn std::fmt::Display| {
        rest += &format!(r#","{name}":{value}"#);
    };
    let mut resource = |warning: &ResourceWarning| {
        also("resource", &format!("\"{:?}\"", warning.resource));
        also("value", &warning.value);
        also("limit", &warning.limit);
    };
    let name = match &event.kind {
        EventKind::RunStarted => "run-started",
        EventKind::RampUpFinished(_) => "ramp-up-finished",
        EventKind::RunStopping(_) => "run-stopping",
        EventKind::RunFinished(summary) => {
            also("requests", &summary.stats.interval.all.requests);
            also("total", &summary.stats.total.all.requests);
            also("dropped", &summary.quality.events_dropped);
            "run-finished"
        }
        EventKind::WorkerJoined(_) => "worker-joined",
        EventKind::WorkerLost(_) => "worker-lost",
        EventKind::ThresholdChanged(threshold) => {
            also("passed", &threshold.passed);
            "threshold-changed"
        }
        EventKind::LoadChanged(_) => "load-changed",
        EventKind::ShapeReported(_) => "shape-reported",
        EventKind::EventsDropped(count) => {
            also("count", count);
            "events-dropped"
        }
        EventKind::ResourceWarning(warning) => {
            resource(warning);
            "resource-warning"
        }
        EventKind::ResourceRecovered(warning) => {
            resource(warning);
            "resource-recovered"
        }
        EventKind::Stats(stats) => {
            also("requests", &stats.interval.all.requests);
            also("times", &stats.interval.all.duration.count);
            also("total", &stats.total.all.requests);
            also("duration_ms", &stats.interval.duration_ms);
            also("end_ms", &stats.total.duration_ms);
            let every = OPTIONS.with_borrow(|options| options.stats_interval_ms);
            also("every_ms", &every);
            "stats"
        }
        EventKind::System(usage) => {
            also("lag_ms", &usage.scheduler_lag_ms);
            "system"
        }
        EventKind::Measured(_) => "measured",
        EventKind::ScriptError(_) => "script-error",
        EventKind::Log(_) => "log",
        EventKind::Other(_) => "other",
    };
    let want = OPTIONS.with_borrow(|options| options.want.clone());
    format!(r#"{{"event":"{name}","want":"{want}"{rest}}}"#)
}

/// Does what `mode` says if this is where `at` and `batch` say. `Some` holds the
/// entries to return in place of the good ones.
fn do_harm(here: &str) -> Option<Vec<String>> {
    let options = OPTIONS.with_borrow(Clone::clone);
    let is_due = options.batch.is_none_or(|batch| batch == BATCHES.get());
    if options.at != here || !is_due {
        return None;
    }
    let entries = match options.mode.as_str() {
        "trap" => panic!("the recorder panics"),
        "spin" => loop {
            black_box(());
        },
        // Computes for 5 s, and then is as good as any.
        "slow" => {
            let start = Instant::now();
            while start.elapsed() < SLOW {
                (0..10_000).for_each(|number| {
                    black_box(number);
                });
            }
            return None;
        }
        "alloc" => loop {
            hoard(1 << 20);
        },
        // A mebibyte more with each batch, and never less.
        "slow-alloc" => {
            hoard(1 << 20);
            return None;
        }
        "print" => loop {
            println!("on and on");
        },
        "invalid-json" => vec![
            r#"{"entry":"before"}"#.to_owned(),
            "{\"entry\": broken".to_owned(),
            "[1]".to_owned(),
            "7".to_owned(),
            String::new(),
            "{\"entry\":\n\"over two lines\"}".to_owned(),
            r#"{"entry":"after"}"#.to_owned(),
        ],
        "not-json" => vec!["not json".to_owned()],
        // A mebibyte in one entry, which is the most.
        "big" => vec![big((1 << 20) - r#"{"big":""}"#.len())],
        "too-big" => vec![
            r#"{"entry":"before"}"#.to_owned(),
            big(10 << 20),
            r#"{"entry":"after"}"#.to_owned(),
        ],
        // Ten mebibytes in a batch.
        "much" => (0..1024).map(|_| big(10 << 10)).collect(),
        // More than may be handed over.
        "too-much" => (0..80).map(|_| big(1 << 20)).collect(),
        "flood" => vec![r#"{"flood":1}"#.to_owned(); 200_000],
        _ => return None,
    };
    Some(entries)
}

fn hoard(bytes: usize) {
    HOARD.with_borrow_mut(|hoard| hoard.push(black_box(Vec::with_capacity(bytes))));
}

fn big(bytes: usize) -> String {
    format!(r#"{{"big":"{}"}}"#, "x".repeat(bytes))
}
