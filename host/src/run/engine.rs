//! The engine: threads that play VUs.
//!
//! A VU lives on one thread for its whole life. Each thread has a runtime, a
//! shard and its VUs to itself, and talks to the conductor by two channels:
//! [`Command`]s in (a handful in a run), [`Report`]s out (about one a second).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::pulse::{Lag, Pulse};
use crate::executor::Schedule;
use crate::measure::ScriptError;
use crate::stats::{Names, Shard, Snapshot, shard};
use crate::vu::{Ended, Script, Seat, VirtualUser, play};

/// What the conductor tells a thread.
pub(super) enum Command {
    /// Starts the VUs, each with its scenario's schedule.
    Start {
        /// By scenario.
        schedules: Arc<[Schedule]>,
        /// What `setup` returned, by scenario.
        data: Arc<[Arc<str>]>,
    },
    /// Asks for what was measured since the last time.
    Take,
    /// Drops whatever is still under way.
    Cut,
}

/// What a thread tells the conductor.
pub(super) enum Report {
    /// The VUs are made, or one could not be.
    Ready(Result<(), ScriptError>),
    /// What was measured, on [`Command::Take`].
    Taken {
        /// What was measured.
        measured: Snapshot,
        /// How late the thread ran.
        lag: Lag,
    },
    /// All VUs have ended. The last report.
    Finished {
        /// What was measured since the last time.
        rest: Snapshot,
        /// How late the thread ran since then.
        lag: Lag,
        /// How many VUs could not start.
        never_started: u32,
    },
}

/// What all threads of a run share.
pub(super) struct Shared<S> {
    /// By scenario.
    pub(super) scripts: Vec<S>,
    pub(super) names: Names,
    /// VUs now running, over all threads.
    pub(super) running: AtomicU32,
}

/// A place for a VU: its scenario's number and its seat.
pub(super) type Place = (usize, Seat);

/// Starts a thread that makes these VUs and waits for its commands. Commands
/// and reports are few, so neither channel has a bound.
///
/// # Errors
///
/// If the machine gives no more threads.
pub(super) fn spawn<S: Script>(
    index: usize,
    places: Vec<Place>,
    shared: Arc<Shared<S>>,
    commands: UnboundedReceiver<Command>,
    reports: UnboundedSender<(usize, Report)>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("squall-vus-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Only name look-ups block.
            .max_blocking_threads(4)
            .build()
            .expect("a runtime needs an epoll instance and a pipe, which the pre-flight left room for");
        shard::install(Shard::new(shared.names.clone()));
        let report = |report| {
            // The conductor hears every thread out; were it gone, so is the run.
            let _ = reports.send((index, report));
        };
        runtime.block_on(play_all(places, &shared, commands, report));
    })
}

async fn play_all<S: Script>(
    places: Vec<Place>,
    shared: &Arc<Shared<S>>,
    mut commands: UnboundedReceiver<Command>,
    report: impl Fn(Report),
) {
    let vus = match make(places, shared).await {
        Ok(vus) => vus,
        Err(error) => return report(Report::Ready(Err(error))),
    };
    report(Report::Ready(Ok(())));
    let Some(Command::Start { schedules, data }) = commands.recv().await else {
        // The run ended before it began.
        return report(Report::Finished {
            rest: shard::with(Shard::take),
            lag: Lag::default(),
            never_started: 0,
        });
    };
    let mut playing = JoinSet::new();
    for (scenario, seat, mut vu) in vus {
        let data = data[scenario].clone();
        let (schedules, shared) = (schedules.clone(), shared.clone());
        playing.spawn(async move {
            let _running = Running::count(&shared.running);
            play(&mut vu, &seat, data, &schedules[scenario]).await
        });
    }
    let mut never_started = 0;
    let mut pulse = Pulse::new(Instant::now());
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Take) => report(Report::Taken {
                    measured: shard::with(Shard::take),
                    lag: pulse.take(Instant::now()),
                }),
                Some(Command::Cut) | None => playing.abort_all(),
                Some(Command::Start { .. }) => {}
            },
            () = sleep_until(pulse.due().into()) => pulse.beat(Instant::now()),
            ended = playing.join_next() => match ended {
                Some(Ok(Ended::NeverStarted)) => never_started += 1,
                Some(Ok(Ended::Done)) => {}
                Some(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic());
                }
                // Cut: the iteration has recorded its interruption.
                Some(Err(_)) => {}
                None => break,
            },
        }
    }
    report(Report::Finished {
        rest: shard::with(Shard::take),
        lag: pulse.take(Instant::now()),
        never_started,
    });
}

/// Makes the VUs and all they need, so that the start is only a start.
async fn make<S: Script>(
    places: Vec<Place>,
    shared: &Shared<S>,
) -> Result<Vec<(usize, Seat, S::Vu)>, ScriptError> {
    let mut vus = Vec::with_capacity(places.len());
    for (scenario, seat) in places {
        let mut vu = shared.scripts[scenario]
            .vu(seat.clone())
            .map_err(|problem| ScriptError::new(problem.to_string()))?;
        vu.prepare().await?;
        vus.push((scenario, seat, vu));
    }
    Ok(vus)
}

/// Counts a VU among those running, until it is dropped.
struct Running<'a>(&'a AtomicU32);

impl<'a> Running<'a> {
    fn count(running: &'a AtomicU32) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
