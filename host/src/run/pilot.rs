//! The pilot: asks a shape, about once a second, how much load there is to be.
//!
//! The shape has a thread of its own, so that however long it takes, neither the
//! conductor nor the load waits for it. The conductor hands it what happened, and
//! gets its answer when there is one:
//!
//! | the pilot is | when | what happens |
//! |---|---|---|
//! | free | the last answer has come | at the next full second the shape is asked |
//! | asking | the shape has not answered yet | seconds pass; what happens meanwhile is told the next time |
//! | through | the shape has ended the run, or has failed | nobody asks it any more |

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::cadence::Ticks;
use crate::error::{Error, Problem};
use crate::event::{Finding, Load, ShapeReport, Stats};
use crate::shape::{Shape, ShapeError, ShapeInfo, Target};
use crate::stats::Snapshot;

/// How often the shape is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// Asks a shape. Made before the run, since the first target says which model the
/// load has.
pub struct Pilot {
    name: String,
    state: State,
    questions: mpsc::Sender<Question>,
    answers: UnboundedReceiver<Answer>,
    thread: JoinHandle<()>,
    ticks: Ticks,
    /// What happened since the last question, and since the start; all requests
    /// count as one.
    interval: Snapshot,
    interval_began: Instant,
    total: Snapshot,
    approach: Approach,
    max_vus: u32,
    /// The most VUs that the shape asked for, if there could not be as many.
    too_many: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Free,
    Asking,
    Through { failure: Option<String> },
}

/// What the shape's thread is asked. At most one waits at a time.
enum Question {
    Target(Duration, Box<Stats>),
    Report,
}

enum Answer {
    Target(Result<Option<Target>, ShapeError>),
    Report(Result<Vec<(String, Finding)>, ShapeError>),
}

/// What the pilot says is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heading {
    /// From now on so much load.
    Load(Load),
    /// All stays as it is.
    Stay,
    /// The shape ends the run.
    End,
    /// The shape failed, and why.
    Failed(String),
}

/// What came of a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeOutcome {
    /// What it reported.
    pub report: ShapeReport,
    /// The most VUs that it asked for, if there could not be as many.
    pub too_many: Option<u32>,
}

impl ShapeOutcome {
    /// Whether the load was not what it was to be.
    pub(super) fn has_failed(&self) -> bool {
        self.report.failure.is_some()
    }
}

impl Pilot {
    /// Starts the shape and asks for its first target. Blocks for as long as that
    /// takes; not to be called from within a runtime.
    ///
    /// # Errors
    ///
    /// If the shape refuses or fails, or wants no load at all.
    pub fn new(
        name: &str,
        mut shape: Box<dyn Shape>,
        info: &ShapeInfo,
    ) -> Result<(Self, Load), Error> {
        let wrong = |what: &dyn std::fmt::Display| {
            Error::Component(
                Problem::new(format!("the shape `{name}` cannot start: {what}"))
                    .hint("its options follow its name: `--shape FILE,NAME=VALUE`"),
            )
        };
        shape.start(info).map_err(|error| wrong(&error))?;
        let first = shape
            .target_at(Duration::ZERO, &Stats::default())
            .map_err(|error| wrong(&error))?
            .ok_or_else(|| wrong(&"it ends the run before it begins"))?;
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("shape".to_owned())
            .spawn(move || answer_all(shape, &asked, &answer))
            .map_err(|error| {
                Error::Machine(Problem::new(format!(
                    "the machine gives no thread for the shape `{name}`: {error}"
                )))
            })?;
        let now = Instant::now();
        let mut pilot = Self {
            name: name.to_owned(),
            state: State::Free,
            questions,
            answers,
            thread,
            ticks: Ticks::new(now, PERIOD),
            interval: Snapshot::default(),
            interval_began: now,
            total: Snapshot::default(),
            approach: Approach::default(),
            max_vus: info.max_vus,
            too_many: None,
        };
        let target = pilot.admitted(first);
        let load = pilot.approach.begin(target);
        Ok((pilot, load))
    }

    /// Sets the run's start.
    pub(super) fn start(&mut self, at: Instant) {
        self.ticks = Ticks::new(at, PERIOD);
        self.interval_began = at;
    }

