//! The entries of the run's life, and of what happens to its nodes.

use serde_json::json;

use crate::envelope::{Entry, Level, labels, measured};
use crate::line::shortened;
use crate::squall::recorder::events::{Event, RampUp, RunInfo, RunSummary, StopReason, Threshold};
use crate::time::rfc3339;

/// How many scenarios are told by name, and how long their names may get.
const SCENARIOS: usize = 16;
const SCENARIO_LIMIT: usize = 64;
/// How much later than the run a dashboard's view of it ends.
const MARGIN_MS: f64 = 1_000.0;

pub fn test_start(run: &RunInfo) -> Entry {
    let scenarios = run.scenarios.iter().take(SCENARIOS);
    let scenarios: Vec<_> = scenarios
        .map(|name| shortened(name, SCENARIO_LIMIT))
        .collect();
    Entry::event(
        "event.test.start",
        json!({
            "host_version": run.host_version,
            "hostname": run.hostname,
            "process_id": run.process_id,
            "scenarios": scenarios,
            "stats_interval_ms": measured(run.stats_interval_ms),
            "tags": labels(&run.tags),
        }),
    )
}

pub fn spawn_complete(ramp_up: &RampUp) -> Entry {
    Entry::event("event.spawn.complete", json!({ "user_count": ramp_up.vus }))
}

pub fn test_stopping(reason: &StopReason) -> Entry {
    let (reason, detail) = stop_reason(reason);
    Entry::event(
        "event.test.stopping",
        json!({ "reason": reason, "detail": detail }),
    )
}

pub fn test_stop(event: &Event, summary: &RunSummary) -> Entry {
    let (reason, detail) = stop_reason(&summary.reason);
    Entry::event(
        "event.test.stop",
        json!({
            "end_time": rfc3339(event.time_ms + MARGIN_MS),
            "duration_ms": measured(event.elapsed_ms),
            "passed": summary.passed,
            "exit_code": summary.exit_code,
            "reason": reason,
            "detail": detail,
        }),
    )
}

fn stop_reason(reason: &StopReason) -> (&'static str, Option<&str>) {
    match reason {
        StopReason::Completed => ("completed", None),
        StopReason::Interrupted => ("interrupted", None),
        StopReason::Threshold(expression) => ("threshold", Some(expression)),
        StopReason::Aborted(reason) => ("aborted", Some(reason)),
        StopReason::Other(reason) => ("other", Some(reason)),
    }
}

pub fn threshold_changed(threshold: &Threshold) -> Entry {
    if threshold.passed {
        self::threshold("event.threshold.recovered", threshold)
    } else {
        self::threshold("event.threshold.breached", threshold).at(Level::Error)
    }
}

/// How a threshold stands at the end of the run.
pub fn threshold_result(threshold: &Threshold) -> Entry {
    let level = if threshold.passed {
        Level::Info
    } else {
        Level::Error
    };
    self::threshold("event.threshold.result", threshold).at(level)
}

fn threshold(name: &'static str, threshold: &Threshold) -> Entry {
    Entry::event(
        name,
        json!({
            "expression": threshold.expression,
            "passed": threshold.passed,
            "observed": threshold.value.map(measured),
        }),
    )
}

pub fn worker_joined(worker: &str) -> Entry {
    Entry::event("event.worker.joined", json!({ "worker_id": worker }))
}

pub fn worker_lost(worker: &str) -> Entry {
    Entry::event("event.worker.lost", json!({ "worker_id": worker })).at(Level::Error)
}

pub fn events_dropped(count: u64) -> Entry {
    Entry::event(
        "event.telemetry.dropped",
        json!({ "events_dropped": count }),
    )
    .at(Level::Warning)
}
