//! What thresholds are on, beyond the statistics that are kept anyway.
//!
//! A threshold on a part of a metric is judged by a series of its own. Where the
//! part is told by a name that has statistics, the series follows from them
//! (`Series::gather`). Any other is counted while the run goes on, in each
//! shard, as one of the **tracked** series: there are as many as the plan has
//! thresholds, so they take no more memory the longer a run gets.
//!
//! Which tags something has is known long before it is measured. So that no text
//! is compared then, each tag with its value that a filter asks for is a bit of
//! [`Marks`]; whoever sets tags resolves them once.

use std::ops::BitOr;
use std::sync::Arc;

use super::groups::{Grouping, Values};
use super::names::NameKind;
use super::snapshot::{RequestSeries, Snapshot};
use super::tally::Tally;
use crate::measure::RequestSample;
use crate::plan::threshold::{BuiltIn, Filter, Metric, Subject};
use crate::plan::{Plan, Threshold};

/// How many tags with their values filters can ask for.
pub const TAGS: usize = u64::BITS as usize;

/// Which of the tags that filters ask for something has, and which values of those
/// that the run is grouped by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// A bit for each tag that it has, with the value asked for.
    has: u64,
    /// The bits of all values of the tags that it has.
    of: u64,
    values: Values,
}

impl Marks {
    /// None of them.
    pub const NONE: Self = Self {
        has: 0,
        of: 0,
        values: Values::NONE,
    };

    /// These tags, and of `below` those that are not among them.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            has: self.has | below.has & !self.of,
            of: self.of | below.of,
            values: self.values.over(below.values),
        }
    }
}

impl Marks {
    /// Which values it has of the tags that the run is grouped by.
    pub(super) fn values(self) -> Values {
        self.values
    }
}

impl BitOr for Marks {
    type Output = Self;

    /// All tags of both; one with two values has both of them, and is grouped by
    /// the first one's.
    fn bitor(self, other: Self) -> Self {
        Self {
            has: self.has | other.has,
            of: self.of | other.of,
            values: self.values.over(other.values),
        }
    }
}

/// A metric or a part of it that thresholds are on.
#[derive(Debug, Clone)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// Which part.
    pub filter: Filter,
    /// The bits of the tags that it asks for.
    marks: u64,
    /// Its place among those that shards count.
    tracked: Option<usize>,
}

/// All that the thresholds of a plan are on, and what it is grouped by.
#[derive(Debug, Default)]
pub struct Tracking {
    series: Vec<Series>,
    /// The series that shards count, by subject, each with its place.
    tracked: [Vec<usize>; 6],
    count: usize,
    /// Each tag with its value that a filter asks for, by bit.
    tags: Vec<(Arc<str>, Arc<str>)>,
    grouping: Grouping,
}

impl Tracking {
    /// What a plan asks for.
    pub fn of(plan: &Plan) -> Self {
        Self::new(&plan.thresholds).grouped(Grouping::of(plan))
    }

    /// The same, grouped by something.
    #[must_use]
    pub(super) fn grouped(self, grouping: Grouping) -> Self {
        Self { grouping, ..self }
    }

    /// What the run is grouped by.
    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// What some thresholds are on. Of their tags the first [`TAGS`] count; a
    /// plan has no more.
    pub fn new(thresholds: &[Threshold]) -> Self {
        let mut tracking = Self::default();
        for threshold in thresholds {
            if tracking.place(threshold).is_none() {
                tracking.add(threshold);
            }
        }
        tracking
    }

    fn add(&mut self, threshold: &Threshold) {
        let (metric, filter) = (threshold.metric.clone(), threshold.filter.clone());
        let mut marks = 0;
        for tag in asked_for(&filter) {
            let bit = match self.tags.iter().position(|known| *known == tag) {
                Some(bit) => bit,
                None => {
                    self.tags.push(tag);
                    self.tags.len() - 1
                }
            };
            marks |= 1_u64.checked_shl(bit as u32).unwrap_or(0);
        }
        let tracked = (!filter.is_by_name()).then(|| {
            self.tracked[metric.subject() as usize].push(self.series.len());
            self.count += 1;
            self.count - 1
        });
        self.series.push(Series {
            metric,
            filter,
            marks,
            tracked,
        });
    }

