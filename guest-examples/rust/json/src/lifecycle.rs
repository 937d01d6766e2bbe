//! The entries of the single events: of the run's life, of its nodes, and of
//! the script.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::envelope::{Entries, Level, Name, STRING_LIMITS};
use crate::line::Object;
use crate::squall::recorder::events::{
    DataQuality, Finding, FindingValue, Load, LoadAction, LoadChange, LogMessage, NameKind,
    OtherEvent, RampUp, ResourceKind, ResourceWarning, RunInfo, RunSummary, ScriptError,
    ShapeReport, Steerer, StopReason, SystemUsage, Threshold,
};

/// How many bytes the plan, and the list of scenarios, may take in a line that
/// would get too long with all of them.
const CONFIG_ROOM: usize = 2 * 1024;
const SCENARIOS_ROOM: usize = 512;

pub fn run_start(to: &mut Entries<'_>, run: &RunInfo) {
    // Parsed, for the text may be spread over lines.
    let config = match serde_json::from_str(&run.plan) {
        Ok(Value::Object(config)) => config,
        _ => Map::new(),
    };
    to.add(
        Level::Info,
        Name::RunStart,
        |text| write!(text, "run {} of {} starts", run.run_id, run.test_plan),
        |line| {
            line.object("test", |test| {
                let short = test.limit() < STRING_LIMITS[0];
                let room = |bytes| if short { bytes } else { usize::MAX };
                test.texts("scenarios", &run.scenarios, room(SCENARIOS_ROOM));
                test.measure("stats_interval_ms", run.stats_interval_ms);
                configuration(test, &config, room(CONFIG_ROOM));
            });
        },
    );
}

/// Writes the plan without what says nothing, and without its largest parts if
/// it takes more than `room` bytes.
fn configuration(test: &mut Object<'_>, config: &Map<String, Value>, room: usize) {
    let mut config = config.clone();
    config.retain(|_, value| has_content(value));
    let mut length = 0;
    let mut parts = Vec::new();
    for (key, value) in &config {
        // With the quotes, the colon and the comma.
        let part = Value::from(key.as_str()).to_string().len() + value.to_string().len() + 2;
        length += part;
        parts.push((part, key.clone()));
    }
    parts.sort();
    while length > room
        && let Some((part, key)) = parts.pop()
    {
        config.shift_remove(&key);
        length -= part;
        test.mark_truncated();
    }
    if !config.is_empty() {
        test.raw("config", &Value::Object(config).to_string());
    }
}

/// Whether a value says something. Takes out of an object what does not.
fn has_content(value: &mut Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => {
            values.retain_mut(has_content);
            !values.is_empty()
        }
        Value::Object(members) => {
            members.retain(|_, value| has_content(value));
            !members.is_empty()
        }
    }
}

pub fn ramp_complete(to: &mut Entries<'_>, ramp_up: &RampUp) {
    to.add(
        Level::Info,
        Name::RampComplete,
        |text| write!(text, "all {} VUs are running", ramp_up.vus),
        |line| line.object("users", |users| users.count("count", ramp_up.vus.into())),
    );
}

