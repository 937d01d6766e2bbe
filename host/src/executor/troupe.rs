//! A scenario's VUs on one thread, and the task that starts and ends them.
//!
//! | it | when |
//! |---|---|
//! | waits | until the scenario's start time |
//! | runs | until the scenario's time is over, or it is told to stop: VUs come and go as the executor says |
//! | winds down | no iteration starts; those under way may end |
//! | cuts | after the graceful stop, or when it is told to: drops what is left |
//!
//! Every troupe of a scenario works from the same plan, the same start and the
//! same orders, so they need not talk to each other.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet, yield_now};
use tokio::time::sleep_until;

use super::alarm::Alarm;
use super::backlog::Backlog;
use super::dock::{Dock, Harbour, Moored, OpenTickets};
use super::gate::{ClosedTickets, Gate, Quota};
use super::{Arrivals, Order, Profile, Steer, Timeline};
use crate::measure::{DropReason, ScriptError};
use crate::plan::{self, Executor, Share};
use crate::stats::{Marks, shard};
use crate::vu::{Ended, Leave, RunContext, Script, Seat, VirtualUser, now, play};

/// A scenario on one node: what its threads share.
#[derive(Debug)]
pub struct Company<S> {
    script: S,
    run: Arc<RunContext>,
    /// Which of the plan's scenarios.
    scenario: usize,
    /// The number, from 0, of the first of its VUs.
    first_vu: u64,
    node: Share,
    threads: u32,
    /// Until when it was another's.
    from: Option<Instant>,
    /// What is left of the node's iterations, if VUs share them.
    left: Arc<AtomicU64>,
    /// For an open model.
    harbour: Harbour,
    /// VUs now running.
    running: Arc<AtomicU32>,
    /// VUs that could not start.
    never_came: AtomicU32,
    rows: watch::Sender<Rows>,
    /// Of everything that is measured in the scenario.
    marks: Marks,
}

impl<S: Script> Company<S> {
    /// A scenario of a run's plan, for a node's share of it.
    pub fn new(
        script: S,
        run: Arc<RunContext>,
        scenario: usize,
        node: Share,
        threads: u32,
    ) -> Self {
        let scenarios = &run.plan.scenarios;
        let before = scenarios[..scenario].iter();
        let plan = &scenarios[scenario];
        let left = match plan.executor {
            Executor::SharedIterations { iterations, .. } => node.part(iterations),
            _ => 0,
        };
        Self {
            first_vu: before
                .map(|scenario| u64::from(scenario.max_vus.get()))
                .sum(),
            harbour: Harbour::new(threads as usize, plan.max_vus.get(), node),
            left: Arc::new(AtomicU64::new(left)),
            script,
            marks: run.marks(&plan.name),
            run: run.clone(),
            scenario,
            node,
            threads,
            from: None,
            running: Arc::default(),
            never_came: AtomicU32::new(0),
            rows: watch::Sender::new(Rows::Left),
        }
    }

    /// The same for a part that was another's until a point in time, and of which so
    /// many iterations are left, if their number ends it: its VUs share them.
    #[must_use]
    pub fn inherited(mut self, from: Instant, left: Option<u64>) -> Self {
        self.from = Some(from);
        self.left = Arc::new(AtomicU64::new(left.unwrap_or(0)));
        self
    }

    /// How many VUs are running.
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// How many VUs could not start.
    pub fn never_came(&self) -> u32 {
        self.never_came.load(Ordering::Relaxed)
    }

    /// Whether a VU of an open model that is made now would find rows of data
    /// used up that the script needs.
    fn is_out_of_rows(&self) -> bool {
        *self.rows.borrow() != Rows::Left
    }

    /// Takes note of how a VU has ended, after it is no longer running.
    fn heard_of(&self, ended: Ended) {
        // Under the lock, so that the last of several threads sees the others.
        self.rows.send_if_modified(|rows| {
            let before = *rows;
            if ended == Ended::OutOfRows {
                *rows = (*rows).max(Rows::UsedUp);
            }
            if *rows == Rows::UsedUp && self.running() == 0 {
                *rows = Rows::UsedUpByAll;
            }
            *rows != before
        });
    }

