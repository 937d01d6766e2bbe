//! Timeouts at the price of a timer per VU.
//!
//! A timer that is set and cleared with each request costs more than its
//! share. A VU's next request ends later than its last one had to, so the
//! timer may stay where it is: when it goes off too early, it is set anew.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// The timer of one VU. What is done at the same time as something else, in a
/// batch, gets one of its own.
#[derive(Debug, Default)]
pub(super) struct Alarm(Mutex<Option<Pin<Box<Sleep>>>>);

impl Alarm {
    /// Does something until `limit`: `None` if it is not done by then.
    pub(super) async fn within<T>(
        &self,
        limit: Instant,
        doing: impl Future<Output = T>,
    ) -> Option<T> {
        let limit = limit.into();
        let mut sleep = self
            .timer()
            .take()
            .unwrap_or_else(|| Box::pin(sleep_until(limit)));
        if sleep.deadline() > limit {
            sleep.as_mut().reset(limit);
        }
        let mut doing = pin!(doing);
        let done = std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = doing.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            while sleep.as_mut().poll(cx).is_ready() {
                if sleep.deadline() >= limit {
                    return Poll::Ready(None);
                }
                sleep.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await;
        *self.timer() = Some(sleep);
        done
    }

    fn timer(&self) -> std::sync::MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    async fn within(alarm: &Alarm, limit_ms: u64, takes_ms: u64) -> Option<u64> {
        let limit = tokio::time::Instant::now() + Duration::from_millis(limit_ms);
        let doing = async {
            sleep(Duration::from_millis(takes_ms)).await;
            takes_ms
        };
        alarm.within(limit.into_std(), doing).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_thing_has_the_time_it_was_given() {
        let alarm = Alarm::default();
        let began = tokio::time::Instant::now();
        assert_eq!(within(&alarm, 100, 99).await, Some(99));
        // Goes off at 100 ms for the first one, and must not count.
        assert_eq!(within(&alarm, 100, 50).await, Some(50));
        assert_eq!(within(&alarm, 100, 200).await, None);
        assert_eq!(began.elapsed(), Duration::from_millis(99 + 50 + 100));
        // Set for much later, it is set back.
        assert_eq!(within(&alarm, 10_000, 1).await, Some(1));
        assert_eq!(within(&alarm, 5, 10).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_at_the_same_time_has_its_own() {
        let alarm = Alarm::default();
        let (first, second) = tokio::join!(within(&alarm, 10, 20), within(&alarm, 30, 20));
        assert_eq!((first, second), (None, Some(20)));
    }
}