    /// The series of a threshold, by its place in the list of all.
    pub fn place(&self, threshold: &Threshold) -> Option<usize> {
        self.series.iter().position(|series| {
            series.metric == threshold.metric && series.filter == threshold.filter
        })
    }

    /// Every series.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// How many series shards count.
    pub(super) fn tracked(&self) -> usize {
        self.count
    }

    /// Whether a shard counts anything of a subject.
    pub fn tracks(&self, subject: Subject) -> bool {
        !self.tracked[subject as usize].is_empty()
    }

    /// The series of a subject that a shard counts, each with its tally's place.
    pub(super) fn of_subject(&self, subject: Subject) -> impl Iterator<Item = (&Series, usize)> {
        self.tracked[subject as usize].iter().filter_map(|number| {
            let series = &self.series[*number];
            Some((series, series.tracked?))
        })
    }

    /// The tracked series that a request of this method and name may be part of.
    pub(super) fn of_request(&self, method: &str, name: &str) -> Box<[u16]> {
        let numbers = self.tracked[Subject::Request as usize].iter().copied();
        numbers
            .filter(|number| self.series[*number].filter.takes_request(method, name))
            .map(|number| u16::try_from(number).expect("a plan has few thresholds"))
            .collect()
    }

    /// A place for each method that a filter asks for.
    pub(super) fn method(&self, method: &str) -> Option<usize> {
        let asks = |series: &Series| series.filter.method.as_deref() == Some(method);
        self.series.iter().position(asks)
    }

    /// How many tags with their values filters ask for.
    pub fn tags(&self) -> usize {
        self.tags.len()
    }

    /// The marks of these tags; of two values of one the last counts. Takes a lock
    /// for what the run is grouped by: on a VU's thread,
    /// [`Shard::marks`](super::Shard::marks) does not.
    pub fn marks<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Marks {
        self.marks_by(tags, Grouping::number)
    }

    /// The same, with the numbers of values from elsewhere.
    pub(super) fn marks_by<'a>(
        &self,
        tags: impl IntoIterator<Item = (&'a str, &'a str)>,
        mut number: impl FnMut(&Grouping, usize, &str) -> u32,
    ) -> Marks {
        let mut marks = Marks::default();
        if self.tags.is_empty() && self.grouping.is_empty() {
            return marks;
        }
        for (name, value) in tags {
            let mut own = Marks::default();
            for (bit, (asked, wanted)) in self.tags.iter().enumerate().take(TAGS) {
                if **asked == *name {
                    own.of |= 1 << bit;
                    own.has |= u64::from(**wanted == *value) << bit;
                }
            }
            let values = &mut own.values;
            self.grouping.resolve(values, (name, value), &mut number);
            marks = own.over(marks);
        }
        marks
    }

    /// Names that filters ask for: they have statistics of their own, however
    /// many names there are.
    pub(super) fn names(&self) -> impl Iterator<Item = (NameKind, &str)> {
        self.series.iter().filter_map(|series| {
            let filter = &series.filter;
            match (&series.metric, series.metric.subject()) {
                (Metric::Own(name), _) => Some((NameKind::Metric, &**name)),
                (_, Subject::Request) => Some((NameKind::Request, filter.name.as_deref()?)),
                (_, Subject::Transaction) => Some((NameKind::Transaction, filter.name.as_deref()?)),
                (_, Subject::Check) => Some((NameKind::Check, filter.check.as_deref()?)),
                _ => None,
            }
        })
    }
}

/// The tags that a filter asks for. `scenario` and `group` are among them: a
/// VU's measurements have them like any other.
fn asked_for(filter: &Filter) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    let named = [(SCENARIO, &filter.scenario), (GROUP, &filter.group)];
    let named = named.into_iter().filter_map(|(name, value)| {
        let value = value.clone()?;
        Some((name.into(), value))
    });
    // A tag of the user's cannot pass for one of the host's.
    named.chain(filter.tags.iter().cloned())
}

