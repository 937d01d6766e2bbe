//! The conductor: one task that owns a run's phase, merges what its workers
//! measured, and makes its events. It knows workers by a [`Fleet`] alone: how
//! many there are, and where, is nothing to it.
//!
//! | phase | begins when | what happens |
//! |---|---|---|
//! | starting | the run is called | components, recorders, VUs, `setup` |
//! | running | every VU is made and `setup` is done | iterations start |
//! | stopping | the last scenario's time is over, the user or a script ends the run | iterations under way may end, each scenario's for its graceful stop; then they are cut |
//! | finishing | every VU has ended | `teardown`, last statistics, recorders |
//!
//! One that takes a run over from a master that is gone begins with what the workers
//! were told until then ([`Past`]): it is where that master was, and goes on from there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;
use uuid::Uuid;

use super::cadence::{Cadence, Ticks};
use super::control::{self, Action, Applied, Controlled, Status};
use super::judge::RunJudge;
use super::link::{
    Command, Conclusion, Data, Ending, Fleet, Measured, Member, News, Past, Readiness, Standing,
    Start, Steering, TakeOver, To, WorkerId,
};
use super::pilot::{Heading, Pilot, ShapeOutcome};
use super::pulse::Lag;
use super::steering::{Courses, Turn};
use super::usage::Usage;
use super::worker::{Duty, Worker, script_failed};
use super::{Conducting, Health, Live, OnLoss, Outcome, Part, Phase, Setup, Stop, WorkerOutcome};
use crate::error::{Error, ExitCode, Problem};
use crate::event::{
    CappedNames, Clock, DataQuality, EventKind, LoadChange, RunSummary, Stats, Steerer, StopReason,
};
use crate::executor::{Played, Profile};
use crate::measure::ScriptError;
use crate::plan::{ENDLESS, Executor, GROUP_BY_SCENARIO, Plan, Share};
use crate::recorder::{Feed, RecorderOutcome, Recorders, Role, RunInfo};
use crate::stats::groups::NONE;
use crate::stats::names::NameKind;
use crate::stats::snapshot::{IterationSeries, RequestSeries};
use crate::stats::window::{GroupStats, Window};
use crate::stats::{Histogram, Snapshot};
use crate::system::hostname;
use crate::vu::{RunContext, Script};

/// How often the run looks at itself for the live line.
const LOOK: Duration = Duration::from_secs(1);
/// How long recorders may take to write what is left.
const RECORDERS_FINISH: Duration = Duration::from_secs(10);
/// How many changes by hand are kept for the summary; each is an event.
const CHANGES_KEPT: usize = 1_000;
/// This node's name in a run without workers.
const NODE: &str = "standalone";

/// Runs a plan to its end in this process. Blocks the calling thread until then,
/// and starts threads of its own.
///
/// # Errors
///
/// If the run cannot start: a recorder or a VU cannot be made, or the script's
/// `setup` fails. What goes wrong later is in the outcome.
pub fn run<S: Script>(setup: Setup<S>) -> Result<Outcome, Error> {
    let alone = Part {
        run_id: None,
        role: Role::Standalone,
        node: NODE.into(),
        hear: Box::new(|_| {}),
    };
    run_part(setup, alone)
}

/// Runs a plan to its end in this process, as a part of what somebody else runs.
/// Blocks as [`run`] does.
///
/// # Errors
///
/// As [`run`].
pub fn run_part<S: Script>(setup: Setup<S>, part: Part) -> Result<Outcome, Error> {
    let Setup {
        plan,
        scripts,
        recorders,
        threads,
        stop,
        live,
        control,
        pilot,
        warnings,
    } = setup;
    let Part {
        run_id,
        role,
        node,
        hear,
    } = part;
    let run_id = run_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let info = run_info(&plan, &run_id, role, &node);
    let (recorders, feed) = Recorders::start(recorders, &info)?;
    let (fleet, post) = Fleet::local(node.clone());
    let post = post.overheard(hear);
    let duty = Duty {
        context: Arc::new(RunContext::new(plan.clone(), node.clone(), feed.clone())),
        scripts,
        share: Some(Share::WHOLE),
        threads,
        origin: fleet.origin,
        warnings,
    };
    let worker = Worker::hire(duty, post).map_err(no_thread)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(no_thread)?;
    let conducting = Conducting {
        plan: plan.clone(),
        run_id: run_id.clone(),
        role: Role::Standalone,
        node,
        fleet,
        stop,
        live,
        control,
        pilot,
        on_loss: OnLoss::Abort,
        past: None,
    };
    let (ended, ()) = runtime.block_on(async {
        // Without its conductor the worker has nobody to hear, and ends.
        tokio::join!(Conductor::new(conducting, feed).conduct(), worker.serve())
    });
    // Without a result the recorders are dropped: there is nothing to finish.
    let ended = ended?;
    let telemetry = recorders.finish(RECORDERS_FINISH);
    Ok(ended.outcome(run_id, plan, telemetry))
}

/// Conducts the workers of a fleet through a run, to its end. Blocks the calling
/// thread until then; the link to the workers runs on it too, in `runtime`.
///
/// # Errors
///
/// As [`run`]; also if no worker is left before the start.
pub fn conduct(
    conducting: Conducting,
    recorders: Vec<crate::recorder::Setup>,
    runtime: &tokio::runtime::Runtime,
) -> Result<Outcome, Error> {
    let (run_id, plan) = (conducting.run_id.clone(), conducting.plan.clone());
    let info = run_info(&plan, &run_id, conducting.role, &conducting.node);
    let (recorders, feed) = Recorders::start(recorders, &info)?;
    let ended = runtime.block_on(Conductor::new(conducting, feed).conduct())?;
    let telemetry = recorders.finish(RECORDERS_FINISH);
    Ok(ended.outcome(run_id, plan, telemetry))
}

fn no_thread(error: std::io::Error) -> Error {
    Error::Machine(
        Problem::new(format!(
            "the machine gives no thread or event queue: {error}"
        ))
        .hint("check the limits on processes and open files: `ulimit -u -n`"),
    )
}

/// What every recorder of a node is told of the run.
pub fn run_info(plan: &Plan, run_id: &str, role: Role, node: &Arc<str>) -> RunInfo {
    RunInfo {
        run_id: run_id.to_owned(),
        test_plan: plan.test_plan.clone(),
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        role,
        node: node.clone(),
        hostname: hostname(),
        process_id: std::process::id(),
        scenarios: plan
            .scenarios
            .iter()
            .map(|scenario| scenario.name.clone())
            .collect(),
        tags: plan.tags.clone(),
        stats_interval: plan.stats_interval,
        plan: serde_json::to_string(plan).expect("a plan is plain data with text as keys"),
        options: Vec::new(),
    }
}

