//! One thread's part of the statistics: what its VUs record into.
//!
//! A shard is owned by one thread and reached through [`with`], so recording
//! takes no lock. A request on a known name allocates nothing.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::OTHER;
use super::groups::Groups;
use super::names::{NameKind, Names};
use super::snapshot::{
    CheckCount, FailureCount, FailureTable, IterationSeries, MetricSeries, MetricValue, RequestKey,
    RequestSeries, Snapshot, TransactionSeries,
};
use super::tally::Tally;
use super::tracking::{Marks, Tracking};
use crate::measure::{DropReason, IterationEnd, MetricKind, RequestSample, ScriptError};
use crate::plan::threshold::{BuiltIn, Metric, Subject};

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
    requests: Vec<RequestRow>,
    /// The ids of requests past the limit on names: by the method that a filter
    /// asks for, and of all others.
    other_requests: Vec<(Option<usize>, RequestId)>,
    transactions: FxHashMap<Arc<str>, TransactionSeries>,
    script_failures: FxHashMap<Arc<str>, FailureTable>,
    checks: FxHashMap<Arc<str>, CheckCount>,
    metrics: FxHashMap<Arc<str>, MetricSeries>,
    iterations: IterationSeries,
    /// What thresholds are on beside all this, and what it comes to.
    tracking: Arc<Tracking>,
    tracked: Vec<Tally>,
    /// The same by the value of a tag.
    pub(super) groups: Groups,
}

/// Requests of one method and name.
#[derive(Debug)]
struct RequestRow {
    key: RequestKey,
    series: RequestSeries,
    /// The tracked series that they may be part of.
    candidates: Box<[u16]>,
}

/// A metric was used with another kind than at its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherKind(pub MetricKind);

impl Shard {
    /// An empty shard, for one thread of a run.
    pub fn new(names: Names) -> Self {
        let tracking = names.tracked().clone();
        Self {
            tracked: no_tallies(&tracking),
            groups: Groups::new(tracking.grouping()),
            tracking,
            names,
            request_ids: Vec::new(),
            requests: Vec::new(),
            other_requests: Vec::new(),
            transactions: FxHashMap::default(),
            script_failures: FxHashMap::default(),
            checks: FxHashMap::default(),
            metrics: FxHashMap::default(),
            iterations: IterationSeries::default(),
        }
    }

