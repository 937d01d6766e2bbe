//! The summary as JSON: `--summary FILE`.
//!
//! A contract for programs: keys are only ever added, and then the minor
//! version of the schema grows. Times are milliseconds in keys that end in
//! `_ms`; points in time are milliseconds since the Unix epoch.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::health::doubts;
use crate::error::{Error, Problem};
use crate::event::{Load, LoadChangeKind, StopReason};
use crate::run::{Outcome, WorkerOutcome};
use crate::stats::Distribution;
use crate::stats::window::{
    GroupStats, IterationStats, MetricStats, RequestStats, ValueStats, Window,
};

/// The version of the schema.
pub const SCHEMA_VERSION: &str = "1.3";

/// Makes sure that the summary can be written before the run that it is of.
///
/// # Errors
///
/// If no file can be made beside `path`.
pub fn probe(path: &Path) -> Result<(), Error> {
    let failed = |error| cannot_write(path, &error);
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let beside = beside(path);
    fs::File::create(&beside).map_err(failed)?;
    fs::remove_file(&beside).map_err(failed)
}

/// Writes the summary whole: to a file beside `path`, which then takes its
/// place. Blocks on the disk.
///
/// # Errors
///
/// If the file cannot be written. What was at `path` is then untouched.
pub fn write(path: &Path, outcome: &Outcome) -> Result<(), Error> {
    let mut text = format!("{:#}", summary(outcome));
    text.push('\n');
    let beside = beside(path);
    let written = fs::File::create(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
        cannot_write(path, &error)
    })
}

/// A file in the folder of `path` that is this process's own.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::File(
        Problem::new(format!(
            "cannot write the summary `{}`: {error}",
            path.display()
        ))
        .hint("give `--summary` a file in a folder that exists and that you may write to"),
    )
}

/// The summary.
pub fn summary(outcome: &Outcome) -> Value {
    let summary = &outcome.summary;
    let total = &summary.stats.total;
    let health = &outcome.health;
    let doubts = doubts(outcome);
    // A run can be too short to tell.
    let known = |percent: f64| health.cpu_is_known.then_some(percent);
    json!({
        "schema_version": SCHEMA_VERSION,
        "run": {
            "id": outcome.run_id,
            "test_plan": outcome.plan.test_plan,
            "seed": outcome.plan.seed,
            "started_ms": outcome.started_ms,
            "squall_version": env!("CARGO_PKG_VERSION"),
            "plan": outcome.plan.as_ref(),
        },
        "passed": summary.passed,
        "exit_code": outcome.exit_code as u8,
        "reason": reason(outcome),
        "duration_ms": millis(total.duration.as_secs_f64() * 1e3),
        "all": requests(&total.all),
        "duration_histogram": outcome.duration_histogram.buckets().collect::<Vec<_>>(),
        "requests": total.requests.iter().map(requests).collect::<Vec<_>>(),
        "transactions": transactions(total),
        "failures": failures(total),
        "checks": checks(total),
        "metrics": total.metrics.iter().map(metric).collect::<Vec<_>>(),
        "iterations": iterations(&total.iterations),
        "groups": total.groups.iter().map(group).collect::<Vec<_>>(),
        "thresholds": thresholds(outcome),
        "load_changes": load_changes(outcome),
        "workers": outcome.workers.iter().map(worker).collect::<Vec<_>>(),
        "health": {
            "cpu_mean_percent": known(health.cpu_mean_percent),
            "cpu_max_percent": known(health.cpu_max_percent),
            "cores": health.cores,
            "machine_cpu_max_percent": known(health.machine_cpu_max_percent),
            "steal_max_percent": health.steal_max_percent,
            "scheduler_lag_max_ms": health.scheduler_lag_max.as_secs_f64() * 1e3,
            "scheduler_late_share": health.scheduler_late_share,
            "memory_max_bytes": health.memory_max_bytes,
            "threads": health.threads,
            "open_files_max": health.open_files_max,
            "trusted": health.cpu_is_known && doubts.is_empty(),
            "doubts": doubts.iter().map(|doubt| &doubt.text).collect::<Vec<_>>(),
        },
        "telemetry": telemetry(outcome),
        "warnings": outcome.warnings,
        "shape": shape(outcome),
    })
}

/// What the shape found out; null if there was none.
fn shape(outcome: &Outcome) -> Value {
    let Some(shape) = &outcome.shape else {
        return Value::Null;
    };
    let findings = shape.report.findings.iter();
    let report: Map<_, _> = findings
        .map(|(name, finding)| (name.clone(), json!(finding)))
        .collect();
    json!({
        "name": &*shape.report.shape,
        "report": report,
        "failure": shape.report.failure,
    })
}

