//! One thread's part of the statistics: what its VUs record into.
//!
//! A shard is owned by one thread and reached through [`with`], so recording
//! takes no lock. A request on a known name allocates nothing.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::OTHER;
use super::names::{NameKind, Names};
use super::snapshot::{
    CheckCount, FailureCount, FailureTable, IterationSeries, MetricSeries, MetricValue, RequestKey,
    RequestSeries, Snapshot, TransactionSeries,
};
use crate::measure::{IterationEnd, MetricKind, RequestSample, ScriptError};

thread_local! {
    static LOCAL: RefCell<Option<Shard>> = const { RefCell::new(None) };
}

/// Makes `shard` this thread's own, until the thread ends or installs another.
pub fn install(shard: Shard) {
    LOCAL.with(|local| *local.borrow_mut() = Some(shard));
}

/// Works on this thread's shard. `f` must not call `with` itself.
///
/// # Panics
///
/// If this thread has not [`install`]ed a shard: only a VU's thread records.
pub fn with<R>(f: impl FnOnce(&mut Shard) -> R) -> R {
    LOCAL.with(|local| {
        f(local
            .borrow_mut()
            .as_mut()
            .expect("a VU runs on a thread that has installed its shard"))
    })
}

/// A name's place in a shard: valid in the shard that gave it, for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u32);

type IdsByName = FxHashMap<Arc<str>, RequestId>;

/// The statistics of one thread since the last [`take`](Shard::take).
#[derive(Debug)]
pub struct Shard {
    names: Names,
    /// Per method, the ids by name. A run has few methods.
    request_ids: Vec<(Arc<str>, IdsByName)>,
    requests: Vec<(RequestKey, RequestSeries)>,
    transactions: FxHashMap<Arc<str>, TransactionSeries>,
    script_failures: FxHashMap<Arc<str>, FailureTable>,
    checks: FxHashMap<Arc<str>, CheckCount>,
    metrics: FxHashMap<Arc<str>, MetricSeries>,
    iterations: IterationSeries,
}

/// A metric was used with another kind than at its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherKind(pub MetricKind);

impl Shard {
    /// An empty shard, for one thread of a run.
    pub fn new(names: Names) -> Self {
        Self {
            names,
            request_ids: Vec::new(),
            requests: Vec::new(),
            transactions: FxHashMap::default(),
            script_failures: FxHashMap::default(),
            checks: FxHashMap::default(),
            metrics: FxHashMap::default(),
            iterations: IterationSeries::default(),
        }
    }

    /// The place of a method and name, made at their first use.
    pub fn request_id(&mut self, method: &str, name: &str) -> RequestId {
        if let Some(id) = self.known_request(method, name) {
            return id;
        }
        // The register knows method and name as one string.
        let admitted = self
            .names
            .admit(NameKind::Request, &format!("{method} {name}"));
        let (method, name) = if admitted {
            (method, name)
        } else {
            ("", OTHER)
        };
        if let Some(id) = self.known_request(method, name) {
            return id;
        }
        let key = RequestKey {
            method: method.into(),
            name: name.into(),
        };
        let id = RequestId(
            u32::try_from(self.requests.len()).expect("the limit on names is far below 2^32"),
        );
        let by_name = match self
            .request_ids
            .iter()
            .position(|(known, _)| &**known == method)
        {
            Some(at) => &mut self.request_ids[at].1,
            None => {
                self.request_ids
                    .push((key.method.clone(), FxHashMap::default()));
                &mut self.request_ids.last_mut().expect("just pushed").1
            }
        };
        by_name.insert(key.name.clone(), id);
        self.requests.push((key, RequestSeries::default()));
        id
    }

    fn known_request(&self, method: &str, name: &str) -> Option<RequestId> {
        let (_, by_name) = self
            .request_ids
            .iter()
            .find(|(known, _)| &**known == method)?;
        by_name.get(name).copied()
    }

    /// Records a request that succeeded or failed.
    pub fn request(&mut self, id: RequestId, sample: &RequestSample) {
        self.requests[id.0 as usize].1.record(sample);
    }

    /// Records why a request failed, beside [`request`](Self::request).
    /// `now_ms` is the time since the Unix epoch.
    pub fn request_failure(&mut self, id: RequestId, message: &str, now_ms: f64) {
        let (key, series) = &mut self.requests[id.0 as usize];
        let names = &self.names;
        series.failures.record(message, None, now_ms, || {
            let name = format!("request {} {} {message}", key.method, key.name);
            names.admit(NameKind::Failure, &name)
        });
    }