    /// The scenario.
    pub fn plan(&self) -> &plan::Scenario {
        &self.run.plan.scenarios[self.scenario]
    }

    /// The marks of everything that is measured in the scenario.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// How many iterations that VUs share were asked for and did not start, and
    /// why. To be asked when all have ended; it tells once.
    pub fn never_started(&self) -> (u64, DropReason) {
        let reason = match self.is_out_of_rows() {
            true => DropReason::NoRow,
            false => DropReason::RunEnded,
        };
        (self.left.swap(0, Ordering::Relaxed), reason)
    }

    /// Whether a thread has anything to do with it.
    pub fn concerns(&self, thread: u32) -> bool {
        let vus = self.plan().max_vus.get().into();
        self.plan().executor.is_open() || self.share(thread).dealt(vus) > 0
    }

    fn share(&self, thread: u32) -> Share {
        self.node
            .within(thread, self.threads)
            .expect("a thread is one of the node's")
    }

    fn seat(&self, number: u64, life: u32, leave: Arc<Leave>) -> Seat {
        Seat {
            run: self.run.clone(),
            scenario: self.plan().name.clone(),
            vu: u32::try_from(self.first_vu + number + 1).unwrap_or(u32::MAX),
            life,
            leave,
        }
    }
}

/// Whether there are rows of data for the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rows {
    /// As far as is known.
    Left,
    /// A VU ended for want of one.
    UsedUp,
    /// And there is no VU any more.
    UsedUpByAll,
}

/// What became of a troupe's VUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Played {
    /// How many VUs started.
    pub started: u32,
    /// How many could not.
    pub never_started: u32,
}

/// A scenario's VUs on one thread.
pub struct Troupe<S: Script> {
    company: Arc<Company<S>>,
    thread: u32,
    share: Share,
    /// VUs made beforehand, by their place in the share.
    ready: VecDeque<S::Vu>,
    /// The number that was taken for the one of an open model.
    reserved: Option<(u64, u32)>,
    data: Arc<str>,
    /// In a closed model by the place in the share.
    parts: Vec<Part>,
    /// In an open model those that nobody has.
    vacant: Vec<usize>,
    playing: JoinSet<(usize, Ended)>,
    played: Played,
}

/// A place for a VU, and who has it.
struct Part {
    leave: Arc<Leave>,
    /// How many have had it before.
    life: u32,
    alive: Option<AbortHandle>,
    /// When it is cut, once it is asked to leave before the scenario's end.
    cut: Option<Instant>,
    /// For an open model.
    moored: Option<(Moored, u64)>,
}

impl<S: Script> Troupe<S> {
    /// A thread's VUs of a scenario; none is made yet.
    pub fn new(company: Arc<Company<S>>, thread: u32) -> Self {
        Self {
            share: company.share(thread),
            company,
            thread,
            ready: VecDeque::new(),
            reserved: None,
            vacant: Vec::new(),
            data: Arc::default(),
            parts: Vec::new(),
            playing: JoinSet::new(),
            played: Played::default(),
        }
    }

    /// Makes the VUs that are needed at once, so that the start is only a start;
    /// of an open model, one, which tells whether the script can be run at all.
    ///
    /// # Errors
    ///
    /// If a VU cannot be made.
    pub async fn prepare(&mut self) -> Result<(), ScriptError> {
        let executor = &self.company.plan().executor;
        let mut seats = Vec::new();
        if executor.is_open() {
            if self.thread == 0 {
                self.reserved = self.company.harbour.take();
            }
            if let Some((number, life)) = self.reserved {
                let leave = self.part(0).leave.clone();
                seats.push(self.company.seat(number, life, leave));
                self.vacant.push(0);
            }
        } else {
            for place in 0..Profile::of(executor).vus(0.0, self.share) {
                let number = self.share.item(place.into());
                let leave = self.part(place as usize).leave.clone();
                seats.push(self.company.seat(number, 0, leave));
            }
        }
        for seat in seats {
            let mut vu = self
                .company
                .script
                .vu(seat)
                .map_err(|problem| ScriptError::new(problem.to_string()))?;
            vu.prepare().await?;
            self.ready.push_back(vu);
        }
        Ok(())
    }

