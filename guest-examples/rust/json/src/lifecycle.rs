//! The entries of the single events: of the run's life, of its nodes, and of
//! the script.

use serde_json::{Value, json};

use crate::envelope::{Entry, Level};
use crate::squall::recorder::events::{
    LogMessage, RampUp, ResourceKind, ResourceWarning, RunInfo, RunSummary, ScriptError,
    StopReason, SystemUsage, Threshold,
};
use crate::stats::rounded;

pub fn run_start(run: &RunInfo) -> Entry {
    Entry {
        level: Level::Info,
        name: "run.start",
        message: format!("run {} of {} starts", run.run_id, run.test_plan),
        payload: json!({
            "test": {
                "scenarios": run.scenarios,
                "stats_interval_ms": run.stats_interval_ms,
                // Parsed, for the text may be spread over lines.
                "config": serde_json::from_str::<Value>(&run.plan).ok().filter(Value::is_object),
            },
        }),
    }
}

pub fn ramp_complete(ramp_up: &RampUp) -> Entry {
    Entry {
        level: Level::Info,
        name: "users.ramp_complete",
        message: format!("all {} VUs are running", ramp_up.vus),
        payload: json!({ "users": { "count": ramp_up.vus } }),
    }
}

pub fn stop_requested(reason: &StopReason) -> Entry {
    let (name, detail) = stop_reason(reason);
    let level = match reason {
        StopReason::Completed => Level::Info,
        _ => Level::Warn,
    };
    let colon = if detail.is_some() { ": " } else { "" };
    Entry {
        level,
        name: "run.stop_requested",
        message: format!(
            "the run is stopping, {name}{colon}{}",
            detail.unwrap_or_default()
        ),
        payload: json!({ "stop": { "reason": name, "detail": detail } }),
    }
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

pub fn run_end(elapsed_ms: f64, summary: &RunSummary) -> Entry {
    let (level, status) = match (&summary.reason, summary.passed) {
        (StopReason::Interrupted, _) => (Level::Warn, "interrupted"),
        (StopReason::Aborted(_), _) => (Level::Error, "aborted"),
        (_, true) => (Level::Info, "passed"),
        (_, false) => (Level::Error, "failed"),
    };
    let (reason, detail) = stop_reason(&summary.reason);
    let total = &summary.stats.total;
    let passed = summary
        .thresholds
        .iter()
        .filter(|threshold| threshold.passed)
        .count();
    Entry {
        level,
        name: "run.end",
        message: format!(
            "run {status} after {:.1} s: {} requests, {} failures, {} iterations",
            elapsed_ms / 1e3,
            total.all.requests,
            total.all.failures,
            total.iterations.finished,
        ),
        payload: json!({
            "test": {
                "status": status,
                "exit_code": summary.exit_code,
                "duration_s": rounded(elapsed_ms / 1e3),
                "reason": reason,
                "detail": detail,
                "totals": {
                    "requests": total.all.requests,
                    "failures": total.all.failures,
                    "bytes_sent": total.all.sent_bytes,
                    "bytes_received": total.all.received_bytes,
                    "iterations": total.iterations.finished,
                    "iterations_failed": total.iterations.failed,
                    "iterations_interrupted": total.iterations.interrupted,
                    "iterations_dropped": total.iterations.dropped,
                    "checks_passed": total.checks.iter().map(|check| check.passes).sum::<u64>(),
                    "checks_failed": total.checks.iter().map(|check| check.failures).sum::<u64>(),
                },
                "thresholds": { "passed": passed, "failed": summary.thresholds.len() - passed },
                "data_quality": {
                    "complete": summary.stats.complete,
                    "events_dropped": summary.events_dropped,
                },
            },
        }),
    }
}

pub fn threshold_changed(threshold: &Threshold) -> Entry {
    let (level, name) = match threshold.passed {
        true => (Level::Info, "threshold.recovered"),
        false => (Level::Error, "threshold.breached"),
    };
    threshold_entry(level, name, threshold)
}

/// How a threshold stands at the end of the run.
pub fn threshold_result(threshold: &Threshold) -> Entry {
    let level = if threshold.passed {
        Level::Info
    } else {
        Level::Error
    };
    threshold_entry(level, "threshold.result", threshold)
}

fn threshold_entry(level: Level, name: &'static str, threshold: &Threshold) -> Entry {
    let Threshold {
        expression,
        passed,
        value,
    } = threshold;
    let verdict = if *passed { "holds" } else { "fails" };
    let measured = match value {
        Some(value) => format!("at {value:.3}"),
        None => "with nothing measured".to_owned(),
    };
    Entry {
        level,
        name,
        message: format!("threshold {expression} {verdict} {measured}"),
        payload: json!({
            "threshold": { "expression": expression, "passed": passed, "observed": value },
        }),
    }
}

pub fn worker_connected(worker: &str) -> Entry {
    Entry {
        level: Level::Info,
        name: "worker.connected",
        message: format!("{worker} joined"),
        payload: json!({ "worker": { "id": worker } }),
    }
}

pub fn worker_lost(worker: &str) -> Entry {
    Entry {
        level: Level::Error,
        name: "worker.lost",
        message: format!("{worker} was lost"),
        payload: json!({ "worker": { "id": worker } }),
    }
}

pub fn events_dropped(count: u64) -> Entry {
    Entry {
        level: Level::Warn,
        name: "telemetry.dropped",
        message: format!("{count} events were dropped before they could be recorded"),
        payload: json!({ "telemetry": { "dropped": count } }),
    }
}

pub fn resource_warning(warning: &ResourceWarning) -> Entry {
    let kind = resource_name(warning.resource);
    let ResourceWarning { value, limit, .. } = warning;
    Entry {
        level: Level::Warn,
        name: "resource.warning",
        message: format!("short of {kind} ({value:.1} of {limit:.1}): measurements are in doubt"),
        payload: json!({ "resource": { "kind": kind, "value": value, "limit": limit } }),
    }
}

pub fn resource_recovered(warning: &ResourceWarning) -> Entry {
    let kind = resource_name(warning.resource);
    let ResourceWarning { value, limit, .. } = warning;
    Entry {
        level: Level::Info,
        name: "resource.recovered",
        message: format!("enough {kind} again ({value:.1} of {limit:.1})"),
        payload: json!({ "resource": { "kind": kind, "value": value, "limit": limit } }),
    }
}

fn resource_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Cpu => "cpu",
        ResourceKind::Memory => "memory",
        ResourceKind::OpenFiles => "open_files",
        ResourceKind::Other => "other",
    }
}

