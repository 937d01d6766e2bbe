//! What a run can be told while it is going on, and what it tells of itself.
//!
//! Whoever steers a run (the terminal's keys, the control API, a shape) holds a
//! [`Control`]; the conductor holds the other end, and is the only one that
//! applies an [`Order`]. Plain data and channels: nothing here does I/O.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::Phase;
use crate::error::Problem;
use crate::event::{Load, LoadChange, Stats, Steerer};
use crate::stats::thresholds::Verdict;

/// How many orders wait for the conductor, which takes them at once. Whoever
/// gives one more waits.
const WAITING: usize = 16;

/// Something that a run is told to do.
#[derive(Debug)]
pub struct Order {
    /// The scenario's name. `None` is all of them, but for a target of its own,
    /// which then has to be that of the only one.
    pub scenario: Option<String>,
    /// What to do.
    pub action: Action,
    /// Who says so.
    pub by: Steerer,
    /// Who waits for what comes of it. Nobody has to.
    pub reply: oneshot::Sender<Result<Applied, Problem>>,
}

/// What a run can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// From now on so many VUs, or such a rate, to the scenario's end.
    Set(Load),
    /// So many more than now, or fewer.
    Add(Difference),
    /// No new iterations until it is resumed. The scenario's time stands still.
    Pause,
    /// Goes on where it was paused.
    Resume,
    /// No new iterations; those under way may end. It is the run that stops, not
    /// a scenario.
    Stop,
    /// The same, and iterations under way are cut.
    StopNow,
}

/// What a target changes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Difference {
    /// So many VUs.
    Vus(i64),
    /// So many iterations a second.
    Rate(f64),
    /// A part of the target, 0.1 being a tenth more, but no less than one VU or
    /// one iteration a second.
    Part(f64),
}

/// What came of an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// What is otherwise than before; empty if all was so already, or for the end
    /// of the run.
    pub changes: Vec<LoadChange>,
}

/// How a run stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The run's id, once there is one.
    pub run_id: Arc<str>,
    /// The test plan.
    pub test_plan: Arc<str>,
    /// How far it has come.
    pub phase: Phase,
    /// How long iterations have been starting.
    pub elapsed: Duration,
    /// How long the plan lasts at the most, with the pauses there were.
    pub planned: Option<Duration>,
    /// In the order of the plan.
    pub scenarios: Vec<ScenarioStatus>,
    /// The statistics at the end of the last stats interval.
    pub stats: Option<Arc<Stats>>,
    /// How the thresholds stood then.
    pub thresholds: Arc<[Verdict]>,
}

/// How a scenario stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its executor's name.
    pub executor: &'static str,
    /// The VUs now running.
    pub vus: u32,
    /// The most VUs that it may have.
    pub max_vus: u32,
    /// What it is to have now: VUs, or a rate.
    pub target: Load,
    /// Whether the target can be set.
    pub steerable: bool,
    /// Whether it is paused.
    pub paused: bool,
}

/// The end that whoever steers a run holds; clones share it.
#[derive(Debug, Clone)]
pub struct Control {
    /// Where orders go, at most a handful a second.
    pub orders: mpsc::Sender<Order>,
    /// How the run stands, about once a second and after every order.
    pub status: watch::Receiver<Arc<Status>>,
}

/// The conductor's end.
#[derive(Debug)]
pub struct Controlled {
    /// Orders, in the order in which they were given.
    pub orders: mpsc::Receiver<Order>,
    /// How the run stands.
    pub status: watch::Sender<Arc<Status>>,
}

/// Both ends of the control of one run.
pub fn control() -> (Control, Controlled) {
    let (orders, theirs) = mpsc::channel(WAITING);
    let (status, watched) = watch::channel(Arc::default());
    let steering = Control {
        orders,
        status: watched,
    };
    let conducting = Controlled {
        orders: theirs,
        status,
    };
    (steering, conducting)
}

impl Control {
    /// Gives an order and waits for what comes of it, which takes as long as the
    /// conductor takes to look up: milliseconds.
    ///
    /// # Errors
    ///
    /// If the run refuses it, and why; or if the run is over.
    pub async fn order(
        &self,
        scenario: Option<String>,
        action: Action,
        by: Steerer,
    ) -> Result<Applied, Problem> {
        let (reply, answer) = oneshot::channel();
        let order = Order {
            scenario,
            action,
            by,
            reply,
        };
        let over = || Problem::new("the run is over");
        self.orders.send(order).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())?
    }
}