/// The tag of the scenario, which no tag of a user's can be mistaken for.
pub const SCENARIO: &str = "\0scenario";
/// The tag of a running transaction, likewise.
pub const GROUP: &str = "\0group";

impl Series {
    /// Whether something with these tags is part of it.
    pub(super) fn takes(&self, marks: Marks) -> bool {
        self.marks & !marks.has == 0
    }

    /// Whether a request is part of it, which its method and name allow.
    pub(super) fn takes_request(&self, sample: &RequestSample, marks: Marks) -> bool {
        let filter = &self.filter;
        self.takes(marks)
            && filter
                .status
                .is_none_or(|statuses| statuses.contain(sample.status))
            && filter
                .expected_response
                .is_none_or(|expected| expected != sample.failed)
    }

    /// Its tally's place in a shard, and the metric, if it is the host's.
    pub(super) fn counted(&self) -> Option<(usize, BuiltIn)> {
        match &self.metric {
            Metric::BuiltIn(metric) => Some((self.tracked?, *metric)),
            Metric::Own(_) => None,
        }
    }

    /// Adds what a snapshot has of it.
    pub(super) fn gather(&self, snapshot: &Snapshot, tally: &mut Tally) {
        if let Some(place) = self.tracked {
            if let Some(counted) = snapshot.tracked.get(place) {
                tally.merge(counted);
            }
            return;
        }
        match &self.metric {
            Metric::Own(name) => {
                if let Some(series) = snapshot.metrics.get(&**name) {
                    tally.merge_series(series);
                }
            }
            Metric::BuiltIn(metric) => self.gather_built_in(*metric, snapshot, tally),
        }
    }

    fn gather_built_in(&self, metric: BuiltIn, snapshot: &Snapshot, tally: &mut Tally) {
        let filter = &self.filter;
        let iterations = &snapshot.iterations;
        match metric {
            BuiltIn::Iterations => add_some(tally, iterations.finished),
            BuiltIn::DroppedIterations => add_some(tally, iterations.dropped.total()),
            BuiltIn::IterationDuration => tally.merge_times(&iterations.duration),
            BuiltIn::IterationLag => tally.merge_times(&iterations.lag),
            BuiltIn::TransactionDuration | BuiltIn::TransactionFailed => {
                for (name, series) in &snapshot.transactions {
                    if filter.takes_name(name) {
                        tally.merge_times(&series.duration);
                        tally.add_hits(series.failed, series.duration.count());
                    }
                }
            }
            BuiltIn::Checks => {
                for (name, check) in &snapshot.checks {
                    if filter.takes_check(name) {
                        tally.add_hits(check.passes, check.passes + check.failures);
                    }
                }
            }
            // The conductor knows how many there are.
            BuiltIn::Vus | BuiltIn::VusMax => {}
            _ => {
                for (key, series) in &snapshot.requests {
                    if filter.takes_request(&key.method, &key.name) {
                        gather_requests(metric, series, tally);
                    }
                }
            }
        }
    }
}

fn gather_requests(metric: BuiltIn, series: &RequestSeries, tally: &mut Tally) {
    match metric {
        BuiltIn::HttpReqs => add_some(tally, series.duration.count()),
        BuiltIn::DataSent => add_some(tally, series.sent_bytes),
        BuiltIn::DataReceived => add_some(tally, series.received_bytes),
        BuiltIn::HttpReqFailed => tally.add_hits(series.failed, series.duration.count()),
        BuiltIn::HttpReqDurationFromDue => tally.merge_times(&series.from_due),
        BuiltIn::HttpReqConnecting => tally.merge_times(&series.connecting),
        BuiltIn::HttpReqTlsHandshaking => tally.merge_times(&series.tls),
        BuiltIn::HttpReqWaiting => tally.merge_times(&series.waiting),
        BuiltIn::HttpReqReceiving => tally.merge_times(&series.receiving),
        _ => tally.merge_times(&series.duration),
    }
}

/// Adds to a sum. Nothing at all is no measurement.
fn add_some(tally: &mut Tally, amount: u64) {
    if amount > 0 {
        tally.add_count(amount as f64);
    }
}
