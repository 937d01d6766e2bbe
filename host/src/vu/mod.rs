//! The port of virtual users: what an executor runs, whatever plays it.
//!
//! A [`Script`] makes VUs. A [`VirtualUser`] does one iteration at a time; [`play`] runs it for as
//! long as its executor hands out [`Tickets`], and records how each iteration
//! ended. Executors and runs are tested with fakes; the real one is
//! [`wasm::script`](crate::wasm::script).

use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::Problem;
use crate::event::{self, Clock, EventKind, Interests, LogMessage, Origin, ScriptFailure};
use crate::measure::{IterationEnd, LogLevel, ScriptError};
use crate::plan::Plan;
use crate::recorder::Feed;
use crate::stats::shard;

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

/// Something that plays one user. Its calls come one at a time; each ends
/// with the script's answer, or with its failure.
pub trait VirtualUser {
    /// Makes everything ready, so that the first iteration is no slower than
    /// the others.
    fn prepare(&mut self) -> impl Future<Output = Result<(), ScriptError>> + Send;

    /// Runs the script's `setup`: what it returned for all VUs.
    fn setup(&mut self) -> impl Future<Output = Result<Arc<str>, ScriptError>> + Send;

    /// Begins, with what `setup` returned. An error ends the VU.
    fn start(&mut self, data: Arc<str>) -> impl Future<Output = Result<(), ScriptError>> + Send;

    /// Plays iteration `number`, counted from 0.
    fn iterate(&mut self, number: u32) -> impl Future<Output = Result<Next, ScriptError>> + Send;

    /// Winds up after the last iteration.
    fn stop(&mut self) -> impl Future<Output = Result<(), ScriptError>> + Send;

    /// Runs the script's `teardown`, with what `setup` returned.
    fn teardown(&mut self, data: &str) -> impl Future<Output = Result<(), ScriptError>> + Send;
}

/// What a VU does after an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one, if its executor says so.
    Continue,
    /// Nothing more: the script ended this VU.
    StopVu,
}

/// An executor's say in when a VU starts its next iteration.
pub trait Tickets {
    /// When the next iteration is due, or `None` if there is none. Called by
    /// each VU before each of its iterations; a ticket that was handed out is
    /// used.
    fn next(&self) -> Option<Instant>;
}

/// How far a run has come. Only the conductor changes it.
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
    phase: watch::Sender<Phase>,
    /// What of the phase is asked for before each iteration.
    stopping: AtomicBool,
    clock: OnceLock<Clock>,
    created: Clock,
    log_messages: AtomicU64,
    script_failures: AtomicU64,
    abort: watch::Sender<Option<Arc<str>>>,
}

impl RunContext {
    /// The context of a run that is starting on one node.
    pub fn new(plan: Arc<Plan>, node: Arc<str>, feed: Feed) -> Self {
        Self {
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
        }
    }

    /// Starts the run's clock. Later calls change nothing.
    pub fn start_clock(&self) -> Clock {
        *self.clock.get_or_init(Clock::start)
    }

    /// The run's clock; before the start, one that began with the context.
    pub fn clock(&self) -> &Clock {
        self.clock.get().unwrap_or(&self.created)
    }

    /// How far the run has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Enters another phase. For the conductor alone.
    pub fn enter(&self, phase: Phase) {
        self.stopping
            .store(phase >= Phase::Stopping, Ordering::Relaxed);
        self.phase.send_replace(phase);
    }

    /// Whether no new iterations may start.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Waits until no new iterations start.
    pub async fn stopped(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives in this context, so the wait cannot fail.
        let _ = phase.wait_for(|phase| *phase >= Phase::Stopping).await;
    }

    /// Ends the whole run as failed. The first reason counts.
    pub fn abort(&self, reason: Arc<str>) {
        self.abort.send_if_modified(|abort| {
            let first = abort.is_none();
            if first {
                *abort = Some(reason);
            }
            first
        });
    }

    /// Waits until a script ends the run: the reason it gave.
    pub async fn aborted(&self) -> Arc<str> {
        let mut abort = self.abort.subscribe();
        let reason = abort.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .expect("the sender lives in this context, and it was waited for a reason")
    }

    /// The reason for which a script ended the run, if one did.
    pub fn abort_reason(&self) -> Option<Arc<str>> {
        self.abort.borrow().clone()
    }

    /// Publishes an event that happens now.
    pub fn publish(&self, kind: EventKind) {
        self.feed
            .publish(self.clock().event(self.node.clone(), kind));
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
        if before >= self.plan.limits.log_messages || !self.feed.wants(Interests::LOGS) {
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

/// Which VU of a run.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The run.
    pub run: Arc<RunContext>,
    /// The scenario.
    pub scenario: Arc<str>,
    /// The VU's number, from 1, unique in the run.
    pub vu: u32,
}

impl Seat {
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
        if self.run.feed.wants(Interests::SCRIPT_ERRORS) {
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
    /// Its executor had nothing more for it, or the script ended it.
    Done,
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
    tickets: &impl Tickets,
) -> Ended {
    if let Err(error) = vu.start(data).await {
        seat.script_failed(0, &error);
        return Ended::NeverStarted;
    }
    let mut number = 0;
    while let Some(due) = tickets.next() {
        let started = Instant::now();
        let flight = InFlight;
        let played = vu.iterate(number).await;
        std::mem::forget(flight);
        let end = if played.is_ok() {
            IterationEnd::Passed
        } else {
            IterationEnd::Failed
        };
        let duration = started.elapsed();
        let lag = started.saturating_duration_since(due);
        shard::with(|shard| shard.iteration(end, duration, lag));
        if let Err(error) = &played {
            seat.script_failed(number, error);
        }
        report_iteration(seat, number, duration, &played);
        number += 1;
        if played == Ok(Next::StopVu) {
            break;
        }
        // An iteration that never waited must not keep the thread to itself.
        tokio::task::coop::consume_budget().await;
    }
    if let Err(error) = vu.stop().await {
        seat.script_failed(number, &error);
    }
    Ended::Done
}

fn report_iteration(
    seat: &Seat,
    number: u32,
    duration: Duration,
    played: &Result<Next, ScriptError>,
) {
    if seat.run.feed.wants(Interests::ITERATIONS) {
        seat.run.publish(EventKind::Iteration(event::Iteration {
            origin: seat.origin(number),
            duration,
            failure: played.as_ref().err().map(|error| error.message.clone()),
        }));
    }
}

/// An iteration under way. Dropped with it, it records the interruption.
struct InFlight;

impl Drop for InFlight {
    fn drop(&mut self) {
        shard::with(|shard| {
            shard.iteration(IterationEnd::Interrupted, Duration::ZERO, Duration::ZERO);
        });
    }
}