/// A worker, as the conductor sees it.
#[derive(Debug)]
struct Hand {
    member: Member,
    /// It is ready to start.
    ready: Option<Result<Readiness, ScriptError>>,
    set_up: Option<Result<Data, Problem>>,
    torn_down: bool,
    /// What it tells first is all of what it measured, before this master as well.
    is_catching_up: bool,
    /// It was asked for what it measured, and has not answered yet.
    awaited: bool,
    standing: Standing,
    /// The parts that it has, and how many it was ever given.
    shares: Vec<Share>,
    parts: u32,
    /// By scenario: how many iterations it did.
    done: Vec<u64>,
    /// Others have its parts.
    gave_away: bool,
    played: Played,
    /// No iterations start on it any more.
    stopped: bool,
    /// All its VUs have ended, and when.
    finished: bool,
    finished_at: Option<Instant>,
    concluded: Option<Box<Conclusion>>,
    /// Since when it is gone, and why.
    lost: Option<(Duration, String)>,
    /// When it last told what it measured.
    told: Option<Duration>,
    /// How often it was gone and came back.
    returns: u32,
    requests: u64,
    iterations: u64,
    /// Of its requests, if there are others beside it.
    durations: Histogram,
}

impl Hand {
    fn new(member: Member) -> Self {
        Self {
            ready: None,
            set_up: None,
            torn_down: false,
            is_catching_up: false,
            awaited: false,
            standing: Standing::default(),
            shares: member.share.into_iter().collect(),
            parts: member.share.map_or(0, |_| 1),
            done: Vec::new(),
            gave_away: false,
            played: Played::default(),
            member,
            stopped: false,
            finished: false,
            finished_at: None,
            concluded: None,
            lost: None,
            told: None,
            returns: 0,
            requests: 0,
            iterations: 0,
            durations: Histogram::default(),
        }
    }

    fn is_here(&self) -> bool {
        self.lost.is_none()
    }

    fn is_playing(&self) -> bool {
        self.is_here() && !self.shares.is_empty()
    }

    /// Whether a part of the result is missing with it.
    fn is_missed(&self) -> bool {
        !self.is_here() && !self.finished && (self.gave_away || !self.shares.is_empty())
    }
}

/// What is to be done once every worker has told what it measured.
#[derive(Debug)]
struct Look {
    /// Which of the cadences.
    reports: Vec<bool>,
    look: bool,
    ask: bool,
    ramp_up: bool,
    /// When it is done without those that have not told.
    deadline: Option<Instant>,
}

pub(super) struct Conductor {
    context: Arc<RunContext>,
    crew: Vec<Hand>,
    fleet: Fleet,
    on_loss: OnLoss,
    is_standalone: bool,
    stop: watch::Receiver<Stop>,
    live: watch::Sender<Live>,
    run_id: Arc<str>,
    /// What the scenarios are on, whatever they were told.
    courses: Courses,
    /// How people changed the load.
    load_changes: Vec<(Duration, LoadChange)>,
    /// Whoever steers the run, and how far they asked for its end.
    control: Option<Controlled>,
    stopped_by_order: watch::Sender<Stop>,
    /// What asks the shape, and why that ends the run, once it does.
    pilot: Option<Pilot>,
    landed: watch::Sender<Option<StopReason>>,
    /// Why a worker says that the run ends.
    ending: watch::Sender<Option<Ending>>,
    /// The stats intervals, the run's own first, each with what was measured
    /// since its last statistics.
    cadences: Vec<Cadence>,
    looks: Ticks,
    /// Under way: workers were asked what they measured.
    look: Option<Look>,
    /// Whether some worker's figures were not in when it ended.
    is_partial: bool,
    /// What was measured since the last look, and since the start.
    recent: RequestSeries,
    total: Snapshot,
    recent_began: Instant,
    /// When iterations began to start.
    started: Instant,
    judge: RunJudge,
    /// At the end of the last stats interval, if somebody may ask for them.
    last_stats: Option<Arc<Stats>>,
    /// What a master's own process uses; a run in one process is watched by its
    /// worker.
    usage: Option<Usage>,
    /// How late the VUs' threads ran.
    lag: Lag,
    /// Whether the number of VUs, or the rate, has still to go up as far as it does.
    is_ramping_up: bool,
    /// What `setup` returned, and whether there are hooks at all.
    data: Data,
    has_hooks: bool,
    /// Whether a worker was told to run `teardown`.
    told_to_tear_down: bool,
    /// What was before this master, until it has taken it in; and whether there
    /// was anything.
    past: Option<Past>,
    is_resumed: bool,
    /// The master before this one had told the workers to end the load.
    was_being_ended: bool,
}

/// A run that has ended.
pub(super) struct Ended {
    started_ms: f64,
    reason: StopReason,
    summary: RunSummary,
    exit_code: ExitCode,
    total: Snapshot,
    health: Health,
    vus: u32,
    threshold_warnings: Vec<String>,
    load_changes: Vec<(Duration, LoadChange)>,
    shape: Option<ShapeOutcome>,
    workers: Vec<WorkerOutcome>,
    warnings: Vec<String>,
}

impl Conductor {
    pub(super) fn new(conducting: Conducting, feed: Feed) -> Self {
        let Conducting {
            plan,
            run_id,
            role,
            node,
            mut fleet,
            stop,
            live,
            control,
            pilot,
            on_loss,
            past,
        } = conducting;
        let mut intervals = feed.stats_intervals();
        // The run's own comes first, whether a recorder has it or not: it is the
        // one at which thresholds are judged.
        intervals.retain(|interval| *interval != plan.stats_interval);
        intervals.insert(0, plan.stats_interval);
        let context = Arc::new(RunContext::new(plan.clone(), node, feed));
        let began = Instant::now();
        let members = std::mem::take(&mut fleet.members);
        let is_standalone = role == Role::Standalone;
        Self {
            judge: RunJudge::new(context.clone()),
            crew: members.into_iter().map(Hand::new).collect(),
            courses: Courses::new(&plan, began, fleet.ahead),
            fleet,
            on_loss,
            is_standalone,
            stop,
            live,
            run_id: run_id.into(),
            load_changes: Vec::new(),
            stopped_by_order: watch::Sender::new(Stop::No),
            control,
            pilot,
            landed: watch::Sender::new(None),
            ending: watch::Sender::new(None),
            cadences: intervals
                .into_iter()
                .map(|interval| Cadence::new(began, interval))
                .collect(),
            looks: Ticks::new(began, LOOK),
            look: None,
            is_partial: false,
            recent: RequestSeries::default(),
            total: Snapshot {
                groups: context.tracking.grouping().tables(),
                ..Snapshot::default()
            },
            recent_began: began,
            started: began,
            last_stats: None,
            usage: None,
            lag: Lag::default(),
            is_ramping_up: false,
            data: Data::default(),
            has_hooks: false,
            told_to_tear_down: false,
            is_resumed: past.is_some(),
            was_being_ended: false,
            past,
            context,
        }
    }

    pub(super) async fn conduct(mut self) -> Result<Ended, Error> {
        let reason = match self.past.take() {
            Some(past) => {
                self.resume(past).await;
                self.watch_over().await
            }
            None => self.conduct_from_the_start().await?,
        };
        self.context.enter(Phase::Finishing);
        self.show();
        self.tear_down().await;
        let shape = self.hear_the_shape_out().await;
        self.conclude().await;
        Ok(self.end(reason, shape))
    }

