//! A timer that goes off on time: the runtime's own has a grain of a
//! millisecond, and rounds up.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::vu::now;

/// From how much on the runtime's timer does the waiting.
const FAR: Duration = Duration::from_millis(3);
/// How much of it is left to the system's timer.
const NEAR: Duration = Duration::from_millis(2);
/// For how long the thread stays awake: to fall asleep and be woken takes a
/// system about as long.
const CLOSE: Duration = Duration::from_micros(50);

/// A timer of the system's, for waits that are short.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Without it the runtime's timer does all the waiting, as it does on a
    /// clock that is not the system's.
    timer: Option<AsyncFd<OwnedFd>>,
}

impl Alarm {
    /// A timer in the runtime of this thread.
    pub(super) fn new() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe for types that change their descriptor, which \
                      this one does not"
        )]
        let timer = timer.and_then(|timer| AsyncFd::new(timer).ok());
        Self {
            timer: timer.filter(|_| clock_is_the_systems()),
        }
    }

    /// Waits until a point in time. May be dropped and called again.
    pub(super) async fn until(&mut self, at: Instant) {
        let left = at.saturating_duration_since(now());
        let Some(timer) = &self.timer else {
            return sleep_until(at.into()).await;
        };
        if left > FAR {
            sleep_until((at - NEAR).into()).await;
        }
        loop {
            let left = at.saturating_duration_since(now());
            if left.is_zero() {
                return;
            }
            if left < CLOSE {
                yield_now().await;
                continue;
            }
            // Setting it also takes back that it went off before, so that
            // nothing has to be read from it.
            let set = timerfd_settime(
                timer,
                TimerfdTimerFlags::empty(),
                &Itimerspec {
                    it_interval: Timespec {
                        tv_sec: 0,
                        tv_nsec: 0,
                    },
                    it_value: Timespec {
                        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                        tv_nsec: left.subsec_nanos().into(),
                    },
                },
            );
            let (Ok(_), Ok(mut went_off)) = (set, timer.readable().await) else {
                return sleep_until(at.into()).await;
            };
            went_off.clear_ready();
        }
    }
}

/// Whether the runtime's clock goes: tests stop it.
fn clock_is_the_systems() -> bool {
    let (before, start) = (now(), Instant::now());
    while Instant::now() == start {
        std::hint::spin_loop();
    }
    now() > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_never_goes_off_early_and_can_be_set_again() {
        let mut alarm = Alarm::new();
        assert!(alarm.timer.is_some());
        for micros in [0, 50, 300, 1_700, 3_500, 100] {
            let at = now() + Duration::from_micros(micros);
            alarm.until(at).await;
            assert!(now() >= at, "{micros} us");
        }
        // Given up half way, it does not go off for the next one.
        let late = now() + Duration::from_millis(2);
        tokio::select! {
            biased;
            () = alarm.until(late) => panic!("it is not time"),
            () = std::future::ready(()) => {}
        }
        alarm.until(late).await;
        assert!(now() >= late);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_goes_by_a_clock_that_is_stopped() {
        let mut alarm = Alarm::new();
        assert!(alarm.timer.is_none());
        let at = now() + Duration::from_secs(3_600);
        alarm.until(at).await;
        assert_eq!(now(), at);
    }
}
