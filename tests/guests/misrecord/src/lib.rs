//! A recorder that does harm, in the way its option `mode` says. In any other
//! mode it writes a small entry for each event.
//!
//! `--recorder misrecord.wasm,mode=spin`, and with `at=start` or `at=finish` it
//! does so there and not at each batch of events. `mode=none` counts the events
//! and says at the end how many there were.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use exports::squall::recorder::event_handler::Guest;
use squall::recorder::events::{Event, EventKind, Interests, RunInfo};

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
    static AT: RefCell<String> = const { RefCell::new(String::new()) };
    static EVENTS: Cell<u64> = const { Cell::new(0) };
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Misrecord;

export!(Misrecord);

impl Guest for Misrecord {
    fn start(run: RunInfo) -> Result<Interests, String> {
        AT.set("handle".to_owned());
        for (name, value) in run.options {
            match name.as_str() {
                "mode" => MODE.set(value),
                "at" => AT.set(value),
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        if MODE.with_borrow(|mode| mode == "err") {
            return Err("the recorder says no".to_owned());
        }
        do_harm("start");
        Ok(Interests::STATS
            | Interests::SYSTEM
            | Interests::REQUESTS
            | Interests::TRANSACTIONS
            | Interests::ITERATIONS
            | Interests::CHECKS
            | Interests::SAMPLES
            | Interests::SCRIPT_ERRORS
            | Interests::LOGS)
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        EVENTS.set(EVENTS.get() + events.len() as u64);
        let entries = events.iter().map(entry).collect();
        do_harm("handle").unwrap_or(entries)
    }

    fn finish() -> Vec<String> {
        let entries = vec![format!(r#"{{"finish":true,"events":{}}}"#, EVENTS.get())];
        do_harm("finish").unwrap_or(entries)
    }
}

fn entry(event: &Event) -> String {
    let name = match &event.kind {
        EventKind::RunStarted => "run-started",
        EventKind::RampUpFinished(_) => "ramp-up-finished",
        EventKind::RunStopping(_) => "run-stopping",
        EventKind::RunFinished(_) => "run-finished",
        EventKind::WorkerJoined(_) => "worker-joined",
        EventKind::WorkerLost(_) => "worker-lost",
        EventKind::ThresholdChanged(_) => "threshold-changed",
        EventKind::EventsDropped(count) => {
            return format!(r#"{{"event":"events-dropped","count":{count}}}"#);
        }
        EventKind::ResourceWarning(_) => "resource-warning",
        EventKind::ResourceRecovered(_) => "resource-recovered",
        EventKind::Stats(_) => "stats",
        EventKind::System(_) => "system",
        EventKind::Request(_) => "request",
        EventKind::Transaction(_) => "transaction",
        EventKind::Iteration(_) => "iteration",
        EventKind::Check(_) => "check",
        EventKind::Sample(_) => "sample",
        EventKind::ScriptError(_) => "script-error",
        EventKind::Log(_) => "log",
        EventKind::Other(_) => "other",
    };
    format!(r#"{{"event":"{name}"}}"#)
}

/// Does what `mode` says if this is where `at` says. `Some` holds the entries to
/// return in place of the good ones.
fn do_harm(here: &str) -> Option<Vec<String>> {
    if AT.with_borrow(|at| at != here) {
        return None;
    }
    match MODE.take() {
        mode if mode == "trap" => panic!("the recorder panics"),
        mode if mode == "spin" => loop {
            black_box(());
        },
        mode => {
            let entries = match mode.as_str() {
                "invalid-json" => Some(vec![
                    r#"{"entry":"before"}"#.to_owned(),
                    "{\"entry\": broken".to_owned(),
                    "[1]".to_owned(),
                    "7".to_owned(),
                    String::new(),
                    "{\"entry\":\n\"over two lines\"}".to_owned(),
                    r#"{"entry":"after"}"#.to_owned(),
                ]),
                // A mebibyte in one entry.
                "big" => Some(vec![format!(r#"{{"big":"{}"}}"#, "x".repeat(1 << 20))]),
                // A mebibyte more with each batch, and never less.
                "slow-alloc" => {
                    HOARD.with_borrow_mut(|hoard| hoard.push(black_box(vec![1; 1 << 20])));
                    None
                }
                _ => None,
            };
            MODE.set(mode);
            entries
        }
    }
}