    /// From nothing to the end of the load: why it has ended.
    async fn conduct_from_the_start(&mut self) -> Result<StopReason, Error> {
        self.ready().await?;
        match self.set_up().await {
            Err(error) => {
                // What other scenarios set up is theirs to take down.
                self.tear_down().await;
                Err(error)
            }
            Ok(None) => {
                self.start().await;
                Ok(self.watch_over().await)
            }
            // Nothing has started: there is nothing to wait for.
            Ok(Some(reason)) => {
                let reason = self.stopping(reason);
                self.cut().await;
                Ok(reason)
            }
        }
    }

    /// Takes over where another master was, with all that the workers measured.
    async fn resume(&mut self, past: Past) {
        let Past { start, told } = past;
        let started = self.fleet.origin.instant(start.at);
        self.context
            .start_clock_at(Clock::at(started, start.wall_ms));
        self.data = start.data;
        self.run_from(started);
        let now = Instant::now();
        self.judge.resume(now.saturating_duration_since(started));
        self.crew
            .iter_mut()
            .for_each(|hand| hand.is_catching_up = true);
        for (to, command) in told {
            match command {
                Command::Steer(steering) => {
                    let Steering {
                        scenario,
                        at,
                        steer,
                        change,
                    } = *steering;
                    let at = self.fleet.origin.instant(at);
                    self.courses.recall(scenario as usize, at, steer);
                    self.remember(at.saturating_duration_since(started), &change);
                }
                Command::TakeOver(part) => {
                    let TakeOver { share, from, .. } = *part;
                    if let Some(hand) = self.crew.get_mut(from as usize) {
                        hand.gave_away = true;
                        hand.shares.clear();
                    }
                    if let To::One(heir) = to
                        && let Some(hand) = self.crew.get_mut(heir as usize)
                    {
                        hand.shares.push(share);
                        hand.parts += 1;
                    }
                }
                Command::Stop(None) | Command::Cut if to == To::All => {
                    self.was_being_ended = true;
                    let reason = "its first master was ending it when it was lost";
                    self.landed
                        .send_replace(Some(StopReason::Other(reason.into())));
                }
                Command::TearDown(_) => self.told_to_tear_down = true,
                _ => {}
            }
        }
        // What it tells first ends with that.
        let has_told = |hand: &Hand| hand.ready.is_some();
        self.wait_for(Wanted::Nothing, |conductor| {
            conductor.here().all(|(_, hand)| has_told(hand))
        })
        .await;
    }

    /// Tells workers something.
    fn tell(&self, to: To, command: Command) {
        (self.fleet.commands)(to, command);
    }

    /// Those that are not lost.
    fn here(&self) -> impl Iterator<Item = (WorkerId, &Hand)> {
        (0..).zip(&self.crew).filter(|(_, hand)| hand.is_here())
    }

    /// Waits until every worker has made its VUs.
    async fn ready(&mut self) -> Result<(), Error> {
        self.show();
        self.wait_for(Wanted::Nothing, |conductor| {
            let failed = |hand: &Hand| matches!(hand.ready, Some(Err(_))) || !hand.is_here();
            conductor.here().all(|(_, hand)| hand.ready.is_some())
                || conductor.crew.iter().any(failed)
        })
        .await;
        for hand in &self.crew {
            if let Some(Err(error)) = &hand.ready {
                return Err(Error::Script(
                    script_failed("the script cannot start", error).hint(
                        "no VU has run; `squall inspect` tells what a script asks for, and \
                         `--vu-memory` says how much memory it gets",
                    ),
                ));
            }
        }
        self.all_here()
    }

    /// Before the start every worker is needed.
    fn all_here(&self) -> Result<(), Error> {
        let lost = |hand: &Hand| {
            hand.lost
                .clone()
                .map(|(_, why)| (hand.member.name.clone(), why))
        };
        match self.crew.iter().find_map(lost) {
            Some((name, why)) => Err(Error::Lost(
                Problem::new(format!(
                    "the worker `{name}` was lost before the start: {why}"
                ))
                .hint("no VU has started; start it again, and the run"),
            )),
            None => Ok(()),
        }
    }

    /// Takes in what workers tell, and orders, until there is nothing more to wait
    /// for, or somebody asks for the run's end: then `false`.
    async fn wait_for(&mut self, stop: Wanted, done: impl Fn(&Self) -> bool) -> bool {
        let mut stopped = std::pin::pin!(self.stopped_by(stop));
        while !done(self) {
            tokio::select! {
                biased;
                Some((worker, news)) = self.fleet.news.recv() => self.take_in(worker, news),
                () = &mut stopped => return false,
                Some(order) = ordered(&mut self.control) => self.take_order(order),
            }
        }
        true
    }

    /// Has one worker run each script's `setup`. An interrupt ends it: the reason.
    async fn set_up(&mut self) -> Result<Option<StopReason>, Error> {
        let Some((worker, _)) = self.here().next().filter(|_| self.has_hooks) else {
            return Ok(None);
        };
        self.tell(To::One(worker), Command::SetUp);
        let at = worker as usize;
        let done = |conductor: &Self| {
            let hand = &conductor.crew[at];
            hand.set_up.is_some() || !hand.is_here()
        };
        if !self.wait_for(Wanted::Stop(Stop::Graceful), done).await {
            self.tell(To::One(worker), Command::Cut);
            return Ok(Some(StopReason::Interrupted));
        }
        self.all_here()?;
        match self.crew[at].set_up.take() {
            Some(Ok(data)) => {
                self.data = data;
                Ok(None)
            }
            Some(Err(problem)) => Err(Error::Script(problem)),
            None => unreachable!("a worker that is there has answered"),
        }
    }

    async fn start(&mut self) {
        let lead = self.fleet.lead;
        let clock = self.context.start_clock_at(Clock::start_in(lead));
        let started = clock.started();
        let start = Start {
            at: self.fleet.origin.moment(started),
            wall_ms: clock.wall_ms(started),
            data: self.data.clone(),
        };
        if !lead.is_zero() {
            // Who has to hear of it from afar does so before it is time.
            self.tell(To::All, Command::Start(Box::new(start.clone())));
            sleep_until(started.into()).await;
        }
        self.run_from(started);
        if lead.is_zero() {
            // Nothing that was measured comes before the run's first event.
            self.tell(To::All, Command::Start(Box::new(start)));
        }
        let has_all = |at: Instant| at <= started;
        if self.ramped_up().is_some_and(has_all) {
            self.ramp_up_finished(planned_vus(&self.context.plan));
        }
        // Whoever steers the run need not wait for the first look.
        self.show();
    }

    /// Enters the time in which iterations start.
    fn run_from(&mut self, started: Instant) {
        self.started = started;
        self.recent_began = started;
        let plan = &self.context.plan;
        for cadence in &mut self.cadences {
            cadence.start(started);
        }
        if let Some(pilot) = &mut self.pilot {
            pilot.start(started);
        }
        self.looks = Ticks::new(started, LOOK.min(plan.stats_interval));
        if !self.is_standalone {
            self.usage = Some(Usage::new(started, plan.system_interval, 1));
        }
        self.courses = Courses::new(plan, started, self.fleet.ahead);
        self.is_ramping_up = true;
        self.context.enter(Phase::Running);
        self.context.publish(EventKind::RunStarted);
    }