pub fn stop_requested(to: &mut Entries<'_>, reason: &StopReason) {
    let (name, detail) = stop_reason(reason);
    let level = match reason {
        StopReason::Completed => Level::Info,
        _ => Level::Warn,
    };
    to.add(
        level,
        Name::StopRequested,
        |text| {
            write!(text, "the run is stopping, {name}")?;
            match detail {
                Some(detail) => write!(text, ": {detail}"),
                None => Ok(()),
            }
        },
        |line| {
            line.object("stop", |stop| {
                stop.text("reason", name);
                stop.optional("detail", detail);
            });
        },
    );
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

pub fn run_end(to: &mut Entries<'_>, elapsed_ms: f64, summary: &RunSummary) {
    let (level, status) = match (&summary.reason, summary.passed) {
        (StopReason::Interrupted, _) => (Level::Warn, "interrupted"),
        (StopReason::Aborted(_), _) => (Level::Error, "aborted"),
        (_, true) => (Level::Info, "passed"),
        (_, false) => (Level::Error, "failed"),
    };
    let (reason, detail) = stop_reason(&summary.reason);
    let total = &summary.stats.total;
    let thresholds = &summary.thresholds;
    let passed = thresholds.iter().filter(|it| it.passed).count();
    to.add(
        level,
        Name::RunEnd,
        |text| {
            write!(
                text,
                "run {status} after {:.1} s: {} requests, {} failures, {} iterations",
                elapsed_ms / 1e3,
                total.all.requests,
                total.all.failures,
                total.iterations.finished,
            )
        },
        |line| {
            line.object("test", |test| {
                test.text("status", status);
                test.count("exit_code", summary.exit_code.into());
                test.measure("duration_s", elapsed_ms / 1e3);
                test.text("reason", reason);
                test.optional("detail", detail);
                test.object("totals", |totals| {
                    let sum = |of: fn(&_) -> u64| total.checks.iter().map(of).sum();
                    totals.count("requests", total.all.requests);
                    totals.count("failures", total.all.failures);
                    totals.count("bytes_sent", total.all.sent_bytes);
                    totals.count("bytes_received", total.all.received_bytes);
                    totals.count("iterations", total.iterations.finished);
                    totals.count("iterations_failed", total.iterations.failed);
                    totals.count("iterations_interrupted", total.iterations.interrupted);
                    totals.count("iterations_dropped", total.iterations.dropped);
                    totals.count("checks_passed", sum(|check| check.passes));
                    totals.count("checks_failed", sum(|check| check.failures));
                });
                test.object("thresholds", |thresholds| {
                    thresholds.count("passed", passed as u64);
                    thresholds.count("failed", (summary.thresholds.len() - passed) as u64);
                });
                test.object("data_quality", |it| {
                    it.flag("complete", summary.stats.complete);
                    data_quality(it, &summary.quality);
                });
            });
        },
    );
}

fn data_quality(it: &mut Object<'_>, quality: &DataQuality) {
    it.count("events_dropped", quality.events_dropped);
    it.count("log_messages_dropped", quality.log_messages_dropped);
    it.count("script_errors_dropped", quality.script_errors_dropped);
    it.count("workers_lost", quality.workers_lost.into());
    it.count("vus_not_started", quality.vus_not_started.into());
    it.count("resource_warnings", quality.resource_warnings.into());
    it.object("names_capped", |capped| {
        for (kind, key) in [
            (NameKind::Request, "requests"),
            (NameKind::Transaction, "transactions"),
            (NameKind::Check, "checks"),
            (NameKind::Metric, "metrics"),
            (NameKind::Failure, "failures"),
            (NameKind::Other, "other"),
        ] {
            let of_kind = quality.names_capped.iter().filter(|it| it.kind == kind);
            capped.count(key, of_kind.map(|names| names.uses).sum());
        }
    });
}

pub fn threshold_changed(to: &mut Entries<'_>, threshold: &Threshold) {
    let (level, name) = match threshold.passed {
        true => (Level::Info, Name::ThresholdRecovered),
        false => (Level::Error, Name::ThresholdBreached),
    };
    threshold_entry(to, level, name, threshold);
}

/// How a threshold stands at the end of the run.
pub fn threshold_result(to: &mut Entries<'_>, threshold: &Threshold) {
    let level = match threshold.passed {
        true => Level::Info,
        false => Level::Error,
    };
    threshold_entry(to, level, Name::ThresholdResult, threshold);
}

fn threshold_entry(to: &mut Entries<'_>, level: Level, name: Name, threshold: &Threshold) {
    let Threshold {
        expression,
        passed,
        value,
    } = threshold;
    let verdict = if *passed { "holds" } else { "fails" };
    to.add(
        level,
        name,
        |text| {
            write!(text, "threshold {expression} {verdict} ")?;
            match value {
                Some(value) => write!(text, "at {value:.3}"),
                None => text.write_str("with nothing measured"),
            }
        },
        |line| {
            line.object("threshold", |threshold| {
                threshold.text("expression", expression);
                threshold.flag("passed", *passed);
                if let Some(value) = value {
                    threshold.exact("observed", *value);
                }
            });
        },
    );
}

pub fn load_changed(to: &mut Entries<'_>, change: &LoadChange) {
    let LoadChange {
        scenario,
        action,
        before,
        after,
        by,
    } = change;
    let (by, detail) = match by {
        Steerer::Terminal => ("terminal", None),
        Steerer::ControlApi(address) => ("control_api", Some(address.as_str())),
        Steerer::Shape => ("shape", None),
        Steerer::Other(words) => ("other", Some(words.as_str())),
    };
    let action = match action {
        LoadAction::Target => "target",
        LoadAction::Paused => "paused",
        LoadAction::Resumed => "resumed",
        LoadAction::Other => "other",
    };
    to.add(
        Level::Info,
        Name::LoadChanged,
        |text| {
            match action {
                "target" => {
                    write!(
                        text,
                        "{scenario} goes from {} to {}",
                        Told(before),
                        Told(after)
                    )?;
                }
                "other" => write!(text, "the load of {scenario} changed")?,
                _ => write!(text, "{scenario} was {action}")?,
            }
            write!(text, ", by {by}")
        },
        |line| {
            line.object("load", |load| {
                load.text("scenario", scenario);
                load.text("action", action);
                let (unit, before, after) = match (before, after) {
                    (Load::Vus(before), Load::Vus(after)) => {
                        ("vus", f64::from(*before), f64::from(*after))
                    }
                    _ => ("iterations_per_s", amount(before), amount(after)),
                };
                load.text("unit", unit);
                load.exact("before", before);
                load.exact("after", after);
                load.text("by", by);
                load.optional("detail", detail);
            });
        },
    );
}

fn amount(load: &Load) -> f64 {
    match load {
        Load::Vus(vus) => f64::from(*vus),
        Load::Rate(per_s) => *per_s,
    }
}

/// A load in words.
struct Told<'a>(&'a Load);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Load::Vus(1) => f.write_str("1 VU"),
            Load::Vus(vus) => write!(f, "{vus} VUs"),
            Load::Rate(per_s) => write!(f, "{per_s:.1}/s"),
        }
    }
}

