//! What was measured and is not yet in the master's books, in Locust's figures.
//!
//! Locust's reports are differences, and nobody confirms them. But the master
//! answers each heartbeat, and does so in order: when it has answered one that was
//! sent after a report, it has the report. Until then the report is kept, and if the
//! connection breaks it is told again.
//!
//! | a figure is | until |
//! |---|---|
//! | pending | it is reported |
//! | under way | the master answers a heartbeat that was sent later, or the connection breaks: then it is pending again |

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::{Exception, Stats, StatsEntry, StatsError, Users};
use super::python;
use crate::stats::{Histogram, Snapshot};

/// How often a failure is told for each report: the master counts messages.
const EXCEPTIONS: u64 = 100;

/// What the master does not have for sure.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pending: Delta,
    under_way: Delta,
    /// The heartbeat that confirms it.
    confirmed_by: u64,
    exceptions: BTreeMap<(String, String), u64>,
}

/// What was measured over some stretch of time.
#[derive(Debug, Default)]
struct Delta {
    /// When it began, in seconds since the Unix epoch.
    began: Option<f64>,
    /// By name and method.
    series: BTreeMap<(Arc<str>, Arc<str>), Series>,
    /// By name, method and what Locust calls it.
    errors: BTreeMap<(Arc<str>, Arc<str>, String), Occurrences>,
}

#[derive(Debug, Default)]
struct Series {
    /// In microseconds.
    durations: Histogram,
    failed: u64,
    received_bytes: u64,
    /// By second since the Unix epoch.
    requests: BTreeMap<i64, u64>,
    failures: BTreeMap<i64, u64>,
    /// In seconds since the Unix epoch.
    last: f64,
}

#[derive(Debug, Clone, Copy)]
struct Occurrences {
    count: u64,
    first: f64,
    last: f64,
}

impl Ledger {
    /// Adds what was measured between two times, in seconds since the Unix epoch.
    pub(super) fn measured(&mut self, measured: &Snapshot, from: f64, to: f64) {
        self.pending.began.get_or_insert(from);
        for (key, series) in &measured.requests {
            let at = (key.name.clone(), key.method.clone());
            let ours = self.pending.series.entry(at).or_default();
            ours.durations.merge(&series.duration);
            ours.failed += series.failed;
            ours.received_bytes += series.received_bytes;
            ours.last = ours.last.max(to);
            spread(&mut ours.requests, series.duration.count(), from, to);
            spread(&mut ours.failures, series.failed, from, to);
            for (message, failure) in &series.failures.0 {
                let error = python::error(message, &key.name);
                let occurred = Occurrences {
                    count: failure.occurrences,
                    first: failure.first_seen_ms / 1e3,
                    last: failure.last_seen_ms / 1e3,
                };
                let at = (key.name.clone(), key.method.clone(), error);
                self.pending.occurred(at, occurred);
            }
        }
        for (scenario, failures) in &measured.script_failures {
            for (message, failure) in &failures.0 {
                let stack = failure.stack.as_deref().unwrap_or(message);
                let traceback = format!("in the scenario `{scenario}`:\n{stack}\n");
                let at = (message.to_string(), traceback);
                *self.exceptions.entry(at).or_default() += failure.occurrences;
            }
        }
    }

    /// What is pending, as a report; it is under way from now on. The heartbeat of
    /// this number confirms it.
    pub(super) fn report(&mut self, users: Users, now: f64, confirmed_by: u64) -> Stats {
        let pending = std::mem::take(&mut self.pending);
        let stats = pending.stats(users, now);
        self.under_way.merge(pending);
        self.confirmed_by = confirmed_by;
        stats
    }

    /// The master has answered so many heartbeats.
    pub(super) fn confirm(&mut self, answered: u64) {
        if answered >= self.confirmed_by {
            self.under_way = Delta::default();
        }
    }

    /// The connection is gone, and perhaps what was under way.
    pub(super) fn reclaim(&mut self) {
        let mut all = std::mem::take(&mut self.under_way);
        all.merge(std::mem::take(&mut self.pending));
        self.pending = all;
        self.confirmed_by = 0;
    }