    /// When there are as many VUs as there will be. Open models make theirs as they
    /// need them: for those the first second tells.
    fn ramped_up(&self) -> Option<Instant> {
        let at = self.courses.ramped_up()?;
        let mut scenarios = self.context.plan.scenarios.iter();
        Some(match scenarios.any(|it| it.executor.is_open()) {
            true => at.max(self.started + LOOK),
            false => at,
        })
    }

    fn ramp_up_finished(&mut self, vus: u32) {
        if std::mem::take(&mut self.is_ramping_up) {
            self.context.publish(EventKind::RampUpFinished { vus });
        }
    }

    /// Watches over the run while iterations start: until its end.
    async fn watch_over(&mut self) -> StopReason {
        let breached = self.judge.breached();
        let stopped = self.stopped_by(Wanted::Stop(Stop::Graceful));
        let mut landed = self.landed.subscribe();
        let mut ending = self.ending.subscribe();
        let reason = self
            .until(Until::Stopped, async {
                tokio::select! {
                    Ok(ending) = ending.wait_for(Option::is_some) => why(ending.as_ref()),
                    threshold = breached => StopReason::Threshold(threshold),
                    () = stopped => StopReason::Interrupted,
                    Ok(reason) = landed.wait_for(Option::is_some) => {
                        reason.clone().unwrap_or(StopReason::Completed)
                    }
                }
            })
            .await;
        let ended_early = reason.is_some();
        let has_all = |at: Instant| at <= self.started + LOOK;
        if !ended_early && self.ramped_up().is_some_and(has_all) {
            // It was over before anybody looked.
            self.ramp_up_finished(self.running());
        }
        // The last worker may have been lost, after which nobody plays.
        let reason = reason.or_else(|| self.landed.borrow().clone());
        let reason = reason.unwrap_or_else(|| why(self.ending.borrow().as_ref()));
        let reason = self.stopping(reason);
        if ended_early {
            self.tell(To::All, Command::Stop(None));
        }
        self.wind_down().await;
        reason
    }

    /// Lets iterations under way end, until the user asks again: each scenario
    /// cuts its own when its graceful stop is over.
    async fn wind_down(&mut self) {
        let at_once = self.stopped_by(Wanted::Stop(Stop::Now));
        if self.until(Until::Finished, at_once).await.is_some() {
            self.cut().await;
        }
    }

    /// Waits until somebody asks for the run's end, at least so soon: by a signal,
    /// or by an order.
    fn stopped_by(&self, wanted: Wanted) -> impl Future<Output = ()> + use<> {
        let (mut stop, mut by_order) = (self.stop.clone(), self.stopped_by_order.subscribe());
        async move {
            let Wanted::Stop(least) = wanted else {
                return std::future::pending().await;
            };
            tokio::select! {
                () = asked(&mut stop, least) => {}
                () = asked(&mut by_order, least) => {}
            }
        }
    }

    /// Drops what is still under way, and waits until it is gone.
    async fn cut(&mut self) {
        self.tell(To::All, Command::Cut);
        self.until(Until::Finished, std::future::pending::<()>())
            .await;
    }

    /// Does what somebody says who steers the run, or says why not.
    fn take_order(&mut self, order: control::Order) {
        let applied = self.apply(&order);
        self.show_load();
        // Whoever gave it need not wait for what came of it.
        let _ = order.reply.send(applied);
    }

    /// Shows what there is to be from now on. Not a look, which would tell of the
    /// requests of this moment.
    fn show_load(&self) {
        let now = Instant::now();
        self.tell_status(now);
        self.live.send_modify(|live| self.tell_load(live, now));
    }

    fn apply(&mut self, order: &control::Order) -> Result<Applied, Problem> {
        let stop = match order.action {
            // Whoever gives the load ends it when it is over.
            Action::Stop if matches!(order.by, Steerer::Master(_)) => {
                self.landed.send_replace(Some(StopReason::Completed));
                return Ok(Applied::default());
            }
            Action::Stop => Some(Stop::Graceful),
            Action::StopNow => Some(Stop::Now),
            _ => None,
        };
        if let Some(stop) = stop {
            self.stopped_by_order.send_if_modified(|asked| {
                let more = *asked < stop;
                *asked = (*asked).max(stop);
                more
            });
            return Ok(Applied::default());
        }
        match self.context.phase() {
            Phase::Running => {}
            Phase::Starting => {
                return Err(Problem::new("the run has not started").hint("try again when it has"));
            }
            Phase::Stopping | Phase::Finishing => {
                return Err(Problem::new("the run comes to its end")
                    .hint("no iterations start any more, whatever the target"));
            }
        }
        let turns = self.courses.turn(order, Instant::now())?;
        let mut changes = Vec::new();
        for Turn {
            scenario,
            at,
            steer,
            change,
        } in turns
        {
            let steering = Steering {
                scenario: scenario as u32,
                at: self.fleet.origin.moment(at),
                steer,
                change: change.clone(),
            };
            self.tell(To::All, Command::Steer(Box::new(steering)));
            let told = EventKind::LoadChanged(Box::new(change.clone()));
            self.context.publish(told);
            self.remember(self.started.elapsed(), &change);
            changes.push(change);
        }
        Ok(Applied { changes })
    }

    /// Keeps what people changed, for the summary.
    fn remember(&mut self, elapsed: Duration, change: &LoadChange) {
        if change.by.is_by_hand() && self.load_changes.len() < CHANGES_KEPT {
            self.load_changes.push((elapsed, change.clone()));
        }
    }

    /// Tells the shape what happened in the last second, and asks what is to be.
    fn ask_the_shape(&mut self, now: Instant) {
        let (elapsed, is_paused) = self.courses.clock(0, now);
        let is_running = self.context.phase() == Phase::Running && !elapsed.is_zero();
        let vus = self.running();
        let Some(pilot) = &mut self.pilot else { return };
        if is_paused || !is_running {
            return pilot.skip(now);
        }
        let heading = pilot.ask(now, self.started, elapsed, vus);
        self.follow(heading);
    }

    /// Does what the pilot says.
    fn follow(&mut self, heading: Heading) {
        match heading {
            Heading::Stay => {}
            Heading::Load(load) => {
                let (reply, _) = oneshot::channel();
                let applied = self.apply(&control::Order {
                    scenario: None,
                    action: Action::Set(load),
                    by: Steerer::Shape,
                    reply,
                });
                if let Err(problem) = applied {
                    // It comes to its end just now.
                    tracing::debug!(%problem, %load, "what the shape asked for was not done");
                }
                self.show_load();
            }
            Heading::End => {
                self.landed.send_replace(Some(StopReason::Completed));
            }
            Heading::Failed(why) => {
                let reason = format!("the shape failed: {why}");
                self.landed
                    .send_replace(Some(StopReason::Other(reason.into())));
            }
        }
    }

    /// What the shape found out; nothing if the user does not wait for it.
    async fn hear_the_shape_out(&mut self) -> Option<ShapeOutcome> {
        let pilot = self.pilot.take()?;
        let mut stop = self.stop.clone();
        let outcome = tokio::select! {
            outcome = pilot.finish() => outcome,
            () = asked(&mut stop, Stop::Now) => return None,
        };
        let report = Box::new(outcome.report.clone());
        self.context.publish(EventKind::ShapeReported(report));
        Some(outcome)
    }

