//! What becomes of each event.

use crate::envelope::{Entry, Envelope};
use crate::recent::Recent;
use crate::squall::recorder::events::{Event, EventKind, Interests, Role, RunInfo, SystemUsage};
use crate::{lifecycle, requests, system};

/// The recorder of one node's part in a run.
#[derive(Debug)]
pub struct Recorder {
    run: RunInfo,
    envelope: Envelope,
    recent: Recent,
    /// The most users that ran at once.
    users: u32,
    /// Whether the processor's use was ever measured.
    cpu_measured: bool,
}

impl Recorder {
    /// Errs when the user gave the recorder an option, for it has none.
    pub fn new(run: RunInfo) -> Result<Self, String> {
        if let Some((name, _)) = run.options.first() {
            return Err(format!(
                "unknown option `{name}`\nhint: the locust recorder has no options of its own; \
                 `--test-plan` and `--stats-interval` say what Locust's flags do"
            ));
        }
        Ok(Self {
            envelope: Envelope::new(&run),
            run,
            recent: Recent::default(),
            users: 0,
            cpu_measured: false,
        })
    }

    /// What it wants to hear beside the life cycle. Requests are the master's.
    pub fn interests(&self) -> Interests {
        match self.leads() {
            true => Interests::STATS | Interests::SYSTEM,
            false => Interests::SYSTEM,
        }
    }

    /// Turns an event into lines: one, several, or none.
    pub fn handle(&mut self, event: &Event) -> Vec<String> {
        let entries = self.entries(event);
        entries
            .into_iter()
            .map(|entry| self.envelope.wrap(event, entry))
            .collect()
    }

    fn entries(&mut self, event: &Event) -> Vec<Entry> {
        match &event.kind {
            EventKind::System(usage) => self.usage(usage),
            EventKind::ResourceWarning(warning) => vec![system::warning(warning)],
            EventKind::ResourceRecovered(warning) => vec![system::recovered(warning)],
            EventKind::EventsDropped(count) => vec![lifecycle::events_dropped(*count)],
            _ if self.leads() => self.run(event),
            _ => Vec::new(),
        }
    }

    /// What happens to the run as a whole, which is for one node to tell.
    fn run(&mut self, event: &Event) -> Vec<Entry> {
        let entry = match &event.kind {
            EventKind::RunStarted => {
                return vec![lifecycle::test_start(&self.run), requests::nothing_yet()];
            }
            EventKind::RampUpFinished(ramp_up) => {
                self.users = self.users.max(ramp_up.vus);
                lifecycle::spawn_complete(ramp_up)
            }
            EventKind::Stats(stats) => {
                self.users = self.users.max(stats.vus);
                self.recent.push(&stats.interval);
                requests::current(stats, &self.recent)
            }
            EventKind::RunStopping(reason) => lifecycle::test_stopping(reason),
            EventKind::RunFinished(summary) => {
                let total = &summary.stats.total;
                let users = self.users.max(summary.stats.vus);
                let mut entries = vec![
                    lifecycle::test_stop(event, summary),
                    requests::last(users, summary, &self.recent),
                ];
                entries.extend(requests::endpoints(total, &self.recent));
                entries.extend(requests::script_failures(total));
                entries.extend(summary.thresholds.iter().map(lifecycle::threshold_result));
                return entries;
            }
            EventKind::ThresholdChanged(threshold) => lifecycle::threshold_changed(threshold),
            EventKind::LoadChanged(change) => lifecycle::load_changed(change),
            EventKind::ShapeReported(report) => lifecycle::shape_result(report),
            EventKind::WorkerJoined(worker) => lifecycle::worker_joined(worker),
            EventKind::WorkerLost(worker) => lifecycle::worker_lost(worker),
            // Not asked for, dealt with, or from a newer host.
            _ => return Vec::new(),
        };
        vec![entry]
    }

    fn usage(&mut self, usage: &SystemUsage) -> Vec<Entry> {
        // A first sample that comes too soon has nothing to compare with.
        self.cpu_measured |= usage.cpu_percent > 0.0 || usage.machine_cpu_percent > 0.0;
        let cpu = self.cpu_measured.then(|| system::cpu(usage));
        cpu.into_iter()
            .chain(system::memory_and_network(usage))
            .collect()
    }

    /// Whether this node tells of the run as a whole.
    fn leads(&self) -> bool {
        self.run.role != Role::Worker
    }
}
