//! Results split by the value of a tag: `--group-by`.
//!
//! Which values the tags of something have is known long before it is measured.
//! Whoever sets tags resolves each value to a number (`Values`), so that a
//! request finds its row by an index, and one in a run that is grouped by
//! nothing pays for a look at an empty list.
//!
//! All threads share one register of values, so that a value has the same number
//! everywhere, and a row in all intervals or in none. Like names, values are
//! limited: beyond it they are counted together under [`OTHER`].

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::OTHER;
use super::names::{NameKind, Names};
use super::snapshot::{GroupSeries, GroupTable, IterationSeries};
use super::tracking::SCENARIO;
use crate::measure::RequestSample;
use crate::plan::{GROUP_BY_SCENARIO, Plan};

/// How many tags a user can group a run by.
pub const GROUPS: usize = 4;
/// With the scenario, which comes by itself.
const SLOTS: usize = GROUPS + 1;

/// The value of a tag that something does not have.
pub const NONE: &str = "(none)";

/// The number of a value; 0 is none, 1 any beyond the limit.
pub(super) type Value = u32;
const WITHOUT: Value = 0;
const BEYOND: Value = 1;
/// The number of the first value that has a row of its own.
const FIRST: usize = 2;

/// Which values something has, for each of the tags that a run is grouped by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values([Value; SLOTS]);

impl Values {
    /// None of them.
    pub(super) const NONE: Self = Self([WITHOUT; SLOTS]);

    /// These, and those of `below` of the tags that are not among them.
    pub(super) fn over(self, below: Self) -> Self {
        let mut values = self.0;
        for (ours, theirs) in values.iter_mut().zip(below.0) {
            if *ours == WITHOUT {
                *ours = theirs;
            }
        }
        Self(values)
    }

    fn of(self, number: usize) -> Value {
        self.0[number]
    }

    fn set(&mut self, number: usize, value: Value) {
        self.0[number] = value;
    }
}

/// The tags that a run is grouped by, and the values that they have had.
#[derive(Debug, Default)]
pub struct Grouping {
    tags: Vec<GroupTag>,
    /// Which of them is the scenario.
    scenario: Option<usize>,
}

#[derive(Debug)]
struct GroupTag {
    /// The tag, as users write it.
    name: Arc<str>,
    /// The tag, as measurements have it.
    key: Arc<str>,
    limit: usize,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    numbers: FxHashMap<Arc<str>, Value>,
    /// The values, from [`FIRST`] on.
    values: Vec<Arc<str>>,
}

impl Known {
    fn add(&mut self, value: &str) -> Value {
        let value: Arc<str> = value.into();
        let number = Value::try_from(FIRST + self.values.len()).expect("the limit is below 2^32");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

impl Grouping {
    /// What a plan is grouped by. Scenarios are known beforehand, and no limit
    /// leaves one out. Of its tags the first [`GROUPS`] beside the scenario
    /// count; a plan has no more.
    pub fn of(plan: &Plan) -> Self {
        let scenarios = plan.scenarios.iter().map(|scenario| &*scenario.name);
        let tags = plan.group_by.iter().map(|tag| &**tag);
        Self::new(tags, scenarios, plan.limits.names)
    }

    fn new<'a>(
        tags: impl Iterator<Item = &'a str>,
        scenarios: impl Iterator<Item = &'a str>,
        limit: usize,
    ) -> Self {
        let mut grouping = Self::default();
        for name in tags.take(SLOTS) {
            let is_scenario = name == GROUP_BY_SCENARIO;
            if is_scenario {
                grouping.scenario = Some(grouping.tags.len());
            }
            grouping.tags.push(GroupTag {
                name: name.into(),
                // A tag of the user's cannot pass for the host's.
                key: if is_scenario { SCENARIO } else { name }.into(),
                limit,
                known: RwLock::default(),
            });
        }
        if let Some(number) = grouping.scenario {
            let known = &mut grouping.tags[number].known;
            let known = known.get_mut().unwrap_or_else(PoisonError::into_inner);
            scenarios.for_each(|name| _ = known.add(name));
        }
        grouping
    }

    /// Whether the run is grouped by nothing.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// A table for each tag, with a row for each value that is known beforehand:
    /// a scenario of which nothing is ever measured is not passed over.
    pub fn tables(&self) -> Vec<GroupTable> {
        let table = |(number, tag): (usize, &GroupTag)| {
            let is_scenario = self.scenario == Some(number);
            let known = tag.known.read().unwrap_or_else(PoisonError::into_inner);
            let rows = known.values.iter().filter(|_| is_scenario);
            GroupTable {
                tag: tag.name.clone(),
                values: rows
                    .map(|value| (value.clone(), self.row(number)))
                    .collect(),
            }
        };
        self.tags.iter().enumerate().map(table).collect()
    }

    /// An empty row of a tag. Those of scenarios have iterations.
    fn row(&self, number: usize) -> GroupSeries {
        let is_scenario = self.scenario == Some(number);
        GroupSeries {
            iterations: is_scenario.then(Box::default),
            ..GroupSeries::default()
        }
    }

    /// Takes over the value of a tag, if the run is grouped by it. `find` tells
    /// a value's number.
    pub(super) fn resolve(
        &self,
        into: &mut Values,
        (tag, value): (&str, &str),
        mut find: impl FnMut(&Self, usize, &str) -> Value,
    ) {
        for (number, own) in self.tags.iter().enumerate() {
            if *own.key == *tag {
                into.set(number, find(self, number, value));
            }
        }
    }

    /// The number of a tag's value, given at its first use. Takes a lock.
    pub(super) fn number(&self, tag: usize, value: &str) -> Value {
        let GroupTag { known, limit, .. } = &self.tags[tag];
        {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(number) = known.numbers.get(value) {
                return *number;
            }
            if known.values.len() >= *limit {
                return BEYOND;
            }
        }
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here in between.
        match known.numbers.get(value) {
            Some(number) => *number,
            None if known.values.len() >= *limit => BEYOND,
            None => known.add(value),
        }
    }

    /// The value of a number, as it is shown.
    fn value(&self, tag: usize, number: Value) -> Arc<str> {
        match number {
            WITHOUT => NONE.into(),
            BEYOND => OTHER.into(),
            number => {
                let known = &self.tags[tag].known;
                let known = known.read().unwrap_or_else(PoisonError::into_inner);
                known.values[number as usize - FIRST].clone()
            }
        }
    }
}

/// One thread's part of the groups, within its [`Shard`](super::Shard).
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// For each tag.
    tables: Vec<Rows>,
    scenario: Option<usize>,
}