    /// VUs running when the workers last told.
    fn running(&self) -> u32 {
        let here = self.here();
        here.map(|(_, hand)| hand.standing.running.iter().sum::<u32>())
            .sum()
    }

    /// A sum over the workers that are there.
    fn of_scenario(&self, scenario: usize, of: fn(&Standing) -> &Vec<u32>) -> u32 {
        let here = self.here();
        here.filter_map(|(_, hand)| of(&hand.standing).get(scenario))
            .sum()
    }

    fn stopping(&mut self, reason: StopReason) -> StopReason {
        self.context.enter(Phase::Stopping);
        self.context.publish(EventKind::RunStopping(reason.clone()));
        self.show();
        reason
    }

    /// Keeps looking, reporting and sampling until `event` comes, or until
    /// every worker has come so far: then `None`.
    async fn until<T>(&mut self, until: Until, event: impl Future<Output = T>) -> Option<T> {
        let mut event = std::pin::pin!(event);
        let goes_on = |hand: &Hand| match until {
            Until::Stopped => !hand.stopped,
            Until::Finished => !hand.finished,
        };
        while self
            .crew
            .iter()
            .any(|hand| hand.is_playing() && goes_on(hand))
        {
            let due = self.due();
            let ramp_up = match self.is_ramping_up && self.look.is_none() {
                true => self.ramped_up(),
                false => None,
            };
            tokio::select! {
                biased;
                event = &mut event => return Some(event),
                Some((worker, news)) = self.fleet.news.recv() => self.take_in(worker, news),
                heading = heading(&mut self.pilot, &self.courses) => self.follow(heading),
                // Before orders: they may come without end.
                () = at(due) => self.keep_time(),
                Some(order) = ordered(&mut self.control) => self.take_order(order),
                () = at(ramp_up) => self.begin_look(Look {
                    reports: Vec::new(),
                    look: false,
                    ask: false,
                    ramp_up: true,
                    deadline: None,
                }),
            }
        }
        None
    }

    /// When the next tick is due, or the workers have been waited for long enough.
    fn due(&self) -> Option<Instant> {
        let ticks = || {
            self.cadences
                .iter()
                .map(|cadence| cadence.ticks.due())
                .chain(self.pilot.as_ref().map(Pilot::due))
                .fold(self.looks.due(), Instant::min)
        };
        let due = match &self.look {
            Some(look) => look.deadline,
            None => Some(ticks()),
        };
        let usage = self.usage.as_ref().map(Usage::due);
        due.into_iter().chain(usage).min()
    }

