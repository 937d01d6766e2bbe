//! Test data: rows of files, dealt out to VUs.
//!
//! A [`Source`] is one file. It is read once before the run, to check it and to
//! learn where its rows are (`table`); after that a row is read when a VU asks
//! for it. Which one is next is a number that all VUs of the node count up
//! together. Memory is bounded whatever the file's size.

mod rows;
mod table;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::table::wrong_header;
use self::table::{Row, Table};
use crate::error::{Error, Problem};
use crate::plan::{AtEnd, DataOrder, DataSpec, Share};
use crate::units::Pretty;

/// All sources of a run.
#[derive(Debug, Default)]
pub struct Sources(Vec<Source>);

/// How far the reading of a file has come, before the run.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The source.
    pub name: &'a str,
    /// How many bytes are read.
    pub read: u64,
    /// Of how many.
    pub of: u64,
}

/// A file's rows, and which of them is next.
#[derive(Debug)]
pub struct Source {
    spec: DataSpec,
    table: Table,
    /// The first row to deal out in order, and how many of them.
    first: u64,
    count: u64,
    /// How often a row was asked for.
    asked: AtomicU64,
    /// When the rows were used up for good.
    used_up: OnceLock<Duration>,
    /// How often a VU was told so.
    refused: AtomicU64,
}

/// In which shape a script wants a row.
pub trait Shape {
    /// A row in this shape.
    #[doc(hidden)]
    fn of(fields: impl FnOnce() -> Vec<(String, String)>, json: impl FnOnce() -> String) -> Self;
}

impl Shape for Vec<(String, String)> {
    fn of(fields: impl FnOnce() -> Self, _: impl FnOnce() -> String) -> Self {
        fields()
    }
}

impl Shape for String {
    fn of(_: impl FnOnce() -> Vec<(String, String)>, json: impl FnOnce() -> Self) -> Self {
        json()
    }
}

impl Sources {
    /// Reads all files of a plan. Blocks until every one is read, and tells how
    /// far it has come about once a second. `share` is the part of the unique
    /// rows that this node deals out.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all that is wrong with them.
    pub fn open(
        specs: &[DataSpec],
        share: Share,
        mut tell: impl FnMut(&Reading<'_>),
    ) -> Result<Self, Error> {
        let (mut sources, mut mistakes) = (Vec::new(), Vec::new());
        for spec in specs {
            match Table::open(spec, &mut tell) {
                Ok(table) => sources.push(Source::new(spec.clone(), table, share)),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        if mistakes.is_empty() {
            Ok(Self(sources))
        } else {
            Err(Error::Config(mistakes))
        }
    }

    /// The number of the source with this name.
    ///
    /// # Errors
    ///
    /// If there is none: says which there are.
    pub fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.0.iter().position(|source| source.spec.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self
                .0
                .iter()
                .map(|source| format!("`{}`", source.spec.name))
                .collect();
            if names.is_empty() {
                format!("no data `{name}`: the run was given none; add `--data {name}=FILE`")
            } else {
                format!(
                    "no data `{name}`: the run has {}; `--data {name}=FILE` adds it",
                    names.join(", ")
                )
            }
        })
    }

    /// The source of a number that [`find`](Self::find) gave.
    pub fn get(&self, number: usize) -> Option<&Source> {
        self.0.get(number)
    }

    /// What the user should know after the run: whose rows were used up.
    pub fn warnings(&self) -> Vec<String> {
        self.0.iter().filter_map(Source::warning).collect()
    }
}

impl Source {
    fn new(spec: DataSpec, table: Table, share: Share) -> Self {
        let all = table.len();
        let (first, count) = match spec.order {
            DataOrder::Unique => (share.first(all), share.part(all)),
            DataOrder::Sequential | DataOrder::Random => (0, all),
        };
        Self {
            spec,
            table,
            first,
            count,
            asked: AtomicU64::new(0),
            used_up: OnceLock::new(),
            refused: AtomicU64::new(0),
        }
    }

    /// The name by which scripts open it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What happens when the rows are used up.
    pub fn at_end(&self) -> AtEnd {
        self.spec.at_end
    }

    /// How many rows there are, on all nodes together.
    pub fn len(&self) -> u64 {
        self.table.len()
    }

    /// Whether there are no rows: never, since such a file is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the next row; `None` if the rows are used up. For random
    /// rows `pick` gives a number below that of the rows.
    pub fn next(&self, pick: impl FnOnce(u64) -> u64) -> Option<u64> {
        if self.spec.order == DataOrder::Random {
            return Some(pick(self.count));
        }
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.spec.at_end {
            AtEnd::Wrap => Some(self.first + number % self.count),
            AtEnd::StopVu | AtEnd::EndRun => (number < self.count).then(|| self.first + number),
        }
    }

    /// A row by its number; `None` if there is no such row. Blocks the thread
    /// while it is read: for microseconds if the system has it in memory.
    ///
    /// # Errors
    ///
    /// If the file has changed since the run began, or cannot be read any more.
    pub fn row<S: Shape>(&self, number: u64) -> Result<Option<S>, Problem> {
        let shape = |row: Row<'_>| S::of(|| row.fields(), || row.json());
        let row = self.table.row(number);
        row.map(|row| row.map(shape)).map_err(|problem| {
            Problem::new(format!(
                "cannot read row {number} of data `{}`: {}",
                self.spec.name, problem.what
            ))
        })
    }