    /// Whether there is nothing to report.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.series.is_empty()
    }

    /// The failures of scripts that are still to be told, each as often as it
    /// occurred, up to a limit.
    pub(super) fn exceptions(&mut self) -> Vec<Exception> {
        let all = std::mem::take(&mut self.exceptions);
        let told = all.into_iter().flat_map(|((msg, traceback), count)| {
            let exception = Exception { msg, traceback };
            std::iter::repeat_n(exception, count.min(EXCEPTIONS) as usize)
        });
        told.collect()
    }
}

impl Delta {
    fn occurred(&mut self, at: (Arc<str>, Arc<str>, String), occurred: Occurrences) {
        let ours = self.errors.entry(at).or_insert(Occurrences {
            count: 0,
            ..occurred
        });
        ours.count += occurred.count;
        ours.first = ours.first.min(occurred.first);
        ours.last = ours.last.max(occurred.last);
    }

    /// Adds what came after it.
    fn merge(&mut self, later: Self) {
        self.began = self.began.or(later.began);
        for (at, theirs) in later.series {
            let ours = self.series.entry(at).or_default();
            ours.durations.merge(&theirs.durations);
            ours.failed += theirs.failed;
            ours.received_bytes += theirs.received_bytes;
            ours.last = ours.last.max(theirs.last);
            for (ours, theirs) in [
                (&mut ours.requests, theirs.requests),
                (&mut ours.failures, theirs.failures),
            ] {
                for (second, count) in theirs {
                    *ours.entry(second).or_default() += count;
                }
            }
        }
        for (at, theirs) in later.errors {
            self.occurred(at, theirs);
        }
    }

    fn stats(&self, users: Users, now: f64) -> Stats {
        let began = self.began.unwrap_or(now);
        let mut total = StatsEntry {
            name: "Aggregated".to_owned(),
            start_time: began,
            ..StatsEntry::default()
        };
        let mut stats = Vec::new();
        for ((name, method), series) in &self.series {
            if series.durations.count() > 0 {
                let entry = series.entry(name, method, began);
                total.add(&entry);
                stats.push(entry);
            }
        }
        let error = |((name, method, error), occurred): (&(Arc<str>, Arc<str>, String), _)| {
            let Occurrences { count, first, last } = occurred;
            let told = StatsError {
                name: name.to_string(),
                method: method.to_string(),
                error: error.clone(),
                occurrences: count,
                first_seen: first,
                last_seen: last,
            };
            (python::key(method, name, error), told)
        };
        let errors = self.errors.iter().map(|(at, occurred)| (at, *occurred));
        Stats {
            stats,
            stats_total: total,
            errors: errors.map(error).collect(),
            user_classes_count: users.user_classes_count,
            user_count: users.user_count,
        }
    }
}

impl Series {
    fn entry(&self, name: &str, method: &str, began: f64) -> StatsEntry {
        let count = self.durations.count();
        let ms = |micros: u64| micros as f64 / 1e3;
        let mut response_times = BTreeMap::new();
        for (top, count) in self.durations.buckets() {
            // The top of a bucket can lie beyond the largest value.
            let value = top.clamp(self.durations.min(), self.durations.max());
            *response_times.entry(rounded(value)).or_default() += count;
        }
        StatsEntry {
            name: name.to_owned(),
            method: method.to_owned(),
            last_request_timestamp: (count > 0).then_some(self.last),
            start_time: began,
            num_requests: count,
            num_none_requests: 0,
            num_failures: self.failed,
            total_response_time: self.durations.mean() * count as f64 / 1e3,
            max_response_time: ms(self.durations.max()),
            min_response_time: (count > 0).then(|| ms(self.durations.min())),
            total_content_length: self.received_bytes,
            response_times,
            num_reqs_per_sec: self.requests.clone(),
            num_fail_per_sec: self.failures.clone(),
        }
    }
}