    /// Does what is due now. One look at the workers is for all of it.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if let Some(usage) = &mut self.usage
            && usage.pass(now)
        {
            usage.sample(&self.context);
        }
        match &self.look {
            Some(look) if look.deadline.is_some_and(|deadline| now >= deadline) => {
                self.end_look();
            }
            Some(_) => {}
            None => {
                let reports: Vec<_> = self
                    .cadences
                    .iter_mut()
                    .map(|cadence| cadence.ticks.pass(now))
                    .collect();
                let look = self.looks.pass(now);
                let ask = self.pilot.as_mut().is_some_and(|pilot| pilot.pass(now));
                if look || ask || reports.contains(&true) {
                    self.begin_look(Look {
                        reports,
                        look,
                        ask,
                        ramp_up: false,
                        deadline: None,
                    });
                }
            }
        }
    }

    /// Asks every worker for what it measured.
    fn begin_look(&mut self, look: Look) {
        let hands = self.crew.iter_mut();
        for hand in hands.filter(|hand| hand.is_playing() && !hand.finished) {
            hand.awaited = true;
        }
        self.look = Some(Look {
            deadline: Instant::now().checked_add(self.fleet.patience),
            ..look
        });
        self.tell(To::All, Command::Take);
        self.end_look_if_all_told();
    }

    fn end_look_if_all_told(&mut self) {
        let is_awaited = |hand: &Hand| hand.is_here() && hand.awaited;
        if self.look.is_some() && !self.crew.iter().any(is_awaited) {
            self.end_look();
        }
    }

    /// Reports, judges and shows what came of a look.
    fn end_look(&mut self) {
        let Some(look) = self.look.take() else { return };
        let now = Instant::now();
        self.is_partial = self.crew.iter().any(|hand| hand.awaited);
        for hand in &mut self.crew {
            hand.awaited = false;
        }
        for (number, is_due) in look.reports.iter().enumerate() {
            if *is_due {
                self.report_stats(number, now);
            }
        }
        if look.ask {
            self.ask_the_shape(now);
        }
        if look.look {
            let vus = self.running();
            self.judge
                .look(now.saturating_duration_since(self.started), vus);
            self.end_the_dead(now);
            self.show();
        }
        if look.ramp_up {
            self.ramp_up_finished(self.running());
        }
    }

    /// Stops closed models of which no VU could start: their threads that have
    /// none would wait for somebody who asks for more.
    fn end_the_dead(&self, now: Instant) {
        for scenario in 0..self.context.plan.scenarios.len() {
            let wanted = self.courses.closed_vus(scenario, now);
            let running = self.of_scenario(scenario, |standing| &standing.running);
            let never_came = self.of_scenario(scenario, |standing| &standing.never_came);
            if wanted > 0 && running == 0 && never_came >= wanted {
                self.tell(To::All, Command::Stop(Some(scenario as u32)));
            }
        }
    }

    fn take_in(&mut self, worker: WorkerId, news: News) {
        if let News::Joined(name) = &news
            && worker as usize == self.crew.len()
        {
            let name: Arc<str> = name.as_str().into();
            self.context.publish(EventKind::WorkerJoined(name.clone()));
            self.crew.push(Hand::new(Member {
                name,
                share: None,
                clock: None,
            }));
        }
        let elapsed = self.elapsed(Instant::now());
        let Some(hand) = self.crew.get_mut(worker as usize) else {
            return;
        };
        match news {
            News::Ready(ready) => {
                self.has_hooks |= matches!(&ready, Ok(it) if it.has_hooks);
                hand.is_catching_up = false;
                hand.ready = Some(ready);
            }
            News::SetUp(set_up) => hand.set_up = Some(set_up),
            News::Measured(measured) => {
                let Measured {
                    measured,
                    lag,
                    standing,
                    asked,
                } = *measured;
                hand.standing = standing;
                hand.told = Some(elapsed);
                hand.awaited &= !asked;
                let requests = measured.requests.values();
                for series in requests {
                    hand.requests += series.duration.count();
                    if !self.is_standalone {
                        hand.durations.merge(&series.duration);
                    }
                }
                hand.iterations += measured.iterations.finished;
                hand.count_done(&measured, &self.context.plan);
                self.lag.merge(lag);
                let is_past = std::mem::take(&mut hand.is_catching_up);
                match is_past {
                    true => self.judge.take_in_past(&measured),
                    false => self.judge.take_in(&measured),
                }
                self.merge(&measured);
                self.end_look_if_all_told();
            }
            News::Ending(ending) => {
                self.ending.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(ending);
                    is_first
                });
            }
            // Of fewer parts than it was given since, it says so again.
            News::Stopped(parts) => hand.stopped = parts >= hand.parts,
            News::Finished { parts, played, at } => {
                hand.finished_at = Some(self.fleet.origin.instant(at));
                hand.stopped = parts >= hand.parts;
                hand.finished = parts >= hand.parts;
                hand.awaited = false;
                hand.played = played;
                self.end_look_if_all_told();
            }
            News::TornDown => hand.torn_down = true,
            News::Concluded(conclusion) => {
                hand.standing = conclusion.standing.clone();
                hand.concluded = Some(conclusion);
            }
            News::Joined(_) => {}
            News::Lost(why) => self.lose(worker, why),
            News::Back => self.regain(worker),
        }
    }

    /// Takes note that a worker is gone, and does what is to be done about it.
    fn lose(&mut self, worker: WorkerId, why: String) {
        let elapsed = self.elapsed(Instant::now());
        let hand = &mut self.crew[worker as usize];
        if !hand.is_here() {
            return;
        }
        let name = hand.member.name.clone();
        tracing::warn!(worker = &*name, why, "a worker is lost");
        hand.lost = Some((elapsed, why.clone()));
        hand.awaited = false;
        let is_needed = !hand.finished && !hand.shares.is_empty();
        self.context.publish(EventKind::WorkerLost(name.clone()));
        self.end_look_if_all_told();
        if !is_needed || self.context.phase() != Phase::Running {
            return;
        }
        let is_inherited = self.on_loss == OnLoss::Rebalance && self.rebalance(worker);
        let ends = match self.on_loss {
            OnLoss::Abort => Some(format!("the worker `{name}` was lost: {why}")),
            _ if is_inherited => None,
            _ if !self.crew.iter().any(Hand::is_playing) => {
                Some("every worker was lost".to_owned())
            }
            _ => None,
        };
        if let Some(reason) = ends {
            self.landed
                .send_replace(Some(StopReason::Other(reason.into())));
        }
    }

    /// Takes note that a worker is back, with all that it measured in between.
    fn regain(&mut self, worker: WorkerId) {
        let hand = &mut self.crew[worker as usize];
        if hand.lost.take().is_none() {
            return;
        }
        hand.returns += 1;
        let name = hand.member.name.clone();
        let has_nothing = hand.shares.is_empty();
        self.context.publish(EventKind::WorkerJoined(name));
        if has_nothing && self.context.phase() == Phase::Running {
            // Others have its part now.
            self.tell(To::One(worker), Command::Stop(None));
        }
    }

    /// Gives a lost worker's parts to one that waits, or deals them out to the
    /// others; `false` if there are none.
    fn rebalance(&mut self, lost: WorkerId) -> bool {
        let waits = |hand: &Hand| hand.shares.is_empty() && hand.returns == 0;
        let is_able = |hand: &Hand| hand.is_here() && matches!(hand.ready, Some(Ok(_)));
        let able = (0..).zip(&self.crew).filter(|(_, hand)| is_able(hand));
        let spare = able.clone().find(|(_, hand)| waits(hand));
        let heirs: Vec<WorkerId> = match spare {
            Some((worker, _)) => vec![worker],
            None => able
                .filter(|(_, hand)| !hand.shares.is_empty())
                .map(|(worker, _)| worker)
                .collect(),
        };
        let of = heirs.len() as u32;
        if of == 0 {
            return false;
        }
        let hand = &mut self.crew[lost as usize];
        let shares = std::mem::take(&mut hand.shares);
        let done = std::mem::take(&mut hand.done);
        hand.gave_away = true;
        let at = self.fleet.origin.moment(Instant::now() + self.fleet.ahead);
        for (number, share) in shares.into_iter().enumerate() {
            // What it did counts for the first of its parts.
            let done = |scenario: usize| match number {
                0 => done.get(scenario).copied().unwrap_or(0),
                _ => 0,
            };
            let scenarios = self.context.plan.scenarios.iter().enumerate();
            let left: Vec<Option<u64>> = scenarios
                .map(|(scenario, plan)| {
                    let part = match &plan.executor {
                        Executor::SharedIterations { iterations, .. } => share.part(*iterations),
                        Executor::PerVuIterations {
                            vus, iterations, ..
                        } => share.dealt(vus.get().into()).saturating_mul(*iterations),
                        _ => return None,
                    };
                    Some(part.saturating_sub(done(scenario)))
                })
                .collect();
            for (heir, worker) in (0..).zip(&heirs) {
                let (Some(share), Some(own)) = (share.within(heir, of), Share::new(heir, of))
                else {
                    continue;
                };
                let left = left.iter().map(|left| left.map(|left| own.part(left)));
                let part = TakeOver {
                    share,
                    from: lost,
                    at,
                    left: left.collect(),
                };
                let hand = &mut self.crew[*worker as usize];
                hand.shares.push(share);
                hand.parts += 1;
                hand.stopped = false;
                hand.finished = false;
                self.tell(To::One(*worker), Command::TakeOver(Box::new(part)));
            }
        }
        true
    }

    fn merge(&mut self, snapshot: &Snapshot) {
        for cadence in &mut self.cadences {
            cadence.measured.merge(snapshot);
        }
        for series in snapshot.requests.values() {
            self.recent.merge(series);
        }
        if let Some(pilot) = &mut self.pilot {
            pilot.merge(snapshot);
        }
        self.total.merge(snapshot);
    }

    /// Ends an interval, and reports its statistics to whoever asked for them.
    fn report_stats(&mut self, number: usize, now: Instant) {
        let interval = self.cadences[number].interval;
        let is_shown = number == 0 && self.control.is_some();
        if is_shown || self.context.feed.wants_stats(interval) {
            let stats = self.stats(&self.cadences[number], now);
            if is_shown {
                self.last_stats = Some(stats.clone());
            }
            self.context.publish_at(interval, EventKind::Stats(stats));
        }
        self.cadences[number].measured = Snapshot::default();
        self.cadences[number].began = now;
    }

    fn stats(&self, cadence: &Cadence, now: Instant) -> Arc<Stats> {
        Arc::new(Stats {
            vus: self.running(),
            interval: cadence.measured.window(now - cadence.began),
            total: self
                .total
                .window(now.saturating_duration_since(self.started)),
            complete: !self.is_partial && !self.crew.iter().any(Hand::is_missed),
        })
    }

    /// Shows how the run is doing, with the rates since the last time.
    fn show(&mut self) {
        let now = Instant::now();
        let recent = std::mem::take(&mut self.recent);
        let seconds = (now - self.recent_began).as_secs_f64();
        self.recent_began = now;
        let plan = &self.context.plan;
        let all = self.total.requests.values();
        let (requests, failures) = all.fold((0, 0), |(requests, failures), series| {
            (requests + series.duration.count(), failures + series.failed)
        });
        let executors = plan.scenarios.iter().map(|scenario| &scenario.executor);
        let mut live = Live {
            iterations: self.total.iterations.finished,
            iterations_planned: executors.map(Executor::iterations).sum(),
            iterations_dropped: self.total.iterations.dropped.total(),
            requests,
            requests_per_s: if seconds > 0.0 {
                recent.duration.count() as f64 / seconds
            } else {
                0.0
            },
            failures,
            p95_ms: recent.duration.quantile(0.95) as f64 / 1e3,
            ..Live::default()
        };
        self.tell_load(&mut live, now);
        self.tell_status(now);
        self.live.send_replace(live);
    }

    /// How far the run is, and what it has and is to have.
    fn tell_load(&self, live: &mut Live, now: Instant) {
        let plan = &self.context.plan;
        let executors = || plan.scenarios.iter().map(|scenario| &scenario.executor);
        live.phase = self.context.phase();
        live.elapsed = self.elapsed(now);
        live.vus = self.running();
        live.paused = self.courses.are_paused(now);
        live.vus_planned = match self.pilot.is_none() && self.load_changes.is_empty() {
            true => planned_vus(plan),
            false => self.courses.vus(now),
        };
        live.rate_planned = executors()
            .any(Executor::is_open)
            .then(|| self.courses.rate(now));
        live.planned = executors()
            .all(|executor| executor.iterations().is_none())
            .then(|| self.planned(now))
            .flatten();
    }

    /// Tells whoever may ask how the run stands.
    fn tell_status(&self, now: Instant) {
        let Some(control) = &self.control else { return };
        let vus = |scenario| self.of_scenario(scenario, |standing| &standing.running);
        control.status.send_replace(Arc::new(Status {
            run_id: self.run_id.clone(),
            test_plan: self.context.plan.test_plan.as_str().into(),
            phase: self.context.phase(),
            elapsed: self.elapsed(now),
            planned: self.planned(now),
            scenarios: self.courses.status(now, vus),
            stats: self.last_stats.clone(),
            thresholds: self.judge.standing().into(),
        }));
    }

    /// How long iterations have been starting.
    fn elapsed(&self, now: Instant) -> Duration {
        match self.context.phase() {
            Phase::Starting => Duration::ZERO,
            _ => now.saturating_duration_since(self.started),
        }
    }

    /// How long the plan lasts, pauses included; `None` if only its shape ends it.
    fn planned(&self, now: Instant) -> Option<Duration> {
        let plan = &self.context.plan;
        (plan.duration() < ENDLESS).then(|| match self.context.phase() {
            Phase::Starting => plan.duration(),
            _ => self.courses.lasts(self.started, now),
        })
    }

    /// Has each script's `teardown` run, also after a run that failed, where
    /// `setup` did.
    async fn tear_down(&mut self) {
        if !self.has_hooks {
            return;
        }
        let set_up = |(worker, hand): (WorkerId, &Hand)| (worker, hand.is_here());
        let Some((worker, _)) = (0..).zip(&self.crew).map(set_up).find(|(_, here)| *here) else {
            return;
        };
        if self.told_to_tear_down {
            // By the master before this one: once is enough.
            return;
        }
        self.tell(To::One(worker), Command::TearDown(self.data.clone()));
        let at = worker as usize;
        let done = |conductor: &Self| {
            let hand = &conductor.crew[at];
            hand.torn_down || !hand.is_here()
        };
        if !self.wait_for(Wanted::Stop(Stop::Now), done).await {
            self.tell(To::One(worker), Command::Cut);
            self.wait_for(Wanted::Nothing, done).await;
        }
    }

    /// Hears the workers' last words.
    async fn conclude(&mut self) {
        self.tell(To::All, Command::Conclude);
        self.wait_for(Wanted::Nothing, |conductor| {
            conductor.here().all(|(_, hand)| hand.concluded.is_some())
        })
        .await;
        if let Some(usage) = &mut self.usage {
            usage.sample(&self.context);
        }
    }

    /// The last statistics, the verdict and the last event.
    fn end(mut self, reason: StopReason, shape: Option<ShapeOutcome>) -> Ended {
        let now = self.ended_at();
        let last: Vec<_> = self
            .cadences
            .iter()
            .map(|cadence| (cadence.interval, self.stats(cadence, now)))
            .collect();
        for (interval, stats) in &last {
            self.context
                .publish_at(*interval, EventKind::Stats(stats.clone()));
        }
        let verdicts = self
            .judge
            .conclude(now.saturating_duration_since(self.started));
        let is_broken_off = matches!(*self.ending.borrow(), Some(Ending::BrokenOff(_)));
        let is_short = self.crew.iter().any(Hand::is_missed) || self.was_being_ended;
        let is_short = is_short || self.judge.has_gap();
        let played = self.played();
        let vus = played.started + played.never_started;
        let exit_code = match &reason {
            StopReason::Aborted(_) => ExitCode::Aborted,
            StopReason::Interrupted => ExitCode::Interrupted,
            _ if played.started == 0 && played.never_started > 0 => ExitCode::ScriptFailed,
            StopReason::Threshold(_) => ExitCode::ThresholdFailed,
            _ if verdicts.iter().any(|verdict| !verdict.passed) => ExitCode::ThresholdFailed,
            // The load was not what it was to be.
            _ if shape.as_ref().is_some_and(ShapeOutcome::has_failed) => ExitCode::Incomplete,
            _ if is_broken_off || is_short => ExitCode::Incomplete,
            _ => ExitCode::Passed,
        };
        let summary = RunSummary {
            passed: exit_code == ExitCode::Passed,
            exit_code: exit_code as u8,
            reason: reason.clone(),
            stats: last[0].1.clone(),
            thresholds: verdicts,
            quality: self.quality(),
        };
        for (interval, stats) in last {
            let summary = RunSummary {
                stats,
                ..summary.clone()
            };
            self.context
                .publish_at(interval, EventKind::RunFinished(Arc::new(summary)));
        }
        let (health, warnings) = (self.health(), self.warnings());
        Ended {
            started_ms: self.context.clock().wall_ms(self.started),
            reason,
            summary,
            exit_code,
            total: self.total,
            health,
            vus,
            threshold_warnings: self.judge.warnings(),
            workers: match self.is_standalone {
                true => Vec::new(),
                false => self.crew.iter().map(Hand::outcome).collect(),
            },
            warnings,
            load_changes: self.load_changes,
            shape,
        }
    }

    /// When the run was over: its end may be long past when a master takes it over.
    fn ended_at(&self) -> Instant {
        let now = Instant::now();
        match self.is_resumed {
            true => {
                let ends = self.crew.iter().map(|hand| hand.finished_at.unwrap_or(now));
                let playing = self
                    .crew
                    .iter()
                    .zip(ends)
                    .filter(|(hand, _)| hand.is_here());
                playing.map(|(_, end)| end).max().unwrap_or(now)
            }
            false => now,
        }
    }

    /// What the figures lack, and what recorders were not told.
    fn quality(&self) -> DataQuality {
        let standings = || self.crew.iter().map(|hand| &hand.standing);
        let capped = NameKind::ALL
            .iter()
            .enumerate()
            .map(|(at, kind)| CappedNames {
                kind: *kind,
                limit: self.context.plan.limits.names,
                uses: standings().map(|it| it.names_refused[at]).sum(),
            });
        let own = self.usage.as_ref().map_or(0, Usage::warnings);
        let lost = self.crew.iter().filter(|hand| hand.is_missed()).count();
        DataQuality {
            log_messages_dropped: standings().map(|it| it.log_messages_lost).sum(),
            script_errors_dropped: standings().map(|it| it.script_failures_untold).sum(),
            workers_lost: lost as u32,
            vus_not_started: self.played().never_started,
            resource_warnings: own + standings().map(|it| it.resource_warnings).sum::<u32>(),
            names_capped: capped.filter(|names| names.uses > 0).collect(),
        }
    }

    fn played(&self) -> Played {
        let all = self.crew.iter().map(|hand| hand.played);
        all.fold(Played::default(), |all, played| Played {
            started: all.started + played.started,
            never_started: all.never_started + played.never_started,
        })
    }

    /// How the generators did: of several, the worst of each.
    fn health(&self) -> Health {
        let conclusions = self.crew.iter().filter_map(|hand| hand.concluded.as_ref());
        let all = conclusions.map(|conclusion| conclusion.health.clone());
        all.reduce(Health::worst).unwrap_or_default()
    }

    /// What workers say the user should know, each with who says so.
    fn warnings(&self) -> Vec<String> {
        let of = |hand: &Hand| {
            let warnings = hand.concluded.as_ref().map(|it| it.warnings.clone());
            let name = hand.member.name.clone();
            let is_standalone = self.is_standalone;
            let said = move |warning| match is_standalone {
                true => warning,
                false => format!("{name}: {warning}"),
            };
            warnings.into_iter().flatten().map(said)
        };
        self.crew.iter().flat_map(of).collect()
    }
}

