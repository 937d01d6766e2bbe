//! Iterations of an open model that are due and found no VU free.
//!
//! A VU can be busy for two reasons: its target has not answered, or its answer
//! is there and the thread has not come to it. Only in the first case does
//! another VU help. In the second it takes time from those that there are,
//! because a VU is dearest when it is new (its memory, its connection), and a
//! thread that makes VUs because it is late gets later, until there may be no
//! more of them. So what waits here waits for the thread, never for a target:
//!
//! - all of it until the thread has twice gone around all that it could do;
//! - what the thread came to late for as long again, during which it catches up;
//! - and what may wait no longer is let go a few at a time, fewer of them by a
//!   thread that is late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many rounds of the thread something waits: in the first it hears of the
/// answers that have come, in the second the VUs deal with them.
const ROUNDS: u32 = 2;
/// A thread that is as late as that is not behind: timers are.
const PUNCTUAL: Duration = Duration::from_millis(1);
/// For how long a thread may catch up at the most.
const PATIENCE: Duration = Duration::from_millis(100);
/// Which part of the VUs may be made anew at a time, by a thread that is in time
/// and by one that is not.
const GROWTH: (usize, usize) = (8, 64);

/// What waits, the first to be due in front.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Waiting>,
    rounds: u32,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    /// Until when it waits for a VU to be free.
    until: Instant,
}

impl Backlog {
    /// Adds an iteration that the thread came to at `now`.
    pub(super) fn push(&mut self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        let patience = match late > PUNCTUAL {
            true => late.min(PATIENCE),
            false => Duration::ZERO,
        };
        self.waiting.push_back(Waiting {
            due,
            until: now + patience,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Notes that the thread has gone around once.
    pub(super) fn went_around(&mut self) {
        self.rounds += 1;
    }

    /// Hands what waits to `give` while it takes it.
    pub(super) fn hand_out(&mut self, mut give: impl FnMut(Instant) -> bool) {
        while let Some(first) = self.waiting.front()
            && give(first.due)
        {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.rounds = 0;
        }
    }

    /// What need not wait any longer for one of `vus` VUs to be free, a few at a
    /// time, so that the number of VUs can grow fast while those that are there
    /// keep most of the thread.
    pub(super) fn let_go(&mut self, now: Instant, vus: usize) -> impl Iterator<Item = Instant> {
        let mut count = 0;
        if self.rounds >= ROUNDS {
            self.rounds = 0;
            let most = match self.waiting.front() {
                Some(first) if now.saturating_duration_since(first.due) > PUNCTUAL => {
                    1 + vus / GROWTH.1
                }
                _ => 1 + vus / GROWTH.0,
            };
            let ready = self.waiting.iter().take(most);
            count = ready.take_while(|waiting| waiting.until <= now).count();
        }
        self.waiting.drain(..count).map(|waiting| waiting.due)
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) -> u64 {
        self.rounds = 0;
        self.waiting.drain(..).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_go(backlog: &mut Backlog, now: Instant, vus: usize) -> Vec<Instant> {
        for _ in 0..ROUNDS {
            assert_eq!(backlog.let_go(now, vus).count(), 0);
            backlog.went_around();
        }
        backlog.let_go(now, vus).collect()
    }

    #[test]
    fn what_comes_on_time_waits_for_two_rounds_and_no_longer() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.push(now, now + PUNCTUAL);
        assert_eq!(let_go(&mut backlog, now + PUNCTUAL, 0), [now]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_a_thread_came_to_late_waits_for_as_long_again() {
        let due = Instant::now();
        let now = due + Duration::from_millis(7);
        let mut backlog = Backlog::default();
        backlog.push(due, now);
        let end = now + Duration::from_millis(7);
        let before = end - Duration::from_nanos(1);
        assert!(let_go(&mut backlog, before, 0).is_empty());
        assert_eq!(let_go(&mut backlog, end, 0), [due]);
        // However late it was.
        let now = due + Duration::from_secs(10);
        backlog.push(due, now);
        assert_eq!(let_go(&mut backlog, now + PATIENCE, 0), [due]);
    }

    #[test]
    fn vus_grow_by_a_part_of_them_at_a_time() {
        let due = Instant::now();
        let late = due + PUNCTUAL * 3;
        for (now, vus, more) in [
            (due, 0, 1),
            (due, 7, 1),
            (due, 8, 2),
            (due, 400, 51),
            (due, 10_000, 100),
            (late, 63, 1),
            (late, 400, 7),
        ] {
            let mut backlog = Backlog::default();
            (0..100).for_each(|_| backlog.push(due, due));
            assert_eq!(let_go(&mut backlog, now, vus).len(), more, "{vus}");
        }
    }

    #[test]
    fn a_vu_that_is_free_takes_the_first_that_is_due() {
        let now = Instant::now();
        let dues: Vec<_> = (0..3).map(|ms| now + Duration::from_millis(ms)).collect();
        let mut backlog = Backlog::default();
        dues.iter().for_each(|due| backlog.push(*due, dues[2]));
        let mut given = Vec::new();
        backlog.hand_out(|due| {
            let takes = given.len() < 2;
            if takes {
                given.push(due);
            }
            takes
        });
        assert_eq!(given, dues[..2]);
        assert_eq!(backlog.clear(), 1);
        assert!(backlog.is_empty());
    }
}