    /// Records a transaction. A failed one comes with its message.
    pub fn transaction(&mut self, name: &str, time: Duration, failure: Option<&str>, now_ms: f64) {
        let names = &self.names;
        let name = admitted(&self.transactions, names, NameKind::Transaction, name);
        let series = self.transactions.entry_of(name);
        series.duration.record(time);
        if let Some(message) = failure {
            series.failed += 1;
            series.failures.record(message, None, now_ms, || {
                names.admit(NameKind::Failure, &format!("transaction {name} {message}"))
            });
        }
    }

    /// Records a failure of the script's own, under its scenario.
    pub fn script_failure(&mut self, scenario: &str, error: &ScriptError, now_ms: f64) {
        let names = &self.names;
        let message = &*error.message;
        self.script_failures.entry_of(scenario).record(
            message,
            error.stack.as_ref(),
            now_ms,
            || names.admit(NameKind::Failure, &format!("script {scenario} {message}")),
        );
    }

    /// Records a check.
    pub fn check(&mut self, name: &str, passed: bool) {
        let name = admitted(&self.checks, &self.names, NameKind::Check, name);
        let count = self.checks.entry_of(name);
        if passed {
            count.passes += 1;
        } else {
            count.failures += 1;
        }
    }

    /// Adds a finite value to a metric of the script's. For a rate, anything
    /// but 0 is a hit. `now_ms` tells which of a gauge's values is the latest.
    ///
    /// # Errors
    ///
    /// If the metric's first use was of another kind: nothing is recorded.
    pub fn metric(
        &mut self,
        name: &str,
        kind: MetricKind,
        value: f64,
        now_ms: f64,
    ) -> Result<(), OtherKind> {
        // Past the limit, each kind has an `(other)` of its own: a sum of
        // counters says something, a sum of a counter and a gauge does not.
        let name = match admitted(&self.metrics, &self.names, NameKind::Metric, name) {
            OTHER => match kind {
                MetricKind::Counter => "(other counters)",
                MetricKind::Gauge => "(other gauges)",
                MetricKind::Rate => "(other rates)",
                MetricKind::Trend => "(other trends)",
            },
            name => name,
        };
        if !self.metrics.contains_key(name) {
            self.metrics.insert(name.into(), MetricSeries::new(kind));
        }
        let series = self.metrics.get_mut(name).expect("just inserted");
        if series.value.kind() != kind {
            return Err(OtherKind(series.value.kind()));
        }
        series.count += 1;
        match &mut series.value {
            MetricValue::Counter(sum) => *sum += value,
            MetricValue::Gauge {
                value: latest,
                at_ms,
            } => (*latest, *at_ms) = (value, now_ms),
            MetricValue::Rate { hits } => *hits += u64::from(value != 0.0),
            MetricValue::Trend(trend) => trend.record(value),
        }
        Ok(())
    }

    /// Records an iteration that came to an end. `lag` is the time from when it
    /// was due until it started.
    pub fn iteration(&mut self, end: IterationEnd, time: Duration, lag: Duration) {
        let iterations = &mut self.iterations;
        match end {
            IterationEnd::Interrupted => {
                iterations.interrupted += 1;
                return;
            }
            IterationEnd::Failed => iterations.failed += 1,
            IterationEnd::Passed => {}
        }
        iterations.finished += 1;
        iterations.duration.record(time);
        iterations.lag.record(lag);
    }

    /// Counts iterations that were due but could not start.
    pub fn dropped_iterations(&mut self, count: u64) {
        self.iterations.dropped += count;
    }

    /// Gives up what was recorded since the last call, and starts anew. Names
    /// keep their ids.
    pub fn take(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (key, series) in &mut self.requests {
            if series.duration.count() > 0 {
                let series = std::mem::take(series);
                snapshot.requests.insert(key.clone(), series);
            }
        }
        // A transaction, a check or a metric is looked up by name at each use,
        // so these tables can be given away whole.
        snapshot.transactions = std::mem::take(&mut self.transactions);
        snapshot.script_failures = std::mem::take(&mut self.script_failures);
        snapshot.checks = std::mem::take(&mut self.checks);
        for (name, series) in &mut self.metrics {
            if series.count > 0 {
                snapshot.metrics.insert(name.clone(), series.take());
            }
        }
        snapshot.iterations = std::mem::take(&mut self.iterations);
        snapshot
    }
}

/// The name itself if it is known or may be, else [`OTHER`].
fn admitted<'a, V>(
    table: &FxHashMap<Arc<str>, V>,
    names: &Names,
    kind: NameKind,
    name: &'a str,
) -> &'a str {
    if table.contains_key(name) || names.admit(kind, name) {
        name
    } else {
        OTHER
    }
}

