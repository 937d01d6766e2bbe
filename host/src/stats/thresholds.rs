//! Judging a run by its thresholds, while it goes on and at its end.
//!
//! | a threshold | is judged by | holds in the end if |
//! |---|---|---|
//! | on the whole run | all that was measured so far | it holds then |
//! | on a window | the last so many seconds, from when there are so many | it held in every window |
//!
//! A window in which nothing was measured is passed over. A threshold for which
//! nothing was measured at all does not hold at the end: what guards nothing
//! must not look as if it did. A number of things is 0 then, and is compared.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use super::tally::Tally;
use super::tracking::Tracking;
use crate::plan::Threshold;
use crate::plan::threshold::{BuiltIn, Metric, Shape};

/// What is said of a threshold that holds because nothing was measured.
pub const NOTHING_COUNTED: &str = "0, nothing measured";

/// A threshold and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold, as the user wrote it.
    pub expression: String,
    /// Whether it holds.
    pub passed: bool,
    /// The value that was compared; absent if nothing was measured. At the end,
    /// the worst window's if one on windows failed.
    pub value: Option<f64>,
    /// What else there is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Judges the thresholds of a run. Its times are those since the run's start.
#[derive(Debug)]
pub struct Judge {
    tracking: Arc<Tracking>,
    /// By series: what was measured since the start.
    whole: Vec<Tally>,
    /// What is measured over windows: each series and window once.
    windows: Vec<Window>,
    rows: Vec<Row>,
    /// The threshold that ends the run, once one does.
    breached: Option<usize>,
    /// From when on it judges, if not from the start.
    resumed: Option<Duration>,
}

/// A threshold, and how it stands.
#[derive(Debug)]
struct Row {
    threshold: Threshold,
    series: usize,
    window: Option<usize>,
    /// How it stands now. What was never judged holds.
    holds: bool,
    value: Option<f64>,
    /// Whether one on windows ever failed, and its worst value.
    worst: Option<f64>,
    note: Option<String>,
}

/// What the run does while it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Iterations start.
    Running,
    /// Those under way end: fewer and fewer things happen.
    Stopping,
    /// Everything has ended.
    Over,
}

impl Judge {
    /// A judge who has seen nothing yet.
    pub fn new(thresholds: &[Threshold], tracking: Arc<Tracking>) -> Self {
        let series = tracking.series();
        let whole = series
            .iter()
            .map(|series| Tally::of(&series.metric))
            .collect();
        let mut windows: Vec<Window> = Vec::new();
        let rows = thresholds
            .iter()
            .map(|threshold| {
                let place = tracking.place(threshold);
                let series = place.expect("the thresholds are those that are tracked");
                Row {
                    series,
                    window: threshold.window.map(|length| {
                        let known = |it: &Window| it.series == series && it.length == length;
                        windows.iter().position(known).unwrap_or_else(|| {
                            windows.push(Window::new(series, length, &threshold.metric));
                            windows.len() - 1
                        })
                    }),
                    threshold: threshold.clone(),
                    holds: true,
                    value: None,
                    worst: None,
                    note: None,
                }
            })
            .collect();
        Self {
            tracking,
            whole,
            windows,
            rows,
            breached: None,
            resumed: None,
        }
    }

    /// Begins to judge so long after the run's start: windows begin there.
    pub fn resume(&mut self, elapsed: Duration) {
        self.resumed = Some(elapsed);
        for window in &mut self.windows {
            window.since = elapsed;
            window.opened = elapsed;
        }
    }

    /// Whether something was to be judged before it began.
    pub fn has_gap(&self) -> bool {
        self.resumed.is_some() && self.rows.iter().any(Row::is_of_the_moment)
    }