/// How people changed the load while the run was going on.
fn load_changes(outcome: &Outcome) -> Vec<Value> {
    let load = |load| match load {
        Load::Vus(vus) => json!({ "vus": vus }),
        Load::Rate(per_s) => json!({ "rate_per_s": per_s }),
    };
    let changes = outcome.load_changes.iter();
    changes
        .map(|(elapsed, change)| {
            json!({
                "elapsed_ms": millis(elapsed.as_secs_f64() * 1e3),
                "scenario": &*change.scenario,
                "action": match change.kind {
                    LoadChangeKind::Target => "target",
                    LoadChangeKind::Paused => "paused",
                    LoadChangeKind::Resumed => "resumed",
                },
                "from": load(change.from),
                "to": load(change.to),
                "by": change.by.to_string(),
            })
        })
        .collect()
}

fn reason(outcome: &Outcome) -> Value {
    let (kind, detail) = match &outcome.summary.reason {
        StopReason::Completed => ("completed", None),
        StopReason::Interrupted => ("interrupted", None),
        StopReason::Threshold(detail) => ("threshold", Some(&**detail)),
        StopReason::Aborted(detail) => ("aborted", Some(&**detail)),
        StopReason::Other(detail) => ("other", Some(&**detail)),
    };
    let detail = detail
        .filter(|detail| !detail.is_empty())
        .or(outcome.abort_detail.as_deref());
    match detail {
        Some(detail) => json!({ "kind": kind, "detail": detail }),
        None => json!({ "kind": kind }),
    }
}

fn worker(worker: &WorkerOutcome) -> Value {
    let share = worker.share.map(<(u32, u32)>::from);
    let health = worker.health.as_ref();
    let known = health.filter(|health| health.cpu_is_known);
    let lost = worker.lost.as_ref();
    json!({
        "name": worker.name,
        "share": share.map(|(index, of)| json!({ "index": index, "of": of })),
        "requests": worker.requests,
        "iterations": worker.iterations,
        "clock_offset_ms": worker.clock.map(|clock| clock.offset_ms),
        "clock_error_ms": worker.clock.map(|clock| clock.error_ms),
        "cpu_mean_percent": known.map(|health| health.cpu_mean_percent),
        "cpu_max_percent": known.map(|health| health.cpu_max_percent),
        "memory_max_bytes": health.map(|health| health.memory_max_bytes),
        "scheduler_lag_max_ms": health.map(|it| it.scheduler_lag_max.as_secs_f64() * 1e3),
        "returns": worker.returns,
        "lost": lost.map(|(after, why)| json!({
            "after_ms": millis(after.as_secs_f64() * 1e3),
            "reason": why,
            "told_until_ms": worker.told.map(|told| millis(told.as_secs_f64() * 1e3)),
        })),
        "duration_histogram": worker.duration_histogram.buckets().collect::<Vec<_>>(),
    })
}

fn requests(row: &RequestStats) -> Value {
    let statuses: Map<String, Value> = row
        .statuses
        .iter()
        .map(|(status, count)| (status.to_string(), (*count).into()))
        .collect();
    json!({
        "method": &*row.method,
        "name": &*row.name,
        "requests": row.requests,
        "failures": row.failures,
        "requests_per_s": row.requests_per_s,
        "failures_per_s": row.failures_per_s,
        "duration": times(&row.duration),
        "from_due": times(&row.from_due),
        "phases": {
            "connecting": times(&row.connecting),
            "tls": times(&row.tls),
            "waiting": times(&row.waiting),
            "receiving": times(&row.receiving),
        },
        "statuses": statuses,
        "sent_bytes": row.sent_bytes,
        "received_bytes": row.received_bytes,
    })
}

fn transactions(total: &Window) -> Vec<Value> {
    let value = |row: &crate::stats::window::TransactionStats| {
        json!({
            "name": &*row.name,
            "failures": row.failures,
            "duration": times(&row.duration),
        })
    };
    total.transactions.iter().map(value).collect()
}

fn failures(total: &Window) -> Vec<Value> {
    let value = |row: &crate::stats::window::FailureStats| {
        let mut value = json!({
            "origin": row.origin,
            "method": &*row.method,
            "name": &*row.name,
            "message": &*row.message,
            "occurrences": row.occurrences,
            "first_seen_ms": row.first_seen_ms,
            "last_seen_ms": row.last_seen_ms,
        });
        if let Some(stack) = &row.stack {
            value["stack"] = (**stack).into();
        }
        value
    };
    total.failures.iter().map(value).collect()
}

