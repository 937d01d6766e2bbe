//! The entries of the run's life, and of what happens to its nodes.

use serde_json::json;

use crate::envelope::{Entry, Level, labels, measured};
use crate::line::shortened;
use crate::squall::recorder::events::{
    Event, Finding, FindingValue, Load, LoadAction, LoadChange, RampUp, RunInfo, RunSummary,
    ShapeReport, Steerer, StopReason, Threshold,
};
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

pub fn load_changed(change: &LoadChange) -> Entry {
    let action = match change.action {
        LoadAction::Target => "target",
        LoadAction::Paused => "paused",
        LoadAction::Resumed => "resumed",
        LoadAction::Other => "other",
    };
    let (by, detail) = match &change.by {
        Steerer::Terminal => ("terminal", None),
        Steerer::ControlApi(address) => ("control_api", Some(address)),
        Steerer::Shape => ("shape", None),
        Steerer::Other(words) => ("other", Some(words)),
    };
    let amount = |load| match load {
        Load::Vus(vus) => f64::from(vus),
        Load::Rate(per_s) => per_s,
    };
    let unit = match change.after {
        Load::Vus(_) => "vus",
        Load::Rate(_) => "iterations_per_s",
    };
    Entry::event(
        "event.load.changed",
        json!({
            "scenario": shortened(&change.scenario, SCENARIO_LIMIT),
            "action": action,
            "unit": unit,
            "before": measured(amount(change.before)),
            "after": measured(amount(change.after)),
            "by": by,
            "detail": detail,
        }),
    )
}

pub fn shape_result(report: &ShapeReport) -> Entry {
    let finding = |Finding { name, value }: &Finding| match value {
        FindingValue::Text(text) => json!({ "name": name, "text": text }),
        FindingValue::Number(found) => {
            json!({ "name": name, "value": measured(found.value), "unit": found.unit })
        }
    };
    let findings: Vec<_> = report.findings.iter().map(finding).collect();
    Entry::event(
        "event.shape.result",
        json!({
            "shape": report.shape,
            "findings": findings,
            "failure": report.failure,
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