impl Hand {
    /// Counts the iterations that were started, by scenario.
    fn count_done(&mut self, measured: &Snapshot, plan: &Plan) {
        self.done.resize(plan.scenarios.len(), 0);
        let started = |series: &IterationSeries| series.finished + series.interrupted;
        if let [only] = &mut self.done[..] {
            *only += started(&measured.iterations);
            return;
        }
        // With more than one scenario results are grouped by it.
        let mut tables = measured.groups.iter();
        let Some(table) = tables.find(|table| *table.tag == *GROUP_BY_SCENARIO) else {
            return;
        };
        for (done, scenario) in self.done.iter_mut().zip(&plan.scenarios) {
            let series = table.values.get(&scenario.name);
            let series = series.and_then(|series| series.iterations.as_deref());
            *done += series.map_or(0, started);
        }
    }

    fn outcome(&self) -> WorkerOutcome {
        let conclusion = self.concluded.as_ref();
        WorkerOutcome {
            name: self.member.name.to_string(),
            share: self.member.share,
            clock: self.member.clock,
            requests: self.requests,
            iterations: self.iterations,
            duration_histogram: self.durations.clone(),
            health: conclusion.map(|conclusion| conclusion.health.clone()),
            lost: self.lost.clone(),
            told: self.told,
            returns: self.returns,
        }
    }
}