fn checks(total: &Window) -> Vec<Value> {
    let value = |row: &crate::stats::window::CheckStats| {
        json!({
            "name": &*row.name,
            "passes": row.passes,
            "failures": row.failures,
        })
    };
    total.checks.iter().map(value).collect()
}

fn metric(row: &MetricStats) -> Value {
    let mut value = json!({
        "name": &*row.name,
        "kind": row.kind,
        "count": row.count,
        "value": row.value,
    });
    if let Some(distribution) = &row.distribution {
        value["distribution"] = figures(distribution, "");
    }
    value
}

fn iterations(row: &IterationStats) -> Value {
    json!({
        "finished": row.finished,
        "failed": row.failed,
        "interrupted": row.interrupted,
        "dropped": row.dropped,
        "dropped_because": row.dropped_because,
        "duration": times(&row.duration),
        "lag": times(&row.lag),
    })
}

/// Requests by the value of a tag; iterations too, if it is the scenario.
fn group(group: &GroupStats) -> Value {
    let row = |row: &ValueStats| {
        let mut value = json!({
            "value": &*row.value,
            "requests": row.requests,
            "failures": row.failures,
            "requests_per_s": row.requests_per_s,
            "failures_per_s": row.failures_per_s,
            "duration": times(&row.duration),
            "from_due": times(&row.from_due),
            "sent_bytes": row.sent_bytes,
            "received_bytes": row.received_bytes,
        });
        if let Some(row) = &row.iterations {
            value["iterations"] = iterations(row);
        }
        value
    };
    json!({
        "tag": &*group.tag,
        "values": group.values.iter().map(row).collect::<Vec<_>>(),
    })
}

fn thresholds(outcome: &Outcome) -> Vec<Value> {
    let value = |row: &crate::stats::thresholds::Verdict| {
        json!({
            "expression": row.expression,
            "passed": row.passed,
            "value": row.value,
            "note": row.note,
        })
    };
    outcome.summary.thresholds.iter().map(value).collect()
}

fn telemetry(outcome: &Outcome) -> Value {
    let recorders = &outcome.telemetry;
    let rows: Vec<_> = recorders
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "entries_written": row.entries_written,
                "entries_invalid": row.entries_invalid,
                "first_invalid": row.first_invalid,
                "entries_lost": row.entries_lost,
                "entries_lost_because": row.entries_lost_because,
                "events_dropped": row.events_dropped,
                "restarts": row.restarts,
                "failure": row.failure,
            })
        })
        .collect();
    json!({
        "entries_written": recorders.iter().map(|row| row.entries_written).sum::<u64>(),
        "entries_invalid": recorders.iter().map(|row| row.entries_invalid).sum::<u64>(),
        "entries_lost": recorders.iter().map(|row| row.entries_lost).sum::<u64>(),
        "events_dropped": recorders.iter().map(|row| row.events_dropped).sum::<u64>(),
        "recorders": rows,
    })
}

/// A distribution of times.
fn times(distribution: &Distribution) -> Value {
    figures(distribution, "_ms")
}

/// A distribution; `unit` ends the keys of its figures.
fn figures(distribution: &Distribution, unit: &str) -> Value {
    let [p90, p95, p99, p999] = distribution.quantiles;
    let mut object = Map::new();
    object.insert("count".to_owned(), distribution.count.into());
    for (name, value) in [
        ("min", distribution.min),
        ("mean", distribution.mean),
        ("median", distribution.median),
        ("p90", p90),
        ("p95", p95),
        ("p99", p99),
        ("p999", p999),
        ("max", distribution.max),
    ] {
        object.insert(format!("{name}{unit}"), millis(value).into());
    }
    Value::Object(object)
}

