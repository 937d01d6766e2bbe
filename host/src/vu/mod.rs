//! The port of virtual users: what an executor runs, whatever plays it.
//!
//! A [`Script`] makes VUs. A [`VirtualUser`] does one iteration at a time; [`play`] runs it for as
//! long as its executor hands out [`Tickets`], and records how each iteration
//! ended. Executors and runs are tested with fakes; the real one is
//! [`wasm::script`](crate::wasm::script).

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::error::Problem;
use crate::event::{Clock, EventKind, Interests, LogMessage, Origin, ScriptFailure};
use crate::measure::{IterationEnd, LogLevel, ScriptError};
use crate::plan::Plan;
use crate::recorder::Feed;
use crate::recorder::measured::{MeasurementKind, Moment, Row};
use crate::stats::tracking::SCENARIO;
use crate::stats::{Marks, Tracking, shard};
use crate::units::Pretty;

/// What VUs are made from: a script that is ready to run.
pub trait Script: Send + Sync + 'static {
    /// What plays one user.
    type Vu: VirtualUser + Send + 'static;

    /// Makes a VU, on the thread on which it will live. Costs next to nothing:
    /// [`VirtualUser::prepare`] does the work.
    ///
    /// # Errors
    ///
    /// If the machine gives no more of what a VU needs.
    fn vu(&self, seat: Seat) -> Result<Self::Vu, Problem>;

    /// Whether the script has hooks around its iterations. One that has none
    /// needs no VU for `setup` and `teardown`.
    fn has_lifecycle(&self) -> bool;
}

impl<S: Script> Script for Arc<S> {
    type Vu = S::Vu;

    fn vu(&self, seat: Seat) -> Result<Self::Vu, Problem> {
        (**self).vu(seat)
    }

    fn has_lifecycle(&self) -> bool {
        (**self).has_lifecycle()
    }
}

/// Something that plays one user. Its calls come one at a time; each ends
/// with the script's answer, or with its failure.
pub trait VirtualUser {
    /// Makes everything ready, so that the first iteration is no slower than
    /// the others.
    fn prepare(&mut self) -> impl Future<Output = Result<(), ScriptError>> + Send;

    /// Runs the script's `setup`: what it returned for all VUs.
    fn setup(&mut self) -> impl Future<Output = Result<Arc<str>, ScriptError>> + Send;

    /// Begins, with what `setup` returned. An error ends the VU.
    fn start(&mut self, data: Arc<str>) -> impl Future<Output = Result<Next, ScriptError>> + Send;

    /// Plays iteration `number`, counted from 0. In an open model `lag` is how
    /// long after it was due it starts.
    fn iterate(
        &mut self,
        number: u32,
        lag: Option<Duration>,
    ) -> impl Future<Output = Result<Next, ScriptError>> + Send;

    /// Winds up after the last iteration.
    fn stop(&mut self) -> impl Future<Output = Result<(), ScriptError>> + Send;

    /// Runs the script's `teardown`, with what `setup` returned.
    fn teardown(&mut self, data: &str) -> impl Future<Output = Result<(), ScriptError>> + Send;
}

/// What a VU does after its start, or after an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one, if its executor says so.
    Continue,
    /// Nothing more: the script ended this VU.
    StopVu,
    /// Nothing more from this VU, nor from another in its place: rows of data
    /// are used up that the script needs. The iteration took place.
    NoMoreRows,
    /// The same, and there was no iteration: it ended for want of its row.
    NoRow,
}

/// An executor's say in when a VU starts its next iteration.
pub trait Tickets {
    /// Waits until the VU may start its next iteration; `None` if there is no
    /// more for it. A ticket that was handed out is used.
    fn next(&mut self) -> impl Future<Output = Option<Ticket>> + Send;

    /// Takes note that the VU ends because rows of data are used up, and of the
    /// ticket that it could not use, if there is one.
    fn out_of_rows(&mut self, unused: Option<Ticket>);
}

/// The right to start an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// In a closed model: whenever the VU is free, so it never lags.
    WhenFree,
    /// In an open model: at this time, and late if the VU starts later.
    Due(Instant),
}

/// Tells one VU that it is to end: it finishes its iteration, and wakes if the
/// iteration only sleeps.
#[derive(Debug, Default)]
pub struct Leave {
    asked: AtomicBool,
    heard: Notify,
}