    /// Whether there is nothing to judge.
    pub fn is_idle(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in what was measured since the last time, by some thread.
    pub fn take_in(&mut self, measured: &Snapshot) {
        self.take_in_past(measured);
        let series = self.tracking.series();
        for window in &mut self.windows {
            series[window.series].gather(measured, &mut window.open);
        }
    }

    /// Takes in what was measured before it began to judge: no window has it.
    pub fn take_in_past(&mut self, measured: &Snapshot) {
        let series = self.tracking.series();
        for (series, tally) in series.iter().zip(&mut self.whole) {
            series.gather(measured, tally);
        }
    }

    /// Takes in how many VUs run now.
    pub fn take_in_vus(&mut self, running: u32, most: u32, elapsed: Duration) {
        let now_ms = elapsed.as_secs_f64() * 1e3;
        let set = |metric: &Metric, tally: &mut Tally| {
            let vus = match metric {
                Metric::BuiltIn(BuiltIn::Vus) => running,
                Metric::BuiltIn(BuiltIn::VusMax) => most,
                _ => return,
            };
            if let Tally::Gauge(gauge) = tally {
                gauge.set(vus.into(), now_ms);
            }
        };
        let series = self.tracking.series();
        for (series, tally) in series.iter().zip(&mut self.whole) {
            set(&series.metric, tally);
        }
        for window in &mut self.windows {
            set(&series[window.series].metric, &mut window.open);
        }
    }

    /// Judges by what was measured until now: the thresholds that went from
    /// holding to failing, or back.
    pub fn judge(&mut self, elapsed: Duration, stage: Stage) -> Vec<Verdict> {
        for window in &mut self.windows {
            window.advance(elapsed);
        }
        let mut changed = Vec::new();
        for (number, row) in self.rows.iter_mut().enumerate() {
            if self.breached == Some(number) {
                continue;
            }
            let before = row.holds;
            match row.window {
                None => row.judge(&self.whole[row.series], elapsed),
                Some(at) => {
                    let window = &self.windows[at];
                    let (tally, span) = window.measured(elapsed);
                    // What is counted dwindles with the run, through no fault
                    // of the target's.
                    let dwindles = stage != Stage::Running
                        && (tally.shape() == Some(Shape::Counter) || row.threshold.counts());
                    let is_short_run = stage == Stage::Over && row.value.is_none();
                    if window.is_full(elapsed) && !dwindles || is_short_run {
                        row.judge(&tally, span);
                    }
                    if !row.holds {
                        row.worst = match (row.worst, row.value) {
                            (Some(worst), Some(value)) => {
                                Some(row.threshold.operator.worse(worst, value))
                            }
                            (worst, value) => worst.or(value),
                        };
                    }
                }
            }
            if stage == Stage::Over {
                let whole = &self.whole[row.series];
                row.conclude(whole);
                if let Some(resumed) = self.resumed.filter(|_| row.is_of_the_moment()) {
                    let from = crate::units::Pretty(resumed);
                    row.note
                        .get_or_insert(format!("judged from {from} on only"));
                }
            }
            if row.holds != before {
                changed.push(row.verdict());
            }
            let aborts = row
                .threshold
                .abort_after
                .is_some_and(|after| elapsed >= after);
            if stage == Stage::Running && self.breached.is_none() && !row.holds && aborts {
                self.breached = Some(number);
            }
        }
        changed
    }

    /// The threshold that ends the run, once one does.
    pub fn breached(&self) -> Option<&Threshold> {
        self.breached.map(|number| &self.rows[number].threshold)
    }

    /// How every threshold stands, after the run as a whole.
    pub fn conclusion(&self) -> Vec<Verdict> {
        let rows = self.rows.iter();
        rows.map(|row| match row.worst {
            Some(_) => Verdict {
                passed: false,
                value: row.worst,
                ..row.verdict()
            },
            None => row.verdict(),
        })
        .collect()
    }
}

impl Row {
    /// Whether it is judged by what is so at a time, which nobody can tell later.
    fn is_of_the_moment(&self) -> bool {
        let is_of_vus = matches!(self.threshold.metric, Metric::BuiltIn(BuiltIn::Vus));
        self.window.is_some() || is_of_vus
    }

    fn verdict(&self) -> Verdict {
        Verdict {
            expression: self.threshold.text().to_owned(),
            passed: self.holds,
            value: self.value,
            note: self.note.clone(),
        }
    }

    fn judge(&mut self, tally: &Tally, elapsed: Duration) {
        let Threshold {
            aggregate,
            operator,
            limit,
            ..
        } = self.threshold;
        if let Some(shape) = tally.shape().filter(|shape| !aggregate.is_of(*shape)) {
            self.holds = false;
            self.note = Some(format!(
                "{} has no such aggregate: it has {}",
                shape.with_article(),
                shape.aggregates().join(", "),
            ));
            return;
        }
        if let Some(value) = tally.aggregate(aggregate, elapsed) {
            self.value = Some(value);
            self.holds = operator.holds(value, limit);
        }
    }

