//! Whether the figures of a run can be trusted: a generator that is short of
//! something measures itself and not the server.

use std::time::Duration;

use super::text::{count, counted, number, percent, time};
use crate::error::ExitCode;
use crate::event::StopReason;
use crate::measure::DropReason;
use crate::recorder::RecorderOutcome;
use crate::run::{Health, Outcome};

/// Above this share of the CPU time that its threads could have, a request
/// waits for the generator before and after it waits for the server.
const CPU_LIMIT: f64 = 0.8;
/// Above this share of all the machine's cores, whatever runs waits.
const MACHINE_CPU_LIMIT: f64 = 90.0;
/// Above this share of time in which a VUs' thread ran late by 50 ms or more,
/// one time in a hundred is wrong by as much.
const LATE_LIMIT: f64 = 0.01;
/// Above this share of the machine's time that its own host took from it.
const STEAL_LIMIT: f64 = 10.0;
/// An iteration that starts so much later than it was due, in milliseconds.
const LAG_LIMIT_MS: f64 = 10.0;

/// The share of the CPU time that the VUs' threads can have, from 0 to 1.
pub(super) fn cpu_share(health: &Health, cpu_percent: f64) -> f64 {
    cpu_percent / 100.0 / cores_used(health) as f64
}

/// How many cores the VUs' threads can keep busy.
pub(super) fn cores_used(health: &Health) -> u64 {
    (health.threads.min(health.cores as usize) as u64).max(1)
}

/// Something that is not as it should be.
pub(super) struct Doubt {
    /// What it is about.
    pub(super) about: About,
    /// It, in a sentence.
    pub(super) text: String,
}

/// What a doubt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The figures of the summary.
    Figures,
    /// The log entries: the figures are right all the same.
    Telemetry,
}

/// What makes the result doubtful; empty if nothing does.
pub(super) fn doubts(outcome: &Outcome) -> Vec<Doubt> {
    let figures = figure_doubts(outcome).into_iter();
    let telemetry = telemetry_doubts(&outcome.telemetry).into_iter();
    let doubt = |about| move |text| Doubt { about, text };
    figures
        .map(doubt(About::Figures))
        .chain(telemetry.map(doubt(About::Telemetry)))
        .collect()
}

fn figure_doubts(outcome: &Outcome) -> Vec<String> {
    let health = &outcome.health;
    let stats = &outcome.summary.stats;
    let iterations = &stats.total.iterations;
    let mut doubts = Vec::new();
    let cpu = cpu_share(health, health.cpu_max_percent);
    if cpu > CPU_LIMIT {
        doubts.push(format!(
            "squall itself used up to {} % of the CPU it can use ({}): times include waiting for it; \
             use fewer VUs or more cores",
            percent(cpu.min(1.0)),
            counted(cores_used(health), "core", "cores"),
        ));
    } else if health.machine_cpu_max_percent > MACHINE_CPU_LIMIT {
        doubts.push(format!(
            "this machine was up to {} % busy, with other programs too: times include waiting for it",
            percent((health.machine_cpu_max_percent / 100.0).min(1.0)),
        ));
    }
    if health.scheduler_late_share > LATE_LIMIT {
        doubts.push(format!(
            "the threads that play VUs ran late by up to {}, for {} % of the time: times include \
             waiting for them; use fewer VUs or more cores",
            time(millis(health.scheduler_lag_max)),
            percent(health.scheduler_late_share.min(1.0)),
        ));
    }
    if let Some(steal) = health
        .steal_max_percent
        .filter(|steal| *steal > STEAL_LIMIT)
    {
        doubts.push(format!(
            "this machine's own host took up to {} % of its time from it: times include waiting \
             for it",
            percent((steal / 100.0).min(1.0)),
        ));
    }
    let lag = iterations.lag.quantiles[1];
    if lag > LAG_LIMIT_MS {
        doubts.push(format!(
            "one iteration in 20 started {} or more after it was due",
            time(lag)
        ));
    }
    // Of a run that was ended early nobody expects the whole plan, nor of a
    // script that could not start, nor more than there are rows of data.
    let without_row = iterations.dropped_because.because(DropReason::NoRow);
    let dropped = iterations.dropped - without_row;
    if dropped > 0
        && outcome.summary.reason == StopReason::Completed
        && outcome.exit_code != ExitCode::ScriptFailed
    {
        doubts.push(format!(
            "{} never started: less was sent than planned; use more VUs or more time",
            counted(dropped, "iteration", "iterations")
        ));
    }
    if !stats.complete {
        doubts.push("a part of the statistics is missing".to_owned());
    }
    doubts
}

