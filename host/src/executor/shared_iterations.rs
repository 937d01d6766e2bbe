//! `shared-iterations`: a number of iterations, each taken by whichever VU is
//! free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::now;
use crate::vu::{RunContext, Tickets};

/// The tickets of `shared-iterations`.
///
/// A closed model: an iteration is due when a VU is free, so it never lags.
#[derive(Debug)]
pub struct SharedIterations {
    taken: AtomicU64,
    iterations: u64,
    end: Instant,
    run: Arc<RunContext>,
}

impl SharedIterations {
    /// So many tickets, none of them after `end` or after the run stops.
    pub fn new(iterations: u64, end: Instant, run: Arc<RunContext>) -> Self {
        Self {
            taken: AtomicU64::new(0),
            iterations,
            end,
            run,
        }
    }

    /// How many tickets were not taken.
    pub fn left(&self) -> u64 {
        self.iterations
            .saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

impl Tickets for SharedIterations {
    fn next(&self) -> Option<Instant> {
        let now = now();
        if now >= self.end || self.run.stopping() {
            return None;
        }
        // Counts to the last ticket and no further, so that what is left is
        // known however many VUs ask in vain.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.iterations).then_some(taken + 1)
            })
            .ok()
            .map(|_| now)
    }
}