#[derive(Debug, Default)]
struct Rows {
    /// By the number of the value.
    rows: Vec<Option<Box<Row>>>,
    /// The numbers that this thread has asked for. No more than have a row.
    numbers: FxHashMap<Arc<str>, Value>,
}

#[derive(Debug)]
struct Row {
    value: Arc<str>,
    series: GroupSeries,
}

impl Groups {
    pub(super) fn new(grouping: &Grouping) -> Self {
        Self {
            tables: grouping.tags.iter().map(|_| Rows::default()).collect(),
            scenario: grouping.scenario,
        }
    }

    /// As [`Grouping::number`], without a lock for what this thread knows.
    pub(super) fn number(&mut self, grouping: &Grouping, tag: usize, value: &str) -> Value {
        let numbers = &mut self.tables[tag].numbers;
        if let Some(number) = numbers.get(value) {
            return *number;
        }
        let number = grouping.number(tag, value);
        if number != BEYOND {
            numbers.insert(value.into(), number);
        }
        number
    }

    /// Adds a request to the row of each tag.
    pub(super) fn request(&mut self, sample: &RequestSample, values: Values, names: &Names) {
        for (tag, table) in self.tables.iter_mut().enumerate() {
            let value = values.of(tag);
            if value == BEYOND {
                names.refuse(NameKind::TagValue);
            }
            let row = table.row(value, || made(names, tag, value));
            row.series.record(sample);
        }
    }

    /// What came of the iterations of a scenario, if the run is grouped by it.
    pub(super) fn iterations(
        &mut self,
        values: Values,
        names: &Names,
    ) -> Option<&mut IterationSeries> {
        let tag = self.scenario?;
        let value = values.of(tag);
        let row = self.tables[tag].row(value, || made(names, tag, value));
        row.series.iterations.as_deref_mut()
    }

    /// Gives up what was recorded, and starts anew.
    pub(super) fn take(&mut self, names: &Names) -> Vec<GroupTable> {
        let grouping = names.tracked().grouping();
        let table = |(tag, table): (usize, &mut Rows)| {
            let rows = table.rows.iter_mut().flatten();
            let used = rows.filter(|row| !row.series.is_empty());
            GroupTable {
                tag: grouping.tags[tag].name.clone(),
                values: used
                    .map(|row| {
                        let series = std::mem::replace(&mut row.series, grouping.row(tag));
                        (row.value.clone(), series)
                    })
                    .collect(),
            }
        };
        self.tables.iter_mut().enumerate().map(table).collect()
    }
}

