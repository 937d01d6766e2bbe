//! What a run is told while it goes on: what comes of it, worked out before
//! anything is done.
//!
//! The threads work from the same plan by themselves; an order that all of them
//! get, with the time from which on it holds, keeps them at one. The conductor
//! keeps book here of the course that they are on.

use std::time::{Duration, Instant};

use super::control::{Action, Difference, Order, ScenarioStatus};
use crate::error::Problem;
use crate::event::{Load, LoadChange, LoadChangeKind, Steerer};
use crate::executor::{Profile, Steer, Timeline};
use crate::plan::{Plan, Scenario, Share};

/// The courses of a run's scenarios, in the order of the plan.
#[derive(Debug)]
pub(super) struct Courses {
    courses: Vec<Course>,
    /// How far ahead the time is from which on an order holds: by then every
    /// thread has heard of it, unless it runs very late.
    ahead: Duration,
}

#[derive(Debug)]
struct Course {
    scenario: Scenario,
    /// Whether a shape says what its target is, and nobody else.
    has_shape: bool,
    profile: Profile,
    timeline: Timeline,
}

/// What to tell the threads of a scenario, and what that changes.
#[derive(Debug, PartialEq)]
pub(super) struct Turn {
    /// Which scenario.
    pub(super) scenario: usize,
    /// From when on.
    pub(super) at: Instant,
    /// What.
    pub(super) steer: Steer,
    /// What is otherwise from then on.
    pub(super) change: LoadChange,
}

impl Courses {
    /// The courses of a plan whose run starts at `started`.
    pub(super) fn new(plan: &Plan, started: Instant, ahead: Duration) -> Self {
        let course = |scenario: &Scenario| Course {
            profile: Profile::of(&scenario.executor),
            timeline: Timeline::new(started + scenario.start_time),
            scenario: scenario.clone(),
            has_shape: plan.shape.is_some(),
        };
        Self {
            courses: plan.scenarios.iter().map(course).collect(),
            ahead,
        }
    }

    /// Works out what an order comes to, and takes it to be done.
    ///
    /// # Errors
    ///
    /// If it cannot be done; then nothing has changed.
    pub(super) fn turn(&mut self, order: &Order, now: Instant) -> Result<Vec<Turn>, Problem> {
        let at = now + self.ahead;
        let chosen = self.able(self.chosen(order)?, order, at)?;
        let mut turns = Vec::new();
        for scenario in &chosen {
            let course = &self.courses[*scenario];
            if let Some((steer, change)) = course.turn(order, at)? {
                turns.push(Turn {
                    scenario: *scenario,
                    at,
                    steer,
                    change,
                });
            }
        }
        for turn in &turns {
            self.courses[turn.scenario].follow(turn.at, turn.steer);
        }
        Ok(turns)
    }

    /// Takes what a scenario was told before to be done.
    pub(super) fn recall(&mut self, scenario: usize, at: Instant, steer: Steer) {
        if let Some(course) = self.courses.get_mut(scenario) {
            course.follow(at, steer);
        }
    }

    /// The scenarios that an order is about.
    fn chosen(&self, order: &Order) -> Result<Vec<usize>, Problem> {
        let names = || {
            let names = self
                .courses
                .iter()
                .map(|course| format!("`{}`", course.scenario.name));
            names.collect::<Vec<_>>().join(", ")
        };
        match &order.scenario {
            Some(name) => match self
                .courses
                .iter()
                .position(|course| *course.scenario.name == **name)
            {
                Some(at) => Ok(vec![at]),
                None => Err(Problem::new(format!("there is no scenario `{name}`"))
                    .hint(format!("there are {}", names()))),
            },
            None if self.courses.len() > 1 && matches!(order.action, Action::Set(_)) => {
                Err(Problem::new("which scenario is to have this target?")
                    .hint(format!("name one of {}", names())))
            }
            None => Ok((0..self.courses.len()).collect()),
        }
    }

