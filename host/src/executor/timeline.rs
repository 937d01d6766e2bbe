//! A scenario's own clock, which stands still while it is paused.

use std::time::{Duration, Instant};

/// From the time of the machine to the scenario's, and back.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// When the scenario began; moved on by as long as it was paused.
    origin: Instant,
    paused: Option<Instant>,
}

impl Timeline {
    /// The clock of a scenario that begins at `origin`.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            paused: None,
        }
    }

    /// How long the scenario has been going on.
    pub fn elapsed(&self, now: Instant) -> Duration {
        let now = self.paused.map_or(now, |paused| paused.min(now));
        now.saturating_duration_since(self.origin)
    }

    /// When it will have been going on for so many seconds: `None` if it is
    /// paused by then. Never before that, by rounding.
    pub fn at(&self, seconds: f64) -> Option<Instant> {
        let nanos = (seconds * 1e9).ceil().max(0.0);
        let at = self
            .origin
            .checked_add(Duration::from_nanos(nanos as u64))?;
        match self.paused {
            Some(paused) if at >= paused => None,
            _ => Some(at),
        }
    }

    /// Stops the clock at a point in time, if it is not stopped by then.
    pub fn pause(&mut self, at: Instant) {
        self.paused.get_or_insert(at);
    }

    /// Lets the clock go on from where it was stopped.
    pub fn resume(&mut self, at: Instant) {
        if let Some(paused) = self.paused.take() {
            self.origin += at.saturating_duration_since(paused.max(self.origin));
        }
    }

    /// Since when it is stopped, or will be.
    pub fn paused(&self) -> Option<Instant> {
        self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_takes_no_time_of_the_scenario() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let secs = Duration::from_secs;
        let mut timeline = Timeline::new(start);
        assert_eq!(timeline.elapsed(at(3)), secs(3));
        timeline.pause(at(4));
        assert_eq!(timeline.at(3.5), Some(start + Duration::from_millis(3_500)));
        assert_eq!(timeline.at(4.0), None);
        assert_eq!(timeline.elapsed(at(9)), secs(4));
        // The first pause counts.
        timeline.pause(at(9));
        timeline.resume(at(10));
        assert_eq!(timeline.elapsed(at(10)), secs(4));
        assert_eq!(timeline.at(5.0), Some(at(11)));
        assert_eq!(timeline.paused(), None);
        // Without a pause there is nothing to resume.
        timeline.resume(at(20));
        assert_eq!(timeline.at(5.0), Some(at(11)));
    }

    #[test]
    fn a_pause_before_the_start_puts_the_start_off() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut timeline = Timeline::new(start);
        timeline.pause(start - Duration::from_secs(50));
        timeline.resume(start + Duration::from_secs(5));
        assert_eq!(timeline.at(0.0), Some(start + Duration::from_secs(5)));
    }
}
