//! The `json` recorder: one log entry for each thing worth knowing about a run.
//!
//! Events come in at `handle`. [`recorder`] says what each of them becomes, with
//! the help of [`lifecycle`], [`stats`] and [`samples`]; [`envelope`] puts every
//! entry into the same wrapping, and [`line`] writes it. What is promised of the
//! lines stands in `README.md`, what is in them in `schema/`.

mod digits;
mod envelope;
mod lifecycle;
mod line;
mod options;
mod recorder;
mod samples;
#[cfg(test)]
mod schemas;
mod stats;
#[cfg(test)]
mod tests;
mod time;

use std::cell::RefCell;

use exports::squall::recorder::event_handler::Guest;
use recorder::Recorder;
use squall::recorder::events::{Event, Interests, RunInfo};

wit_bindgen::generate!({
    world: "recorder",
    path: "../../../wit/recorder",
    additional_derives: [PartialEq],
});

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Json;

export!(Json);

impl Guest for Json {
    fn start(run: RunInfo) -> Result<Interests, String> {
        let recorder = Recorder::new(run)?;
        let interests = recorder.interests();
        RECORDER.set(Some(recorder));
        Ok(interests)
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        RECORDER.with_borrow_mut(|recorder| {
            let recorder = recorder.as_mut().expect("the host calls `start` first");
            recorder.handle(&events)
        })
    }

    /// Nothing is ever held back.
    fn finish() -> Vec<String> {
        Vec::new()
    }
}
