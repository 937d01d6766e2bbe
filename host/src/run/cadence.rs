//! When the conductor does what: ticks that do not drift, and what was measured
//! between those of one interval.

use std::time::{Duration, Instant};

use crate::stats::Snapshot;

/// Falls due at the whole multiples of a period since the run's start, however
/// late it is asked.
#[derive(Debug)]
pub(super) struct Ticks {
    start: Instant,
    period: Duration,
    due: Instant,
}

impl Ticks {
    /// Ticks of which the first is due one period after `start`.
    pub(super) fn new(start: Instant, period: Duration) -> Self {
        Self {
            start,
            period,
            due: start + period,
        }
    }

    /// When the next tick is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether a tick is due; the next one is then the first that lies ahead.
    /// Those that were missed are one.
    pub(super) fn pass(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        let period = self.period.as_nanos();
        let next = (now - self.start).as_nanos() / period * period + period;
        // Longer than any run: 584 years.
        self.due = self.start + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        true
    }
}

/// A stats interval, and what was measured since it last began.
#[derive(Debug)]
pub(super) struct Cadence {
    /// The interval.
    pub(super) interval: Duration,
    pub(super) ticks: Ticks,
    pub(super) measured: Snapshot,
    pub(super) began: Instant,
}

impl Cadence {
    pub(super) fn new(start: Instant, interval: Duration) -> Self {
        Self {
            interval,
            ticks: Ticks::new(start, interval),
            measured: Snapshot::default(),
            began: start,
        }
    }

    /// Sets the run's start. What was measured before it counts with what
    /// comes after.
    pub(super) fn start(&mut self, start: Instant) {
        self.ticks = Ticks::new(start, self.interval);
        self.began = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_due_at_multiples_of_the_period() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut ticks = Ticks::new(start, Duration::from_millis(100));
        for (now, is_due, next) in [
            (0, false, 100),
            (99, false, 100),
            (100, true, 200),
            (100, false, 200),
            // Late, and the one after it is none the later.
            (270, true, 300),
            (301, true, 400),
            // Many were missed.
            (1_050, true, 1_100),
        ] {
            assert_eq!(ticks.pass(at(now)), is_due, "at {now} ms");
            assert_eq!(ticks.due(), at(next), "after {now} ms");
        }
    }
}
