//! A swarm, in Locust's word: from the first users that a master asks for to the
//! last that are gone. It is a run in this process, on a thread of its own, so that
//! nothing that it does holds up the worker's heartbeats.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, Problem};
use crate::event::{Load, Steerer};
use crate::plan::{ENDLESS, Executor, Plan, Stage};
use crate::recorder::Role;
use crate::run::control::{Action, Control, control};
use crate::run::link::News;
use crate::run::{Live, Outcome, Part, Phase, Setup, Stop, run_part};
use crate::vu::Script;

use super::worker::Made;

/// What a swarm tells the worker whose it is.
pub(super) enum Told {
    /// What its VUs come to.
    News(News),
    /// By scenario: as many VUs as this were asked for, and are on their way.
    Spawned(Vec<u32>),
    /// What was asked for cannot be, and why.
    Refused(Problem),
    /// It is over.
    Over(Box<Result<Outcome, Error>>),
}

/// What a swarm needs.
pub(super) struct Order {
    /// The plan, with how many VUs there are at first.
    pub(super) plan: Plan,
    /// The run's id, if the master says which.
    pub(super) run_id: Option<String>,
    /// This node's name.
    pub(super) node: Arc<str>,
    /// Who steers it: where the master is.
    pub(super) by: Arc<str>,
    /// How many threads play VUs.
    pub(super) threads: usize,
}

/// A swarm that is going on.
pub(super) struct Swarm {
    /// How many VUs there are to be, by scenario.
    targets: watch::Sender<Vec<u32>>,
    control: Control,
    by: Steerer,
    thread: Option<JoinHandle<()>>,
    /// What there is of each scenario, as far as anybody knows.
    pub(super) vus: Vec<u32>,
    /// Since when what was asked for counts in place of what was last measured.
    asked: Option<Instant>,
    /// The VUs that were asked for are on their way.
    pub(super) is_spawned: bool,
    /// Why it is to end, once it is.
    pub(super) ending: Option<Ending>,
    /// When iterations under way are cut.
    pub(super) cut_at: Option<Instant>,
}

/// Why a swarm is to end, and what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// The master has no more need of it: the worker is ready for the next.
    Stopped,
    /// The master does not know this worker any more: it makes itself known again.
    Forgotten,
    /// The master ends the worker.
    Quit,
    /// The master is silent: the worker ends.
    Silent,
    /// The user ends the worker.
    User,
}

/// How old what was measured has to be so that it knows what was asked for before.
const SETTLED: Duration = Duration::from_millis(100);

/// The executor of a scenario for which the master asks for so many VUs at first.
pub(super) fn steered(vus: u32, graceful_ramp_down: Duration) -> Executor {
    Executor::RampingVus {
        start_vus: vus,
        stages: vec![Stage {
            duration: ENDLESS,
            target: vus,
        }],
        graceful_ramp_down,
    }
}

