//! `constant-vus`: each VU runs one iteration after the other, for a time.

use std::sync::Arc;
use std::time::Instant;

use super::now;
use crate::vu::{RunContext, Tickets};

/// The tickets of `constant-vus`.
///
/// A closed model: an iteration is due when its VU is free, so it never lags.
#[derive(Debug)]
pub struct ConstantVus {
    end: Instant,
    run: Arc<RunContext>,
}

impl ConstantVus {
    /// Tickets until `end`, or until the run stops.
    pub fn new(end: Instant, run: Arc<RunContext>) -> Self {
        Self { end, run }
    }
}

impl Tickets for ConstantVus {
    fn next(&self) -> Option<Instant> {
        let now = now();
        (now < self.end && !self.run.stopping()).then_some(now)
    }
}
