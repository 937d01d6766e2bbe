//! Where the VUs of an open model wait for iterations, and where iterations find
//! a VU: first one of the same thread, then a new one, then one of another
//! thread.
//!
//! Nothing waits in a queue: an iteration that finds no VU when it is due is
//! dropped and counted, so a target that stalls builds no backlog.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::measure::DropReason;
use crate::plan::Share;
use crate::stats::{Marks, shard};
use crate::vu::{Leave, Ticket, Tickets};

/// The VUs of one thread that are free. The one that became free last is the
/// first to be used again, so that few VUs stay warm.
///
/// The lock is held for a few instructions; another thread takes it only when
/// its own VUs are all busy and there may be no more.
#[derive(Debug, Default)]
pub(super) struct Dock {
    free: Mutex<Vec<Arc<Slot>>>,
}

/// Where a VU is handed its iteration.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Busy,
    Free(Option<Waker>),
    Given(Instant),
    /// The VU has ended.
    Gone,
}

impl Dock {
    /// Hands an iteration to a VU that is free, if there is one.
    pub(super) fn give(&self, due: Instant) -> bool {
        loop {
            let Some(slot) = lock(&self.free).pop() else {
                return false;
            };
            if slot.give(due) {
                return true;
            }
        }
    }

    fn wait(&self, slot: Arc<Slot>) {
        lock(&self.free).push(slot);
    }
}

impl Slot {
    fn give(&self, due: Instant) -> bool {
        let mut state = lock(&self.0);
        let State::Free(waker) = &mut *state else {
            return false;
        };
        let waker = waker.take();
        *state = State::Given(due);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Ends the wait of a VU that is free.
    fn call(&self) {
        if let State::Free(waker) = &mut *lock(&self.0)
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
}

/// A VU of an open model, as the thread's dispatcher sees it.
#[derive(Debug, Clone)]
pub(super) struct Moored {
    slot: Arc<Slot>,
    leave: Arc<Leave>,
}

impl Moored {
    /// Asks the VU to end: at once if it is free, else after its iteration.
    pub(super) fn dismiss(&self) {
        self.leave.ask();
        self.slot.call();
    }
}

/// The tickets of a VU of an open model: the first one it was made for, and then
/// what it is handed while it is free.
#[derive(Debug)]
pub(super) struct OpenTickets {
    first: Option<Instant>,
    dock: Arc<Dock>,
    slot: Arc<Slot>,
    leave: Arc<Leave>,
    /// Why what the VU was handed is dropped if it does not start.
    reason: DropReason,
    /// Of the scenario.
    marks: Marks,
}

impl OpenTickets {
    /// The tickets of a VU that is made for an iteration.
    pub(super) fn new(
        due: Instant,
        dock: Arc<Dock>,
        leave: Arc<Leave>,
        marks: Marks,
    ) -> (Self, Moored) {
        let slot = Arc::<Slot>::default();
        let moored = Moored {
            slot: slot.clone(),
            leave: leave.clone(),
        };
        let tickets = Self {
            first: Some(due),
            dock,
            slot,
            leave,
            reason: DropReason::RunEnded,
            marks,
        };
        (tickets, moored)
    }

    /// Notes that the VU could not start.
    pub(super) fn vu_failed(&mut self) {
        self.reason = DropReason::VuFailed;
    }
}

impl Tickets for OpenTickets {
    fn out_of_rows(&mut self, unused: Option<Ticket>) {
        self.reason = DropReason::NoRow;
        if unused.is_some() {
            shard::with(|shard| shard.dropped_iterations(1, self.reason, self.marks));
        }
    }

    async fn next(&mut self) -> Option<Ticket> {
        if let Some(due) = self.first.take() {
            return Some(Ticket::Due(due));
        }
        if self.leave.is_asked() {
            return None;
        }
        *lock(&self.slot.0) = State::Free(None);
        self.dock.wait(self.slot.clone());
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.slot.0);
            match &mut *state {
                State::Given(due) => {
                    let due = *due;
                    *state = State::Busy;
                    Poll::Ready(Some(Ticket::Due(due)))
                }
                // Nobody can hand it anything from here on.
                State::Free(_) if self.leave.is_asked() => {
                    *state = State::Gone;
                    Poll::Ready(None)
                }
                State::Free(waker) => {
                    waker.get_or_insert_with(|| cx.waker().clone());
                    Poll::Pending
                }
                State::Busy | State::Gone => unreachable!("a VU that waits is free"),
            }
        })
        .await
    }
}

impl Drop for OpenTickets {
    fn drop(&mut self) {
        let given = matches!(
            std::mem::replace(&mut *lock(&self.slot.0), State::Gone),
            State::Given(_)
        );
        let lost = u64::from(given) + u64::from(self.first.is_some());
        if lost > 0 {
            shard::with(|shard| shard.dropped_iterations(lost, self.reason, self.marks));
        }
    }
}

/// What the threads of a node share of an open model.
#[derive(Debug)]
pub(super) struct Harbour {
    docks: Vec<Arc<Dock>>,
    berths: Mutex<Berths>,
}

/// The VUs that there may be.
#[derive(Debug)]
struct Berths {
    share: Share,
    /// How many numbers were given out, and how many there are.
    used: u64,
    all: u64,
    /// Numbers of VUs that have ended, with how many had them.
    freed: BTreeMap<u64, u32>,
}

impl Harbour {
    /// Room for a node's share of the VUs, with a dock for each thread.
    pub(super) fn new(threads: usize, max_vus: u32, share: Share) -> Self {
        Self {
            docks: (0..threads).map(|_| Arc::default()).collect(),
            berths: Mutex::new(Berths {
                share,
                used: 0,
                all: share.dealt(max_vus.into()),
                freed: BTreeMap::new(),
            }),
        }
    }

    /// A thread's own.
    pub(super) fn dock(&self, thread: usize) -> Arc<Dock> {
        self.docks[thread].clone()
    }

    /// Hands an iteration to a VU of another thread that is free.
    pub(super) fn give_elsewhere(&self, thread: usize, due: Instant) -> bool {
        let (before, after) = self.docks.split_at(thread);
        after[1..].iter().chain(before).any(|dock| dock.give(due))
    }

    /// The right to make a VU, if there may be one more: its number, from 0,
    /// unique over all nodes, and how many had it before.
    pub(super) fn take(&self) -> Option<(u64, u32)> {
        let mut berths = lock(&self.berths);
        if let Some(freed) = berths.freed.pop_first() {
            return Some(freed);
        }
        if berths.used == berths.all {
            return None;
        }
        let number = berths.share.item(berths.used);
        berths.used += 1;
        Some((number, 0))
    }

    /// Gives the number of a VU that has ended to the next one.
    pub(super) fn give_back(&self, number: u64, life: u32) {
        lock(&self.berths)
            .freed
            .insert(number, life.saturating_add(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
