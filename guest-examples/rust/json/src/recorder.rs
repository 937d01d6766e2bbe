//! What becomes of each event.

use crate::envelope::{Entry, Envelope};
use crate::lifecycle;
use crate::squall::recorder::events::{Event, EventKind, RunInfo};
use crate::stats::{self, Span};

/// The recorder of one run.
#[derive(Debug)]
pub struct Recorder {
    run: RunInfo,
    envelope: Envelope,
}

impl Recorder {
    /// Errs when the user gave the recorder an option, for it has none.
    pub fn new(run: RunInfo) -> Result<Self, String> {
        if let Some((name, _)) = run.options.first() {
            return Err(format!(
                "unknown option `{name}`\nhint: the json recorder has no options"
            ));
        }
        let envelope = Envelope::new(&run);
        Ok(Self { run, envelope })
    }

    /// Turns an event into lines: one, several, or none.
    pub fn handle(&mut self, event: &Event) -> Vec<String> {
        let entries = self.entries(event);
        entries
            .into_iter()
            .map(|entry| self.envelope.wrap(event, entry))
            .collect()
    }

    fn entries(&self, event: &Event) -> Vec<Entry> {
        let entry = match &event.kind {
            EventKind::Stats(stats) => return stats::entries(stats, Span::Interval),
            EventKind::RunFinished(summary) => {
                let mut entries = stats::entries(&summary.stats, Span::Total);
                entries.extend(summary.thresholds.iter().map(lifecycle::threshold_result));
                entries.push(lifecycle::run_end(event.elapsed_ms, summary));
                return entries;
            }
            EventKind::RunStarted => lifecycle::run_start(&self.run),
            EventKind::RampUpFinished(ramp_up) => lifecycle::ramp_complete(ramp_up),
            EventKind::RunStopping(reason) => lifecycle::stop_requested(reason),
            EventKind::WorkerJoined(worker) => lifecycle::worker_connected(worker),
            EventKind::WorkerLost(worker) => lifecycle::worker_lost(worker),
            EventKind::ThresholdChanged(threshold) => lifecycle::threshold_changed(threshold),
            EventKind::EventsDropped(count) => lifecycle::events_dropped(*count),
            EventKind::ResourceWarning(warning) => lifecycle::resource_warning(warning),
            EventKind::ResourceRecovered(warning) => lifecycle::resource_recovered(warning),
            EventKind::System(usage) => lifecycle::resource_stats(usage),
            EventKind::ScriptError(error) => lifecycle::guest_error(error),
            EventKind::Log(message) => lifecycle::guest_log(message),
            // Not asked for, or from a newer host.
            EventKind::Request(_)
            | EventKind::Transaction(_)
            | EventKind::Iteration(_)
            | EventKind::Check(_)
            | EventKind::Sample(_)
            | EventKind::Other(_) => return Vec::new(),
        };
        vec![entry]
    }
}
