//! `squall:script/metrics`: checks and metrics of a script's own.

use std::time::Instant;

use super::bindings::metrics as wit;
use super::state::State;
use crate::event::Interests;
use crate::measure::MetricKind;
use crate::recorder::measured::MeasurementKind;
use crate::stats::shard;

impl State {
    fn add(&mut self, name: &str, kind: MetricKind, value: f64) -> wasmtime::Result<()> {
        if !value.is_finite() {
            self.warn(&format!(
                "a value of the metric `{name}` is not a finite number: dropped"
            ));
            return Ok(());
        }
        let run = &self.seat.run;
        let now = Instant::now();
        let now_ms = run.clock().wall_ms(now);
        let marks = self.marks();
        if let Err(other) = shard::with(|shard| shard.metric(name, kind, value, marks, now_ms)) {
            let kind = format!("{kind:?}").to_lowercase();
            let first = format!("{:?}", other.0).to_lowercase();
            self.warn(&format!(
                "the metric `{name}` is a {first}: a use as a {kind} was dropped"
            ));
            return Ok(());
        }
        if run.feed.admits(Interests::SAMPLES) {
            run.measure(now, |row| MeasurementKind::Sample {
                metric: row.text(name),
                kind,
                value,
                tags: self.tag_set(row, &[]),
            });
        }
        Ok(())
    }
}

impl wit::Host for State {
    fn check(&mut self, name: String, passed: bool) -> wasmtime::Result<bool> {
        let marks = self.marks();
        shard::with(|shard| shard.check(&name, passed, marks));
        let run = &self.seat.run;
        if run.feed.admits(Interests::CHECKS) {
            run.measure(Instant::now(), |row| MeasurementKind::Check {
                place: self.place(row),
                name: row.text(&name),
                passed,
                tags: self.tag_set(row, &[]),
            });
        }
        Ok(passed)
    }

    fn counter_add(&mut self, name: String, amount: f64) -> wasmtime::Result<()> {
        self.add(&name, MetricKind::Counter, amount)
    }

    fn gauge_set(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.add(&name, MetricKind::Gauge, value)
    }

    fn rate_add(&mut self, name: String, hit: bool) -> wasmtime::Result<()> {
        self.add(&name, MetricKind::Rate, f64::from(u8::from(hit)))
    }

    fn trend_add(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.add(&name, MetricKind::Trend, value)
    }
}