pub fn worker_connected(to: &mut Entries<'_>, worker: &str) {
    about_worker(to, Level::Info, Name::WorkerConnected, worker, "joined");
}

pub fn worker_lost(to: &mut Entries<'_>, worker: &str) {
    about_worker(to, Level::Error, Name::WorkerLost, worker, "was lost");
}

fn about_worker(to: &mut Entries<'_>, level: Level, name: Name, worker: &str, what: &str) {
    to.add(
        level,
        name,
        |text| write!(text, "{worker} {what}"),
        |line| line.object("worker", |it| it.text("id", worker)),
    );
}

pub fn events_dropped(to: &mut Entries<'_>, count: u64) {
    to.add(
        Level::Warn,
        Name::TelemetryDropped,
        |text| {
            write!(
                text,
                "{count} events were dropped before they could be recorded"
            )
        },
        |line| line.object("telemetry", |it| it.count("dropped", count)),
    );
}

pub fn resource_warning(to: &mut Entries<'_>, warning: &ResourceWarning) {
    let kind = resource_name(warning.resource);
    let ResourceWarning { value, limit, .. } = warning;
    to.add(
        Level::Warn,
        Name::ResourceWarning,
        |text| {
            write!(
                text,
                "short of {kind} ({value:.1} of {limit:.1}): measurements are in doubt"
            )
        },
        |line| resource(line, kind, warning),
    );
}

pub fn resource_recovered(to: &mut Entries<'_>, warning: &ResourceWarning) {
    let kind = resource_name(warning.resource);
    let ResourceWarning { value, limit, .. } = warning;
    to.add(
        Level::Info,
        Name::ResourceRecovered,
        |text| write!(text, "enough {kind} again ({value:.1} of {limit:.1})"),
        |line| resource(line, kind, warning),
    );
}

fn resource(line: &mut Object<'_>, kind: &str, warning: &ResourceWarning) {
    line.object("resource", |resource| {
        resource.text("kind", kind);
        resource.exact("value", warning.value);
        resource.exact("limit", warning.limit);
    });
}

fn resource_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Cpu => "cpu",
        ResourceKind::Memory => "memory",
        ResourceKind::OpenFiles => "open_files",
        ResourceKind::Other => "other",
    }
}

