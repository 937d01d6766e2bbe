//! How late a thread that plays VUs runs: whatever it wakes for, it wakes so
//! much later.
//!
//! Each thread sets itself a timer and looks how late it fires. A response
//! waits as long as the timer does, and the time it waits is measured as the
//! server's: a thread that runs late measures itself.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How often a thread looks.
const PERIOD: Duration = Duration::from_millis(100);
/// From how much on a timer counts as late. Timers have a grain of a
/// millisecond, and a thread that is hardly busy is put off for some more.
const LATE: Duration = Duration::from_millis(50);

/// How late timers were over some stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lag {
    /// The latest of them.
    pub max: Duration,
    /// The time spent being late, by more than 50 ms each time.
    pub late: Duration,
    /// All the time that was watched.
    pub watched: Duration,
}

impl Lag {
    /// Adds what another thread, or another stretch of time, has seen.
    pub fn merge(&mut self, other: Self) {
        self.max = self.max.max(other.max);
        self.late += other.late;
        self.watched += other.watched;
    }

    /// The part of the time spent being late, from 0 to 1.
    pub fn late_share(&self) -> f64 {
        if self.watched.is_zero() {
            return 0.0;
        }
        self.late.as_secs_f64() / self.watched.as_secs_f64()
    }
}

/// A thread's timer.
#[derive(Debug)]
pub(super) struct Pulse {
    due: Instant,
    lag: Lag,
}

impl Pulse {
    /// Sets the first timer.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now + PERIOD,
            lag: Lag::default(),
        }
    }

    /// When the timer is to fire.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks how late it is, if the timer is due, and sets the next one.
    pub(super) fn beat(&mut self, now: Instant) {
        let Some(late) = now.checked_duration_since(self.due) else {
            return;
        };
        self.lag.merge(Lag {
            max: late,
            late: if late > LATE { late } else { Duration::ZERO },
            watched: PERIOD + late,
        });
        self.due = now + PERIOD;
    }

    /// What was seen since the last time.
    pub(super) fn take(&mut self, now: Instant) -> Lag {
        self.beat(now);
        std::mem::take(&mut self.lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_tells_how_late_it_was_and_for_how_long() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let ms = Duration::from_millis;
        let mut pulse = Pulse::new(start);
        pulse.beat(at(101));
        // Woken by something else.
        pulse.beat(at(150));
        assert_eq!(pulse.due(), at(201));
        // Held up for half a second, and asked before the timer is looked at.
        let lag = pulse.take(at(701));
        assert_eq!(
            lag,
            Lag {
                max: ms(500),
                late: ms(500),
                watched: ms(701)
            }
        );
        assert!((lag.late_share() - 500.0 / 701.0).abs() < 1e-9);
        // It does not carry over.
        assert_eq!(pulse.due(), at(801));
        assert_eq!(pulse.take(at(801)).max, Duration::ZERO);
        assert_eq!(pulse.take(at(802)), Lag::default());
    }

    #[test]
    fn a_grain_of_lateness_does_not_count() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let lag = pulse.take(start + PERIOD + LATE);
        assert_eq!((lag.max, lag.late), (LATE, Duration::ZERO));
        assert_eq!(lag.late_share(), 0.0);
        assert_eq!(Lag::default().late_share(), 0.0);
    }
}
