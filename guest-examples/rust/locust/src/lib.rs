//! The `locust` recorder: the log lines of locust-telemetry, so that what reads
//! those, its Grafana dashboards and its Promtail, reads a run of Squall.
//!
//! Events come in at `handle`. [`recorder`] says what each of them becomes, with
//! the help of [`requests`], [`recent`], [`system`] and [`lifecycle`];
//! [`envelope`] puts every entry into the wrapping that all share, and [`line`]
//! writes it. `README.md` lists where the lines differ from those of
//! locust-telemetry, and why. What holds for all of them:
//!
//! - The keys that locust-telemetry writes come first, under its names and in its
//!   order; keys of our own come after them.
//! - In the lines of one name a key has one type forever: a number that measures
//!   has a fraction, one that counts has none, and what is not known is left out.
//! - A line has at most 8 KiB, a string 1 KiB.

mod envelope;
mod lifecycle;
mod line;
mod recent;
mod recorder;
mod requests;
mod system;
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
});

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Locust;

export!(Locust);

impl Guest for Locust {
    fn start(run: RunInfo) -> Result<Interests, String> {
        let recorder = Recorder::new(run)?;
        let interests = recorder.interests();
        RECORDER.set(Some(recorder));
        Ok(interests)
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