/// The entry of a name, made at its first use without allocating later on.
trait EntryOf<V> {
    fn entry_of(&mut self, name: &str) -> &mut V;
}

impl<V: Default> EntryOf<V> for FxHashMap<Arc<str>, V> {
    fn entry_of(&mut self, name: &str) -> &mut V {
        if !self.contains_key(name) {
            self.insert(name.into(), V::default());
        }
        self.get_mut(name).expect("just inserted")
    }
}

impl FailureTable {
    /// Counts a failure under its message, or under [`OTHER`] if the message is
    /// new and `admit` refuses it.
    fn record(
        &mut self,
        message: &str,
        stack: Option<&Arc<str>>,
        now_ms: f64,
        admit: impl FnOnce() -> bool,
    ) {
        let known = self.0.contains_key(message);
        let message = if known || admit() { message } else { OTHER };
        if let Some(count) = self.0.get_mut(message) {
            count.occurrences += 1;
            count.last_seen_ms = now_ms;
        } else {
            let count = FailureCount {
                occurrences: 1,
                first_seen_ms: now_ms,
                last_seen_ms: now_ms,
                stack: stack.cloned(),
            };
            self.0.insert(message.into(), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(micros: u64) -> RequestSample {
        RequestSample {
            duration: Duration::from_micros(micros),
            status: 200,
            received_bytes: 10,
            ..RequestSample::default()
        }
    }

    #[test]
    fn intervals_add_up_to_the_total() {
        let names = Names::new(10);
        let mut shard = Shard::new(names);
        let mut total = Snapshot::default();
        for round in 1..=3u64 {
            let id = shard.request_id("GET", "/a");
            for n in 0..round {
                shard.request(id, &sample(100 * (n + 1)));
            }
            shard.check("is 200", round != 2);
            shard
                .metric("items", MetricKind::Counter, 2.0, 0.0)
                .expect("first use");
            shard.iteration(
                IterationEnd::Passed,
                Duration::from_millis(1),
                Duration::ZERO,
            );
            total.merge(&shard.take());
        }
        assert!(shard.take().is_empty());
        let window = total.window(Duration::from_secs(3));
        assert_eq!(window.all.requests, 6);
        assert_eq!(window.requests.len(), 1);
        assert_eq!(window.requests[0].received_bytes, 60);
        assert_eq!(window.requests[0].statuses, [(200, 6)]);
        assert_eq!((window.checks[0].passes, window.checks[0].failures), (2, 1));
        assert_eq!(window.metrics[0].value, 6.0);
        assert_eq!(window.iterations.finished, 3);
    }

    #[test]
    fn names_past_the_limit_share_a_row() {
        let mut shard = Shard::new(Names::new(2));
        for n in 0..10 {
            let id = shard.request_id("GET", &format!("/item/{n}"));
            shard.request(id, &sample(100));
            shard.check(&format!("check {n}"), true);
        }
        let window = shard.take().window(Duration::from_secs(1));
        assert_eq!(window.requests.len(), 3);
        let other = window
            .requests
            .iter()
            .find(|row| &*row.name == OTHER)
            .expect("a row");
        assert_eq!(other.requests, 8);
        assert_eq!(window.all.requests, 10);
        assert_eq!(window.checks.len(), 3);
    }

    #[test]
    fn a_metric_keeps_the_kind_of_its_first_use() {
        let mut shard = Shard::new(Names::new(10));
        shard
            .metric("n", MetricKind::Counter, 1.0, 0.0)
            .expect("first use");
        let other = shard.metric("n", MetricKind::Gauge, 5.0, 0.0);
        assert_eq!(other, Err(OtherKind(MetricKind::Counter)));
        shard.take();
        let after = shard.metric("n", MetricKind::Gauge, 5.0, 0.0);
        assert_eq!(
            after,
            Err(OtherKind(MetricKind::Counter)),
            "also after an interval"
        );
    }

    #[test]
    fn equal_failures_are_grouped() {
        let mut shard = Shard::new(Names::new(10));
        let id = shard.request_id("GET", "/");
        for now in [1.0, 2.0, 3.0] {
            shard.request(
                id,
                &RequestSample {
                    failed: true,
                    ..sample(5)
                },
            );
            shard.request_failure(id, "status 503", now);
        }
        shard.script_failure("default", &ScriptError::new("boom"), 4.0);
        let window = shard.take().window(Duration::from_secs(1));
        assert_eq!(window.failures.len(), 2);
        let first = &window.failures[0];
        assert_eq!((&*first.message, first.occurrences), ("status 503", 3));
        assert_eq!((first.first_seen_ms, first.last_seen_ms), (1.0, 3.0));
        assert_eq!(window.all.failures, 3);
    }
}
