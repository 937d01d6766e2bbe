//! The `json` recorder: one log entry for each thing worth knowing about a run.
//!
//! Events come in at `handle`. [`recorder`] says what each of them becomes, with
//! the help of [`stats`] and [`lifecycle`]; [`envelope`] puts every entry into
//! the same wrapping, and [`tidy`] sees to the promises that hold for all lines:
//!
//! - The first key is `time`, and the order of keys never changes.
//! - A key has one type forever. A number that counts is an integer, a number
//!   that measures has a fraction, and what is not known is left out.
//! - Nothing that a user names becomes a key, but for `run.labels` and the plan.
//! - A line has at most 8 KiB, a string 1 KiB.
//!
//! The lines with `"window": "interval"` add up to those with `"total"`.

mod envelope;
mod lifecycle;
mod recorder;
mod stats;
#[cfg(test)]
mod tests;
mod tidy;
mod time;

use std::cell::RefCell;

use exports::squall::recorder::event_handler::Guest;
use recorder::Recorder;
use squall::recorder::events::{Event, Interests, RunInfo};

wit_bindgen::generate!({
    world: "recorder",
    path: "../../../wit/recorder",
});

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Json;

export!(Json);

impl Guest for Json {
    fn start(run: RunInfo) -> Result<Interests, String> {
        RECORDER.set(Some(Recorder::new(run)?));
        Ok(Interests::STATS | Interests::SYSTEM | Interests::SCRIPT_ERRORS | Interests::LOGS)
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        RECORDER.with_borrow_mut(|recorder| {
            let recorder = recorder.as_mut().expect("the host calls `start` first");
            events
                .iter()
                .flat_map(|event| recorder.handle(event))
                .collect()
        })
    }

    /// Nothing is ever held back.
    fn finish() -> Vec<String> {
        Vec::new()
    }
}