    /// The marks of these tags; of two values of one the last counts. As
    /// [`Tracking::marks`], without a lock for values that this thread knows.
    pub fn marks<'a>(&mut self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Marks {
        let groups = &mut self.groups;
        self.tracking.marks_by(tags, |grouping, tag, value| {
            groups.number(grouping, tag, value)
        })
    }

    /// The place of a method and name, made at their first use.
    pub fn request_id(&mut self, method: &str, name: &str) -> RequestId {
        if let Some(id) = self.known_request(method, name) {
            return id;
        }
        // The register knows method and name as one string.
        let admitted = self.names.is_asked_for(NameKind::Request, name)
            || self
                .names
                .admit(NameKind::Request, &format!("{method} {name}"));
        if !admitted {
            return self.other_request(method);
        }
        let key = RequestKey {
            method: method.into(),
            name: name.into(),
        };
        let (method, name) = (key.method.clone(), key.name.clone());
        let id = self.add_request(key, &method);
        let by_name = match self
            .request_ids
            .iter()
            .position(|(known, _)| *known == method)
        {
            Some(at) => &mut self.request_ids[at].1,
            None => {
                self.request_ids.push((method, FxHashMap::default()));
                &mut self.request_ids.last_mut().expect("just pushed").1
            }
        };
        by_name.insert(name, id);
        id
    }

    /// The place of requests past the limit on names.
    fn other_request(&mut self, method: &str) -> RequestId {
        let class = self.tracking.method(method);
        let known = self.other_requests.iter().find(|(it, _)| *it == class);
        if let Some((_, id)) = known {
            return *id;
        }
        let key = RequestKey {
            method: "".into(),
            name: OTHER.into(),
        };
        let id = self.add_request(key, class.map_or("", |_| method));
        self.other_requests.push((class, id));
        id
    }

    /// Adds a row for requests of this method, under which it may not be kept.
    fn add_request(&mut self, key: RequestKey, method: &str) -> RequestId {
        let id = u32::try_from(self.requests.len()).expect("the limit on names is below 2^32");
        self.requests.push(RequestRow {
            candidates: self.tracking.of_request(method, &key.name),
            key,
            series: RequestSeries::default(),
        });
        RequestId(id)
    }

    fn known_request(&self, method: &str, name: &str) -> Option<RequestId> {
        let (_, by_name) = self
            .request_ids
            .iter()
            .find(|(known, _)| &**known == method)?;
        by_name.get(name).copied()
    }

    /// Records a request that succeeded or failed.
    pub fn request(&mut self, id: RequestId, sample: &RequestSample, marks: Marks) {
        let row = &mut self.requests[id.0 as usize];
        row.series.record(sample);
        self.groups.request(sample, marks.values(), &self.names);
        for number in &row.candidates {
            let series = &self.tracking.series()[usize::from(*number)];
            if let Some((place, metric)) = series.counted()
                && series.takes_request(sample, marks)
            {
                self.tracked[place].add_request(metric, sample);
            }
        }
    }

    /// Records why a request failed, beside [`request`](Self::request).
    /// `now_ms` is the time since the Unix epoch.
    pub fn request_failure(&mut self, id: RequestId, message: &str, now_ms: f64) {
        let RequestRow { key, series, .. } = &mut self.requests[id.0 as usize];
        let names = &self.names;
        series.failures.record(message, None, now_ms, || {
            let name = format!("request {} {} {message}", key.method, key.name);
            names.admit(NameKind::Failure, &name)
        });
    }

    /// Records a transaction. A failed one comes with its message.
    pub fn transaction(
        &mut self,
        name: &str,
        time: Duration,
        failure: Option<&str>,
        marks: Marks,
        now_ms: f64,
    ) {
        for (series, place) in self.tracking.of_subject(Subject::Transaction) {
            if series.takes(marks) && series.filter.takes_name(name) {
                self.tracked[place].add_time(Some(time));
                self.tracked[place].add_hits(u64::from(failure.is_some()), 1);
            }
        }
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
    pub fn check(&mut self, name: &str, passed: bool, marks: Marks) {
        for (series, place) in self.tracking.of_subject(Subject::Check) {
            if series.takes(marks) && series.filter.takes_check(name) {
                self.tracked[place].add_hits(u64::from(passed), 1);
            }
        }
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
        marks: Marks,
        now_ms: f64,
    ) -> Result<(), OtherKind> {
        let used = name;
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
            MetricValue::Gauge(gauge) => gauge.set(value, now_ms),
            MetricValue::Rate { hits } => *hits += u64::from(value != 0.0),
            MetricValue::Trend(trend) => trend.record(value),
        }
        for (series, place) in self.tracking.of_subject(Subject::Value) {
            let is_it = matches!(&series.metric, Metric::Own(name) if **name == *used);
            if is_it && series.takes(marks) {
                self.tracked[place].add_value(kind, value, now_ms);
            }
        }
        Ok(())
    }

    /// Records an iteration that came to an end. `lag` is the time from when it
    /// was due until it started.
    pub fn iteration(
        &mut self,
        end: IterationEnd,
        time: Duration,
        lag: Option<Duration>,
        marks: Marks,
    ) {
        self.iterations.record(end, time, lag);
        if let Some(iterations) = self.groups.iterations(marks.values(), &self.names) {
            iterations.record(end, time, lag);
        }
        if end == IterationEnd::Interrupted {
            return;
        }
        for (series, place) in self.tracking.of_subject(Subject::Iteration) {
            let tally = &mut self.tracked[place];
            match series.metric {
                _ if !series.takes(marks) => {}
                Metric::BuiltIn(BuiltIn::Iterations) => tally.add_count(1.0),
                Metric::BuiltIn(BuiltIn::IterationDuration) => tally.add_time(Some(time)),
                Metric::BuiltIn(BuiltIn::IterationLag) => tally.add_time(lag),
                _ => {}
            }
        }
    }

    /// Counts iterations that were due but did not start.
    pub fn dropped_iterations(&mut self, count: u64, reason: DropReason, marks: Marks) {
        self.iterations.dropped.add(count, reason);
        if let Some(iterations) = self.groups.iterations(marks.values(), &self.names) {
            iterations.dropped.add(count, reason);
        }
        for (series, place) in self.tracking.of_subject(Subject::Iteration) {
            let is_it = series.metric == Metric::BuiltIn(BuiltIn::DroppedIterations);
            if is_it && count > 0 && series.takes(marks) {
                self.tracked[place].add_count(count as f64);
            }
        }
    }

    /// Gives up what was recorded since the last call, and starts anew. Names
    /// keep their ids.
    pub fn take(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for RequestRow { key, series, .. } in &mut self.requests {
            if series.duration.count() > 0 {
                let series = std::mem::take(series);
                // The rows of requests past the limit on names are one.
                match snapshot.requests.entry(key.clone()) {
                    Entry::Vacant(place) => _ = place.insert(series),
                    Entry::Occupied(mut place) => place.get_mut().merge(&series),
                }
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
        snapshot.tracked = self.tracked.iter_mut().map(Tally::take).collect();
        snapshot.groups = self.groups.take(&self.names);
        snapshot
    }
}

/// An empty tally for each series that a shard counts.
fn no_tallies(tracking: &Tracking) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); tracking.tracked()];
    for series in tracking.series() {
        if let Some((place, metric)) = series.counted() {
            tallies[place] = Tally::of(&Metric::BuiltIn(metric));
        }
    }
    tallies
}