    /// Says what it means that nothing was measured, if nothing was.
    fn conclude(&mut self, whole: &Tally) {
        if self.note.is_some() || !whole.is_empty() {
            return;
        }
        if self.value.is_none() {
            self.holds = false;
            self.note = Some("nothing measured".to_owned());
        } else if self.holds {
            // Of something that may be misspelt, none at all is remarkable.
            let own = matches!(self.threshold.metric, Metric::Own(_));
            if own || self.threshold.filter.is_by_words() {
                self.note = Some(NOTHING_COUNTED.to_owned());
            }
        }
    }
}

/// What was measured of a series over the last so many seconds.
#[derive(Debug)]
struct Window {
    series: usize,
    length: Duration,
    /// Whole parts, the oldest first. There are never more than [`PARTS`] and
    /// a few.
    parts: VecDeque<Part>,
    /// What was measured since the last part.
    open: Tally,
    opened: Duration,
    /// When the first one begins.
    since: Duration,
}

/// A part of a window.
#[derive(Debug)]
struct Part {
    began: Duration,
    ended: Duration,
    tally: Tally,
}

/// How many parts a window has at the most. It moves by one part at a time, so
/// that it is off by a sixtieth of its length.
const PARTS: u32 = 60;

/// How early or late a look may come that was due at the end of a part.
const LATE: Duration = Duration::from_millis(50);

impl Window {
    fn new(series: usize, length: Duration, metric: &Metric) -> Self {
        Self {
            series,
            length,
            parts: VecDeque::new(),
            open: Tally::of(metric),
            opened: Duration::ZERO,
            since: Duration::ZERO,
        }
    }

    /// By how much of its oldest part it may be too short.
    fn slack(&self) -> Duration {
        (self.length / PARTS / 2).max(LATE)
    }

    /// Moves its end to `elapsed`.
    fn advance(&mut self, elapsed: Duration) {
        if elapsed.saturating_sub(self.opened) + LATE >= self.length / PARTS {
            self.parts.push_back(Part {
                began: self.opened,
                ended: elapsed,
                tally: self.open.take(),
            });
            self.opened = elapsed;
        }
        let begin = elapsed.saturating_sub(self.length);
        while let Some(oldest) = self.parts.front()
            && oldest.ended <= begin + self.slack()
        {
            self.parts.pop_front();
        }
    }

    /// Whether the run has been judged for as long as it.
    fn is_full(&self, elapsed: Duration) -> bool {
        elapsed + LATE >= self.since + self.length
    }