    /// If all scenarios are meant, those of them that can do it: of several, some
    /// may have no such load, or be over.
    fn able(
        &self,
        mut chosen: Vec<usize>,
        order: &Order,
        at: Instant,
    ) -> Result<Vec<usize>, Problem> {
        // What is meant by itself, or the only one, has a reason of its own.
        if order.scenario.is_some() || chosen.len() == 1 {
            return Ok(chosen);
        }
        chosen.retain(|scenario| self.courses[*scenario].is_able(order.action, at));
        match (chosen.is_empty(), order.action) {
            (true, Action::Add(_)) => Err(Problem::new("no scenario can be changed so")
                .hint("`squall ctl status` shows what each has, and may have at the most")),
            _ => Ok(chosen),
        }
    }

    /// When every scenario will have the most that its course comes to; `None` if
    /// one is paused before.
    pub(super) fn ramped_up(&self) -> Option<Instant> {
        let peaks = self.courses.iter();
        let mut peaks = peaks.map(|course| course.timeline.at(course.profile.peak()));
        peaks.try_fold(self.courses.first()?.timeline.at(0.0)?, |latest, peak| {
            Some(latest.max(peak?))
        })
    }

    /// For how long the last scenario will have been going on at its end, pauses
    /// included, of which one that lasts ends now.
    pub(super) fn lasts(&self, started: Instant, now: Instant) -> Duration {
        let last = self.courses.iter().map(|course| course.end(now)).max();
        last.unwrap_or(started).saturating_duration_since(started)
    }

    /// Whether whatever is not over is paused.
    pub(super) fn are_paused(&self, now: Instant) -> bool {
        let mut going = self.going(now).peekable();
        going.peek().is_some() && going.all(|course| course.timeline.paused().is_some())
    }

    /// The VUs that the closed models are to have, as they have just been told.
    pub(super) fn vus(&self, now: Instant) -> u32 {
        let vus = |course: &Course| match course.target(now + self.ahead) {
            Load::Vus(vus) => vus,
            Load::Rate(_) => 0,
        };
        self.going(now).map(vus).sum()
    }

    /// The VUs that a scenario is to have, if it is a closed model that goes on.
    pub(super) fn closed_vus(&self, scenario: usize, now: Instant) -> u32 {
        match self.courses[scenario].target(now) {
            Load::Vus(vus) if !self.courses[scenario].is_over(now) => vus,
            _ => 0,
        }
    }

    /// The iterations a second that the open models are to start, as they have
    /// just been told.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let rate = |course: &Course| match course.target(now + self.ahead) {
            Load::Rate(per_s) if course.timeline.paused().is_none() => per_s,
            _ => 0.0,
        };
        self.going(now).map(rate).sum()
    }

    /// The scenarios that have begun and are not over.
    fn going(&self, now: Instant) -> impl Iterator<Item = &Course> {
        let begun = move |course: &&Course| course.timeline.at(0.0).is_none_or(|at| now >= at);
        let courses = self.courses.iter().filter(begun);
        courses.filter(move |course| !course.is_over(now))
    }

    /// For how long a scenario has been going on, without its pauses; and whether
    /// it is paused.
    pub(super) fn clock(&self, scenario: usize, now: Instant) -> (Duration, bool) {
        let timeline = &self.courses[scenario].timeline;
        (timeline.elapsed(now), timeline.paused().is_some())
    }

    /// How the scenarios stand, and what they have been told to have; `vus` tells
    /// how many run of each.
    pub(super) fn status(&self, now: Instant, vus: impl Fn(usize) -> u32) -> Vec<ScenarioStatus> {
        let courses = self.courses.iter().enumerate();
        courses
            .map(|(number, course)| ScenarioStatus {
                name: course.scenario.name.clone(),
                executor: course.scenario.executor.name(),
                vus: vus(number),
                max_vus: course.scenario.max_vus.get(),
                target: course.target(now + self.ahead),
                steerable: course.is_steerable(),
                paused: course.timeline.paused().is_some(),
            })
            .collect()
    }
}

impl Course {
    fn is_steerable(&self) -> bool {
        self.scenario.executor.iterations().is_none() && !self.has_shape
    }

    /// What the scenario is to have at a time, were it not paused.
    fn target(&self, now: Instant) -> Load {
        let at = self.timeline.elapsed(now).as_secs_f64();
        match &self.scenario.executor {
            executor if executor.is_open() => Load::Rate(self.profile.value(at)),
            _ => Load::Vus(self.profile.vus(at, Share::WHOLE)),
        }
    }