    /// Plays the scenario, which begins at `origin` with what `setup` returned.
    /// `stopped` is called once, when no more iterations start.
    pub async fn play(
        mut self,
        origin: Instant,
        data: Arc<str>,
        orders: UnboundedReceiver<Order>,
        stopped: impl FnOnce(),
    ) -> Played {
        self.data = data;
        let plan = self.company.plan().clone();
        let profile = Profile::of(&plan.executor);
        let course = Course {
            timeline: Timeline::new(origin),
            end: profile.end(),
            graceful_stop: plan.graceful_stop,
            orders,
            stopping: None,
            cut: false,
        };
        if let Some(from) = self.company.from {
            sleep_until(from.into()).await;
        }
        match plan.executor {
            Executor::ConstantArrivalRate { arrivals, .. }
            | Executor::RampingArrivalRate { arrivals, .. } => {
                // Scenarios side by side must not have the same gaps.
                let seed = self.company.run.plan.seed ^ (self.company.scenario as u64) << 48;
                let arrivals = Arrivals::new(profile, self.share, arrivals, seed);
                self.open(course, arrivals, stopped).await
            }
            _ => self.closed(course, profile, &plan.executor, stopped).await,
        }
    }

    /// VUs that run one iteration after the other.
    async fn closed(
        mut self,
        mut course: Course,
        mut profile: Profile,
        executor: &Executor,
        stopped: impl FnOnce(),
    ) -> Played {
        let mut stopped = Some(stopped);
        let grace = match executor {
            Executor::RampingVus {
                graceful_ramp_down, ..
            } => *graceful_ramp_down,
            // Fewer VUs than planned is what somebody asked for.
            _ => course.graceful_stop,
        };
        let quota = match executor {
            Executor::PerVuIterations { iterations, .. } if self.company.from.is_none() => {
                Quota::Own(*iterations)
            }
            Executor::PerVuIterations { .. } | Executor::SharedIterations { .. } => {
                Quota::Shared(self.company.left.clone())
            }
            _ => Quota::Unlimited,
        };
        let gate = Arc::new(Gate::new(course.end_at().unwrap_or_else(now)));
        while let Some((at, steer)) = course.steered_before() {
            steer_closed(&mut course, &mut profile, &gate, at, steer);
        }
        let mut present = 0;
        let mut cuts: VecDeque<(Instant, usize)> = VecDeque::new();
        loop {
            let now = now();
            let over = course.is_over(now);
            let begin = course.timeline.at(0.0);
            let has_begun = begin.is_some_and(|begin| now >= begin);
            let at = course.timeline.elapsed(now).as_secs_f64();
            let wanted = match has_begun && !over {
                true => profile.vus(at, self.share) as usize,
                false => 0,
            };
            for place in present..wanted {
                self.enter(place, &gate, &quota);
            }
            for place in wanted..present {
                self.parts[place].leave.ask();
                if !over && self.parts[place].alive.is_some() {
                    self.parts[place].cut = Some(now + grace);
                    cuts.push_back((now + grace, place));
                }
            }
            present = wanted;
            while let Some((at, place)) = cuts.front().copied()
                && at <= now
            {
                cuts.pop_front();
                self.cut(place, at);
            }
            if over && let Some(stopped) = stopped.take() {
                stopped();
            }
            course.cut_if_due(now, &mut self.playing);
            let next = profile.next_change(at, self.share);
            // VUs may have ended by themselves, and none comes after them. Where
            // there are to be none, somebody may still ask for some.
            let is_idle = present == 0 && matches!(quota, Quota::Unlimited);
            let is_done = has_begun && next.is_none() && !is_idle;
            if self.playing.is_empty() && (over || is_done) {
                break;
            }
            let next = match has_begun {
                _ if over => None,
                true => next.and_then(|next| course.timeline.at(next)),
                false => begin,
            };
            let wake = [next, course.next(over), cuts.front().map(|(at, _)| *at)];
            tokio::select! {
                biased;
                Some(order) = course.orders.recv() => match order {
                    Order::Steer { at, steer } => {
                        steer_closed(&mut course, &mut profile, &gate, at, steer);
                    }
                    Order::Stop => course.stop(),
                    Order::Cut => course.cut(&mut self.playing),
                },
                Some(ended) = self.playing.join_next() => {
                    if let Some((place, Ended::Done)) = self.left(ended)
                        && place < present
                        && matches!(quota, Quota::Unlimited)
                        && !course.is_over(crate::vu::now())
                        && !self.company.run.stopping()
                    {
                        // It was on its way out when it was wanted again.
                        self.enter(place, &gate, &quota);
                    }
                }
                () = at_the_first_of(wake) => {}
            }
        }
        if let (Executor::PerVuIterations { iterations, .. }, None) = (executor, self.company.from)
        {
            // Those of VUs that nobody came to start.
            let vus = profile.vus(0.0, self.share) as usize;
            let unborn = vus.saturating_sub(self.parts.iter().filter(|part| part.life > 0).count());
            let lost = iterations.saturating_mul(unborn as u64);
            if lost > 0 {
                let marks = self.company.marks;
                shard::with(|shard| shard.dropped_iterations(lost, DropReason::RunEnded, marks));
            }
        }
        if let Some(stopped) = stopped {
            stopped();
        }
        self.played
    }

