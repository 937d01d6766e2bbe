//! How iterations are started: one file per executor.
//!
//! An executor hands out [`Tickets`]; its VUs take one before each iteration.
//! The arithmetic is its own, the waiting is not: a VU that gets no ticket
//! ends.

mod constant_vus;
mod shared_iterations;

use std::sync::Arc;
use std::time::Instant;

pub use self::constant_vus::ConstantVus;
pub use self::shared_iterations::SharedIterations;
use crate::plan::{Executor, Share};
use crate::vu::{RunContext, Tickets};

/// The tickets of one scenario on this node, shared by its threads.
#[derive(Debug)]
pub enum Schedule {
    /// For `constant-vus`.
    ConstantVus(ConstantVus),
    /// For `shared-iterations`.
    SharedIterations(SharedIterations),
}

impl Schedule {
    /// The schedule of an executor for this node's share, begun at `start`.
    pub fn new(executor: &Executor, share: Share, start: Instant, run: Arc<RunContext>) -> Self {
        match *executor {
            Executor::ConstantVus { duration, .. } => {
                Self::ConstantVus(ConstantVus::new(start + duration, run))
            }
            Executor::SharedIterations {
                iterations,
                max_duration,
                ..
            } => {
                let iterations = share.part(iterations);
                Self::SharedIterations(SharedIterations::new(iterations, start + max_duration, run))
            }
        }
    }

    /// How many iterations were asked for and never started. Only an executor
    /// with a fixed number of iterations has any.
    pub fn never_started(&self) -> u64 {
        match self {
            Self::ConstantVus(_) => 0,
            Self::SharedIterations(schedule) => schedule.left(),
        }
    }
}

impl Tickets for Schedule {
    fn next(&self) -> Option<Instant> {
        match self {
            Self::ConstantVus(schedule) => schedule.next(),
            Self::SharedIterations(schedule) => schedule.next(),
        }
    }
}

/// Now, by a clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
