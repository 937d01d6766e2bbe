//! What a thread's VUs of a closed model look at before each iteration: whether
//! the scenario goes on, pauses, or is over.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::measure::DropReason;
use crate::stats::{Marks, shard};
use crate::vu::{Leave, RunContext, Ticket, Tickets, now};

/// Whether iterations may start. One task opens and closes it, VUs look.
#[derive(Debug)]
pub(super) struct Gate {
    base: Instant,
    /// All three in nanoseconds since `base`.
    end: AtomicU64,
    paused_from: AtomicU64,
    paused_until: AtomicU64,
    changed: Notify,
}

/// What a VU sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Iterations may start.
    Open,
    /// Not now; perhaps from a known time on.
    Paused(Option<Instant>),
    /// No more.
    Over,
}

impl Gate {
    /// A gate that is open until `end`.
    pub(super) fn new(end: Instant) -> Self {
        let base = now();
        Self {
            base,
            end: AtomicU64::new(nanos(base, end)),
            paused_from: AtomicU64::new(u64::MAX),
            paused_until: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
        }
    }

    /// What there is to see now.
    pub(super) fn look(&self) -> Seen {
        let now = nanos(self.base, now());
        let until = self.paused_until.load(Ordering::Relaxed);
        if now >= self.paused_from.load(Ordering::Relaxed) && now < until {
            let until = (until != u64::MAX).then(|| self.base + Duration::from_nanos(until));
            return Seen::Paused(until);
        }
        if now >= self.end.load(Ordering::Relaxed) {
            Seen::Over
        } else {
            Seen::Open
        }
    }

    /// Lets no more through from a time on, until [`resume`](Self::resume).
    pub(super) fn pause(&self, at: Instant) {
        self.paused_until.store(u64::MAX, Ordering::Relaxed);
        self.paused_from
            .store(nanos(self.base, at), Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Opens again at a time, for another while.
    pub(super) fn resume(&self, at: Instant, end: Instant) {
        self.end.store(nanos(self.base, end), Ordering::Relaxed);
        self.paused_until
            .store(nanos(self.base, at), Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Waits until there may be something else to see.
    async fn changed(&self, seen: Seen) {
        let mut changed = pin!(self.changed.notified());
        changed.as_mut().enable();
        if self.look() != seen {
            return;
        }
        match seen {
            Seen::Paused(Some(until)) => tokio::select! {
                () = changed => {}
                () = sleep_until(until.into()) => {}
            },
            _ => changed.await,
        }
    }
}

fn nanos(base: Instant, at: Instant) -> u64 {
    let nanos = at.saturating_duration_since(base).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX - 1)
}

/// How many iterations there are left.
#[derive(Debug, Clone)]
pub(super) enum Quota {
    /// As many as there is time for.
    Unlimited,
    /// A number for this VU.
    Own(u64),
    /// A number for all VUs of the node.
    Shared(Arc<AtomicU64>),
}

impl Quota {
    /// Takes one, if there is one left.
    pub(super) fn take(&mut self) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Own(left) => match left.checked_sub(1) {
                Some(fewer) => {
                    *left = fewer;
                    true
                }
                None => false,
            },
            Self::Shared(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok(),
        }
    }
}

/// The tickets of a VU of a closed model: one whenever it asks, for as long as
/// the gate is open and something is left.
#[derive(Debug)]
pub(super) struct ClosedTickets {
    pub(super) gate: Arc<Gate>,
    pub(super) leave: Arc<Leave>,
    pub(super) run: Arc<RunContext>,
    pub(super) quota: Quota,
    /// Of the scenario.
    pub(super) marks: Marks,
    /// Why what is left of the VU's own quota is dropped.
    pub(super) reason: DropReason,
}

impl Drop for ClosedTickets {
    fn drop(&mut self) {
        // What was asked for and never started is counted, whatever the cause.
        if let Quota::Own(left @ 1..) = self.quota {
            shard::with(|shard| shard.dropped_iterations(left, self.reason, self.marks));
        }
    }
}

impl Tickets for ClosedTickets {
    fn out_of_rows(&mut self, unused: Option<Ticket>) {
        self.reason = DropReason::NoRow;
        // Of those without a number nobody can say how many there should be.
        if unused.is_some() && !matches!(self.quota, Quota::Unlimited) {
            shard::with(|shard| shard.dropped_iterations(1, self.reason, self.marks));
        }
    }

    async fn next(&mut self) -> Option<Ticket> {
        loop {
            if self.leave.is_asked() || self.run.stopping() {
                return None;
            }
            match self.gate.look() {
                Seen::Open => return self.quota.take().then_some(Ticket::WhenFree),
                Seen::Over => return None,
                seen @ Seen::Paused(_) => tokio::select! {
                    () = self.gate.changed(seen) => {}
                    () = self.leave.asked() => {}
                },
            }
        }
    }
}
