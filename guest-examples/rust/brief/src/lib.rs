//! Writes a line for each interval: how many requests, and how many failed.

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });

use squall::recorder::events::{Event, EventKind, Interests, RunInfo};

struct Brief;

impl exports::squall::recorder::event_handler::Guest for Brief {
    fn start(_run: RunInfo) -> Result<Interests, String> {
        Ok(Interests::STATS)
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        events.iter().filter_map(line).collect()
    }

    fn finish() -> Vec<String> {
        Vec::new()
    }
}

fn line(event: &Event) -> Option<String> {
    let EventKind::Stats(stats) = &event.kind else {
        return None;
    };
    let (requests, failures) = (stats.interval.all.requests, stats.interval.all.failures);
    Some(format!(
        r#"{{"requests":{requests},"failures":{failures}}}"#
    ))
}

export!(Brief);
