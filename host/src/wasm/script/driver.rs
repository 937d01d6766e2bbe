//! The driver: what runs a guest's calls and does the waiting for them.
//!
//! A guest runs on a stack of its own. Were the HTTP client polled there, each
//! VU's stack would keep the tens of kilobytes that it touches. So an import
//! that waits only leaves a [`Job`] on the VU's [`Desk`] and suspends the
//! guest; the driver does the job on the thread's own stack, leaves the answer
//! on the desk, and resumes the guest.
//!
//! The driver also measures how long the guest computes, which is what the
//! limit on a call counts.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;

use crate::http::{Answer, Client, Outgoing};
use crate::vu::Leave;

/// Something an import waits for.
#[derive(Debug)]
pub(super) enum Job {
    /// One request.
    Send(Box<Outgoing>),
    /// Several requests at once.
    Batch(Vec<Outgoing>),
    /// A pause, or less if the VU is told to stop.
    Sleep(Duration),
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Reply {
    /// Of [`Job::Send`].
    Sent(Box<Answer>),
    /// Of [`Job::Batch`], in the order of the requests.
    Batch(Vec<Answer>),
    /// Of [`Job::Sleep`].
    Slept,
}

/// Where guest and driver leave things for each other. One per VU; both run on
/// the same thread, so the lock is never contended.
#[derive(Debug)]
pub(super) struct Desk {
    slot: Mutex<Slot>,
    ticks: Arc<AtomicU64>,
    /// Ticks that the call has computed for, without the current poll.
    used: AtomicU64,
    /// The tick at which the current poll of the guest began.
    polled_at: AtomicU64,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Job(Job),
    Reply(Reply),
}

impl Desk {
    pub(super) fn new(ticks: Arc<AtomicU64>) -> Self {
        Self {
            slot: Mutex::new(Slot::Empty),
            ticks,
            used: AtomicU64::new(0),
            polled_at: AtomicU64::new(0),
        }
    }

    /// Leaves a job and waits for its answer. Called on the guest's stack.
    pub(super) async fn ask(&self, job: Job) -> Reply {
        self.put(Slot::Job(job));
        std::future::poll_fn(|_| match self.take() {
            // The driver polls the guest again when there is a reply, so no
            // waker needs to be kept.
            Slot::Reply(reply) => Poll::Ready(reply),
            other => {
                self.put(other);
                Poll::Pending
            }
        })
        .await
    }

    /// How many ticks the current call has computed for.
    pub(super) fn computed(&self) -> u64 {
        self.used.load(Ordering::Relaxed) + self.computed_since_poll()
    }

    /// How many ticks it has computed for without a pause.
    pub(super) fn computed_since_poll(&self) -> u64 {
        let now = self.ticks.load(Ordering::Relaxed);
        now.saturating_sub(self.polled_at.load(Ordering::Relaxed))
    }

    fn begin_call(&self) {
        self.put(Slot::Empty);
        self.used.store(0, Ordering::Relaxed);
    }

    fn begin_poll(&self) {
        self.polled_at
            .store(self.ticks.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn end_poll(&self) {
        self.used
            .fetch_add(self.computed_since_poll(), Ordering::Relaxed);
    }

    fn put(&self, slot: Slot) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    fn take(&self) -> Slot {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut slot, Slot::Empty)
    }

    fn take_job(&self) -> Option<Job> {
        match self.take() {
            Slot::Job(job) => Some(job),
            other => {
                self.put(other);
                None
            }
        }
    }
}

/// Runs a call into the guest to its end, doing its jobs.
pub(super) async fn drive<T>(
    call: impl Future<Output = T>,
    desk: &Desk,
    client: &Client,
    leave: &Leave,
) -> T {
    desk.begin_call();
    let mut call = pin!(call);
    let mut job: Option<Pin<Box<dyn Future<Output = Reply> + Send + '_>>> = None;
    std::future::poll_fn(|cx| {
        loop {
            if let Some(doing) = &mut job {
                match doing.as_mut().poll(cx) {
                    Poll::Ready(reply) => {
                        job = None;
                        desk.put(Slot::Reply(reply));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            desk.begin_poll();
            let polled = call.as_mut().poll(cx);
            desk.end_poll();
            if polled.is_ready() {
                return polled;
            }
            // Without a job the guest waits for something of WASI's, or lets
            // others run: it has seen to being woken.
            match desk.take_job() {
                Some(next) => job = Some(Box::pin(do_job(next, client, leave))),
                None => return Poll::Pending,
            }
        }
    })
    .await
}

async fn do_job(job: Job, client: &Client, leave: &Leave) -> Reply {
    match job {
        Job::Send(outgoing) => Reply::Sent(Box::new(client.send(*outgoing).await)),
        Job::Batch(requests) => {
            Reply::Batch(join_all(requests.into_iter().map(|request| client.send(request))).await)
        }
        Job::Sleep(time) => {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = leave.asked() => {}
            }
            Reply::Slept
        }
    }
}