    /// The same, with nothing.
    fn nothing(&self) -> Load {
        match self.scenario.executor.is_open() {
            true => Load::Rate(0.0),
            false => Load::Vus(0),
        }
    }

    fn turn(&self, order: &Order, at: Instant) -> Result<Option<(Steer, LoadChange)>, Problem> {
        let target = self.target(at);
        let paused = self.timeline.paused().is_some();
        let is_target = matches!(order.action, Action::Set(_) | Action::Add(_));
        if is_target && self.has_shape && order.by != Steerer::Shape {
            return Err(Problem::new(format!(
                "the shape says how much load `{}` has",
                self.scenario.name
            ))
            .hint("it can be paused, resumed and stopped"));
        }
        let change = |from, to, kind| LoadChange {
            scenario: self.scenario.name.clone(),
            from,
            to,
            kind,
            by: order.by.clone(),
        };
        Ok(match order.action {
            Action::Pause | Action::Resume if self.is_over(at) => return Err(self.over()),
            Action::Pause if !paused => {
                let change = change(target, self.nothing(), LoadChangeKind::Paused);
                Some((Steer::Pause, change))
            }
            Action::Resume if paused => {
                let change = change(self.nothing(), target, LoadChangeKind::Resumed);
                Some((Steer::Resume, change))
            }
            Action::Pause | Action::Resume | Action::Stop | Action::StopNow => None,
            Action::Set(load) => self
                .set(load, at)?
                .map(|(steer, to)| (steer, change(target, to, LoadChangeKind::Target))),
            Action::Add(difference) => {
                let load = self.added(target, difference)?;
                self.set(load, at)?
                    .map(|(steer, to)| (steer, change(target, to, LoadChangeKind::Target)))
            }
        })
    }

    /// Whether it is among those that are meant if all are.
    fn is_able(&self, action: Action, at: Instant) -> bool {
        let is_open = self.scenario.executor.is_open();
        let can = match action {
            Action::Add(Difference::Vus(_)) => !is_open && self.is_steerable(),
            Action::Add(Difference::Rate(_)) => is_open && self.is_steerable(),
            Action::Add(Difference::Part(part)) => {
                let is_full = self.target(at) == Load::Vus(self.scenario.max_vus.get());
                self.is_steerable() && !(part > 0.0 && is_full)
            }
            _ => true,
        };
        can && !self.is_over(at)
    }

    fn is_over(&self, at: Instant) -> bool {
        self.timeline.elapsed(at).as_secs_f64() >= self.profile.end()
    }

    /// When it comes to its end, or would if it went on now.
    fn end(&self, now: Instant) -> Instant {
        let mut timeline = self.timeline;
        timeline.resume(now);
        timeline.at(self.profile.end()).unwrap_or(now)
    }

    fn over(&self) -> Problem {
        Problem::new(format!("`{}` is over", self.scenario.name))
    }

    fn added(&self, target: Load, difference: Difference) -> Result<Load, Problem> {
        Ok(match (target, difference) {
            (Load::Vus(vus), Difference::Vus(more)) => {
                let vus = i64::from(vus).saturating_add(more).max(0);
                Load::Vus(u32::try_from(vus).unwrap_or(u32::MAX))
            }
            (Load::Vus(vus), Difference::Part(part)) => {
                let more = (f64::from(vus) * part).abs().round().max(1.0) * part.signum();
                let most = self.scenario.max_vus.get();
                // A part is no number that anybody asked for: what fits will do.
                let to = ((f64::from(vus) + more).max(0.0) as u32).min(most.max(vus));
                match to == vus && part > 0.0 {
                    true => return Err(self.no_room(vus.saturating_add(1))),
                    false => Load::Vus(to),
                }
            }
            (Load::Rate(rate), Difference::Rate(more)) => Load::Rate((rate + more).max(0.0)),
            (Load::Rate(rate), Difference::Part(part)) => {
                let more = (rate * part).abs().max(1.0) * part.signum();
                Load::Rate((rate + more).max(0.0))
            }
            (Load::Vus(_), Difference::Rate(_)) => return Err(self.has_vus()),
            (Load::Rate(_), Difference::Vus(_)) => return Err(self.has_a_rate()),
        })
    }

