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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;
    use crate::measure::ScriptError;
    use crate::plan::{HttpPlan, Limits, Plan};
    use crate::recorder::Feed;
    use crate::stats::window::IterationStats;
    use crate::stats::{Names, Shard, shard};
    use crate::vu::{Ended, Next, Phase, Seat, VirtualUser, play};

    /// A VU whose iterations take `time`, fail if `fails`, and end it after
    /// `stops_after` of them.
    #[derive(Clone, Copy)]
    struct Fake {
        time: Duration,
        fails: bool,
        starts: bool,
        stops_after: Option<u32>,
    }

    const STEADY: Fake = Fake {
        time: Duration::from_millis(300),
        fails: false,
        starts: true,
        stops_after: None,
    };

    impl VirtualUser for Fake {
        async fn prepare(&mut self) -> Result<(), ScriptError> {
            Ok(())
        }

        async fn setup(&mut self) -> Result<Arc<str>, ScriptError> {
            Ok(Arc::default())
        }

        async fn teardown(&mut self, _: &str) -> Result<(), ScriptError> {
            Ok(())
        }

        async fn start(&mut self, _: Arc<str>) -> Result<(), ScriptError> {
            if self.starts {
                Ok(())
            } else {
                Err(ScriptError::new("no"))
            }
        }

        async fn iterate(&mut self, number: u32) -> Result<Next, ScriptError> {
            tokio::time::sleep(self.time).await;
            if self.fails {
                return Err(ScriptError::new("boom"));
            }
            Ok(match self.stops_after {
                Some(count) if number + 1 == count => Next::StopVu,
                _ => Next::Continue,
            })
        }

        async fn stop(&mut self) -> Result<(), ScriptError> {
            Ok(())
        }
    }

    fn context() -> Arc<RunContext> {
        let plan = Plan {
            test_plan: "test".into(),
            scenarios: Vec::new(),
            thresholds: Vec::new(),
            tags: Vec::new(),
            seed: 1,
            http: HttpPlan {
                base_url: None,
                timeout: Duration::from_secs(1),
                allow_hosts: None,
                insecure_tls: false,
            },
            limits: Limits {
                vu_memory: 1 << 20,
                iteration_timeout: Duration::from_secs(1),
                names: 10,
                log_messages: 10,
            },
            graceful_stop: Duration::ZERO,
            stats_interval: Duration::from_secs(1),
            system_interval: Duration::from_secs(1),
            recorders: Vec::new(),
        };
        let context = RunContext::new(Arc::new(plan), "test".into(), Feed::none());
        context.enter(Phase::Running);
        Arc::new(context)
    }

    /// Runs `vus` fakes by an executor; cuts them after `cut`.
    async fn played(
        executor: impl Fn(NonZeroU32) -> Executor,
        vus: u32,
        fake: Fake,
        cut: Duration,
    ) -> (IterationStats, Vec<Ended>, u64) {
        shard::install(Shard::new(Names::new(10)));
        let run = context();
        let executor = executor(NonZeroU32::new(vus).expect("not zero"));
        let schedule = Arc::new(Schedule::new(&executor, Share::WHOLE, now(), run.clone()));
        let mut playing = JoinSet::new();
        for vu in 1..=vus {
            let seat = Seat {
                run: run.clone(),
                scenario: "default".into(),
                vu,
            };
            let schedule = schedule.clone();
            playing
                .spawn(async move { play(&mut { fake }, &seat, Arc::default(), &*schedule).await });
        }
        let mut ended = Vec::new();
        let all = async {
            while let Some(vu) = playing.join_next().await {
                ended.extend(vu);
            }
        };
        let _ = tokio::time::timeout(cut, all).await;
        playing.shutdown().await;
        let window = shard::with(Shard::take).window(Duration::from_secs(1));
        (window.iterations, ended, schedule.never_started())
    }

    const NEVER: Duration = Duration::from_secs(3600);

    fn for_a_second(vus: NonZeroU32) -> Executor {
        Executor::ConstantVus {
            vus,
            duration: Duration::from_secs(1),
        }
    }

    fn a_hundred(vus: NonZeroU32) -> Executor {
        Executor::SharedIterations {
            vus,
            iterations: 100,
            max_duration: Duration::from_secs(10),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn constant_vus_start_no_iteration_after_the_end() {
        // At 0, 300, 600 and 900 ms; the last one ends at 1,200 ms.
        let (iterations, ended, _) = played(for_a_second, 3, STEADY, NEVER).await;
        assert_eq!((iterations.finished, iterations.failed), (12, 0));
        assert_eq!(ended, [Ended::Done; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn shared_iterations_are_all_run_and_none_twice() {
        let (iterations, ended, left) = played(a_hundred, 7, STEADY, NEVER).await;
        assert_eq!((iterations.finished, left), (100, 0));
        assert_eq!(ended.len(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn iterations_that_time_leaves_no_room_for_are_known() {
        // One VU starts 34 of them in ten seconds.
        let (iterations, _, left) = played(a_hundred, 1, STEADY, NEVER).await;
        assert_eq!((iterations.finished, left), (34, 66));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_iteration_counts_as_interrupted_and_nothing_else() {
        let cut = Duration::from_millis(1000);
        let (iterations, ended, _) = played(for_a_second, 2, STEADY, cut).await;
        assert_eq!((iterations.finished, iterations.interrupted), (6, 2));
        assert_eq!(iterations.duration.count, 6);
        assert!(ended.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_iteration_is_finished_and_the_vu_goes_on() {
        let fake = Fake {
            fails: true,
            ..STEADY
        };
        let (iterations, _, _) = played(for_a_second, 1, fake, NEVER).await;
        assert_eq!((iterations.finished, iterations.failed), (4, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vu_that_stops_itself_takes_no_more_tickets() {
        let fake = Fake {
            stops_after: Some(3),
            ..STEADY
        };
        let (iterations, _, left) = played(a_hundred, 2, fake, NEVER).await;
        assert_eq!((iterations.finished, left), (6, 94));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vu_that_cannot_start_takes_no_ticket() {
        let fake = Fake {
            starts: false,
            ..STEADY
        };
        let (iterations, ended, left) = played(a_hundred, 2, fake, NEVER).await;
        assert_eq!((iterations.finished, left), (0, 100));
        assert_eq!(ended, [Ended::NeverStarted; 2]);
    }

    #[tokio::test]
    async fn no_ticket_is_handed_out_once_the_run_stops() {
        let run = context();
        let vus = NonZeroU32::MIN;
        let schedules = [for_a_second(vus), a_hundred(vus)]
            .map(|executor| Schedule::new(&executor, Share::WHOLE, now(), run.clone()));
        assert!(schedules.iter().all(|schedule| schedule.next().is_some()));
        run.enter(Phase::Stopping);
        assert!(schedules.iter().all(|schedule| schedule.next().is_none()));
    }
}