impl Rows {
    fn row(&mut self, value: Value, make: impl FnOnce() -> Row) -> &mut Row {
        let at = value as usize;
        if at >= self.rows.len() {
            self.rows.resize_with(at + 1, || None);
        }
        self.rows[at].get_or_insert_with(|| Box::new(make()))
    }
}

/// A row for a value, at its first use.
fn made(names: &Names, tag: usize, value: Value) -> Row {
    let grouping = names.tracked().grouping();
    Row {
        value: grouping.value(tag, value),
        series: grouping.row(tag),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::tracking::{Marks, Tracking};
    use super::super::{Shard, Snapshot, Window};
    use super::*;
    use crate::measure::{DropReason, IterationEnd};

    fn names(tags: &[&str], limit: usize) -> Names {
        let scenarios = ["browse", "buy", "idle"];
        let grouping = Grouping::new(tags.iter().copied(), scenarios.into_iter(), limit);
        Names::tracking(limit, Arc::new(Tracking::default().grouped(grouping)))
    }

    fn sample(millis: u64, failed: bool) -> RequestSample {
        RequestSample {
            duration: Duration::from_millis(millis),
            from_due: millis
                .is_multiple_of(2)
                .then(|| Duration::from_millis(millis + 5)),
            failed,
            sent_bytes: millis,
            received_bytes: 7,
            ..RequestSample::default()
        }
    }

    /// A request: on which thread, with which value of which tag, and how it went.
    type Sent = (usize, Option<u8>, bool, u64, bool);

    fn play(shards: &mut [Shard], sent: &[Sent]) {
        for (thread, part, buys, millis, failed) in sent {
            let shard = &mut shards[*thread];
            let part = part.map(|part| format!("part {part}"));
            let scenario = if *buys { "buy" } else { "browse" };
            let below = shard.marks([(SCENARIO, scenario)]);
            let own = shard.marks(part.iter().map(|part| ("part", &**part)));
            let marks = own.over(below);
            let id = shard.request_id("GET", "/");
            shard.request(id, &sample(*millis, *failed), marks);
            let time = Duration::from_millis(*millis);
            let end = if *failed {
                IterationEnd::Failed
            } else {
                IterationEnd::Passed
            };
            shard.iteration(end, time, None, marks);
        }
    }

    fn sums_are_all(window: &Window) -> Result<(), TestCaseError> {
        prop_assert_eq!(window.groups.len(), 2);
        for group in &window.groups {
            let sum = |of: fn(&crate::stats::window::ValueStats) -> u64| -> u64 {
                group.values.iter().map(of).sum()
            };
            let all = &window.all;
            prop_assert_eq!(sum(|row| row.requests), all.requests);
            prop_assert_eq!(sum(|row| row.failures), all.failures);
            prop_assert_eq!(sum(|row| row.duration.count), all.duration.count);
            prop_assert_eq!(sum(|row| row.from_due.count), all.from_due.count);
            prop_assert_eq!(sum(|row| row.sent_bytes), all.sent_bytes);
            prop_assert_eq!(sum(|row| row.received_bytes), all.received_bytes);
            let max = group.values.iter().map(|row| row.duration.max);
            prop_assert_eq!(max.fold(0.0, f64::max), all.duration.max);
        }
        let scenarios = &window.groups[1].values;
        let iterations = scenarios.iter().filter_map(|row| row.iterations);
        let (finished, failed) = iterations.fold((0, 0), |(finished, failed), row| {
            (finished + row.finished, failed + row.failed)
        });
        prop_assert_eq!(finished, window.iterations.finished);
        prop_assert_eq!(failed, window.iterations.failed);
        Ok(())
    }

    proptest! {
        /// Whatever was sent with which tags on which thread, and whenever it was
        /// collected: the groups are all of it, and no more of them than may be.
        #[test]
        fn the_groups_of_a_run_add_up_to_all(
            intervals in prop::collection::vec(
                prop::collection::vec(
                    (0usize..3, prop::option::of(0u8..12), any::<bool>(), 1u64..500, any::<bool>()),
                    0..40,
                ),
                1..5,
            ),
            limit in 1usize..14,
        ) {
            let names = names(&["part", "scenario"], limit);
            let mut shards: Vec<_> = (0..3).map(|_| Shard::new(names.clone())).collect();
            let mut total = Snapshot::default();
            let mut backwards = Snapshot::default();
            let mut taken = Vec::new();
            for sent in &intervals {
                play(&mut shards, sent);
                let mut interval = Snapshot::default();
                for shard in &mut shards {
                    let snapshot = shard.take();
                    interval.merge(&snapshot);
                    total.merge(&snapshot);
                    taken.push(snapshot);
                }
                sums_are_all(&interval.window(Duration::from_secs(1)))?;
            }
            taken.iter().rev().for_each(|snapshot| backwards.merge(snapshot));
            let window = total.window(Duration::from_secs(1));
            sums_are_all(&window)?;
            let shown = |window: &Window| format!("{:?}", window.groups);
            prop_assert_eq!(shown(&window), shown(&backwards.window(Duration::from_secs(1))));

            let parts = &window.groups[0].values;
            let own = |value: &str| value != NONE && value != OTHER;
            let distinct: std::collections::BTreeSet<_> =
                intervals.iter().flatten().filter_map(|sent| sent.1).collect();
            let rows = parts.iter().filter(|row| own(&row.value)).count();
            prop_assert_eq!(rows, distinct.len().min(limit));
            let of = |value: &str| {
                let row = parts.iter().find(|row| &*row.value == value);
                row.map_or(0, |row| row.requests)
            };
            prop_assert_eq!(of(OTHER), names.refused(NameKind::TagValue));
            let without = intervals.iter().flatten().filter(|sent| sent.1.is_none());
            prop_assert_eq!(of(NONE), without.count() as u64);
            // However few there may be, a scenario has its row.
            prop_assert!(window.groups[1].values.iter().all(|row| own(&row.value)));
        }
    }

    #[test]
    fn a_tag_of_a_requests_own_goes_before_that_of_its_iteration() {
        let names = names(&["part", "team"], 10);
        let mut shard = Shard::new(names.clone());
        let scenario = names.tracked().marks([("team", "a"), ("part", "all")]);
        let iteration = shard.marks([("part", "cart")]).over(scenario);
        let request = shard.marks([("part", "pay"), ("other", "x")]);
        let group = names
            .tracked()
            .marks([(super::super::tracking::GROUP, "login")]);
        let id = shard.request_id("GET", "/");
        for marks in [
            scenario,
            iteration,
            request.over(iteration) | group,
            Marks::NONE.over(iteration) | group,
        ] {
            shard.request(id, &sample(1, false), marks);
        }
        let window = shard.take().window(Duration::from_secs(1));
        let rows = |number: usize| -> Vec<_> {
            let rows = window.groups[number].values.iter();
            rows.map(|row| (&*row.value, row.requests)).collect()
        };
        assert_eq!(rows(0), [("all", 1), ("cart", 2), ("pay", 1)]);
        assert_eq!(rows(1), [("a", 4)]);
        assert_eq!(&*window.groups[0].tag, "part");
    }

    #[test]
    fn a_scenario_of_which_nothing_was_measured_has_a_row_in_the_end() {
        let names = names(&["scenario"], 1);
        let mut shard = Shard::new(names.clone());
        let marks = names
            .tracked()
            .marks([(SCENARIO, "buy"), ("scenario", "sell")]);
        shard.dropped_iterations(3, DropReason::NoFreeVu, marks);
        shard.iteration(IterationEnd::Interrupted, Duration::ZERO, None, marks);
        let mut total = Snapshot {
            groups: names.tracked().grouping().tables(),
            ..Snapshot::default()
        };
        assert!(total.is_empty());
        total.merge(&shard.take());
        let window = total.window(Duration::from_secs(1));
        let rows: Vec<_> = window.groups[0]
            .values
            .iter()
            .map(|row| {
                let iterations = row.iterations.expect("a scenario has them");
                (&*row.value, iterations.dropped, iterations.interrupted)
            })
            .collect();
        assert_eq!(rows, [("browse", 0, 0), ("buy", 3, 1), ("idle", 0, 0)]);
    }

    #[test]
    fn a_shard_grows_no_larger_the_longer_a_run_gets() {
        let names = names(&["part", "scenario"], 10);
        let mut shard = Shard::new(names.clone());
        let id = shard.request_id("GET", "/");
        let mut round = |from: u64| {
            for n in from..from + 1_000 {
                let marks = shard.marks([("part", &*format!("user {n}"))]);
                shard.request(id, &sample(n % 100, false), marks);
            }
            let taken = shard.take();
            let rows: usize = taken.groups.iter().map(|table| table.values.len()).sum();
            (rows, shard.grouped())
        };
        let first = round(0);
        assert_eq!(first.0, 12, "ten values, those beyond, and no scenario");
        for later in 1..30 {
            assert!(round(later * 1_000) <= first);
        }
        assert_eq!(names.refused(NameKind::TagValue), 30_000 - 10);
    }

    impl Shard {
        /// How many rows and numbers the groups hold.
        fn grouped(&self) -> (usize, usize) {
            let tables = self.groups.tables.iter();
            tables.fold((0, 0), |(rows, numbers), table| {
                (rows + table.rows.len(), numbers + table.numbers.len())
            })
        }
    }
}