/// To three decimals, the resolution of what was measured.
fn millis(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    fn keys(value: &Value) -> Vec<&str> {
        let object = value.as_object().expect("an object");
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_keys_are_those_of_the_contract() {
        let summary = summary(&made_up::shop());
        assert_eq!(
            keys(&summary),
            [
                "all",
                "checks",
                "duration_histogram",
                "duration_ms",
                "exit_code",
                "failures",
                "groups",
                "health",
                "iterations",
                "load_changes",
                "metrics",
                "passed",
                "reason",
                "requests",
                "run",
                "schema_version",
                "shape",
                "telemetry",
                "thresholds",
                "transactions",
                "warnings",
                "workers",
            ]
        );
        assert_eq!(
            keys(&summary["all"]),
            [
                "duration",
                "failures",
                "failures_per_s",
                "from_due",
                "method",
                "name",
                "phases",
                "received_bytes",
                "requests",
                "requests_per_s",
                "sent_bytes",
                "statuses",
            ]
        );
        let times = [
            "count",
            "max_ms",
            "mean_ms",
            "median_ms",
            "min_ms",
            "p90_ms",
            "p95_ms",
            "p999_ms",
            "p99_ms",
        ];
        assert_eq!(keys(&summary["all"]["duration"]), times);
        assert_eq!(keys(&summary["iterations"]["lag"]), times);
        assert_eq!(keys(&summary["all"]["from_due"]), times);
        assert_eq!(
            keys(&summary["iterations"]["dropped_because"]),
            ["no_free_vu", "no_row", "run_ended", "vu_failed"]
        );
        assert_eq!(
            keys(&summary["requests"][0]["phases"]),
            ["connecting", "receiving", "tls", "waiting"]
        );
        assert_eq!(
            keys(&summary["failures"][0]),
            [
                "first_seen_ms",
                "last_seen_ms",
                "message",
                "method",
                "name",
                "occurrences",
                "origin",
            ]
        );
        assert_eq!(
            keys(&summary["metrics"][0]["distribution"]),
            [
                "count", "max", "mean", "median", "min", "p90", "p95", "p99", "p999"
            ]
        );
    }

    #[test]
    fn the_figures_are_those_of_the_run() {
        let outcome = made_up::shop();
        let summary = summary(&outcome);
        assert_eq!(summary["exit_code"], 99);
        assert_eq!(summary["passed"], false);
        assert_eq!(summary["reason"], json!({ "kind": "completed" }));
        assert_eq!(summary["duration_ms"], 60_214.0);
        let sum: u64 = summary["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|row| row["requests"].as_u64())
            .sum();
        assert_eq!(summary["all"]["requests"], sum);
        assert_eq!(summary["all"]["statuses"]["0"], 3);
        assert_eq!(summary["thresholds"][0]["passed"], false);
        assert!(summary["thresholds"][1]["value"].is_f64());
        assert_eq!(summary["health"]["trusted"], true);
        assert_eq!(summary["telemetry"]["entries_written"], 214);
        let aborted = super::summary(&made_up::trouble());
        assert_eq!(
            aborted["reason"],
            json!({ "kind": "aborted", "detail": "the shop is on fire" })
        );
        assert_eq!(aborted["health"]["trusted"], false);
    }

    #[test]
    fn groups_are_written_with_the_iterations_of_scenarios() {
        let summary = summary(&made_up::mix());
        let [scenarios, parts] = &summary["groups"].as_array().expect("a list")[..] else {
            panic!("{}", summary["groups"]);
        };
        assert_eq!(
            (&scenarios["tag"], &parts["tag"]),
            (&"scenario".into(), &"part".into())
        );
        let of = |group: &Value, key: &str| -> Vec<Value> {
            let rows = group["values"].as_array().expect("a list");
            rows.iter().map(|row| row[key].clone()).collect()
        };
        assert_eq!(of(scenarios, "value"), ["browse", "buy", "late"]);
        assert_eq!(of(scenarios, "requests"), [960, 240, 0]);
        let last = &of(parts, "value")[5..];
        assert_eq!(last, ["(none)", "(other)"]);
        let sum: u64 = of(parts, "requests").iter().filter_map(Value::as_u64).sum();
        assert_eq!(summary["all"]["requests"], sum);
        let common = [
            "duration",
            "failures",
            "failures_per_s",
            "from_due",
            "received_bytes",
            "requests",
            "requests_per_s",
            "sent_bytes",
            "value",
        ];
        assert_eq!(keys(&parts["values"][0]), common);
        let buy = &scenarios["values"][1];
        let mut with_iterations = common.to_vec();
        with_iterations.insert(4, "iterations");
        assert_eq!(keys(buy), with_iterations);
        assert_eq!(keys(&buy["iterations"]), keys(&summary["iterations"]));
        assert_eq!(buy["iterations"]["dropped"], 42);
        assert_eq!(buy["iterations"]["dropped_because"]["run_ended"], 2);
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("summary.json");
        fs::write(&file, "old").expect("it is ours");
        probe(&file).expect("it can be written");
        assert_eq!(fs::read_to_string(&file).expect("still there"), "old");
        write(&file, &made_up::hello()).expect("it can be written");
        let text = fs::read_to_string(&file).expect("it is there");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["all"]["requests"], 200);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_before_the_run() {
        let error = probe(Path::new("/nowhere/at/all/summary.json")).expect_err("no folder");
        assert!(error.to_string().contains("/nowhere/at/all/summary.json"));
        assert!(error.to_string().contains("hint:"));
    }
}