    /// What was measured in it, and over how long.
    fn measured(&self, elapsed: Duration) -> (Tally, Duration) {
        let mut all = Tally::default();
        for part in &self.parts {
            all.merge(&part.tally);
        }
        all.merge(&self.open);
        let began = self.parts.front().map_or(self.opened, |part| part.began);
        (all, elapsed.saturating_sub(began))
    }
}

/// Judges each threshold by all that was measured in a run of `elapsed`, and
/// is over.
pub fn judge(thresholds: &[Threshold], total: &Snapshot, elapsed: Duration) -> Vec<Verdict> {
    let mut judge = Judge::new(thresholds, Arc::new(Tracking::new(thresholds)));
    judge.take_in(total);
    judge.judge(elapsed, Stage::Over);
    judge.conclusion()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::{DropReason, IterationEnd, MetricKind, RequestSample};
    use crate::stats::tracking::{GROUP, SCENARIO};
    use crate::stats::{Marks, Names, Shard};

    fn parsed(texts: &[&str]) -> Vec<Threshold> {
        let all = texts.iter().map(|text| Threshold::parse_all(text));
        all.flat_map(|parsed| parsed.expect("valid")).collect()
    }

    fn judge_of(thresholds: &[Threshold]) -> (Judge, Shard) {
        let tracking = Arc::new(Tracking::new(thresholds));
        let shard = Shard::new(Names::tracking(10, tracking.clone()));
        (Judge::new(thresholds, tracking), shard)
    }

    /// One of everything, judged after two seconds.
    fn judged(threshold: &str) -> Verdict {
        let (mut judge, mut shard) = judge_of(&parsed(&[threshold]));
        let id = shard.request_id("GET", "/");
        for millis in 1..=100 {
            shard.request(
                id,
                &RequestSample {
                    duration: Duration::from_millis(millis),
                    from_due: (millis > 50).then(|| Duration::from_millis(millis + 1_000)),
                    failed: millis > 98,
                    status: if millis > 98 { 503 } else { 200 },
                    sent_bytes: 10,
                    ..RequestSample::default()
                },
                Marks::NONE,
            );
        }
        for number in 0..4 {
            shard.check("has price", number < 4, Marks::NONE);
            shard.check("in stock", number < 1, Marks::NONE);
            let failure = (number == 3).then_some("no");
            let took = Duration::from_millis(100 * (number + 1));
            shard.transaction("login", took, failure, Marks::NONE, 0.0);
            for (name, kind, value) in [
                ("orders", MetricKind::Counter, 2.5),
                ("hits", MetricKind::Rate, f64::from(u8::from(number != 0))),
                ("price", MetricKind::Trend, 10.0 * number as f64 - 10.0),
                ("stock", MetricKind::Gauge, 5.0 - number as f64),
            ] {
                let now_ms = number as f64;
                shard
                    .metric(name, kind, value, Marks::NONE, now_ms)
                    .expect("one kind");
            }
            let took = Duration::from_secs(number);
            shard.iteration(IterationEnd::Passed, took, Some(took), Marks::NONE);
        }
        shard.dropped_iterations(7, DropReason::NoFreeVu, Marks::NONE);
        judge.take_in(&shard.take());
        judge.take_in_vus(5, 8, Duration::from_secs(1));
        judge.take_in_vus(3, 8, Duration::from_secs(2));
        judge.judge(Duration::from_secs(2), Stage::Over);
        judge.conclusion().remove(0)
    }

    #[test]
    fn thresholds_compare_what_they_name() {
        for (text, passed, value) in [
            ("http_req_duration: p(95) < 100", true, 95.0),
            ("http_req_duration: p(95) < 95", false, 95.0),
            ("http_req_duration: max <= 100", true, 100.0),
            ("http_req_duration: min >= 2", false, 1.0),
            ("http_req_duration: avg == 50.5", true, 50.5),
            ("http_req_duration: med < 50", false, 50.0),
            ("http_req_duration: count == 100", true, 100.0),
            (
                "http_req_duration{expected_response:true}: max < 99",
                true,
                98.0,
            ),
            ("http_req_duration{status:5xx}: min < 99", false, 99.0),
            ("http_req_duration{name:/}: max < 101", true, 100.0),
            ("http_req_duration_from_due: count == 50", true, 50.0),
            ("http_req_duration_from_due: max < 1000", false, 1100.0),
            (
                "http_req_duration_from_due{status:503}: min > 1000",
                true,
                1099.0,
            ),
            ("http_req_failed: rate < 0.02", false, 0.02),
            ("http_req_failed{method:get}: rate < 0.03", true, 0.02),
            ("http_reqs: count >= 100", true, 100.0),
            ("http_reqs: rate > 50", false, 50.0),
            ("http_reqs{status:503}: count < 3", true, 2.0),
            ("http_reqs{status:404}: count == 0", true, 0.0),
            ("data_sent: count == 1000", true, 1000.0),
            ("data_sent{status:200}: count == 980", true, 980.0),
            ("checks: rate > 0.99", false, 0.625),
            ("checks{check:has price}: rate == 1", true, 1.0),
            ("checks{check:in stock}: rate > 0.5", false, 0.25),
            ("transaction_duration{name:login}: max < 400", false, 400.0),
            ("transaction_failed: rate < 0.3", true, 0.25),
            ("iterations: count == 4", true, 4.0),
            ("iteration_duration: max < 3000", false, 3000.0),
            ("iteration_lag: avg < 1500", false, 1500.0),
            ("dropped_iterations: count < 7", false, 7.0),
            ("vus: value == 3", true, 3.0),
            ("vus: max < 5", false, 5.0),
            ("vus_max: value == 8", true, 8.0),
            ("orders: count == 10", true, 10.0),
            ("orders: rate > 5", false, 5.0),
            ("hits: rate >= 0.75", true, 0.75),
            ("price: p(50) < 0", false, 0.0),
            ("price: min > -10", false, -10.0),
            ("price: count == 4", true, 4.0),
            ("stock: value > 2", false, 2.0),
            ("stock: max == 5", true, 5.0),
            ("stock: min == 2", true, 2.0),
        ] {
            let verdict = judged(text);
            assert_eq!(verdict.passed, passed, "{text}: {verdict:?}");
            let found = verdict.value.expect("measured");
            let near = (found - value).abs() <= value.abs() * 1e-3 + 1e-9;
            assert!(near, "{text}: {found}");
            assert_eq!(verdict.note, None, "{text}");
        }
    }

    #[test]
    fn what_guards_nothing_does_not_hold() {
        for text in [
            "checks{check:is there}: rate > 0.1",
            "http_req_duration{name:/nowhere}: p(95) < 500",
            "http_req_duration{team:a}: p(95) < 500",
            "http_req_tls_handshaking: p(95) < 500",
            "unheard_of: value < 5",
            "unheard_of: rate < 0.5",
        ] {
            let verdict = judged(text);
            assert_eq!((verdict.passed, verdict.value), (false, None), "{text}");
            assert_eq!(verdict.note.as_deref(), Some("nothing measured"), "{text}");
        }
        // Nothing is 0 of something; where it may be misspelt, that is told.
        for (text, told) in [
            ("http_reqs{status:404}: count < 5", false),
            ("http_reqs{name:/nowhere}: count < 5", true),
            ("my_errors: count < 5", true),
        ] {
            let verdict = judged(text);
            assert_eq!((verdict.passed, verdict.value), (true, Some(0.0)), "{text}");
            assert_eq!(verdict.note.is_some(), told, "{text}");
        }
    }

    #[test]
    fn an_aggregate_that_a_metric_lacks_does_not_hold() {
        let verdict = judged("orders: p(95) < 5");
        assert_eq!((verdict.passed, verdict.value), (false, None));
        let note = verdict.note.expect("told");
        assert_eq!(note, "a counter has no such aggregate: it has count, rate");
    }

    /// Judges a run that fails so many of its ten requests in each second: when
    /// the threshold changed and how it stood then, and the judge.
    fn seconds(threshold: &str, failed: &[u64]) -> (Vec<(u64, bool)>, Judge) {
        let (mut judge, mut shard) = judge_of(&parsed(&[threshold]));
        let id = shard.request_id("GET", "/");
        let mut changes = Vec::new();
        for (second, failed) in (1..).zip(failed) {
            for number in 0..10 {
                let sample = RequestSample {
                    failed: number < *failed,
                    ..RequestSample::default()
                };
                shard.request(id, &sample, Marks::NONE);
            }
            judge.take_in(&shard.take());
            let changed = judge.judge(Duration::from_secs(second), Stage::Running);
            changes.extend(changed.iter().map(|verdict| (second, verdict.passed)));
        }
        (changes, judge)
    }

    #[test]
    fn a_change_is_told_once() {
        let (changes, _) = seconds("http_req_failed: rate < 0.25", &[5, 5, 0, 0, 0, 0, 9, 0]);
        assert_eq!(changes, [(1, false), (5, true), (7, false), (8, true)]);
    }

    #[test]
    fn a_window_fails_and_recovers_and_the_run_fails() {
        let (changes, mut judge) = seconds(
            "http_req_failed: rate[3s] < 0.25",
            &[9, 0, 0, 0, 0, 8, 0, 0, 0, 0],
        );
        // The window is full after three seconds.
        assert_eq!(changes, [(3, false), (4, true), (6, false), (9, true)]);
        judge.judge(Duration::from_secs(10), Stage::Over);
        let verdict = judge.conclusion().remove(0);
        assert!(!verdict.passed);
        assert_eq!(verdict.value, Some(0.3), "the worst window's");
    }

    #[test]
    fn who_judges_from_the_middle_on_has_windows_from_there_and_says_so() {
        let thresholds = ["http_req_failed: rate[3s] < 0.25", "http_reqs: count < 41"];
        let (mut judge, mut shard) = judge_of(&parsed(&thresholds));
        let id = shard.request_id("GET", "/");
        let mut ten = |failed: u64| {
            for number in 0..10 {
                let sample = RequestSample {
                    failed: number < failed,
                    ..RequestSample::default()
                };
                shard.request(id, &sample, Marks::NONE);
            }
            shard.take()
        };
        judge.resume(Duration::from_secs(10));
        judge.take_in_past(&ten(9));
        for second in 11..14 {
            judge.take_in(&ten(1));
            let changed = judge.judge(Duration::from_secs(second), Stage::Running);
            assert_eq!(changed, [], "{second}");
        }
        judge.judge(Duration::from_secs(13), Stage::Over);
        let [window, whole] = &judge.conclusion()[..] else {
            panic!("two thresholds have two verdicts")
        };
        assert_eq!((window.passed, window.value), (true, Some(0.1)));
        assert_eq!(window.note.as_deref(), Some("judged from 10s on only"));
        assert_eq!((whole.passed, whole.value), (true, Some(40.0)));
        assert_eq!(whole.note, None);
        assert!(judge.has_gap());
    }

    #[test]
    fn a_run_shorter_than_the_window_is_judged_as_a_whole() {
        let (changes, mut judge) = seconds("http_req_failed: rate[1m] < 0.25", &[9, 0, 0]);
        assert_eq!(changes, []);
        let changes = judge.judge(Duration::from_secs(3), Stage::Over);
        assert_eq!((changes.len(), changes[0].value), (1, Some(0.3)));
    }

    #[test]
    fn what_dwindles_as_the_run_stops_breaks_no_window() {
        let (changes, mut judge) = seconds("http_reqs: rate[3s] >= 10", &[0; 5]);
        assert_eq!(changes, []);
        for second in 6..20 {
            let stage = if second < 19 {
                Stage::Stopping
            } else {
                Stage::Over
            };
            assert_eq!(judge.judge(Duration::from_secs(second), stage), []);
        }
        assert!(judge.conclusion()[0].passed);
    }

    #[test]
    fn abort_waits_for_its_time_and_keeps_its_verdict() {
        let breached_at = |threshold: &str, failed: &[u64]| {
            (1..=failed.len()).find(|second| {
                let (_, judge) = seconds(threshold, &failed[..*second]);
                judge.breached().is_some()
            })
        };
        let failed = [9, 9, 9, 9, 9, 9];
        assert_eq!(breached_at("http_req_failed: rate < 0.5", &failed), None);
        assert_eq!(
            breached_at("http_req_failed: rate < 0.5 abort", &failed),
            Some(1)
        );
        let late = "http_req_failed: rate < 0.5 abort after 4s";
        assert_eq!(breached_at(late, &failed), Some(4));
        assert_eq!(breached_at(late, &[9, 0, 0, 0, 9, 9]), None);

        let (_, mut judge) = seconds("http_req_failed: rate < 0.5 abort", &[9, 0, 0, 0]);
        judge.judge(Duration::from_secs(5), Stage::Over);
        let verdict = judge.conclusion().remove(0);
        assert_eq!((verdict.passed, verdict.value), (false, Some(0.9)));
    }

    #[test]
    fn a_window_takes_no_more_memory_the_longer_a_run_gets() {
        for window in ["1s", "30s", "10m", "24h"] {
            let text = format!("http_req_duration: p(95)[{window}] < 500");
            let (mut judge, mut shard) = judge_of(&parsed(&[&text]));
            let id = shard.request_id("GET", "/");
            let mut most = 0;
            for second in 1..200_000 {
                shard.request(id, &RequestSample::default(), Marks::NONE);
                judge.take_in(&shard.take());
                judge.windows[0].advance(Duration::from_secs(second));
                most = most.max(judge.windows[0].parts.len());
            }
            assert!(most <= PARTS as usize + 2, "{window}: {most}");
        }
    }

    /// A request as a script may send it.
    #[derive(Debug, Clone)]
    struct Sent {
        method: &'static str,
        name: &'static str,
        status: u16,
        team: Option<&'static str>,
        group: Option<&'static str>,
        scenario: &'static str,
        millis: u64,
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let method = prop::sample::select(vec!["GET", "POST"]);
        let name = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
        let status = prop::sample::select(vec![0, 200, 201, 404, 503]);
        let team = prop::sample::select(vec![None, Some("x"), Some("y")]);
        let group = prop::sample::select(vec![None, Some("login"), Some("buy")]);
        let scenario = prop::sample::select(vec!["s", "t"]);
        (method, name, status, team, group, scenario, 0..500_u64).prop_map(
            |(method, name, status, team, group, scenario, millis)| Sent {
                method,
                name,
                status,
                team,
                group,
                scenario,
                millis,
            },
        )
    }

    type Accepts = fn(&Sent) -> bool;

    /// Filters, each with what it is to accept.
    const FILTERS: [(&str, Accepts); 11] = [
        ("", |_| true),
        ("{name:a}", |it| it.name == "a"),
        ("{name:e}", |it| it.name == "e"),
        ("{method:POST}", |it| it.method == "POST"),
        ("{name:b,method:GET}", |it| {
            it.name == "b" && it.method == "GET"
        }),
        ("{status:2xx}", |it| it.status / 100 == 2),
        ("{expected_response:true}", |it| {
            (200..400).contains(&it.status)
        }),
        ("{team:x}", |it| it.team.unwrap_or("standing") == "x"),
        ("{team:standing}", |it| it.team.is_none()),
        ("{group:login}", |it| it.group == Some("login")),
        ("{name:c,team:y,scenario:t,group:buy,status:503}", |it| {
            it.name == "c"
                && it.team == Some("y")
                && it.scenario == "t"
                && it.group == Some("buy")
                && it.status == 503
        }),
    ];

    proptest! {
        /// Over threads and intervals, with more names than the limit.
        #[test]
        fn a_filtered_series_counts_exactly_what_it_names(
            sent in prop::collection::vec((sent(), 0..3_usize, any::<bool>()), 0..200),
        ) {
            let thresholds: Vec<_> = FILTERS
                .iter()
                .flat_map(|(filter, _)| parsed(&[
                    &format!("http_reqs{filter}: count >= 0"),
                    &format!("http_req_duration{filter}: max >= 0, count >= 0"),
                    &format!("http_req_failed{filter}: rate >= 0"),
                ]))
                .collect();
            let tracking = Arc::new(Tracking::new(&thresholds));
            let names = Names::tracking(2, tracking.clone());
            let mut judge = Judge::new(&thresholds, tracking.clone());
            let mut shards: Vec<_> = (0..3).map(|_| Shard::new(names.clone())).collect();
            for (it, thread, take) in &sent {
                let standing = tracking.marks([("team", "standing"), (SCENARIO, it.scenario)]);
                let own = tracking.marks(it.team.map(|team| ("team", team)));
                let groups = tracking.marks(it.group.map(|group| (GROUP, group)));
                let shard = &mut shards[*thread];
                let id = shard.request_id(it.method, it.name);
                let sample = RequestSample {
                    duration: Duration::from_millis(it.millis),
                    failed: !(200..400).contains(&it.status),
                    status: it.status,
                    ..RequestSample::default()
                };
                shard.request(id, &sample, own.over(standing) | groups);
                if *take {
                    judge.take_in(&shard.take());
                }
            }
            shards.iter_mut().for_each(|shard| judge.take_in(&shard.take()));
            judge.judge(Duration::from_secs(1), Stage::Over);
            let values: Vec<_> = judge.conclusion().iter().map(|it| it.value).collect();
            for ((filter, accepts), found) in FILTERS.iter().zip(values.chunks(4)) {
                let part: Vec<_> = sent.iter().map(|(it, ..)| it).filter(|it| accepts(it)).collect();
                let count = part.len() as f64;
                prop_assert_eq!(found[0], Some(count), "{}", filter);
                let max = part.iter().map(|it| it.millis).max();
                let near = match (found[1], max) {
                    (Some(found), Some(max)) => (found - max as f64).abs() < 1e-9,
                    (found, max) => found.is_none() && max.is_none(),
                };
                prop_assert!(near, "{}: {:?} {:?}", filter, found[1], max);
                prop_assert_eq!(found[2], Some(count), "{}", filter);
                let failed = part.iter().filter(|it| !(200..400).contains(&it.status)).count();
                let share = (count > 0.0).then(|| failed as f64 / count);
                prop_assert_eq!(found[3], share, "{}", filter);
            }
        }

        /// Ticks come late, by up to a tenth of a second.
        #[test]
        fn a_window_holds_what_was_measured_in_it(
            counts in prop::collection::vec((0..50_u64, 0..100_u64), 1..200),
            seconds in 1..60_u64,
        ) {
            let text = format!("http_reqs: count[{seconds}s] >= 0");
            let (mut judge, mut shard) = judge_of(&parsed(&[&text]));
            let id = shard.request_id("GET", "/");
            for (tick, (count, late)) in counts.iter().enumerate() {
                for _ in 0..*count {
                    shard.request(id, &RequestSample::default(), Marks::NONE);
                }
                judge.take_in(&shard.take());
                let elapsed = Duration::from_millis((tick as u64 + 1) * 1_000 + late / 10);
                judge.judge(elapsed, Stage::Running);
                let found = judge.conclusion()[0].value;
                let first = (tick + 1).checked_sub(seconds as usize);
                let exact = first.map(|first| counts[first..=tick].iter().map(|it| it.0).sum::<u64>() as f64);
                prop_assert_eq!(found, exact, "at {:?}", elapsed);
            }
        }
    }
}