    /// What a target comes to; nothing if it is what there is already.
    fn set(&self, to: Load, at: Instant) -> Result<Option<(Steer, Load)>, Problem> {
        let name = &self.scenario.name;
        if let Some(iterations) = self.scenario.executor.iterations() {
            return Err(Problem::new(format!(
                "`{name}` runs {iterations} iterations with the VUs that it has"
            ))
            .hint("it can be paused, resumed and stopped"));
        }
        if self.is_over(at) {
            return Err(self.over());
        }
        let value = match to {
            Load::Vus(_) if self.scenario.executor.is_open() => return Err(self.has_a_rate()),
            Load::Rate(_) if !self.scenario.executor.is_open() => return Err(self.has_vus()),
            Load::Vus(vus) if vus > self.scenario.max_vus.get() => {
                return Err(self.no_room(vus));
            }
            Load::Vus(vus) => f64::from(vus),
            Load::Rate(rate) if !(0.0..=1e9).contains(&rate) => {
                return Err(Problem::new(format!("`{rate}` is no rate"))
                    .hint("such as 50 iterations a second"));
            }
            Load::Rate(rate) => rate,
        };
        // On a ramp even the same target is another course.
        let at = self.timeline.elapsed(at).as_secs_f64();
        let stays = self.profile.settled(at) == Some(value);
        Ok((!stays).then_some((Steer::Target(value), to)))
    }

    fn no_room(&self, vus: u32) -> Problem {
        Problem::new(format!(
            "`{}` may have {} VUs at the most, not {vus}",
            self.scenario.name, self.scenario.max_vus
        ))
        .hint("`--max-vus` makes room for more before the run")
    }

    fn has_vus(&self) -> Problem {
        Problem::new(format!("`{}` has VUs, not a rate", self.scenario.name))
            .hint("give it a number of VUs")
    }

    fn has_a_rate(&self) -> Problem {
        Problem::new(format!("`{}` has a rate, not VUs", self.scenario.name))
            .hint("give it a number of iterations a second")
    }

