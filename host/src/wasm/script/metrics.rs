//! `squall:script/metrics`: checks and metrics of a script's own.

use super::bindings::metrics as wit;
use super::state::State;
use crate::event::{self, EventKind, Interests};
use crate::measure::MetricKind;
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
        let now_ms = run.clock().now_ms();
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
            run.publish(EventKind::Sample(Box::new(event::Sample {
                metric: name.into(),
                kind,
                value,
                tags: self.tags_with(&[]),
            })));
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
            run.publish(EventKind::Check(Box::new(event::Check {
                origin: self.origin(),
                name: name.into(),
                passed,
                tags: self.tags_with(&[]),
            })));
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