impl StatsEntry {
    /// Adds another entry's figures.
    fn add(&mut self, other: &Self) {
        let either = |ours: Option<f64>, theirs: Option<f64>, of: fn(f64, f64) -> f64| {
            ours.into_iter().chain(theirs).reduce(of)
        };
        self.last_request_timestamp = either(
            self.last_request_timestamp,
            other.last_request_timestamp,
            f64::max,
        );
        self.num_requests += other.num_requests;
        self.num_failures += other.num_failures;
        self.total_response_time += other.total_response_time;
        self.max_response_time = self.max_response_time.max(other.max_response_time);
        self.min_response_time = either(self.min_response_time, other.min_response_time, f64::min);
        self.total_content_length += other.total_content_length;
        for (time, count) in &other.response_times {
            *self.response_times.entry(*time).or_default() += count;
        }
        for (ours, theirs) in [
            (&mut self.num_reqs_per_sec, &other.num_reqs_per_sec),
            (&mut self.num_fail_per_sec, &other.num_fail_per_sec),
        ] {
            for (second, count) in theirs {
                *ours.entry(*second).or_default() += count;
            }
        }
    }
}

/// A time in microseconds as Locust's key for it: milliseconds with two digits that
/// count, or whole seconds, halves to the even one.
fn rounded(micros: u64) -> u64 {
    let ms = micros as f64 / 1e3;
    let digit = match ms {
        ms if ms < 100.0 => 1.0,
        ms if ms < 1_000.0 => 10.0,
        ms if ms < 10_000.0 => 100.0,
        _ => 1_000.0,
    };
    ((ms / digit).round_ties_even() * digit) as u64
}