    /// Iterations that start when they are due.
    async fn open(
        mut self,
        mut course: Course,
        mut arrivals: Arrivals,
        stopped: impl FnOnce(),
    ) -> Played {
        let mut stopped = Some(stopped);
        let dock = self.company.harbour.dock(self.thread as usize);
        let mut alarm = Alarm::new();
        let mut backlog = Backlog::default();
        let mut dismissed = false;
        let has_rows = !self.company.run.plan.data.is_empty();
        let mut rows = self.company.rows.subscribe();
        while let Some((at, steer)) = course.steered_before() {
            steer_open(&mut course, &mut arrivals, at, steer);
        }
        if let Some(from) = self.company.from {
            // They were another's.
            let due = |arrivals: &Arrivals, course: &Course| {
                arrivals.due().and_then(|at| course.timeline.at(at))
            };
            while due(&arrivals, &course).is_some_and(|at| at < from) {
                arrivals.pass();
            }
        }
        loop {
            let now = now();
            let mut due = None;
            while let Some(at) = arrivals.due().and_then(|at| course.timeline.at(at)) {
                if at > now {
                    due = Some(at);
                    break;
                }
                if course.stopping.is_some_and(|stopping| at > stopping) {
                    break;
                }
                arrivals.pass();
                backlog.push(at, now);
            }
            let is_stopping = course.stopping.is_some();
            if !is_stopping {
                backlog.hand_out(|due| dock.give(due));
                for due in backlog.let_go(now, self.playing.len()) {
                    self.recruit(due, &dock);
                }
            }
            // What was due in time still starts.
            let over = course.is_over(now) && (is_stopping || backlog.is_empty());
            if over {
                due = None;
                // They were due, and the thread had not come to them.
                let lost = backlog.clear();
                if lost > 0 {
                    let marks = self.company.marks;
                    shard::with(|shard| {
                        shard.dropped_iterations(lost, DropReason::RunEnded, marks)
                    });
                }
                if !dismissed {
                    dismissed = true;
                    for part in &self.parts {
                        if let Some((moored, _)) = &part.moored {
                            moored.dismiss();
                        }
                    }
                    if let Some(stopped) = stopped.take() {
                        stopped();
                    }
                }
                course.cut_if_due(now, &mut self.playing);
                if self.playing.is_empty() {
                    break;
                }
            }
            let next = course.next(over);
            tokio::select! {
                biased;
                Some(order) = course.orders.recv() => match order {
                    Order::Steer { at, steer } => {
                        steer_open(&mut course, &mut arrivals, at, steer);
                    }
                    Order::Stop => course.stop(),
                    Order::Cut => course.cut(&mut self.playing),
                },
                Some(ended) = self.playing.join_next() => {
                    self.left(ended);
                }
                () = async {
                    match due {
                        Some(due) if backlog.is_empty() => alarm.until(due).await,
                        _ => pending().await,
                    }
                } => {}
                () = yield_now(), if !backlog.is_empty() => backlog.went_around(),
                () = at_the_first_of([next]), if backlog.is_empty() => {}
                Ok(_) = rows.wait_for(|rows| *rows == Rows::UsedUpByAll),
                    if has_rows && course.stopping.is_none() => course.stop(),
            }
        }
        self.played
    }