/// Which end of the run is waited for beside something else.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// One that comes at least so soon.
    Stop(Stop),
    /// None.
    Nothing,
}

/// Why a run has come to its end, if nobody else ended it.
fn why(ending: Option<&Ending>) -> StopReason {
    match ending {
        Some(Ending::Aborted(reason)) => StopReason::Aborted(reason.clone()),
        Some(Ending::Over(reason) | Ending::BrokenOff(reason)) => StopReason::Other(reason.clone()),
        None => StopReason::Completed,
    }
}

/// Waits until a time; for ever if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// What the pilot says next; never, if there is none.
async fn heading(pilot: &mut Option<Pilot>, courses: &Courses) -> Heading {
    match pilot {
        Some(pilot) => pilot.answer(|| courses.clock(0, Instant::now()).0).await,
        None => std::future::pending().await,
    }
}

/// The next order of whoever steers the run; never, if nobody does.
async fn ordered(control: &mut Option<Controlled>) -> Option<control::Order> {
    match control {
        Some(control) => control.orders.recv().await,
        None => None,
    }
}

/// How far the workers have to come.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// No more iterations start.
    Stopped,
    /// All VUs have ended.
    Finished,
}

/// How many VUs the closed models come to at the most.
fn planned_vus(plan: &Plan) -> u32 {
    let closed = plan
        .scenarios
        .iter()
        .filter(|scenario| !scenario.executor.is_open());
    closed
        .map(|scenario| {
            let profile = Profile::of(&scenario.executor);
            profile.vus(profile.peak(), Share::WHOLE)
        })
        .sum()
}

/// Waits until somebody asks for the run's end, at least so soon; for ever if
/// nobody can.
async fn asked(stop: &mut watch::Receiver<Stop>, least: Stop) {
    if stop.wait_for(|stop| *stop >= least).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Ended {
    fn outcome(self, run_id: String, plan: Arc<Plan>, telemetry: Vec<RecorderOutcome>) -> Outcome {
        let mut warnings = warnings(&self.summary.quality, self.vus);
        warnings.extend(self.threshold_warnings);
        if let Some(asked) = self.shape.as_ref().and_then(|shape| shape.too_many) {
            warnings.push(format!(
                "the shape asked for {asked} VUs, and there were {} at the most: `--max-vus` \
                 makes room for more",
                plan.max_vus()
            ));
        }
        warnings.extend(never_tagged(&self.summary.stats.total));
        warnings.extend(self.warnings);
        let lost = telemetry.iter().any(|recorder| !recorder.is_complete());
        let exit_code = match self.exit_code {
            ExitCode::Passed if lost => ExitCode::Incomplete,
            code => code,
        };
        Outcome {
            run_id,
            started_ms: self.started_ms,
            plan,
            exit_code,
            duration_histogram: self.total.all_requests().duration,
            health: self.health,
            telemetry,
            warnings,
            load_changes: self.load_changes,
            shape: self.shape,
            workers: self.workers,
            abort_detail: match self.reason {
                StopReason::Aborted(reason) => Some(reason.to_string()),
                _ => None,
            },
            summary: self.summary,
        }
    }
}

/// What the user should know about what is missing.
fn warnings(quality: &DataQuality, vus: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    for CappedNames { kind, limit, uses } in &quality.names_capped {
        let instead = match kind {
            NameKind::TagValue => "group by a tag that has fewer",
            _ => "give URLs that hold an id a name",
        };
        warnings.push(format!(
            "more than {limit} {}: {uses} uses of the others are counted together as \
             `(other)`; {instead}, or raise `--names`",
            kind.plural(),
        ));
    }
    if quality.log_messages_dropped > 0 {
        warnings.push(format!(
            "the scripts logged {} messages beyond the run's limit: they were counted, not \
             kept (`--log-messages`)",
            quality.log_messages_dropped
        ));
    }
    if quality.script_errors_dropped > 0 {
        warnings.push(format!(
            "of the scripts' failures, {} beyond the run's limit were counted, and not \
             logged each (`--log-messages`)",
            quality.script_errors_dropped
        ));
    }
    if quality.vus_not_started > 0 {
        warnings.push(format!(
            "{} of {vus} VUs could not start",
            quality.vus_not_started
        ));
    }
    warnings
}

/// The tags to group by that no request had: they may be misspelt.
fn never_tagged(total: &Window) -> impl Iterator<Item = String> {
    let never = |group: &&GroupStats| match &*group.values {
        [row] => *row.value == *NONE,
        _ => false,
    };
    total.groups.iter().filter(never).map(|group| {
        format!(
            "no request had the tag `{}` that results are grouped by (`--group-by`)",
            group.tag
        )
    })
}