impl Leave {
    /// Asks the VU to end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.heard.notify_waiters();
    }

    /// Takes it back. The VU may be ending already.
    pub fn revoke(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Whether the VU is to end.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until the VU is to end.
    pub async fn asked(&self) {
        loop {
            let mut heard = pin!(self.heard.notified());
            // Listens before it looks, so that nothing is missed in between.
            heard.as_mut().enable();
            if self.is_asked() {
                return;
            }
            heard.await;
        }
    }
}

/// How far a run has come. Only the conductor changes it, and each worker for its
/// own VUs, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// VUs are being made; `setup` runs.
    #[default]
    Starting,
    /// Iterations start.
    Running,
    /// No new iterations start; those under way may end.
    Stopping,
    /// Everything has ended; recorders write what is left.
    Finishing,
}

/// What all VUs of a node share.
#[derive(Debug)]
pub struct RunContext {
    /// The plan.
    pub plan: Arc<Plan>,
    /// This node's name.
    pub node: Arc<str>,
    /// The way to the recorders.
    pub feed: Feed,
    /// What the plan's thresholds are on, and what it is grouped by.
    pub tracking: Arc<Tracking>,
    phase: watch::Sender<Phase>,
    /// What of the phase is asked for before each iteration.
    stopping: AtomicBool,
    clock: OnceLock<Clock>,
    created: Clock,
    log_messages: AtomicU64,
    script_failures: AtomicU64,
    abort: watch::Sender<Option<Arc<str>>>,
    end: watch::Sender<Option<Arc<str>>>,
    broken_off: AtomicBool,
}

impl RunContext {
    /// The context of a run that is starting on one node.
    pub fn new(plan: Arc<Plan>, node: Arc<str>, feed: Feed) -> Self {
        Self {
            tracking: Arc::new(Tracking::of(&plan)),
            plan,
            node,
            feed,
            phase: watch::Sender::new(Phase::Starting),
            stopping: AtomicBool::new(false),
            clock: OnceLock::new(),
            created: Clock::start(),
            log_messages: AtomicU64::new(0),
            script_failures: AtomicU64::new(0),
            abort: watch::Sender::new(None),
            end: watch::Sender::new(None),
            broken_off: AtomicBool::new(false),
        }
    }

    /// Sets the run's clock. Later calls change nothing.
    pub fn start_clock_at(&self, clock: Clock) -> Clock {
        *self.clock.get_or_init(|| clock)
    }

    /// The run's clock; before the start, one that began with the context.
    pub fn clock(&self) -> &Clock {
        self.clock.get().unwrap_or(&self.created)
    }

    /// How far the run has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Enters another phase. For the conductor and the worker alone.
    pub fn enter(&self, phase: Phase) {
        self.stopping
            .store(phase >= Phase::Stopping, Ordering::Relaxed);
        self.phase.send_replace(phase);
    }

    /// Whether no new iterations may start.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends the whole run as failed. The first reason counts.
    pub fn abort(&self, reason: Arc<str>) {
        give(&self.abort, reason);
    }

    /// Waits until a script ends the run: the reason it gave.
    pub async fn aborted(&self) -> Arc<str> {
        given(&self.abort).await
    }

    /// The reason for which a script ended the run, if one did.
    pub fn abort_reason(&self) -> Option<Arc<str>> {
        self.abort.borrow().clone()
    }

    /// The marks of everything that is measured in a scenario.
    pub fn marks(&self, scenario: &str) -> Marks {
        let known = self.plan.scenarios.iter().find(|it| *it.name == *scenario);
        let tags = known.map_or(&self.plan.tags, |scenario| &scenario.tags);
        let tags = tags.iter().map(|(name, value)| (&**name, &**value));
        self.tracking.marks(tags.chain([(SCENARIO, scenario)]))
    }

    /// Ends the whole run as if its time were over. The first reason counts.
    pub fn end(&self, reason: Arc<str>) {
        give(&self.end, reason);
    }

    /// Ends the whole run because it cannot go on as planned: its result is
    /// incomplete.
    pub fn break_off(&self, reason: Arc<str>) {
        self.broken_off.store(true, Ordering::Relaxed);
        self.end(reason);
    }