    /// Makes a VU for an iteration that is due, or finds one of another thread,
    /// or drops it.
    fn recruit(&mut self, due: Instant, dock: &Arc<Dock>) {
        // Another VU would end as soon as it asks for its row.
        let out_of_rows = self.company.is_out_of_rows();
        let berth = match out_of_rows {
            true => None,
            false => self.reserved.take().or_else(|| self.company.harbour.take()),
        };
        if let Some((number, life)) = berth {
            self.embark(due, number, life, dock);
            return;
        }
        let elsewhere = &self.company.harbour;
        if !elsewhere.give_elsewhere(self.thread as usize, due) {
            let reason = match out_of_rows {
                true => DropReason::NoRow,
                false => DropReason::NoFreeVu,
            };
            let marks = self.company.marks;
            shard::with(|shard| shard.dropped_iterations(1, reason, marks));
        }
    }

    /// Makes a VU of an open model for an iteration.
    fn embark(&mut self, due: Instant, number: u64, life: u32, dock: &Arc<Dock>) {
        let place = self.vacant.pop().unwrap_or(self.parts.len());
        let leave = self.part(place).leave.clone();
        leave.revoke();
        let (mut tickets, moored) =
            OpenTickets::new(due, dock.clone(), leave.clone(), self.company.marks);
        let seat = self.company.seat(number, life, leave);
        let vu = self.take_ready(&seat);
        let data = self.data.clone();
        let running = Running::count(&self.company.running);
        let alive = self.playing.spawn(async move {
            let _running = running;
            let mut vu = match vu {
                Ok(vu) => vu,
                Err(error) => {
                    seat.script_failed(0, &error);
                    tickets.vu_failed();
                    return (place, Ended::NeverStarted);
                }
            };
            let ended = play(&mut vu, &seat, data, &mut tickets).await;
            if ended == Ended::NeverStarted {
                tickets.vu_failed();
            }
            (place, ended)
        });
        self.played.started += 1;
        let part = self.part(place);
        part.life = life + 1;
        part.alive = Some(alive);
        part.moored = Some((moored, number));
    }

    /// Starts a VU of a closed model, unless there is one in its place that was
    /// about to leave.
    fn enter(&mut self, place: usize, gate: &Arc<Gate>, quota: &Quota) {
        let part = self.part(place);
        part.cut = None;
        part.leave.revoke();
        if part.alive.is_some() {
            return;
        }
        let (life, leave) = (part.life, part.leave.clone());
        let number = self.share.item(place as u64);
        let seat = self.company.seat(number, life, leave.clone());
        let mut tickets = ClosedTickets {
            gate: gate.clone(),
            leave,
            run: self.company.run.clone(),
            quota: quota.clone(),
            marks: self.company.marks,
            reason: DropReason::RunEnded,
        };
        let vu = self.take_ready(&seat);
        let data = self.data.clone();
        let running = Running::count(&self.company.running);
        let alive = self.playing.spawn(async move {
            let _running = running;
            match vu {
                Ok(mut vu) => (place, play(&mut vu, &seat, data, &mut tickets).await),
                Err(error) => {
                    seat.script_failed(0, &error);
                    (place, Ended::NeverStarted)
                }
            }
        });
        self.played.started += 1;
        let part = self.part(place);
        part.life += 1;
        part.alive = Some(alive);
    }

    /// A VU that was made beforehand, or a new one.
    fn take_ready(&mut self, seat: &Seat) -> Result<S::Vu, ScriptError> {
        match self.ready.pop_front() {
            Some(vu) => Ok(vu),
            None => self
                .company
                .script
                .vu(seat.clone())
                .map_err(|problem| ScriptError::new(problem.to_string())),
        }
    }

    fn part(&mut self, place: usize) -> &mut Part {
        while self.parts.len() <= place {
            self.parts.push(Part {
                leave: Arc::default(),
                life: 0,
                alive: None,
                cut: None,
                moored: None,
            });
        }
        &mut self.parts[place]
    }

    /// Cuts a VU that had until now to leave, unless it is wanted again.
    fn cut(&mut self, place: usize, at: Instant) {
        let part = &mut self.parts[place];
        if part.cut == Some(at)
            && let Some(alive) = part.alive.take()
        {
            part.cut = None;
            alive.abort();
        }
    }