    /// When there is something to do next.
    pub(super) fn due(&self) -> Instant {
        self.ticks.due()
    }

    /// Whether a full second has passed.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        self.ticks.pass(now)
    }

    /// Lets a second go by in which there was no load to tell of: before the
    /// scenario begins, in a pause, at the end.
    pub(super) fn skip(&mut self, now: Instant) {
        let interval = std::mem::take(&mut self.interval);
        self.total.merge(&interval);
        self.interval_began = now;
    }

    /// Takes in what happened.
    pub(super) fn merge(&mut self, snapshot: &Snapshot) {
        self.interval.merge_nameless(snapshot);
    }

    /// Asks the shape, if it is free, and says what the way to its last target
    /// comes to. `elapsed` is for how long the scenario has been going on.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        started: Instant,
        elapsed: Duration,
        vus: u32,
    ) -> Heading {
        if self.state == State::Free {
            let interval = std::mem::take(&mut self.interval);
            self.total.merge(&interval);
            let stats = Stats {
                vus,
                interval: interval.window(now - self.interval_began),
                total: self.total.window(now.saturating_duration_since(started)),
                complete: true,
            };
            self.interval_began = now;
            self.state = State::Asking;
            // A thread that is gone has panicked; its answer will tell.
            let _ = self
                .questions
                .send(Question::Target(elapsed, Box::new(stats)));
        }
        self.step(elapsed)
    }

    /// Waits for the shape's answer; for ever if it was not asked. Can be dropped
    /// at any time.
    pub(super) async fn answer(&mut self, elapsed: impl Fn() -> Duration) -> Heading {
        if self.state != State::Asking {
            return std::future::pending().await;
        }
        let target = match self.answers.recv().await {
            Some(Answer::Target(target)) => target,
            _ => Err(ShapeError::Trapped("its thread is gone".to_owned())),
        };
        self.state = State::Free;
        match target {
            Ok(Some(target)) if !self.approach.is_like(target) => {
                let wanted = match target {
                    Target::Vus { count, .. } => format!("{count} VUs, in a run that has a rate"),
                    Target::Rate(per_s) => {
                        format!("{per_s} iterations a second, in a run that has VUs")
                    }
                };
                self.fail(&ShapeError::Senseless(wanted))
            }
            Ok(Some(target)) => {
                let target = self.admitted(target);
                self.approach.head_for(target);
                self.step(elapsed())
            }
            Ok(None) => {
                self.state = State::Through { failure: None };
                Heading::End
            }
            Err(error) => self.fail(&error),
        }
    }

    fn step(&mut self, elapsed: Duration) -> Heading {
        match self.approach.step(elapsed) {
            Some(load) => Heading::Load(load),
            None => Heading::Stay,
        }
    }

    fn fail(&mut self, error: &ShapeError) -> Heading {
        let failure = error.to_string();
        tracing::error!(shape = self.name, failure, "the shape failed: the run ends");
        self.state = State::Through {
            failure: Some(failure.clone()),
        };
        Heading::Failed(failure)
    }

    /// A target with no more VUs than there may be.
    fn admitted(&mut self, target: Target) -> Target {
        match target {
            Target::Vus { count, per_s } if count > self.max_vus => {
                if self.too_many.is_none() {
                    tracing::warn!(
                        shape = self.name,
                        asked = count,
                        max_vus = self.max_vus,
                        "the shape asks for more VUs than there may be",
                    );
                }
                self.too_many = self.too_many.max(Some(count));
                Target::Vus {
                    count: self.max_vus,
                    per_s,
                }
            }
            target => target,
        }
    }

    /// Asks for the report, unless the shape has failed. Waits for the shape,
    /// which has a limit for each call.
    pub(super) async fn finish(mut self) -> ShapeOutcome {
        if self.state == State::Asking {
            // It was asked before the load was over: the answer changes nothing
            // any more, unless it is a failure.
            let _ = self.answer(Duration::default).await;
        }
        let (mut findings, mut failure) = (Vec::new(), None);
        match self.state {
            State::Through {
                failure: Some(before),
            } => failure = Some(before),
            _ => {
                // A thread that is gone does not answer.
                let _ = self.questions.send(Question::Report);
                match self.answers.recv().await {
                    Some(Answer::Report(Ok(report))) => findings = report,
                    Some(Answer::Report(Err(error))) => failure = Some(error.to_string()),
                    _ => failure = Some("its thread is gone".to_owned()),
                }
            }
        }
        drop(self.questions);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
        ShapeOutcome {
            report: ShapeReport {
                shape: self.name.into(),
                findings,
                failure,
            },
            too_many: self.too_many,
        }
    }
}