    /// Whether the run could not go on as planned.
    pub fn is_broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Relaxed)
    }

    /// Waits until something ends the run before its time: the reason.
    pub async fn ended(&self) -> Arc<str> {
        given(&self.end).await
    }

    /// The reason for which the run was ended before its time, if it was.
    pub fn end_reason(&self) -> Option<Arc<str>> {
        self.end.borrow().clone()
    }

    /// Publishes an event that happens now.
    pub fn publish(&self, kind: EventKind) {
        self.feed
            .publish(self.clock().event(self.node.clone(), kind));
    }

    /// Publishes a single measurement that was made then.
    pub fn measure(&self, at: Instant, write: impl FnOnce(&mut Row<'_>) -> MeasurementKind) {
        let clock = self.clock();
        let moment = Moment {
            time_ms: clock.wall_ms(at),
            elapsed: clock.elapsed_at(at),
            node: &self.node,
        };
        self.feed.measure(moment, write);
    }

    /// Publishes an event that happens now to the recorders with this stats
    /// interval.
    pub fn publish_at(&self, interval: Duration, kind: EventKind) {
        self.feed
            .publish_at(interval, self.clock().event(self.node.clone(), kind));
    }

    /// Takes a message of a script for the run's log. Beyond the run's limit
    /// messages are only counted.
    pub fn log(&self, origin: Origin, level: LogLevel, message: &str) {
        let before = self.log_messages.fetch_add(1, Ordering::Relaxed);
        if before >= self.plan.limits.log_messages || !self.feed.admits(Interests::LOGS) {
            return;
        }
        let message = message.into();
        self.publish(EventKind::Log(Box::new(LogMessage {
            origin,
            level,
            message,
        })));
    }

    /// How many messages of scripts went beyond the run's limit.
    pub fn log_messages_lost(&self) -> u64 {
        let all = self.log_messages.load(Ordering::Relaxed);
        all.saturating_sub(self.plan.limits.log_messages)
    }

    /// How many failures of scripts went beyond the run's limit: they are in the
    /// statistics, but recorders were not told of each.
    pub fn script_failures_untold(&self) -> u64 {
        let all = self.script_failures.load(Ordering::Relaxed);
        all.saturating_sub(self.plan.limits.log_messages)
    }
}

/// Puts a reason where there is none yet.
fn give(place: &watch::Sender<Option<Arc<str>>>, reason: Arc<str>) {
    place.send_if_modified(|given| {
        let first = given.is_none();
        if first {
            *given = Some(reason);
        }
        first
    });
}

/// Waits for a reason.
async fn given(place: &watch::Sender<Option<Arc<str>>>) -> Arc<str> {
    let mut place = place.subscribe();
    let reason = place.wait_for(Option::is_some).await;
    reason
        .ok()
        .and_then(|reason| reason.clone())
        .expect("the sender lives in its context, and it was waited for a reason")
}

/// Which VU of a run.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The run.
    pub run: Arc<RunContext>,
    /// The scenario.
    pub scenario: Arc<str>,
    /// The VU's number, from 1, unique in the run among those that live at the
    /// same time.
    pub vu: u32,
    /// How many VUs had this number before.
    pub life: u32,
    /// How it is told to end.
    pub leave: Arc<Leave>,
}

impl Seat {
    /// The marks of everything that this VU measures: of its scenario, and of
    /// the tags that the user gave.
    pub fn marks(&self) -> Marks {
        self.run.marks(&self.scenario)
    }

    fn origin(&self, iteration: u32) -> Origin {
        Origin {
            scenario: self.scenario.clone(),
            vu: self.vu,
            iteration,
        }
    }

    /// Records a failure of the script's own. Recorders are told of each up to
    /// the limit on log messages: a script that fails at once, again and again,
    /// must not flood them.
    pub fn script_failed(&self, iteration: u32, error: &ScriptError) {
        let now_ms = self.run.clock().now_ms();
        shard::with(|shard| shard.script_failure(&self.scenario, error, now_ms));
        if self.run.feed.admits(Interests::SCRIPT_ERRORS) {
            let before = self.run.script_failures.fetch_add(1, Ordering::Relaxed);
            if before >= self.run.plan.limits.log_messages {
                return;
            }
            let error = error.clone();
            let origin = self.origin(iteration);
            self.run
                .publish(EventKind::ScriptError(Box::new(ScriptFailure {
                    origin,
                    error,
                })));
        }
    }
}

