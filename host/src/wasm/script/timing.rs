//! `squall:script/timing`: waiting, and measuring more than one request.

use std::time::{Duration, Instant};

use wasmtime::component::Resource;

use super::bindings::timing as wit;
use super::driver::Job;
use super::http::millis;
use super::random::uniform;
use super::state::State;
use crate::event::Interests;
use crate::recorder::measured::MeasurementKind;
use crate::stats::tracking::GROUP;
use crate::stats::{Marks, shard};

/// The type of a transaction's handle.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Transaction {}

/// A transaction that was begun.
pub(super) struct Running {
    name: String,
    started: Instant,
    /// How long it took, once it was stopped.
    took: Option<Duration>,
    /// What marks everything while it runs.
    marks: Marks,
}

impl State {
    async fn sleep(&mut self, time: Duration) -> wasmtime::Result<()> {
        if !time.is_zero() {
            self.desk.ask(Job::Sleep(time)).await;
        }
        Ok(())
    }

    /// Marks what is measured from now on with the transactions that run.
    fn regroup(&mut self) {
        let running = self.transactions.values().filter(|it| it.took.is_none());
        self.groups = running.fold(Marks::default(), |all, it| all | it.marks);
    }

    /// Stops a transaction's clock and reports it. Only the first stop counts.
    fn stop_transaction(
        &mut self,
        handle: &Resource<Transaction>,
        failure: Option<&str>,
    ) -> wasmtime::Result<f64> {
        let marks = self.marks();
        let running = self
            .transactions
            .get_mut(&handle.rep())
            .ok_or_else(|| wasmtime::Error::msg("a transaction was used after it was dropped"))?;
        let first = running.took.is_none();
        let now = Instant::now();
        let took = *running
            .took
            .get_or_insert_with(|| now.saturating_duration_since(running.started));
        if first {
            let run = &self.seat.run;
            let name = running.name.as_str();
            let now_ms = run.clock().wall_ms(now);
            shard::with(|shard| shard.transaction(name, took, failure, marks, now_ms));
            if run.feed.admits(Interests::TRANSACTIONS) {
                run.measure(now, |row| MeasurementKind::Transaction {
                    place: self.place(row),
                    name: row.text(&self.transactions[&handle.rep()].name),
                    duration: took.into(),
                    failure: failure.map(|failure| row.text(failure)),
                    tags: self.tag_set(row, &[]),
                });
            }
            self.regroup();
        }
        Ok(took.as_secs_f64() * 1e3)
    }
}

impl wit::Host for State {
    fn now_ms(&mut self) -> wasmtime::Result<f64> {
        Ok(self.seat.run.clock().elapsed().as_secs_f64() * 1e3)
    }

    fn wall_clock_ms(&mut self) -> wasmtime::Result<f64> {
        Ok(self.seat.run.clock().now_ms())
    }

    async fn sleep_ms(&mut self, duration_ms: f64) -> wasmtime::Result<()> {
        self.sleep(millis(duration_ms)).await
    }

    async fn sleep_between_ms(&mut self, min_ms: f64, max_ms: f64) -> wasmtime::Result<()> {
        let (min, max) = (millis(min_ms), millis(max_ms));
        let spread = max.saturating_sub(min).mul_f64(uniform(&mut self.random));
        self.sleep(min + spread).await
    }

    async fn pace_ms(&mut self, period_ms: f64) -> wasmtime::Result<()> {
        let left = millis(period_ms).saturating_sub(self.iteration_started.elapsed());
        self.sleep(left).await
    }
}

impl wit::HostTransaction for State {
    fn new(&mut self, name: String) -> wasmtime::Result<Resource<Transaction>> {
        let marks = self.seat.run.tracking.marks([(GROUP, &*name)]);
        let handle = self.next_transaction;
        self.next_transaction = handle.wrapping_add(1);
        self.transactions.insert(
            handle,
            Running {
                name,
                started: Instant::now(),
                took: None,
                marks,
            },
        );
        self.groups = self.groups | marks;
        Ok(Resource::new_own(handle))
    }

    fn finish_ms(&mut self, handle: Resource<Transaction>) -> wasmtime::Result<f64> {
        self.stop_transaction(&handle, None)
    }

    fn fail_ms(&mut self, handle: Resource<Transaction>, message: String) -> wasmtime::Result<f64> {
        self.stop_transaction(&handle, Some(&message))
    }

    fn drop(&mut self, handle: Resource<Transaction>) -> wasmtime::Result<()> {
        let dropped = self.transactions.remove(&handle.rep());
        self.regroup();
        if let Some(Running {
            name, took: None, ..
        }) = dropped
        {
            self.warn(&format!(
                "the transaction `{name}` was dropped before it was finished"
            ));
        }
        Ok(())
    }
}
