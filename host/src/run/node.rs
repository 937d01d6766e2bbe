//! What the recorders of a worker's own node are told beside what its VUs tell
//! them: the life cycle, and the statistics of this node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::link::{Command, Measured, Origin};
use crate::error::ExitCode;
use crate::event::{DataQuality, EventKind, RunSummary, Stats, StopReason};
use crate::stats::Snapshot;
use crate::vu::RunContext;

/// Makes the events of a node that only works.
#[derive(Debug)]
pub struct NodeReport {
    context: Arc<RunContext>,
    origin: Origin,
    cadences: Vec<Cadence>,
    /// Which of them are due, and wait for what was measured until now.
    due: Vec<bool>,
    total: Snapshot,
    started: Option<Instant>,
    has_begun: bool,
    is_stopping: bool,
    vus: u32,
    resource_warnings: u32,
}

impl NodeReport {
    /// For the recorders that `context` feeds; without any there is nothing to do.
    pub fn new(context: Arc<RunContext>, origin: Origin) -> Self {
        let now = Instant::now();
        let intervals = context.feed.stats_intervals();
        let cadences: Vec<_> = intervals
            .into_iter()
            .map(|interval| Cadence::new(now, interval))
            .collect();
        Self {
            due: vec![false; cadences.len()],
            cadences,
            total: Snapshot {
                groups: context.tracking.grouping().tables(),
                ..Snapshot::default()
            },
            context,
            origin,
            started: None,
            has_begun: false,
            is_stopping: false,
            vus: 0,
            resource_warnings: 0,
        }
    }

    fn is_idle(&self) -> bool {
        self.cadences.is_empty()
    }

    /// Takes note of what the node is told.
    pub fn obey(&mut self, command: &Command) {
        match command {
            Command::Start(start) => {
                let at = self.origin.instant(start.at);
                self.started = Some(at);
                self.cadences
                    .iter_mut()
                    .for_each(|cadence| cadence.start(at));
            }
            Command::Stop(None) | Command::Cut => self.stopping(),
            _ => {}
        }
    }

    /// No new iterations start.
    pub fn stopping(&mut self) {
        if self.has_begun && !std::mem::replace(&mut self.is_stopping, true) {
            let reason = StopReason::Completed;
            self.context.publish(EventKind::RunStopping(reason));
        }
    }

    /// Takes in what was measured, and tells the statistics that were due.
    pub fn measured(&mut self, measured: &Measured) {
        if self.is_idle() {
            return;
        }
        self.vus = measured.standing.running.iter().sum();
        self.resource_warnings = measured.standing.resource_warnings;
        for cadence in &mut self.cadences {
            cadence.measured.merge(&measured.measured);
        }
        self.total.merge(&measured.measured);
        if measured.asked {
            let now = Instant::now();
            for number in 0..self.cadences.len() {
                if std::mem::take(&mut self.due[number]) {
                    self.tell(number, now);
                }
            }
        }
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<Instant> {
        let started = self.started?;
        if self.is_idle() {
            return None;
        }
        if !self.has_begun {
            return Some(started);
        }
        let waiting = self.cadences.iter().zip(&self.due);
        let waiting = waiting.filter(|(_, is_due)| !**is_due);
        waiting.map(|(cadence, _)| cadence.ticks.due()).min()
    }

    /// Does it; whether what was measured until now is needed.
    pub fn keep_time(&mut self, now: Instant) -> bool {
        if !self.has_begun {
            self.has_begun = true;
            self.context.publish(EventKind::RunStarted);
        }
        for (cadence, is_due) in self.cadences.iter_mut().zip(&mut self.due) {
            *is_due |= cadence.ticks.pass(now);
        }
        self.due.contains(&true)
    }

    fn tell(&mut self, number: usize, now: Instant) {
        let stats = self.stats(number, now);
        let cadence = &mut self.cadences[number];
        cadence.measured = Snapshot::default();
        cadence.began = now;
        let interval = cadence.interval;
        self.context.publish_at(interval, EventKind::Stats(stats));
    }

    fn stats(&self, number: usize, now: Instant) -> Arc<Stats> {
        let cadence = &self.cadences[number];
        let started = self.started.unwrap_or(now);
        let since = |at: Instant| now.saturating_duration_since(at);
        Arc::new(Stats {
            vus: self.vus,
            interval: cadence.measured.window(since(cadence.began)),
            total: self.total.window(since(started)),
            complete: true,
        })
    }

    /// Tells the end of the run, of which this node's recorders know no verdict.
    pub fn finish(mut self, exit_code: ExitCode) {
        if !self.has_begun {
            return;
        }
        self.stopping();
        let now = Instant::now();
        for number in 0..self.cadences.len() {
            let interval: Duration = self.cadences[number].interval;
            let stats = self.stats(number, now);
            self.context
                .publish_at(interval, EventKind::Stats(stats.clone()));
            let summary = RunSummary {
                passed: exit_code == ExitCode::Passed,
                exit_code: exit_code as u8,
                reason: StopReason::Completed,
                stats,
                thresholds: Vec::new(),
                quality: DataQuality {
                    log_messages_dropped: self.context.log_messages_lost(),
                    script_errors_dropped: self.context.script_failures_untold(),
                    resource_warnings: self.resource_warnings,
                    ..DataQuality::default()
                },
            };
            let finished = EventKind::RunFinished(Arc::new(summary));
            self.context.publish_at(interval, finished);
        }
    }
}
