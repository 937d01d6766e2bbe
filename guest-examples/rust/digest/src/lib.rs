//! Writes one line at the end of the run: how it went, as one would post it to a chat.
//!
//! `text` is for people and goes into a webhook as it is; the other keys are for whoever
//! decides where to post it:
//!
//! ```sh
//! squall run shop.wasm --duration 1m --recorder ./digest.wasm |
//!     curl --json @- https://chat.example/webhook
//! ```
//!
//! The option `top` says how many errors and endpoints are named (3).

use std::cell::RefCell;

use serde_json::json;

use exports::squall::recorder::event_handler::Guest;
use squall::recorder::events::{
    Event, EventKind, FailureStats, Interests, RequestStats, RunInfo, RunSummary, StopReason,
    Threshold,
};

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });

thread_local! {
    // What `start` was told is needed at the end.
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

struct Run {
    id: String,
    test_plan: String,
    /// How many errors and endpoints are named.
    top: usize,
}

struct Digest;

export!(Digest);

impl Guest for Digest {
    fn start(run: RunInfo) -> Result<Interests, String> {
        let mut top = 3;
        for (key, value) in run.options {
            match key.as_str() {
                "top" => {
                    top = value
                        .parse()
                        .map_err(|_| format!("`top={value}`: expected a number such as 3"))?;
                }
                _ => return Err(format!("unknown option `{key}`: there is only `top`")),
            }
        }
        RUN.set(Some(Run {
            id: run.run_id,
            test_plan: run.test_plan,
            top,
        }));
        // The life cycle always comes, and its last event has all that is needed.
        Ok(Interests::empty())
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        let line = |event: &Event| match &event.kind {
            EventKind::RunFinished(summary) => {
                RUN.with_borrow(|run| Some(digest(run.as_ref()?, event, summary)))
            }
            _ => None,
        };
        events.iter().filter_map(line).collect()
    }

    fn finish() -> Vec<String> {
        Vec::new()
    }
}

fn digest(run: &Run, event: &Event, summary: &RunSummary) -> String {
    let total = &summary.stats.total;
    let status = if summary.passed { "passed" } else { "failed" };
    let mut lines = vec![format!(
        "{} *{}* {status} after {}: {}",
        if summary.passed { "✅" } else { "❌" },
        run.test_plan,
        seconds(event.elapsed_ms),
        reason(&summary.reason),
    )];
    lines.push(format!(
        "{} requests ({:.1}/s), {} failed, p95 {}",
        total.all.requests,
        total.all.requests_per_s,
        percent(total.all.failures, total.all.requests),
        millis(p95(&total.all)),
    ));
    lines.extend(summary.thresholds.iter().map(threshold));
    // They come sorted, the most frequent first.
    lines.extend(total.failures.iter().take(run.top).map(failure));
    lines.extend(slowest(&total.requests, run.top));
    if summary.quality.events_dropped > 0 || !summary.stats.complete {
        lines.push("⚠ the numbers are incomplete".to_owned());
    }
    json!({
        "time": event.time_ms,
        "run_id": run.id,
        "test_plan": run.test_plan,
        "status": status,
        "exit_code": summary.exit_code,
        "text": lines.join("\n"),
    })
    .to_string()
}

fn reason(reason: &StopReason) -> String {
    match reason {
        StopReason::Completed => "it ran to its end".to_owned(),
        StopReason::Interrupted => "it was interrupted".to_owned(),
        StopReason::Threshold(rule) => format!("`{rule}` ended it"),
        StopReason::Aborted(why) => format!("the script ended it: {}", short(why)),
        StopReason::Other(why) => short(why),
    }
}

fn threshold(threshold: &Threshold) -> String {
    let mark = if threshold.passed { "✓" } else { "✗" };
    match threshold.value {
        Some(value) => format!("{mark} `{}` (it is {value:.3})", threshold.expression),
        None => format!("{mark} `{}` (nothing was measured)", threshold.expression),
    }
}

fn failure(failure: &FailureStats) -> String {
    let of = format!("{} {}", failure.method, failure.name);
    let message = short(&failure.message);
    format!("{}× {}: {message}", failure.occurrences, of.trim())
}

/// The endpoints with the highest 95th percentile, a line each.
fn slowest(requests: &[RequestStats], top: usize) -> impl Iterator<Item = String> {
    let mut sorted: Vec<_> = requests.iter().collect();
    sorted.sort_by(|a, b| p95(b).total_cmp(&p95(a)));
    let line =
        |row: &RequestStats| format!("🐢 {} {}: p95 {}", row.method, row.name, millis(p95(row)));
    sorted.into_iter().take(top).map(line)
}

fn p95(stats: &RequestStats) -> f64 {
    let percentiles = &stats.duration.percentiles_ms;
    let p95 = percentiles.iter().find(|(share, _)| *share == 0.95);
    p95.map_or(0.0, |(_, ms)| *ms)
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "0%".to_owned(),
        _ => format!("{:.1}%", 100.0 * part as f64 / whole as f64),
    }
}

fn millis(ms: f64) -> String {
    format!("{ms:.0} ms")
}

fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1e3)
}

/// The beginning of a message: a chat is no place for a stack.
fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    let first = text.lines().next().unwrap_or_default();
    match first.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first.to_owned(),
    }
}