/// The shape's thread: one answer to each question, until nobody asks.
fn answer_all(
    mut shape: Box<dyn Shape>,
    questions: &mpsc::Receiver<Question>,
    answers: &UnboundedSender<Answer>,
) {
    while let Ok(question) = questions.recv() {
        let answer = match question {
            Question::Target(elapsed, stats) => Answer::Target(shape.target_at(elapsed, &stats)),
            Question::Report => Answer::Report(shape.report()),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

/// The way to a target: at once, or so many VUs a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Approach {
    target: Target,
    /// Where it has come.
    level: f64,
    /// What was told last.
    told: Load,
    /// When it made its last step: the scenario's time.
    at: Duration,
}

impl Default for Approach {
    fn default() -> Self {
        Self {
            target: Target::Rate(0.0),
            level: 0.0,
            told: Load::Rate(0.0),
            at: Duration::ZERO,
        }
    }
}

impl Approach {
    /// The load at the start: that of the first second.
    fn begin(&mut self, target: Target) -> Load {
        self.target = target;
        self.told = match target {
            Target::Vus { .. } => {
                self.advance(PERIOD);
                self.load()
            }
            Target::Rate(per_s) => Load::Rate(per_s),
        };
        self.told
    }

    fn is_like(&self, target: Target) -> bool {
        matches!(
            (self.target, target),
            (Target::Vus { .. }, Target::Vus { .. }) | (Target::Rate(_), Target::Rate(_))
        )
    }

    fn head_for(&mut self, target: Target) {
        self.target = target;
    }

    /// What is to be from now on, if it is anything new.
    fn step(&mut self, elapsed: Duration) -> Option<Load> {
        self.advance(elapsed.saturating_sub(self.at));
        self.at = self.at.max(elapsed);
        let load = self.load();
        (load != self.told).then(|| {
            self.told = load;
            load
        })
    }

    fn advance(&mut self, time: Duration) {
        if let Target::Vus { count, per_s } = self.target {
            let way = f64::from(count) - self.level;
            let most = per_s.map_or(f64::INFINITY, |per_s| per_s * time.as_secs_f64());
            self.level += way.clamp(-most, most);
        }
    }

    fn load(&self) -> Load {
        match self.target {
            Target::Rate(per_s) => Load::Rate(per_s),
            // A VU that is half there is not there, and one half gone is not gone.
            Target::Vus { count, .. } if self.level < f64::from(count) => {
                Load::Vus((self.level + 1e-9).floor() as u32)
            }
            Target::Vus { .. } => Load::Vus((self.level - 1e-9).ceil() as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with what is next in its plan.
    struct Fake {
        plan: Vec<Result<Option<Target>, ShapeError>>,
        asked: Vec<u64>,
    }

    impl Shape for Fake {
        fn start(&mut self, run: &ShapeInfo) -> Result<(), ShapeError> {
            match run.options.is_empty() {
                true => Ok(()),
                false => Err(ShapeError::Refused("no options".to_owned())),
            }
        }

        fn target_at(
            &mut self,
            elapsed: Duration,
            _: &Stats,
        ) -> Result<Option<Target>, ShapeError> {
            self.asked.push(elapsed.as_secs());
            self.plan.remove(0)
        }

        fn report(&mut self) -> Result<Vec<(String, Finding)>, ShapeError> {
            let asked = Finding::Text(format!("{:?}", self.asked));
            Ok(vec![("asked".to_owned(), asked)])
        }
    }

    fn vus(count: u32) -> Result<Option<Target>, ShapeError> {
        Ok(Some(Target::Vus { count, per_s: None }))
    }

    fn pilot(
        plan: impl Into<Vec<Result<Option<Target>, ShapeError>>>,
    ) -> Result<(Pilot, Load), Error> {
        let shape = Fake {
            plan: plan.into(),
            asked: Vec::new(),
        };
        let info = ShapeInfo {
            test_plan: "test".to_owned(),
            options: Vec::new(),
            max_vus: 10,
            seed: 1,
            max_duration: None,
        };
        Pilot::new("fake", Box::new(shape), &info)
    }

    /// Asks at a second of the run, and waits for the answer.
    async fn at(pilot: &mut Pilot, second: u64) -> Heading {
        let (now, elapsed) = (Instant::now(), Duration::from_secs(second));
        assert_eq!(pilot.ask(now, now, elapsed, 0), Heading::Stay);
        pilot.answer(|| elapsed).await
    }

    #[tokio::test]
    async fn a_shape_is_asked_and_followed_to_its_end() {
        let (mut pilot, first) = pilot([vus(3), vus(3), vus(5), Ok(None)]).expect("starts");
        assert_eq!(first, Load::Vus(3));
        assert_eq!(at(&mut pilot, 1).await, Heading::Stay);
        assert_eq!(at(&mut pilot, 2).await, Heading::Load(Load::Vus(5)));
        assert_eq!(at(&mut pilot, 3).await, Heading::End);
        let outcome = pilot.finish().await;
        assert_eq!(outcome.report.failure, None);
        let asked = Finding::Text("[0, 1, 2, 3]".to_owned());
        assert_eq!(outcome.report.findings, [("asked".to_owned(), asked)]);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_ends_it() {
        for (answer, words) in [
            (Err(ShapeError::Trapped("oh".to_owned())), "it stopped: oh"),
            (
                Ok(Some(Target::Rate(2.0))),
                "it asked for 2 iterations a second, in a run that has VUs",
            ),
        ] {
            let (mut pilot, _) = pilot([vus(3), answer]).expect("starts");
            assert_eq!(at(&mut pilot, 1).await, Heading::Failed(words.to_owned()));
            let outcome = pilot.finish().await;
            assert_eq!(outcome.report.failure.as_deref(), Some(words));
            assert_eq!(outcome.report.findings, []);
        }
    }

    #[tokio::test]
    async fn more_vus_than_there_may_be_are_as_many_as_there_may_be() {
        let (mut pilot, first) = pilot([vus(3), vus(50), vus(40)]).expect("starts");
        assert_eq!(first, Load::Vus(3));
        assert_eq!(at(&mut pilot, 1).await, Heading::Load(Load::Vus(10)));
        assert_eq!(at(&mut pilot, 2).await, Heading::Stay);
        assert_eq!(pilot.finish().await.too_many, Some(50));
    }

    #[test]
    fn a_shape_that_cannot_start_ends_the_run_before_it_starts() {
        for (plan, words) in [
            (vec![Ok(None)], "it ends the run before it begins"),
            (
                vec![Err(ShapeError::TimedOut(Duration::from_secs(5)))],
                "a call took longer than 5s",
            ),
        ] {
            let error = pilot(plan).map(|_| ()).expect_err("refused").to_string();
            assert!(
                error.starts_with(&format!("the shape `fake` cannot start: {words}")),
                "{error}"
            );
        }
    }

    #[test]
    fn vus_come_and_go_at_the_pace_that_was_asked_for() {
        let mut approach = Approach::default();
        let to = |count, per_s| Target::Vus { count, per_s };
        let at = Duration::from_millis;
        assert_eq!(approach.begin(to(7, Some(3.0))), Load::Vus(3));
        assert_eq!(approach.step(at(0)), None);
        assert_eq!(approach.step(at(1_000)), Some(Load::Vus(6)));
        assert_eq!(approach.step(at(1_010)), None);
        assert_eq!(approach.step(at(2_000)), Some(Load::Vus(7)));
        assert_eq!(approach.step(at(3_000)), None);
        approach.head_for(to(0, Some(0.5)));
        assert_eq!(approach.step(at(4_000)), None);
        assert_eq!(approach.step(at(5_000)), Some(Load::Vus(6)));
        // The clock stands still in a pause.
        assert_eq!(approach.step(at(5_000)), None);
        approach.head_for(to(20, None));
        assert_eq!(approach.step(at(5_000)), Some(Load::Vus(20)));
    }
}