/// The name itself if it is known or may be, else [`OTHER`].
fn admitted<'a, V>(
    table: &FxHashMap<Arc<str>, V>,
    names: &Names,
    kind: NameKind,
    name: &'a str,
) -> &'a str {
    if table.contains_key(name) || names.is_asked_for(kind, name) || names.admit(kind, name) {
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
    use crate::plan::Threshold;

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
                shard.request(id, &sample(100 * (n + 1)), Marks::NONE);
            }
            shard.check("is 200", round != 2, Marks::NONE);
            shard
                .metric("items", MetricKind::Counter, 2.0, Marks::NONE, 0.0)
                .expect("first use");
            shard.iteration(
                IterationEnd::Passed,
                Duration::from_millis(1),
                None,
                Marks::NONE,
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
            shard.request(id, &sample(100), Marks::NONE);
            shard.check(&format!("check {n}"), true, Marks::NONE);
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
    fn a_shard_grows_no_larger_the_longer_a_run_gets() {
        let thresholds = [
            "http_reqs{method:GET}: count > 0",
            "http_req_duration{status:5xx}: p(95) < 5",
            "http_reqs{name:/item/7}: count > 0",
            "checks{team:a}: rate > 0.9",
            "items{team:a}: count > 0",
        ]
        .map(|text| Threshold::parse(text).expect("valid"));
        let tracking = Arc::new(Tracking::new(&thresholds));
        let mut shard = Shard::new(Names::tracking(10, tracking.clone()));
        let marks = tracking.marks([("team", "a")]);
        let mut round = |from: usize| {
            for n in from..from + 1_000 {
                let id = shard.request_id(["GET", "PUT", "HEAD"][n % 3], &format!("/item/{n}"));
                shard.request(id, &sample(n as u64), marks);
                shard.check(&format!("check {n}"), true, marks);
                let name = format!("metric {n}");
                shard
                    .metric(&name, MetricKind::Counter, 1.0, marks, 0.0)
                    .expect("one kind");
            }
            let taken = shard.take();
            let rows = taken.requests.len() + taken.checks.len() + taken.metrics.len();
            let own = shard.requests.len() + shard.metrics.len() + shard.tracked.len();
            (rows, own, taken.tracked.len())
        };
        let after_one = round(0);
        let after_many = (1..50).map(|n| round(n * 1_000)).max();
        assert!(
            after_many <= Some(after_one),
            "{after_many:?}, and {after_one:?} at first"
        );
    }

    #[test]
    fn a_metric_keeps_the_kind_of_its_first_use() {
        let mut shard = Shard::new(Names::new(10));
        shard
            .metric("n", MetricKind::Counter, 1.0, Marks::NONE, 0.0)
            .expect("first use");
        let other = shard.metric("n", MetricKind::Gauge, 5.0, Marks::NONE, 0.0);
        assert_eq!(other, Err(OtherKind(MetricKind::Counter)));
        shard.take();
        let after = shard.metric("n", MetricKind::Gauge, 5.0, Marks::NONE, 0.0);
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
                Marks::NONE,
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