    /// Notes that a VU was told that the rows are used up, `elapsed` after the
    /// run's start.
    pub fn refuse(&self, elapsed: Duration) {
        self.used_up.get_or_init(|| elapsed);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// That the rows are used up, in words.
    pub fn used_up(&self) -> String {
        let count = self.count;
        let rows = if count == 1 { "row" } else { "rows" };
        format!("all {count} {rows} of data `{}` are used up", self.name())
    }

    fn warning(&self) -> Option<String> {
        let when = self.used_up.get()?;
        let refused = self.refused.load(Ordering::Relaxed);
        let then = match (self.spec.at_end, refused) {
            (AtEnd::EndRun, _) => "the run ended with them".to_owned(),
            (_, 1) => "1 VU ended for want of one".to_owned(),
            (_, refused) => format!("{refused} VUs ended for want of one"),
        };
        // Whole milliseconds are plenty.
        let when = Duration::from_millis(when.as_millis().try_into().unwrap_or(u64::MAX));
        Some(format!(
            "{} after {}: {then} (`--data`)",
            self.used_up(),
            Pretty(when)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::DataFormat;

    fn sources(rows: u64, order: DataOrder, at_end: AtEnd, share: Share) -> Sources {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary folder");
        let text: String = (0..rows)
            .map(|row| format!("{{\"row\":{row}}}\n"))
            .collect();
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("there is room");
        let spec = DataSpec {
            name: "users".to_owned(),
            path: file.path().to_owned(),
            format: DataFormat::Ndjson,
            order,
            at_end,
            header: None,
        };
        Sources::open(&[spec], share, |_| {}).expect("valid")
    }

    /// So many rows, each by its number in the file, with those of no number
    /// left out.
    fn deal(sources: &Sources, times: u64) -> Vec<u64> {
        let source = sources.get(0).expect("there is one");
        let next = (0..times).map_while(|_| source.next(|_| unreachable!("not random")));
        next.inspect(|number| {
            let row: String = source.row(*number).expect("valid").expect("there");
            assert_eq!(row, format!("{{\"row\":{number}}}"));
        })
        .collect()
    }

    #[test]
    fn sequential_rows_begin_anew_or_end() {
        let order = DataOrder::Sequential;
        let wrapping = sources(3, order, AtEnd::Wrap, Share::WHOLE);
        assert_eq!(deal(&wrapping, 7), [0, 1, 2, 0, 1, 2, 0]);
        let ending = sources(3, order, AtEnd::StopVu, Share::WHOLE);
        assert_eq!(deal(&ending, 7), [0, 1, 2]);
        // Each node has all of them.
        let half = Share::new(1, 2).expect("a half");
        assert_eq!(deal(&sources(3, order, AtEnd::EndRun, half), 7), [0, 1, 2]);
    }

    #[test]
    fn random_rows_are_those_that_are_picked() {
        let sources = sources(100, DataOrder::Random, AtEnd::Wrap, Share::WHOLE);
        let source = sources.get(0).expect("there is one");
        assert_eq!(source.next(|count| count - 1), Some(99));
        assert_eq!(source.next(|_| 7), Some(7));
    }

    #[test]
    fn rows_that_are_used_up_are_told_once() {
        let sources = sources(2, DataOrder::Unique, AtEnd::StopVu, Share::WHOLE);
        assert_eq!(deal(&sources, 5), [0, 1]);
        assert!(sources.warnings().is_empty());
        let source = sources.get(0).expect("there is one");
        source.refuse(Duration::from_micros(1_234_567));
        source.refuse(Duration::from_secs(9));
        assert_eq!(
            sources.warnings(),
            [
                "all 2 rows of data `users` are used up after 1.234s: 2 VUs ended for want of one (`--data`)"
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let some = sources(1, DataOrder::Unique, AtEnd::StopVu, Share::WHOLE);
        assert_eq!(some.find("users"), Ok(0));
        assert_eq!(
            some.find("items"),
            Err("no data `items`: the run has `users`; `--data items=FILE` adds it".to_owned())
        );
        assert!(
            Sources::default()
                .find("items")
                .is_err_and(|told| told.contains("given none"))
        );
    }

    #[test]
    fn threads_never_get_the_same_row() {
        let sources = sources(10_000, DataOrder::Unique, AtEnd::StopVu, Share::WHOLE);
        let dealt: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| deal(&sources, u64::MAX)))
                .collect();
            let join =
                |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
            threads.into_iter().map(join).collect()
        });
        let all: Vec<u64> = dealt.concat();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 10_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn shares_of_unique_rows_are_disjoint_and_complete(rows in 1u64..200, of in 1u32..20) {
            let mut all = Vec::new();
            for index in 0..of {
                let share = Share::new(index, of).expect("in range");
                let sources = sources(rows, DataOrder::Unique, AtEnd::StopVu, share);
                all.extend(deal(&sources, u64::MAX));
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }
}