    fn follow(&mut self, at: Instant, steer: Steer) {
        match steer {
            Steer::Target(target) => {
                let from = self.timeline.elapsed(at).as_secs_f64();
                self.profile = self.profile.replaced(from, target);
            }
            Steer::Pause => self.timeline.pause(at),
            Steer::Resume => self.timeline.resume(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::sync::oneshot;

    use super::*;

    const AHEAD: Duration = Duration::from_millis(20);
    use crate::event::Steerer;
    use crate::plan::{Arrivals, Executor, HttpPlan, ScriptSource, Stage};
    use crate::units::Rate;

    fn scenario(name: &str, executor: Executor, max_vus: u32) -> Scenario {
        Scenario {
            name: name.into(),
            script: ScriptSource::Demo,
            executor,
            start_time: Duration::ZERO,
            graceful_stop: Duration::ZERO,
            max_vus: NonZeroU32::new(max_vus).expect("not zero"),
            env: Vec::new(),
            http: HttpPlan {
                base_url: None,
                timeout: Duration::from_secs(1),
                allow_hosts: None,
                insecure_tls: false,
            },
            tags: Vec::new(),
        }
    }

    fn courses(started: Instant) -> Courses {
        let minute = Duration::from_secs(60);
        let vus = NonZeroU32::new(10).expect("not zero");
        let ramp = Executor::RampingVus {
            start_vus: 0,
            stages: vec![Stage {
                duration: minute,
                target: 60,
            }],
            graceful_ramp_down: minute,
        };
        let rate = Executor::ConstantArrivalRate {
            rate: Rate::per_second(50.0),
            duration: minute,
            arrivals: Arrivals::Even,
        };
        let shared = Executor::SharedIterations {
            vus,
            iterations: 100,
            max_duration: minute,
        };
        let course = |name: &str, executor, max_vus| Course {
            profile: Profile::of(&executor),
            timeline: Timeline::new(started),
            scenario: scenario(name, executor, max_vus),
            has_shape: false,
        };
        Courses {
            courses: vec![
                course("ramp", ramp, 80),
                course("rate", rate, 10_000),
                course("shared", shared, 10),
            ],
            ahead: AHEAD,
        }
    }

    fn order(scenario: Option<&str>, action: Action) -> Order {
        let (reply, _) = oneshot::channel();
        Order {
            scenario: scenario.map(str::to_owned),
            action,
            by: Steerer::Terminal,
            reply,
        }
    }

    fn loads(turns: &[Turn]) -> Vec<(String, Load, Load)> {
        let change = |turn: &Turn| {
            let LoadChange {
                scenario, from, to, ..
            } = &turn.change;
            (scenario.to_string(), *from, *to)
        };
        turns.iter().map(change).collect()
    }

    #[test]
    fn a_target_holds_from_a_moment_ahead_to_the_end() {
        let started = Instant::now();
        let mut courses = courses(started);
        let now = started + Duration::from_secs(30);
        let set = order(Some("ramp"), Action::Set(Load::Vus(5)));
        let turns = courses.turn(&set, now).expect("it can");
        assert_eq!(
            loads(&turns),
            [("ramp".into(), Load::Vus(31), Load::Vus(5))]
        );
        assert_eq!(turns[0].at, now + AHEAD);
        assert_eq!(turns[0].steer, Steer::Target(5.0));
        assert_eq!(courses.status(now, |_| 0)[0].target, Load::Vus(5));
        let later = now + Duration::from_secs(20);
        assert_eq!(courses.courses[0].target(later), Load::Vus(5));
        // Once more changes nothing.
        assert_eq!(courses.turn(&set, later).expect("it can"), []);
    }

    #[test]
    fn what_was_told_before_is_recalled_as_it_was_told() {
        let started = Instant::now();
        let (mut told, mut recalled) = (courses(started), courses(started));
        let mut now = started + Duration::from_secs(10);
        for action in [Action::Set(Load::Vus(5)), Action::Pause, Action::Resume] {
            let turns = told.turn(&order(Some("ramp"), action), now);
            for turn in turns.expect("it can") {
                recalled.recall(turn.scenario, turn.at, turn.steer);
            }
            now += Duration::from_secs(3);
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(told.status(later, |_| 0), recalled.status(later, |_| 0));
        assert_eq!(told.lasts(started, later), recalled.lasts(started, later));
        let minute = Duration::from_secs(60);
        assert!(recalled.lasts(started, later) > minute);
    }

    #[test]
    fn more_and_less_go_by_what_there_is() {
        let started = Instant::now();
        let mut courses = courses(started);
        let now = started + Duration::from_secs(1);
        let mut add = |scenario, difference| {
            let turns = courses.turn(&order(scenario, Action::Add(difference)), now);
            loads(&turns.expect("it can"))
        };
        // Of all scenarios those that can.
        assert_eq!(
            add(None, Difference::Part(0.1)),
            [
                ("ramp".into(), Load::Vus(2), Load::Vus(3)),
                ("rate".into(), Load::Rate(50.0), Load::Rate(55.0)),
            ]
        );
    }

    #[test]
    fn a_part_more_goes_as_far_as_there_is_room() {
        let started = Instant::now();
        let mut courses = courses(started);
        let now = started + Duration::from_secs(1);
        let mut tell = |action| courses.turn(&order(Some("ramp"), action), now);
        tell(Action::Set(Load::Vus(79))).expect("it can");
        let more = Action::Add(Difference::Part(0.1));
        let turns = tell(more).expect("it can");
        assert_eq!(
            loads(&turns),
            [("ramp".into(), Load::Vus(79), Load::Vus(80))]
        );
        let full = tell(more).expect_err("there is no room").to_string();
        assert!(full.contains("80 VUs at the most, not 81"), "{full}");
        // Of all, the others are meant.
        let turns = courses.turn(&order(None, more), now).expect("it can");
        assert_eq!(
            loads(&turns),
            [("rate".into(), Load::Rate(50.0), Load::Rate(55.0))]
        );
        // As many as were asked for, or none.
        let some = Action::Add(Difference::Vus(1));
        let refused = courses.turn(&order(None, Action::Add(Difference::Vus(1))), now);
        assert!(refused.is_err(), "{refused:?}");
        let none = courses.turn(&order(Some("ramp"), some), now);
        assert!(none.is_err(), "{none:?}");
    }

    #[test]
    fn pauses_put_off_the_end_and_the_peak() {
        let started = Instant::now();
        let mut courses = courses(started);
        let at = |seconds| started + Duration::from_secs(seconds);
        let lasts = |courses: &Courses, now| courses.lasts(started, now).as_secs();
        assert_eq!(lasts(&courses, at(10)), 60);
        assert_eq!(courses.ramped_up(), Some(at(60)));
        courses
            .turn(&order(None, Action::Pause), at(10))
            .expect("it can");
        assert_eq!(lasts(&courses, at(30)), 79);
        assert_eq!(courses.ramped_up(), None);
        courses
            .turn(&order(None, Action::Resume), at(40))
            .expect("it can");
        assert_eq!(lasts(&courses, at(50)), 90);
        assert_eq!(courses.ramped_up(), Some(at(90)));
        let set = order(Some("ramp"), Action::Set(Load::Vus(70)));
        courses.turn(&set, at(50)).expect("it can");
        assert!(courses.ramped_up() <= Some(at(50) + AHEAD));
    }

    #[test]
    fn what_a_shape_steers_nobody_else_does() {
        let started = Instant::now();
        let mut courses = courses(started);
        courses.courses.truncate(1);
        courses.courses[0].has_shape = true;
        let now = started + Duration::from_secs(1);
        let set = Action::Set(Load::Vus(5));
        for action in [set, Action::Add(Difference::Part(0.1))] {
            let refused = courses.turn(&order(None, action), now);
            let problem = refused.expect_err("refused").to_string();
            assert!(problem.contains("the shape says how much load `ramp` has"));
        }
        assert!(!courses.status(now, |_| 0)[0].steerable);
        let by_shape = Order {
            by: Steerer::Shape,
            ..order(None, set)
        };
        assert_eq!(courses.turn(&by_shape, now).expect("it can").len(), 1);
        let pause = order(None, Action::Pause);
        assert_eq!(courses.turn(&pause, now).expect("it can").len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let started = Instant::now();
        let mut courses = courses(started);
        let now = started + Duration::from_secs(1);
        for (scenario, action, reason) in [
            (
                Some("ramp"),
                Action::Set(Load::Vus(81)),
                "80 VUs at the most",
            ),
            (Some("ramp"), Action::Set(Load::Rate(5.0)), "has VUs"),
            (Some("rate"), Action::Set(Load::Vus(5)), "has a rate"),
            (
                Some("rate"),
                Action::Set(Load::Rate(f64::NAN)),
                "is no rate",
            ),
            (Some("rate"), Action::Add(Difference::Vus(5)), "has a rate"),
            (
                Some("shared"),
                Action::Set(Load::Vus(5)),
                "runs 100 iterations",
            ),
            (Some("other"), Action::Pause, "no scenario `other`"),
            (None, Action::Set(Load::Vus(5)), "which scenario"),
        ] {
            let refused = courses.turn(&order(scenario, action), now);
            let refused = refused.expect_err("it cannot be").to_string();
            assert!(refused.contains(reason), "{refused}");
        }
        let over = started + Duration::from_secs(60);
        for action in [Action::Set(Load::Rate(1.0)), Action::Pause, Action::Resume] {
            let late = courses.turn(&order(Some("rate"), action), over);
            assert!(late.expect_err("too late").what.contains("is over"));
        }
        assert_eq!(courses.turn(&order(None, Action::Pause), over), Ok(vec![]));
    }

    #[test]
    fn a_pause_keeps_the_target_and_the_time() {
        let started = Instant::now();
        let mut courses = courses(started);
        let at = |seconds| started + Duration::from_secs(seconds);
        let pause = courses.turn(&order(None, Action::Pause), at(30));
        assert_eq!(pause.expect("it can").len(), 3);
        let again = courses.turn(&order(None, Action::Pause), at(31));
        assert_eq!(again.expect("it can"), []);
        let status = courses.status(at(40), |_| 7);
        assert!(
            status
                .iter()
                .all(|scenario| scenario.paused && scenario.vus == 7)
        );
        assert_eq!(status[0].target, Load::Vus(31));
        let resumed = courses.turn(&order(Some("ramp"), Action::Resume), at(130));
        let resumed = loads(&resumed.expect("it can"));
        assert_eq!(resumed, [("ramp".into(), Load::Vus(0), Load::Vus(31))]);
        assert_eq!(courses.courses[0].target(at(140)), Load::Vus(41));
    }
}
