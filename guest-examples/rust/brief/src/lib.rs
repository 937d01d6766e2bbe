//! Writes a line for each interval: its time, how many requests were sent, how many failed.

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });
use squall::recorder::events::{Event, EventKind::Stats, Interests, RunInfo};

struct Brief;
export!(Brief);

impl exports::squall::recorder::event_handler::Guest for Brief {
    fn start(_: RunInfo) -> Result<Interests, String> {
        Ok(Interests::STATS)
    }
    fn handle(events: Vec<Event>) -> Vec<String> {
        let line = |Event { time_ms, kind, .. }: Event| {
            let Stats(now) = kind else { return None };
            let (n, f) = (now.interval.all.requests, now.interval.all.failures);
            Some(format!(r#"{{"time":{time_ms:?},"sent":{n},"failed":{f}}}"#))
        };
        events.into_iter().filter_map(line).collect()
    }
    fn finish() -> Vec<String> {
        vec![]
    }
}
