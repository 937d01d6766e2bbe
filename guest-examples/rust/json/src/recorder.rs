//! What becomes of each event.

use crate::envelope::Envelope;
use crate::options::Options;
use crate::samples::Tables;
use crate::squall::recorder::events::{
    Event, EventKind, Interests, MeasurementKind, Measurements, RunInfo,
};
use crate::stats::{self, Span};
use crate::{lifecycle, samples};

/// The recorder of one run.
#[derive(Debug)]
pub struct Recorder {
    run: RunInfo,
    options: Options,
    envelope: Envelope,
}

impl Recorder {
    /// Errs with all that is wrong with the options.
    pub fn new(run: RunInfo) -> Result<Self, String> {
        let options = Options::parse(&run.options)?;
        let envelope = Envelope::new(&run, options.profile);
        Ok(Self {
            run,
            options,
            envelope,
        })
    }

    /// The events to ask for.
    pub fn interests(&self) -> Interests {
        self.options.interests()
    }

    /// Turns events into lines, of which several are in each string.
    pub fn handle(&mut self, events: &[Event]) -> Vec<String> {
        for event in events {
            self.event(event);
        }
        self.envelope.take()
    }

    /// Turns an event into lines: one, several, or none.
    fn event(&mut self, event: &Event) {
        if let EventKind::Measured(measurements) = &event.kind {
            return self.measured(&event.node, measurements);
        }
        let other = self.envelope.other(&event.node);
        let to = &mut self.envelope.entries(event.time_ms, other);
        match &event.kind {
            EventKind::Stats(stats) => stats::entries(to, stats, Span::Interval),
            EventKind::RunFinished(summary) => {
                stats::entries(to, &summary.stats, Span::Total);
                for threshold in &summary.thresholds {
                    lifecycle::threshold_result(to, threshold);
                }
                lifecycle::run_end(to, event.elapsed_ms, summary);
            }
            EventKind::RunStarted => lifecycle::run_start(to, &self.run),
            EventKind::RampUpFinished(ramp_up) => lifecycle::ramp_complete(to, ramp_up),
            EventKind::RunStopping(reason) => lifecycle::stop_requested(to, reason),
            EventKind::WorkerJoined(worker) => lifecycle::worker_connected(to, worker),
            EventKind::WorkerLost(worker) => lifecycle::worker_lost(to, worker),
            EventKind::ThresholdChanged(threshold) => lifecycle::threshold_changed(to, threshold),
            EventKind::LoadChanged(change) => lifecycle::load_changed(to, change),
            EventKind::ShapeReported(report) => lifecycle::shape_result(to, report),
            EventKind::EventsDropped(count) => lifecycle::events_dropped(to, *count),
            EventKind::ResourceWarning(warning) => lifecycle::resource_warning(to, warning),
            EventKind::ResourceRecovered(warning) => lifecycle::resource_recovered(to, warning),
            EventKind::System(usage) => lifecycle::resource_stats(to, usage),
            EventKind::ScriptError(error) => lifecycle::guest_error(to, error),
            EventKind::Log(message) => lifecycle::guest_log(to, message),
            EventKind::Measured(_) => {}
            EventKind::Other(other) => lifecycle::other(to, other),
        }
    }

    fn measured(&mut self, node: &str, measurements: &Measurements) {
        let of = &Tables::of(measurements);
        let other = self.envelope.other(node);
        for measurement in &measurements.all {
            let to = &mut self.envelope.entries(measurement.time_ms, other);
            match &measurement.kind {
                MeasurementKind::Request(request) => {
                    if self.options.requests.include(request) {
                        samples::request(to, of, request);
                    }
                }
                MeasurementKind::Transaction(transaction) => {
                    samples::transaction(to, of, transaction);
                }
                MeasurementKind::Iteration(iteration) => samples::iteration(to, of, iteration),
                MeasurementKind::Check(check) => samples::check(to, of, check),
                MeasurementKind::Sample(sample) => samples::sample(to, of, sample),
                MeasurementKind::Other(other) => lifecycle::other(to, &samples::other(of, other)),
            }
        }
    }
}