fn telemetry_doubts(recorders: &[RecorderOutcome]) -> Vec<String> {
    let mut doubts = Vec::new();
    for recorder in recorders {
        let name = super::text::clean(&recorder.name);
        if let Some(failure) = &recorder.failure {
            let failure = super::text::clean(failure);
            let restarts = match recorder.restarts {
                0 => String::new(),
                1 => " (started afresh once)".to_owned(),
                restarts => format!(" (started afresh {restarts} times)"),
            };
            doubts.push(format!("the recorder `{name}` failed{restarts}: {failure}"));
        }
        if recorder.events_dropped > 0 {
            let lacks = counted(recorder.events_dropped, "event", "events");
            doubts.push(match recorder.failure {
                None => {
                    format!("the recorder `{name}` was too slow: its telemetry lacks {lacks}")
                }
                Some(_) => format!("the telemetry of the recorder `{name}` lacks {lacks}"),
            });
        }
        if recorder.entries_lost > 0 {
            let cause = recorder.entries_lost_because.as_deref();
            let cause = cause.map(|cause| format!(": {}", super::text::clean(cause)));
            doubts.push(format!(
                "{} of the recorder `{name}` could not be written{}",
                counted(recorder.entries_lost, "log entry", "log entries"),
                cause.unwrap_or_default()
            ));
        }
        if recorder.entries_invalid > 0 {
            let first = recorder.first_invalid.as_deref().unwrap_or_default();
            doubts.push(format!(
                "{} of the recorder `{name}` had to be left out, the first of them {}",
                counted(recorder.entries_invalid, "log entry", "log entries"),
                super::text::clean(first)
            ));
        }
    }
    doubts
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What the generator used, in a line's worth of words each.
pub(super) fn uses(outcome: &Outcome) -> Vec<String> {
    let health = &outcome.health;
    let share = |cpu| number(cpu_share(health, cpu) * 100.0);
    let mut uses = Vec::new();
    if health.cpu_is_known {
        uses.extend([
            format!(
                "CPU {} % of {}, at most {} %",
                share(health.cpu_mean_percent),
                counted(cores_used(health), "core", "cores"),
                share(health.cpu_max_percent),
            ),
            format!(
                "machine at most {} %",
                number(health.machine_cpu_max_percent)
            ),
        ]);
        uses.extend(
            health
                .steal_max_percent
                .filter(|steal| *steal > 0.0)
                .map(|steal| format!("stolen from it at most {} %", number(steal))),
        );
    }
    if health.memory_max_bytes > 0 {
        uses.push(format!(
            "memory at most {}",
            crate::units::Bytes(health.memory_max_bytes)
        ));
    }
    if !health.scheduler_lag_max.is_zero() {
        uses.push(format!(
            "scheduler lag at most {}",
            time(millis(health.scheduler_lag_max))
        ));
    }
    // Where a VU starts its next iteration when the last one ends, there is none.
    let lag = &outcome.summary.stats.total.iterations.lag;
    if lag.count > 0 {
        uses.push(format!("iteration lag p95 {}", time(lag.quantiles[1])));
    }
    if health.open_files_max > 0 {
        uses.push(format!(
            "at most {} open files",
            count(u64::from(health.open_files_max))
        ));
    }
    uses
}