/// How a VU's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its executor had nothing more for it.
    Done,
    /// The script ended it.
    Stopped,
    /// Rows of data are used up that the script needs.
    OutOfRows,
    /// It could not start.
    NeverStarted,
}

/// Runs a VU until its executor has no more tickets, or the script ends it.
///
/// Records each iteration in this thread's shard. Dropping the future
/// interrupts the iteration, which is recorded too.
pub async fn play<V: VirtualUser>(
    vu: &mut V,
    seat: &Seat,
    data: Arc<str>,
    tickets: &mut impl Tickets,
) -> Ended {
    let mut ended = Ended::Done;
    let limits = &seat.run.plan.limits;
    match hook("on-start", limits.on_start_timeout, vu.start(data)).await {
        Ok(Next::Continue) => {}
        Ok(Next::StopVu) => ended = Ended::Stopped,
        Ok(Next::NoMoreRows | Next::NoRow) => {
            tickets.out_of_rows(None);
            ended = Ended::OutOfRows;
        }
        Err(error) => {
            seat.script_failed(0, &error);
            return Ended::NeverStarted;
        }
    }
    let marks = seat.marks();
    let mut number: u32 = 0;
    while ended == Ended::Done
        && let Some(ticket) = tickets.next().await
    {
        let started = now();
        let late = match ticket {
            Ticket::WhenFree => None,
            Ticket::Due(due) => Some(started.saturating_duration_since(due)),
        };
        let flight = InFlight(marks);
        let played = vu.iterate(number, late).await;
        std::mem::forget(flight);
        if played == Ok(Next::NoRow) {
            tickets.out_of_rows(Some(ticket));
            ended = Ended::OutOfRows;
            break;
        }
        let end = if played.is_ok() {
            IterationEnd::Passed
        } else {
            IterationEnd::Failed
        };
        let done_at = now();
        let duration = done_at.saturating_duration_since(started);
        shard::with(|shard| shard.iteration(end, duration, late, marks));
        if let Err(error) = &played {
            seat.script_failed(number, error);
        }
        report_iteration(seat, number, done_at, duration, late, &played);
        number = number.saturating_add(1);
        match played {
            Ok(Next::StopVu) => ended = Ended::Stopped,
            Ok(Next::NoMoreRows) => {
                tickets.out_of_rows(None);
                ended = Ended::OutOfRows;
            }
            _ => {}
        }
        // An iteration that never waited must not keep the thread to itself.
        tokio::task::coop::consume_budget().await;
    }
    if let Err(error) = hook("on-stop", limits.on_stop_timeout, vu.stop()).await {
        seat.script_failed(number, &error);
    }
    ended
}

/// Gives a hook of the script so much time, waiting included.
async fn hook<T>(
    name: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, ScriptError>>,
) -> Result<T, ScriptError> {
    let timeout = tokio::time::timeout(limit, call);
    timeout.await.unwrap_or_else(|_| {
        Err(ScriptError::new(format!(
            "`{name}` took longer than {}: `--{name}-timeout` gives it more time",
            Pretty(limit)
        )))
    })
}

/// Now, by a clock that tests can stop.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn report_iteration(
    seat: &Seat,
    number: u32,
    done_at: Instant,
    duration: Duration,
    lag: Option<Duration>,
    played: &Result<Next, ScriptError>,
) {
    if seat.run.feed.admits(Interests::ITERATIONS) {
        seat.run.measure(done_at, |row| MeasurementKind::Iteration {
            place: row.place(&seat.scenario, seat.vu, number),
            duration: duration.into(),
            lag: lag.map(Into::into),
            failure: played.as_ref().err().map(|it| row.shared(&it.message)),
        });
    }
}

/// An iteration under way. Dropped with it, it records the interruption.
struct InFlight(Marks);

impl Drop for InFlight {
    fn drop(&mut self) {
        shard::with(|shard| {
            shard.iteration(IterationEnd::Interrupted, Duration::ZERO, None, self.0);
        });
    }
}