    /// Takes note of a VU that has ended: its place, and how.
    fn left(&mut self, ended: Result<(usize, Ended), JoinError>) -> Option<(usize, Ended)> {
        let (place, ended) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Cut: the iteration has recorded its interruption.
            Err(_) => return None,
        };
        if ended == Ended::NeverStarted {
            self.played.started -= 1;
            self.played.never_started += 1;
            self.company.never_came.fetch_add(1, Ordering::Relaxed);
        }
        let part = &mut self.parts[place];
        part.alive = None;
        part.cut = None;
        self.company.heard_of(ended);
        if let Some((_, number)) = &part.moored {
            self.company.harbour.give_back(*number, part.life - 1);
            self.vacant.push(place);
        }
        Some((place, ended))
    }
}

fn steer_closed(
    course: &mut Course,
    profile: &mut Profile,
    gate: &Gate,
    at: Instant,
    steer: Steer,
) {
    match steer {
        Steer::Target(target) => {
            let from = course.timeline.elapsed(at).as_secs_f64();
            *profile = profile.replaced(from, target);
        }
        Steer::Pause => {
            course.timeline.pause(at);
            gate.pause(at);
        }
        Steer::Resume => {
            course.timeline.resume(at);
            gate.resume(at, course.end_at().unwrap_or(at));
        }
    }
}

fn steer_open(course: &mut Course, arrivals: &mut Arrivals, at: Instant, steer: Steer) {
    match steer {
        Steer::Target(target) => {
            let from = course.timeline.elapsed(at).as_secs_f64();
            let profile = arrivals.profile().replaced(from, target);
            arrivals.follow(profile);
        }
        Steer::Pause => course.timeline.pause(at),
        Steer::Resume => course.timeline.resume(at),
    }
}

/// How far a scenario has come, and what it was told.
struct Course {
    timeline: Timeline,
    /// Seconds after its start at which it ends.
    end: f64,
    graceful_stop: Duration,
    orders: UnboundedReceiver<Order>,
    /// When it was told to stop.
    stopping: Option<Instant>,
    cut: bool,
}

impl Course {
    /// What it was told before it began; an end comes as an end.
    fn steered_before(&mut self) -> Option<(Instant, Steer)> {
        match self.orders.try_recv().ok()? {
            Order::Steer { at, steer } => Some((at, steer)),
            Order::Stop => {
                self.stop();
                None
            }
            Order::Cut => {
                self.stop();
                self.cut = true;
                None
            }
        }
    }

    fn end_at(&self) -> Option<Instant> {
        self.timeline.at(self.end)
    }

    /// When iterations stopped starting, or will.
    fn last(&self) -> Option<Instant> {
        match (self.stopping, self.end_at()) {
            (Some(stopping), Some(end)) => Some(stopping.min(end)),
            (stopping, end) => stopping.or(end),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.last().is_some_and(|last| now >= last)
    }

    /// When there is next something to do, apart from what the executor does.
    fn next(&self, over: bool) -> Option<Instant> {
        let last = self.last()?;
        match over {
            true if self.cut => None,
            true => Some(last + self.graceful_stop),
            false => Some(last),
        }
    }

    /// Drops what is left once its time is over.
    fn cut_if_due<T: 'static>(&mut self, now: Instant, playing: &mut JoinSet<T>) {
        let limit = self.last().map(|last| last + self.graceful_stop);
        if !self.cut && limit.is_some_and(|limit| now >= limit) {
            self.cut = true;
            playing.abort_all();
        }
    }

    fn stop(&mut self) {
        self.stopping.get_or_insert_with(now);
    }

    fn cut<T: 'static>(&mut self, playing: &mut JoinSet<T>) {
        self.stop();
        self.cut = true;
        playing.abort_all();
    }
}

/// Sleeps until the first of some points in time, or for ever.
async fn at_the_first_of<const N: usize>(times: [Option<Instant>; N]) {
    match times.into_iter().flatten().min() {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// Counts a VU among those running, until it is dropped.
struct Running(Arc<AtomicU32>);

impl Running {
    fn count(running: &Arc<AtomicU32>) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