impl Swarm {
    /// Starts one. What comes of it is told.
    ///
    /// # Errors
    ///
    /// If the machine gives no more threads.
    pub(super) fn start<S, M>(
        order: Order,
        vus: Vec<u32>,
        make: Arc<M>,
        told: UnboundedSender<Told>,
    ) -> std::io::Result<Self>
    where
        S: Script,
        M: Fn(&Plan) -> Result<Made<S>, Error> + Send + Sync + 'static,
    {
        let (control, controlled) = control();
        let by = Steerer::Master(order.by.clone());
        let (targets, wanted) = watch::channel(vus.clone());
        let names: Vec<_> = order
            .plan
            .scenarios
            .iter()
            .map(|it| it.name.clone())
            .collect();
        tokio::spawn(steer(
            control.clone(),
            by.clone(),
            names,
            wanted,
            told.clone(),
        ));
        let thread = std::thread::Builder::new().name("run".to_owned());
        let play = move |hear| {
            let Made {
                scripts,
                recorders,
                warnings,
            } = make(&order.plan)?;
            let (_stop, stop) = watch::channel(Stop::No);
            let (live, _live) = watch::channel(Live::default());
            let setup = Setup {
                plan: Arc::new(order.plan),
                scripts,
                recorders,
                threads: order.threads,
                stop,
                live,
                control: Some(controlled),
                pilot: None,
                warnings,
            };
            let part = Part {
                run_id: order.run_id,
                role: Role::Worker,
                node: order.node,
                hear,
            };
            run_part(setup, part)
        };
        let tell = told;
        let thread = thread.spawn(move || {
            let hear = {
                let tell = tell.clone();
                // Who is gone needs no news.
                move |news: &News| _ = tell.send(Told::News(news.clone()))
            };
            let outcome = play(Box::new(hear));
            let _ = tell.send(Told::Over(Box::new(outcome)));
        })?;
        Ok(Self {
            targets,
            control,
            by,
            thread: Some(thread),
            vus,
            asked: Some(Instant::now()),
            is_spawned: false,
            ending: None,
            cut_at: None,
        })
    }

    /// Panics if its thread has.
    pub(super) fn heed_panic(&mut self) {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished())
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }

    /// From now on so many VUs, by scenario.
    pub(super) fn ask(&mut self, vus: Vec<u32>) {
        self.vus.clone_from(&vus);
        self.asked = Some(Instant::now());
        self.is_spawned = false;
        self.targets.send_replace(vus);
    }

    /// Takes in how many VUs run.
    pub(super) fn measured(&mut self, running: &[u32]) {
        let is_settled = self.asked.is_none_or(|asked| asked.elapsed() >= SETTLED);
        if self.is_spawned && is_settled && running.len() == self.vus.len() {
            self.asked = None;
            self.vus.copy_from_slice(running);
        }
    }

    /// What was asked for is on its way.
    pub(super) fn spawned(&mut self, vus: &[u32]) -> bool {
        let is_latest = self.vus == vus || self.asked.is_none();
        if is_latest {
            self.is_spawned = true;
            self.asked = Some(Instant::now());
        }
        is_latest
    }

    /// Lets no more iterations start, and those under way end; they are cut after
    /// some time.
    pub(super) fn end(&mut self, why: Ending, grace: Duration) {
        let is_first = self.ending.is_none();
        self.ending = self.ending.max(Some(why));
        let cut_at = Instant::now() + grace;
        self.cut_at = Some(self.cut_at.map_or(cut_at, |at| at.min(cut_at)));
        if is_first {
            self.tell(Action::Stop);
        }
    }

    /// Cuts iterations under way.
    pub(super) fn cut(&mut self) {
        self.cut_at = None;
        self.tell(Action::StopNow);
    }

    fn tell(&self, action: Action) {
        let (control, by) = (self.control.clone(), self.by.clone());
        tokio::spawn(async move {
            // One that is over has stopped.
            let _ = control.order(None, action, by).await;
        });
    }
}

/// Passes on how many VUs there are to be, as soon as there can be any.
async fn steer(
    control: Control,
    by: Steerer,
    names: Vec<Arc<str>>,
    mut wanted: watch::Receiver<Vec<u32>>,
    told: UnboundedSender<Told>,
) {
    let mut status = control.status.clone();
    let started = status.wait_for(|status| status.phase != Phase::Starting);
    if started.await.is_err() {
        return;
    }
    loop {
        let vus = wanted.borrow_and_update().clone();
        for (name, vus) in names.iter().zip(&vus) {
            let set = Action::Set(Load::Vus(*vus));
            let done = control.order(Some(name.to_string()), set, by.clone()).await;
            if let Err(problem) = done {
                // Nobody hears it if the worker is gone.
                let _ = told.send(Told::Refused(problem));
            }
        }
        let _ = told.send(Told::Spawned(vus));
        if wanted.changed().await.is_err() {
            return;
        }
    }
}