pub fn resource_stats(usage: &SystemUsage) -> Entry {
    let cores = f64::from(usage.cores.max(1));
    Entry {
        level: Level::Info,
        name: "resource.stats",
        message: format!(
            "{:.0}% of {} cores, {:.0} MiB, {} open files",
            usage.cpu_percent / cores,
            usage.cores,
            usage.memory_bytes as f64 / 1024.0 / 1024.0,
            usage.open_files,
        ),
        // Utilisation goes from 0 to 1, of all the cores that may be used.
        payload: json!({
            "process": {
                "cpu": {
                    "utilization": rounded(usage.cpu_percent / 100.0 / cores),
                    "cores": usage.cores,
                },
                "memory": { "usage": usage.memory_bytes },
                "threads": usage.threads,
                "open_files": usage.open_files,
                "open_files_limit": usage.open_files_limit,
            },
            "system": {
                "cpu": {
                    "utilization": rounded(usage.machine_cpu_percent / 100.0),
                    "steal": usage.machine_steal_percent.map(|percent| rounded(percent / 100.0)),
                },
                "memory": { "limit": usage.machine_memory_bytes },
                "network": {
                    "sent_bytes": usage.network_sent_bytes,
                    "received_bytes": usage.network_received_bytes,
                },
            },
        }),
    }
}

pub fn guest_error(error: &ScriptError) -> Entry {
    let ScriptError {
        scenario,
        vu,
        iteration,
        message,
        stack,
    } = error;
    Entry {
        level: Level::Error,
        name: "guest.error",
        message: format!("VU {vu}, iteration {iteration}: {message}"),
        payload: json!({
            "guest": {
                "scenario": scenario,
                "vu": vu,
                "iteration": iteration,
                "message": message,
                "stack": stack,
            },
        }),
    }
}

pub fn guest_log(log: &LogMessage) -> Entry {
    let LogMessage {
        scenario,
        vu,
        iteration,
        level,
        message,
    } = log;
    Entry {
        level: Level::from(*level),
        name: "guest.log",
        message: message.clone(),
        payload: json!({
            "guest": { "scenario": scenario, "vu": vu, "iteration": iteration, "message": message },
        }),
    }
}