/// Spreads a count evenly over the seconds between two times; nothing is lost.
fn spread(seconds: &mut BTreeMap<i64, u64>, count: u64, from: f64, to: f64) {
    if count == 0 {
        return;
    }
    let from = from.min(to);
    let (first, last) = (from.floor() as i64, to.floor() as i64);
    let mut told = 0;
    for second in first..=last {
        let until = (second + 1) as f64;
        let part = if second == last || to <= from {
            count
        } else {
            ((until - from) / (to - from) * count as f64).round() as u64
        };
        if part > told {
            *seconds.entry(second).or_default() += part - told;
            told = part;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::measure::{Phases, RequestSample, ScriptError};
    use crate::stats::{Marks, Names, Shard};

    /// Requests of these names, times in milliseconds, and whether each failed.
    fn measured(requests: &[(&str, u64, bool)]) -> Snapshot {
        let mut shard = Shard::new(Names::new(100));
        for (name, ms, failed) in requests {
            let id = shard.request_id("GET", name);
            let sample = RequestSample {
                duration: Duration::from_millis(*ms),
                from_due: None,
                phases: Phases::default(),
                status: 200,
                failed: *failed,
                sent_bytes: 10,
                received_bytes: 100,
            };
            shard.request(id, &sample, Marks::NONE);
            if *failed {
                shard.request_failure(id, "status 500", 5_000.0);
            }
        }
        shard.take()
    }

    #[test]
    fn a_report_has_locusts_figures() {
        let mut ledger = Ledger::default();
        let requests = [("/a", 147, false), ("/a", 3, true), ("/b", 3_432, false)];
        ledger.measured(&measured(&requests), 10.25, 12.25);
        let users = Users::of([("default".to_owned(), 2)]);
        let stats = ledger.report(users, 13.0, 1);
        let [a, b] = &stats.stats[..] else {
            panic!("{stats:?}");
        };
        assert_eq!((&*a.name, &*a.method, a.num_requests), ("/a", "GET", 2));
        assert_eq!(a.response_times, BTreeMap::from([(3, 1), (150, 1)]));
        assert_eq!(b.response_times, BTreeMap::from([(3_400, 1)]));
        assert_eq!(
            (a.min_response_time, a.max_response_time),
            (Some(3.0), 147.0)
        );
        assert_eq!(a.last_request_timestamp, Some(12.25));
        assert_eq!(a.num_reqs_per_sec.values().sum::<u64>(), 2);
        let total = &stats.stats_total;
        assert_eq!((&*total.name, &*total.method), ("Aggregated", ""));
        assert_eq!((total.num_requests, total.num_failures), (3, 1));
        assert_eq!((total.start_time, stats.user_count), (10.25, 2));
        assert_eq!(total.total_content_length, 300);
        let errors: Vec<_> = stats.errors.iter().collect();
        let [(key, error)] = errors[..] else {
            panic!("{errors:?}");
        };
        assert!(error.error.starts_with("HTTPError('500 Server Error"));
        assert_eq!((error.occurrences, error.first_seen), (1, 5.0));
        assert_eq!(*key, python::key("GET", "/a", &error.error));
    }

    /// `locusts_own_code_reads_a_report` has Locust read the file.
    #[test]
    fn a_report_is_written_as_ever() {
        let mut ledger = Ledger::default();
        let requests = [("/a", 147, false), ("/a", 3, true), ("/b", 3_432, false)];
        ledger.measured(&measured(&requests), 10.0, 10.5);
        let users = Users::of([("default".to_owned(), 2)]);
        let stats = ledger.report(users, 11.0, 1);
        let written = super::super::message::write("stats", &stats, "host_1");
        let golden = include_bytes!("golden/stats.msgpack");
        assert!(written[..] == golden[..], "{written:?}");
    }

    #[test]
    fn of_nothing_there_is_no_smallest() {
        let stats = Ledger::default().report(Users::default(), 7.0, 1);
        assert_eq!(stats.stats, []);
        assert_eq!(stats.stats_total.min_response_time, None);
        assert_eq!(stats.stats_total.last_request_timestamp, None);
        assert_eq!(stats.stats_total.start_time, 7.0);
    }

    #[test]
    fn what_no_heartbeat_confirmed_is_told_again() {
        let mut ledger = Ledger::default();
        let count = |ledger: &mut Ledger, confirmed_by| {
            let stats = ledger.report(Users::default(), 3.0, confirmed_by);
            stats.stats_total.num_requests
        };
        let one = measured(&[("/a", 1, false)]);
        ledger.measured(&one, 1.0, 2.0);
        assert_eq!(count(&mut ledger, 2), 1);
        assert!(ledger.is_empty());
        // The first heartbeat was sent before the report.
        ledger.confirm(1);
        ledger.measured(&one, 2.0, 3.0);
        ledger.reclaim();
        assert_eq!(count(&mut ledger, 1), 2);
        ledger.confirm(1);
        ledger.reclaim();
        assert_eq!(count(&mut ledger, 1), 0);
    }

    #[test]
    fn failures_of_scripts_are_told_as_often_as_they_occurred() {
        let mut shard = Shard::new(Names::new(100));
        for _ in 0..3 {
            shard.script_failure("browse", &ScriptError::new("no price"), 1.0);
        }
        for _ in 0..EXCEPTIONS + 5 {
            shard.script_failure("browse", &ScriptError::new("gone"), 1.0);
        }
        let mut ledger = Ledger::default();
        ledger.measured(&shard.take(), 1.0, 2.0);
        let told = ledger.exceptions();
        let often = |message: &str| told.iter().filter(|it| it.msg == message).count() as u64;
        assert_eq!((often("no price"), often("gone")), (3, EXCEPTIONS));
        assert!(told[0].traceback.contains("`browse`"), "{:?}", told[0]);
        assert!(ledger.exceptions().is_empty());
    }

    proptest! {
        #[test]
        fn no_request_is_lost_between_seconds(
            count in 0..100_000_u64, from in 0.0..1e4_f64, lasting in 0.0..20.0_f64,
        ) {
            let mut seconds = BTreeMap::new();
            spread(&mut seconds, count, from, from + lasting);
            prop_assert_eq!(seconds.values().sum::<u64>(), count);
        }

        #[test]
        fn times_have_two_digits(micros in 0..99_000_000_u64) {
            let ms = rounded(micros);
            let digits = ms.to_string();
            prop_assert!(digits.len() <= 2 || digits[2..].bytes().all(|it| it == b'0'));
            let off = (ms as f64 - micros as f64 / 1e3).abs();
            prop_assert!(off <= 0.5 || off <= ms as f64 * 0.051);
        }
    }
}