pub fn resource_stats(to: &mut Entries<'_>, usage: &SystemUsage) {
    let cores = f64::from(usage.cores.max(1));
    to.add(
        Level::Info,
        Name::ResourceStats,
        |text| {
            write!(
                text,
                "{:.0}% of {} cores, {:.0} MiB, {} open files",
                usage.cpu_percent / cores,
                usage.cores,
                usage.memory_bytes as f64 / 1024.0 / 1024.0,
                usage.open_files,
            )
        },
        // Utilisation goes from 0 to 1, of all the cores that may be used.
        |line| {
            line.object("process", |process| {
                process.object("cpu", |cpu| {
                    cpu.measure("utilization", usage.cpu_percent / 100.0 / cores);
                    cpu.count("cores", usage.cores.into());
                });
                process.object("memory", |memory| {
                    memory.count("usage", usage.memory_bytes);
                });
                process.count("threads", usage.threads.into());
                process.count("open_files", usage.open_files.into());
                process.count("open_files_limit", usage.open_files_limit.into());
                process.measure("scheduler_lag_ms", usage.scheduler_lag_ms);
                process.object("network", |network| {
                    network.count("sent_bytes", usage.requests_sent_bytes);
                    network.count("received_bytes", usage.requests_received_bytes);
                });
            });
            line.object("system", |system| {
                system.object("cpu", |cpu| {
                    cpu.measure("utilization", usage.machine_cpu_percent / 100.0);
                    if let Some(percent) = usage.machine_steal_percent {
                        cpu.measure("steal", percent / 100.0);
                    }
                });
                system.object("memory", |memory| {
                    memory.count("limit", usage.machine_memory_bytes);
                });
                system.object("network", |network| {
                    network.count("sent_bytes", usage.network_sent_bytes);
                    network.count("received_bytes", usage.network_received_bytes);
                });
            });
        },
    );
}

pub fn guest_error(to: &mut Entries<'_>, error: &ScriptError) {
    let ScriptError {
        scenario,
        vu,
        iteration,
        message,
        stack,
    } = error;
    to.add(
        Level::Error,
        Name::GuestError,
        |text| write!(text, "VU {vu}, iteration {iteration}: {message}"),
        |line| {
            line.object("guest", |guest| {
                guest.text("scenario", scenario);
                guest.count("vu", (*vu).into());
                guest.count("iteration", (*iteration).into());
                guest.text("message", message);
                guest.optional("stack", stack.as_deref());
            });
        },
    );
}

pub fn guest_log(to: &mut Entries<'_>, log: &LogMessage) {
    let LogMessage {
        scenario,
        vu,
        iteration,
        level,
        message,
    } = log;
    to.add(
        Level::from(*level),
        Name::GuestLog,
        |text| text.write_str(message),
        |line| {
            line.object("guest", |guest| {
                guest.text("scenario", scenario);
                guest.count("vu", (*vu).into());
                guest.count("iteration", (*iteration).into());
                guest.text("message", message);
            });
        },
    );
}

/// What a shape found out, a line for each finding; or how it failed.
pub fn shape_result(to: &mut Entries<'_>, report: &ShapeReport) {
    let shape = &report.shape;
    if let Some(failure) = &report.failure {
        to.add(
            Level::Error,
            Name::ShapeResult,
            |text| write!(text, "the shape {shape} failed: {failure}"),
            |line| {
                line.object("shape", |members| {
                    members.text("name", shape);
                    members.text("failure", failure);
                });
            },
        );
    }
    for Finding { name, value } in &report.findings {
        to.add(
            Level::Info,
            Name::ShapeResult,
            |text| match value {
                FindingValue::Text(found) => write!(text, "the shape {shape}: {name} {found}"),
                FindingValue::Number(found) => {
                    let (value, unit) = ((found.value * 1e3).round() / 1e3, &found.unit);
                    let space = match unit.is_empty() || unit.starts_with('/') {
                        true => "",
                        false => " ",
                    };
                    write!(text, "the shape {shape}: {name} {value}{space}{unit}")
                }
            },
            |line| {
                line.object("shape", |members| {
                    members.text("name", shape);
                    members.text("finding", name);
                    match value {
                        FindingValue::Text(found) => members.text("text", found),
                        FindingValue::Number(found) => {
                            members.exact("value", found.value);
                            members.optional("unit", Some(&found.unit));
                        }
                    }
                });
            },
        );
    }
}

/// An event of a newer host, which this recorder passes on as it is.
pub fn other(to: &mut Entries<'_>, event: &OtherEvent) {
    to.add(
        Level::Debug,
        Name::Other,
        |text| write!(text, "{}, which this recorder does not know", event.name),
        |line| {
            line.object("other", |other| {
                other.text("name", &event.name);
                other.text("payload", &event.payload);
            });
        },
    );
}
