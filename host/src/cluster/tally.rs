//! What a worker has told, and what of it the master has.
//!
//! The worker keeps everything until the master says that it has it, and sends all
//! of that each time: a report holds what was measured since the last one of which
//! the master is known to have everything. The master takes a report only if it
//! follows on what it has. So whatever is lost comes with the next one, and
//! whatever comes twice, or late, is passed over.

use std::collections::VecDeque;

use super::message::Report;
use crate::run::link::{Measured, News, WorkerId};

/// The worker's side.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The last report of which the master has everything.
    base: u64,
    /// The reports after it, by their numbers, each with what came since the one
    /// before.
    sent: VecDeque<(u64, Measured)>,
    /// Since the last report.
    fresh: Option<Measured>,
    /// The number of the last report.
    number: u64,
    /// What the master is not known to have, and the number of the first.
    news: VecDeque<News>,
    first: u64,
}

impl Outbox {
    /// One of which the master has nothing yet.
    pub(super) fn new() -> Self {
        Self {
            first: 1,
            ..Self::default()
        }
    }

    /// Takes in what was measured.
    pub(super) fn measured(&mut self, measured: Measured) {
        match &mut self.fresh {
            Some(fresh) => fresh.merge(measured),
            None => self.fresh = Some(measured),
        }
    }

    /// Takes in news.
    pub(super) fn tell(&mut self, news: News) {
        self.news.push_back(news);
    }

    /// Forgets what the master has: the numbers of its last report and news.
    pub(super) fn confirm(&mut self, (report, news): (u64, u64)) {
        while self
            .sent
            .front()
            .is_some_and(|(number, _)| *number <= report)
        {
            self.sent.pop_front();
        }
        self.base = self.base.max(report.min(self.number));
        while self.first <= news && self.news.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Whether the master has everything.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.fresh.is_none() && self.news.is_empty()
    }

    /// Everything that the master is not known to have.
    pub(super) fn report(&mut self, run: &str, worker: WorkerId, take: u64) -> Report {
        if let Some(fresh) = self.fresh.take() {
            self.number += 1;
            self.sent.push_back((self.number, fresh));
        }
        let mut parts = self.sent.iter().map(|(_, part)| part.clone());
        let whole = parts.next().map(|mut whole| {
            parts.for_each(|part| whole.merge(part));
            Box::new(whole)
        });
        Report {
            run: run.to_owned(),
            worker,
            base: self.base,
            number: if whole.is_some() {
                self.number
            } else {
                self.base
            },
            measured: whole,
            first: self.first,
            news: self.news.iter().cloned().collect(),
            take,
            term: 0,
        }
    }
}

/// The master's side, for one worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The numbers of the last report and news that it has.
    pub(super) have: (u64, u64),
}

impl Inbox {
    /// What is new in a report; `None` if it does not follow on what is there.
    pub(super) fn take(&mut self, report: Report) -> Option<(Option<Box<Measured>>, Vec<News>)> {
        let (have, news) = self.have;
        if report.base != have || report.number < have || report.first > news + 1 {
            return None;
        }
        self.have.0 = report.number;
        let known = usize::try_from(news + 1 - report.first).ok()?;
        let new: Vec<_> = report.news.into_iter().skip(known).collect();
        self.have.1 += new.len() as u64;
        Some((report.measured, new))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::Snapshot;

    fn measured(finished: u64) -> Measured {
        let mut measured = Snapshot::default();
        measured.iterations.finished = finished;
        Measured {
            measured,
            ..Measured::default()
        }
    }

    proptest! {
        /// Reports are lost, come twice, and come late; so do confirmations.
        #[test]
        fn nothing_is_lost_and_nothing_counts_twice(
            steps in prop::collection::vec((0u64..5, any::<bool>(), 0usize..4, 0usize..4), 1..60),
        ) {
            let (mut outbox, mut inbox) = (Outbox::new(), Inbox::default());
            let (mut all, mut told) = (0, 0);
            let (mut counted, mut heard) = (0, 0);
            let mut reports: Vec<Report> = Vec::new();
            let mut confirmations = vec![(0, 0)];
            let take = |inbox: &mut Inbox, report| inbox.take(report).map_or((0, 0), |(part, news)| {
                (part.map_or(0, |part| part.measured.iterations.finished), news.len())
            });
            for (finished, has_news, which, confirmed) in steps {
                all += finished;
                outbox.measured(measured(finished));
                if has_news {
                    told += 1;
                    outbox.tell(News::Back);
                }
                reports.push(outbox.report("run", 0, 0));
                // One of the last ones arrives, or arrives again.
                if let Some(report) = reports.iter().rev().nth(which) {
                    let (part, news) = take(&mut inbox, report.clone());
                    counted += part;
                    heard += news;
                    confirmations.push(inbox.have);
                }
                if let Some(have) = confirmations.iter().rev().nth(confirmed) {
                    outbox.confirm(*have);
                }
                prop_assert!(counted <= all && heard <= told);
            }
            outbox.confirm(inbox.have);
            let (part, news) = take(&mut inbox, outbox.report("run", 0, 0));
            prop_assert_eq!((counted + part, heard + news), (all, told));
            outbox.confirm(inbox.have);
            prop_assert!(outbox.is_empty());
        }
    }
}
