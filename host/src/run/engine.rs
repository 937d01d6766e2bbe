//! The engine: threads that play VUs.
//!
//! A VU lives on one thread for its whole life. Each thread has a runtime, a
//! shard and its VUs to itself, and talks to its worker by two channels:
//! [`Command`]s in (a handful in a run), [`Report`]s out (about one a second).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::pulse::{Lag, Pulse};
use crate::executor::{Company, Order, Played, Troupe};
use crate::measure::ScriptError;
use crate::recorder::{Feed, gathered};
use crate::stats::{Names, Shard, Snapshot, shard};
use crate::vu::Script;

/// What a worker tells a thread.
pub(super) enum Command {
    /// Starts the scenarios.
    Start {
        /// When the run starts; each scenario starts so much later.
        at: Instant,
        /// What `setup` returned, by scenario.
        data: Arc<[Arc<str>]>,
    },
    /// Asks for what was measured since the last time.
    Take,
    /// An order for one scenario, or for all.
    Order(Option<usize>, Order),
}

/// What a thread tells its worker.
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
    /// No more iterations start on this thread.
    Stopped,
    /// The thread has ended: after its last report, or by a panic.
    Gone,
    /// All VUs have ended. The last report but for [`Report::Gone`].
    Finished {
        /// What was measured since the last time.
        rest: Snapshot,
        /// How late the thread ran since then.
        lag: Lag,
        /// How many VUs started, and how many could not.
        played: Played,
    },
}

/// The scenarios of a run on this node.
pub(super) type Companies<S> = Arc<[Arc<Company<S>>]>;

/// Starts a thread that makes its part of the VUs and waits for its commands.
/// Commands and reports are few, so neither channel has a bound.
///
/// # Errors
///
/// If the machine gives no more threads.
pub(super) fn spawn<S: Script>(
    index: u32,
    companies: Companies<S>,
    names: Names,
    feed: Feed,
    commands: UnboundedReceiver<Command>,
    report: impl Fn(Report) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("squall-vus-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Only name look-ups block.
            .max_blocking_threads(4)
            .build()
            .expect("a runtime needs an epoll instance and a pipe, which the pre-flight left room for");
        shard::install(Shard::new(names));
        runtime.block_on(play_all(index, &companies, feed, commands, report));
    })
}

async fn play_all<S: Script>(
    index: u32,
    companies: &Companies<S>,
    feed: Feed,
    mut commands: UnboundedReceiver<Command>,
    report: impl Fn(Report),
) {
    // Ends before the last report is told, however this ends.
    let gathering = gathered::begin(feed);
    let mut troupes = Vec::new();
    for (scenario, company) in companies.iter().enumerate() {
        if !company.concerns(index) {
            continue;
        }
        let mut troupe = Troupe::new(company.clone(), index);
        if let Err(error) = troupe.prepare().await {
            return report(Report::Ready(Err(error)));
        }
        troupes.push((scenario, troupe));
    }
    report(Report::Ready(Ok(())));
    let Some(Command::Start { at, data }) = commands.recv().await else {
        // The run ended before it began.
        return report(Report::Finished {
            rest: shard::with(Shard::take),
            lag: Lag::default(),
            played: Played::default(),
        });
    };
    let mut playing = JoinSet::new();
    let mut orders: Vec<(usize, UnboundedSender<Order>)> = Vec::new();
    let starting = Arc::new(AtomicU32::new(troupes.len() as u32));
    let (stopped, mut all_stopped) = unbounded_channel();
    for (scenario, troupe) in troupes {
        let (sender, receiver) = unbounded_channel();
        orders.push((scenario, sender));
        let (starting, stopped) = (starting.clone(), stopped.clone());
        let origin = at + companies[scenario].plan().start_time;
        let data = data[scenario].clone();
        playing.spawn(troupe.play(origin, data, receiver, move || {
            if starting.fetch_sub(1, Ordering::Relaxed) == 1 {
                let _ = stopped.send(());
            }
        }));
    }
    drop(stopped);
    let mut all_played = Played::default();
    let mut pulse = Pulse::new(Instant::now());
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Take) => report(Report::Taken {
                    measured: shard::with(Shard::take),
                    lag: pulse.take(Instant::now()),
                }),
                Some(Command::Order(scenario, order)) => {
                    for (of, orders) in &orders {
                        if scenario.is_none_or(|scenario| scenario == *of) {
                            // One that has played to its end needs no orders.
                            let _ = orders.send(order);
                        }
                    }
                }
                None => playing.abort_all(),
                Some(Command::Start { .. }) => {}
            },
            Some(()) = all_stopped.recv() => report(Report::Stopped),
            () = sleep_until(pulse.due().into()) => {
                pulse.beat(Instant::now());
                gathered::hand_over();
            }
            played = playing.join_next() => match played {
                Some(Ok(Played { started, never_started })) => {
                    all_played.started += started;
                    all_played.never_started += never_started;
                }
                Some(Err(error)) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic());
                }
                Some(Err(_)) => {}
                None => break,
            },
        }
    }
    drop(gathering);
    report(Report::Finished {
        rest: shard::with(Shard::take),
        lag: pulse.take(Instant::now()),
        played: all_played,
    });
}
