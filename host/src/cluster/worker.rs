//! A worker's end of the link: says hello until a master takes it, gets what a run
//! needs, and then plays it with a [`run::Worker`](crate::run::Worker).
//!
//! | it is | until |
//! |---|---|
//! | free | a master gives it a part in a run |
//! | fetching | it has every script and every file of data |
//! | making | components are compiled and data is read |
//! | asking the time | it knows the master's |
//! | playing | the master has its last words, lets it go, or is silent for longer than the lease |
//!
//! Where the lease is the plan, a silent master ends nothing: the part is played to its
//! end, and all that was measured is kept until another master takes the run over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::artefact::{Receiving, Store};
use super::master::{BEAT, Identity};
use super::message::{
    Artefact, Assignment, Beat, Entry, Hello, Kept, Lease, Part, Report, ToMaster, ToWorker,
    VERSION,
};
use super::nats::{Access, Connection};
use super::subject::{Subjects, is_part};
use super::tally::Outbox;
use super::wire::{Reader, Unread};
use crate::error::{Error, ExitCode, Problem};
use crate::plan::{Plan, ScriptSource, Share};
use crate::recorder::{Recorders, Role, Setup};
use crate::run::link::{ClockCheck, Command, Measured, Moment, News, Origin, Post, WorkerId};
use crate::run::node::NodeReport;
use crate::run::{Duty, OnLoss, Stop, Worker, run_info};
use crate::vu::{RunContext, Script};

/// How often the master is asked for the time: the fastest answer counts.
const PINGS: u32 = 8;
/// How long to wait for one, or for a part of an artefact, before asking again.
const ANSWER: Duration = Duration::from_secs(1);
/// How soon to ask again for a part of the log that is missing.
const MISSING: Duration = Duration::from_millis(200);
/// How long recorders may take to write what is left.
const RECORDERS_FINISH: Duration = Duration::from_secs(10);
/// After how much of its lease a worker says that its master is silent.
const UNEASY: f64 = 0.5;
/// After how long it says so if its lease is the plan; and how long it goes on if
/// nothing has started yet.
const SILENT: Duration = Duration::from_secs(10);
const NOT_STARTED: Duration = Duration::from_secs(30);
/// How long it keeps what it measured for a master that takes the run over.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What it takes to be a worker.
pub struct Agent {
    /// Where the server is.
    pub access: Access,
    /// The name of the cluster: a part of every subject.
    pub cluster: String,
    /// Unique among all workers.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How many threads play VUs.
    pub threads: usize,
    /// Where scripts and data are kept.
    pub store: Store,
    /// The only hosts that scripts may reach from here, whatever a master says.
    pub allow_hosts: Option<Vec<String>>,
    /// What this program is.
    pub identity: Identity,
    /// Whether it ends after one run.
    pub once: bool,
    /// The only run that it takes part in.
    pub run: Option<String>,
    /// How long to wait for the server; `None` is for ever.
    pub patience: Option<Duration>,
    /// How the user ends it.
    pub stop: watch::Receiver<Stop>,
    /// Tells people what it does.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What is to be made ready.
pub struct Job {
    /// The plan, with the paths of this machine.
    pub plan: Plan,
    /// The part that this worker has; none if it waits until it is needed.
    pub share: Option<Share>,
    /// Whether it may get another's part.
    pub may_take_over: bool,
}

/// What was made ready.
pub struct Made<S> {
    /// The script of each scenario.
    pub scripts: Vec<S>,
    /// This node's recorders, not started yet.
    pub recorders: Vec<Setup>,
    /// What else the user should know, asked for after the run.
    pub warnings: Box<dyn Fn() -> Vec<String> + Send>,
}

/// Is a worker until the user ends it, or for one run. Blocks the calling thread,
/// on which `setup` and `teardown` run too. `make` is called on a thread of its
/// own, and may block.
///
/// # Errors
///
/// If the server cannot be reached, or refuses; or, if it is for one run, that
/// cannot be played.
pub fn work<S, M>(agent: Agent, make: M) -> Result<ExitCode, Error>
where
    S: Script,
    M: Fn(Job) -> Result<Made<S>, Error> + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
        .map_err(|error| {
            Error::Machine(Problem::new(format!(
                "the machine gives no event queue: {error}"
            )))
        })?;
    runtime.block_on(async {
        let mut node = Node::open(agent, Arc::new(make)).await?;
        let ended = node.serve().await;
        node.connection.flush().await;
        ended
    })
}

type Make<S> = Arc<dyn Fn(Job) -> Result<Made<S>, Error> + Send + Sync>;

struct Node<S: Script> {
    agent: Agent,
    make: Make<S>,
    connection: Connection,
    subjects: Subjects,
    reader: Reader,
    /// What the master says to all, and to this one.
    to_all: Subscriber,
    to_one: Subscriber,
    /// What it says to those of the run.
    to_run: Option<Subscriber>,
    part: State<S>,
    hello_due: Instant,
    asked_to_stop: bool,
}

/// What a worker does.
enum State<S: Script> {
    Free,
    Preparing(Box<Preparing<S>>),
    Playing(Box<Playing>),
}

/// Getting ready for a run.
struct Preparing<S> {
    assignment: Assignment,
    stage: Stage<S>,
    /// When it says again what it waits for.
    again: Instant,
    heard: Instant,
}

enum Stage<S> {
    Fetching {
        /// Those that are still to come.
        left: Vec<Artefact>,
        receiving: Receiving,
    },
    Making(JoinHandle<Result<Made<S>, Error>>),
    Clocking {
        made: Made<S>,
        plan: Arc<Plan>,
        number: u32,
        sent: Instant,
        best: Option<Clocked>,
    },
}

/// The fastest answer to what the time is.
#[derive(Debug, Clone, Copy)]
struct Clocked {
    took: Duration,
    origin: Origin,
    offset_ms: f64,
}

/// In a run.
struct Playing {
    run: String,
    worker: WorkerId,
    name: String,
    assignment: Assignment,
    origin: Origin,
    clock: ClockCheck,
    /// The term of its master.
    term: u64,
    /// For another master, if one may take the run over.
    memory: Option<Memory>,
    has_started: bool,
    told_kept: bool,
    commands: Option<UnboundedSender<Command>>,
    news: UnboundedReceiver<News>,
    core: JoinHandle<()>,
    outbox: Outbox,
    /// How much of the log was done.
    applied: u64,
    missing_asked: Instant,
    /// The last question, and when it is answered.
    take: u64,
    spread: Duration,
    report_due: Option<Instant>,
    /// Said until the master shows that it knows.
    prepared: Option<(ClockCheck, Instant)>,
    heard: Instant,
    is_uneasy: bool,
    /// Since when it is without a master, or without its user.
    ending: Option<Instant>,
    exit_code: ExitCode,
    grace: Duration,
    /// All of its VUs have ended.
    is_over: bool,
    concluded: bool,
    report: Option<NodeReport>,
    recorders: Option<Recorders>,
}

/// All that happened in a run so far, for a master that takes it over.
#[derive(Debug, Default)]
struct Memory {
    log: Vec<Entry>,
    measured: Option<Measured>,
    news: Vec<News>,
}

impl<S: Script> Node<S> {
    async fn open(agent: Agent, make: Make<S>) -> Result<Self, Error> {
        let subjects = Subjects::new(&agent.cluster);
        let tell = agent.tell.clone();
        let name = format!("squall worker {}", agent.name);
        let connection =
            Connection::open(&agent.access, &name, agent.patience, |text| tell(text)).await?;
        let to_all = connection.subscribe(subjects.all()).await?;
        let to_one = connection.subscribe(subjects.one(&agent.id)).await?;
        let at = agent.access.shown();
        (agent.tell)(&format!(
            "worker `{}` is ready for a master at {at}, cluster `{}`",
            agent.name, agent.cluster
        ));
        Ok(Self {
            agent,
            make,
            connection,
            subjects,
            reader: Reader::default(),
            to_all,
            to_one,
            to_run: None,
            part: State::Free,
            hello_due: Instant::now(),
            asked_to_stop: false,
        })
    }

    fn tell(&self, text: &str) {
        (self.agent.tell)(text);
    }

    async fn say(&mut self, what: &ToMaster) {
        let subject = self.subjects.from(&self.agent.id);
        self.connection.send(subject, what).await;
    }

    async fn serve(&mut self) -> Result<ExitCode, Error> {
        let mut stop = self.agent.stop.clone();
        loop {
            let due = self.due();
            let wanted = if self.asked_to_stop {
                Stop::Now
            } else {
                Stop::Graceful
            };
            let ended = tokio::select! {
                biased;
                Ok(_) = stop.wait_for(|stop| *stop >= wanted) => self.stop().await,
                complaint = self.connection.complaint() => Some(Err(refused(&complaint))),
                Some(message) = self.to_one.next() => self.take_in(&message).await,
                Some(message) = next(&mut self.to_run) => self.take_in(&message).await,
                Some(message) = self.to_all.next() => self.take_in(&message).await,
                step = stepped(&mut self.part) => match step {
                    Step::Made(made) => self.made(made).await,
                    Step::Told(news) => self.pass_on(news).await,
                },
                () = sleep_until(due.into()) => self.look().await,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn due(&self) -> Instant {
        match &self.part {
            State::Free => self.hello_due,
            State::Preparing(preparing) => preparing.again,
            State::Playing(playing) => {
                let soon = Instant::now() + BEAT;
                let node = playing.report.as_ref().and_then(NodeReport::next);
                let due = playing.report_due.into_iter().chain(node);
                due.fold(soon, Instant::min)
            }
        }
    }

    /// Does what is due.
    async fn look(&mut self) -> Option<Result<ExitCode, Error>> {
        let now = Instant::now();
        match &mut self.part {
            State::Free => {
                self.greet().await;
                None
            }
            State::Preparing(preparing) => {
                let lease = preparing.assignment.lease.time().unwrap_or(NOT_STARTED);
                if now >= preparing.heard + lease.max(ANSWER) {
                    let why = format!("its master was silent for {}", crate::units::Pretty(lease));
                    return self.fail(Problem::new(why)).await;
                }
                preparing.again = now + ANSWER;
                self.ask().await;
                None
            }
            State::Playing(_) => self.look_after_run(now).await,
        }
    }

    async fn greet(&mut self) {
        self.hello_due = Instant::now() + BEAT;
        let hello = ToMaster::Hello(Hello {
            v: VERSION,
            id: self.agent.id.clone(),
            name: self.agent.name.clone(),
            host_version: self.agent.identity.host_version.clone(),
            wit: self.agent.identity.wit.clone(),
            cores: u32::try_from(self.agent.threads).unwrap_or(u32::MAX),
            run: self.agent.run.clone(),
        });
        self.say(&hello).await;
    }

    async fn take_in(&mut self, message: &async_nats::Message) -> Option<Result<ExitCode, Error>> {
        // The subject tells whom it is for, and there is one master.
        match self
            .reader
            .read::<ToWorker>(&message.subject, &message.payload)
        {
            Ok(said) => self.hear(said).await,
            Err(Unread::Version(version)) => {
                // Its master will say so in words that it understands.
                tracing::debug!(version, "a master of another version");
                None
            }
            Err(Unread::Part | Unread::Nonsense) => None,
        }
    }

    async fn hear(&mut self, said: ToWorker) -> Option<Result<ExitCode, Error>> {
        match said {
            ToWorker::Call if matches!(self.part, State::Free) => self.greet().await,
            ToWorker::Call => self.excuse().await,
            ToWorker::Who { run, number } => self.tell_what_it_has(&run, number).await,
            ToWorker::Adopt { run, term } => self.adopt(&run, term),
            ToWorker::Refuse(why) => {
                if matches!(self.part, State::Free) {
                    let problem = Problem::new(format!("the master refuses this worker: {why}"));
                    return Some(Err(Error::Cluster(problem)));
                }
            }
            ToWorker::Assign(assignment) => return self.take_part(*assignment).await,
            ToWorker::Release { run, term } => return self.let_go(&run, term).await,
            ToWorker::Pong {
                number,
                at,
                wall_ms,
            } => return self.hear_time(number, at, wall_ms).await,
            ToWorker::Part(part) => return self.receive(part).await,
            ToWorker::Log {
                run,
                from,
                entries,
                term,
            } => self.do_log(&run, term, from, entries).await,
            ToWorker::Beat(beat) => return self.hear_beat(beat).await,
        }
        None
    }

    /// Says why it is not free.
    async fn excuse(&mut self) {
        if let State::Playing(playing) = &self.part {
            let engaged = ToMaster::Engaged {
                name: self.agent.name.clone(),
                run: playing.run.clone(),
                is_orphan: playing.is_uneasy,
            };
            self.say(&engaged).await;
        }
    }

    /// Tells a master that looks for it what it has of a run.
    async fn tell_what_it_has(&mut self, run: &str, number: u32) {
        let State::Playing(playing) = &self.part else {
            return;
        };
        if playing.run != run {
            return;
        }
        let Some(memory) = &playing.memory else {
            return;
        };
        let kept = Kept {
            number,
            assignment: playing.assignment.clone(),
            log: memory.log.clone(),
            at: playing.origin.moment(Instant::now()),
            clock: playing.clock,
            term: playing.term,
        };
        self.say(&ToMaster::Kept(Box::new(kept))).await;
    }

    /// Has another master from now on.
    fn adopt(&mut self, run: &str, term: u64) {
        let State::Playing(playing) = &mut self.part else {
            return;
        };
        if playing.run != run || term <= playing.term {
            return;
        }
        let Some(memory) = &playing.memory else {
            return;
        };
        playing.term = term;
        playing.heard = Instant::now();
        playing.is_uneasy = false;
        playing.take = 0;
        playing.outbox = Outbox::new();
        if let Some(measured) = &memory.measured {
            playing.outbox.measured(measured.clone());
        }
        for news in &memory.news {
            playing.outbox.tell(news.clone());
        }
        playing.report_due = Some(Instant::now());
        (self.agent.tell)(&format!("run {run}: another master has taken it over"));
    }

    /// Takes its part in a run, unless it has one.
    async fn take_part(&mut self, assignment: Assignment) -> Option<Result<ExitCode, Error>> {
        match &mut self.part {
            State::Free => {}
            State::Preparing(preparing) if preparing.assignment.run == assignment.run => {
                preparing.heard = Instant::now();
                return None;
            }
            State::Playing(playing) if playing.run == assignment.run => return None,
            _ => {
                let why = "it has a part in another run".to_owned();
                let run = assignment.run;
                self.say(&ToMaster::Leave { run, why }).await;
                return None;
            }
        }
        let is_other = |run: &String| *run != assignment.run;
        if !is_part(&assignment.run) || self.agent.run.as_ref().is_some_and(is_other) {
            return None;
        }
        self.tell(&format!(
            "run {}: `{}`, as worker `{}`",
            assignment.run, assignment.plan.test_plan, assignment.name
        ));
        let subject = self.subjects.run(&assignment.run);
        match self.connection.subscribe(subject).await {
            Ok(subscriber) => self.to_run = Some(subscriber),
            Err(error) => return Some(Err(error)),
        }
        let now = Instant::now();
        let mut left: Vec<Artefact> = Vec::new();
        let all = assignment.scripts.iter().flatten().chain(&assignment.data);
        for artefact in all {
            if !left.contains(artefact) && self.agent.store.find(artefact).is_none() {
                left.push(artefact.clone());
            }
        }
        let sizes: u64 = left.iter().map(|artefact| artefact.size).sum();
        let doing = format!("{} files of {sizes} bytes to fetch", left.len());
        let run = assignment.run.clone();
        self.say(&ToMaster::Preparing { run, doing }).await;
        if let Err(problem) = self.allow(&assignment.plan) {
            self.part = State::Preparing(Box::new(Preparing {
                stage: Stage::Making(tokio::spawn(std::future::pending())),
                assignment,
                again: now + ANSWER,
                heard: now,
            }));
            return self.fail(problem).await;
        }
        let stage = match self.next_stage(&assignment, left) {
            Ok(stage) => stage,
            Err(problem) => {
                self.part = State::Preparing(Box::new(Preparing {
                    stage: Stage::Making(tokio::spawn(std::future::pending())),
                    assignment,
                    again: now + ANSWER,
                    heard: now,
                }));
                return self.fail(problem).await;
            }
        };
        self.part = State::Preparing(Box::new(Preparing {
            assignment,
            stage,
            again: now + ANSWER,
            heard: now,
        }));
        self.ask().await;
        None
    }

    /// Whether scripts may go where the plan has them go.
    fn allow(&self, plan: &Plan) -> Result<(), Problem> {
        let Some(allowed) = &self.agent.allow_hosts else {
            return Ok(());
        };
        for scenario in &plan.scenarios {
            let base = scenario.http.base_url.as_ref();
            let host = base.and_then(|base| url::Url::parse(base).ok());
            let host = host.and_then(|url| url.host_str().map(str::to_ascii_lowercase));
            if let Some(host) = host.filter(|host| !allowed.contains(host)) {
                return Err(Problem::new(format!(
                    "this worker does not allow load against `{host}`"
                ))
                .hint(format!(
                    "it allows {}; who runs the worker can start it with `--allow-host {host}`",
                    allowed.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// What comes after the artefacts that are still to come.
    fn next_stage(
        &self,
        assignment: &Assignment,
        mut left: Vec<Artefact>,
    ) -> Result<Stage<S>, Problem> {
        if let Some(artefact) = left.pop() {
            let receiving = self.agent.store.receive(artefact)?;
            return Ok(Stage::Fetching { left, receiving });
        }
        let job = Job {
            plan: self.local_plan(assignment)?,
            share: assignment.share,
            may_take_over: assignment.on_loss == OnLoss::Rebalance,
        };
        let make = self.make.clone();
        Ok(Stage::Making(tokio::task::spawn_blocking(move || {
            make(job)
        })))
    }

    /// The plan, with the files that are kept here, and no host that this worker
    /// does not allow.
    fn local_plan(&self, assignment: &Assignment) -> Result<Plan, Problem> {
        let mut plan = assignment.plan.clone();
        let kept = |artefact: &Artefact| -> Result<PathBuf, Problem> {
            self.agent
                .store
                .find(artefact)
                .ok_or_else(|| Problem::new(format!("`{}` is gone from the cache", artefact.name)))
        };
        for (scenario, artefact) in plan.scenarios.iter_mut().zip(&assignment.scripts) {
            match (&mut scenario.script, artefact) {
                (ScriptSource::File(path), Some(artefact)) => *path = kept(artefact)?,
                (ScriptSource::Demo, _) => {}
                (ScriptSource::File(_), None) => {
                    return Err(Problem::new(
                        "the master sent a scenario without its script",
                    ));
                }
            }
        }
        if assignment.scripts.len() != plan.scenarios.len()
            || assignment.data.len() != plan.data.len()
        {
            return Err(Problem::new("the master did not send all scripts and data"));
        }
        for (spec, artefact) in plan.data.iter_mut().zip(&assignment.data) {
            spec.path = kept(artefact)?;
        }
        if let Some(allowed) = &self.agent.allow_hosts {
            for scenario in &mut plan.scenarios {
                let both = match scenario.http.allow_hosts.take() {
                    Some(hosts) => hosts
                        .into_iter()
                        .filter(|it| allowed.contains(it))
                        .collect(),
                    None => allowed.clone(),
                };
                scenario.http.allow_hosts = Some(both);
            }
        }
        Ok(plan)
    }

    /// Says what it waits for.
    async fn ask(&mut self) {
        let State::Preparing(preparing) = &mut self.part else {
            return;
        };
        let run = preparing.assignment.run.clone();
        let what = match &mut preparing.stage {
            Stage::Fetching { receiving, .. } => ToMaster::Fetch {
                run,
                sha256: receiving.artefact().sha256.clone(),
                offset: receiving.offset(),
            },
            Stage::Making(_) => ToMaster::Preparing {
                run,
                doing: "compiling scripts and reading data".to_owned(),
            },
            Stage::Clocking { number, sent, .. } => {
                *number += 1;
                *sent = Instant::now();
                let number = *number;
                ToMaster::Ping { run, number }
            }
        };
        self.say(&what).await;
    }

    async fn receive(&mut self, part: Part) -> Option<Result<ExitCode, Error>> {
        let State::Preparing(preparing) = &mut self.part else {
            return None;
        };
        preparing.heard = Instant::now();
        let Stage::Fetching { receiving, .. } = &mut preparing.stage else {
            return None;
        };
        let expected = part.sha256 == receiving.artefact().sha256;
        if !expected || part.offset != receiving.offset() {
            return None;
        }
        let is_last = match receiving.take(&part.bytes) {
            Ok(is_last) => is_last,
            Err(problem) => return self.fail(problem).await,
        };
        if is_last {
            let making = Stage::Making(tokio::spawn(std::future::pending()));
            let stage = std::mem::replace(&mut preparing.stage, making);
            let Stage::Fetching { left, receiving } = stage else {
                unreachable!("it was fetching");
            };
            if let Err(problem) = receiving.end() {
                return self.fail(problem).await;
            }
            let State::Preparing(preparing) = &self.part else {
                return None;
            };
            match self.next_stage(&preparing.assignment, left) {
                Ok(stage) => {
                    if let State::Preparing(preparing) = &mut self.part {
                        preparing.stage = stage;
                    }
                }
                Err(problem) => return self.fail(problem).await,
            }
        }
        self.ask().await;
        None
    }

    /// Goes on to ask the time, once everything is made.
    async fn made(&mut self, made: Result<Made<S>, Error>) -> Option<Result<ExitCode, Error>> {
        let made = match made {
            Ok(made) => made,
            Err(error) => return self.fail(problem_of(error)).await,
        };
        let State::Preparing(preparing) = &self.part else {
            return None;
        };
        let plan = match self.local_plan(&preparing.assignment) {
            Ok(plan) => Arc::new(plan),
            Err(problem) => return self.fail(problem).await,
        };
        if let State::Preparing(preparing) = &mut self.part {
            preparing.stage = Stage::Clocking {
                made,
                plan,
                number: 0,
                sent: Instant::now(),
                best: None,
            };
        }
        self.ask().await;
        None
    }

    async fn hear_time(
        &mut self,
        answered: u32,
        at: Moment,
        wall_ms: f64,
    ) -> Option<Result<ExitCode, Error>> {
        let now = Instant::now();
        let State::Preparing(preparing) = &mut self.part else {
            return None;
        };
        preparing.heard = now;
        let Stage::Clocking {
            number, sent, best, ..
        } = &mut preparing.stage
        else {
            return None;
        };
        if answered != *number {
            return None;
        }
        let took = now - *sent;
        if best.is_none_or(|best| took < best.took) {
            // The master read its clock half way.
            let half = took / 2;
            let since_epoch = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            let then = *sent + half;
            let origin = then.checked_sub(Duration::from_nanos(at.0));
            let Some(origin) = origin else {
                let what = "this machine's clock cannot be compared to the master's";
                return self.fail(Problem::new(what)).await;
            };
            *best = Some(Clocked {
                took,
                origin: Origin(origin),
                offset_ms: (since_epoch.as_secs_f64() - half.as_secs_f64()) * 1e3 - wall_ms,
            });
        }
        if answered < PINGS {
            self.ask().await;
            return None;
        }
        self.begin().await
    }

    /// Begins to play: VUs are made.
    async fn begin(&mut self) -> Option<Result<ExitCode, Error>> {
        let State::Preparing(preparing) = std::mem::replace(&mut self.part, State::Free) else {
            return None;
        };
        let Preparing {
            assignment, stage, ..
        } = *preparing;
        let Stage::Clocking {
            made,
            plan,
            best: Some(clocked),
            ..
        } = stage
        else {
            return None;
        };
        let node: Arc<str> = assignment.name.as_str().into();
        let info = run_info(&plan, &assignment.run, Role::Worker, &node);
        let fed = Recorders::start(made.recorders, &info);
        let (recorders, feed) = match fed {
            Ok(fed) => fed,
            Err(error) => return self.cannot(&assignment.run, problem_of(error)).await,
        };
        let context = Arc::new(RunContext::new(plan.clone(), node, feed));
        let (commands, given) = unbounded_channel();
        let (says, news) = unbounded_channel();
        let post = Post {
            commands: given,
            // Who is gone needs no news.
            news: Box::new(move |one| _ = says.send(one)),
        };
        let duty = Duty {
            context: context.clone(),
            scripts: made.scripts,
            share: assignment.share,
            threads: self.agent.threads,
            origin: clocked.origin,
            warnings: made.warnings,
        };
        let core = match Worker::hire(duty, post) {
            Ok(worker) => tokio::spawn(worker.serve()),
            Err(error) => {
                let problem = Problem::new(format!("the machine gives no threads: {error}"));
                return self.cannot(&assignment.run, problem).await;
            }
        };
        let clock = ClockCheck {
            offset_ms: clocked.offset_ms,
            error_ms: clocked.took.as_secs_f64() * 1e3 / 2.0,
        };
        let now = Instant::now();
        let graces = plan.scenarios.iter().map(|scenario| scenario.graceful_stop);
        self.part = State::Playing(Box::new(Playing {
            run: assignment.run.clone(),
            worker: assignment.worker,
            name: assignment.name.clone(),
            origin: clocked.origin,
            clock,
            term: assignment.term,
            memory: (assignment.lease == Lease::Plan).then(Memory::default),
            has_started: false,
            told_kept: false,
            assignment: assignment.clone(),
            commands: Some(commands),
            news,
            core,
            outbox: Outbox::new(),
            applied: 0,
            missing_asked: now,
            take: 0,
            spread: Duration::ZERO,
            report_due: None,
            prepared: Some((clock, now)),
            heard: now,
            is_uneasy: false,
            ending: None,
            exit_code: ExitCode::Passed,
            grace: graces.max().unwrap_or_default(),
            is_over: false,
            concluded: false,
            report: Some(NodeReport::new(context, clocked.origin)),
            recorders: Some(recorders),
        }));
        let outcome = Ok(clock);
        let run = assignment.run;
        self.say(&ToMaster::Prepared { run, outcome }).await;
        None
    }

    /// Tells the master that it cannot take part, and why.
    async fn fail(&mut self, problem: Problem) -> Option<Result<ExitCode, Error>> {
        let State::Preparing(preparing) = std::mem::replace(&mut self.part, State::Free) else {
            return None;
        };
        self.cannot(&preparing.assignment.run, problem).await
    }

    async fn cannot(&mut self, run: &str, problem: Problem) -> Option<Result<ExitCode, Error>> {
        self.to_run = None;
        let prepared = ToMaster::Prepared {
            run: run.to_owned(),
            outcome: Err(problem.clone()),
        };
        self.say(&prepared).await;
        if self.agent.once {
            return Some(Err(Error::Cluster(problem)));
        }
        self.tell(&format!("cannot take part: {problem}"));
        None
    }

    /// Does what the master's log says, from where it was.
    async fn do_log(&mut self, run: &str, term: u64, from: u64, entries: Vec<Entry>) {
        let State::Playing(playing) = &mut self.part else {
            return;
        };
        if playing.run != run || playing.term != term {
            return;
        }
        playing.heard = Instant::now();
        if from > playing.applied + 1 {
            let (run, from) = (run.to_owned(), playing.applied + 1);
            return self.say(&ToMaster::Missing { run, from }).await;
        }
        for (number, entry) in (from..).zip(entries) {
            if number == playing.applied + 1 {
                playing.applied = number;
                if let Some(memory) = &mut playing.memory {
                    memory.log.push(entry.clone());
                }
                if entry.to.is_none_or(|to| to == playing.worker) {
                    playing.obey(entry.command);
                }
            }
        }
    }

    async fn hear_beat(&mut self, beat: Beat) -> Option<Result<ExitCode, Error>> {
        let now = Instant::now();
        let playing = match &mut self.part {
            State::Playing(playing) if playing.run == beat.run && beat.term > playing.term => {
                // It has another master, which does not know it yet.
                self.tell_what_it_has(&beat.run, 0).await;
                return None;
            }
            State::Playing(playing) if playing.run == beat.run && beat.term < playing.term => {
                return None;
            }
            State::Playing(playing) if playing.run == beat.run => playing,
            State::Preparing(preparing) if preparing.assignment.run == beat.run => {
                preparing.heard = now;
                return None;
            }
            _ => return None,
        };
        playing.heard = now;
        if std::mem::take(&mut playing.is_uneasy) {
            (self.agent.tell)("its master is back");
        }
        playing.prepared = None;
        playing.spread = Duration::from_millis(u64::from(beat.spread_ms));
        if let Some(have) = beat.have.get(&playing.worker) {
            playing.outbox.confirm(*have);
        }
        if playing.concluded && playing.outbox.is_empty() {
            // The master has its last words.
            return self.finish().await;
        }
        if beat.take > playing.take && !playing.concluded {
            playing.take = beat.take;
            playing.obey(Command::Take);
        } else {
            playing.report_due.get_or_insert(now);
        }
        if beat.log > playing.applied && now >= playing.missing_asked + MISSING {
            playing.missing_asked = now;
            let from = playing.applied + 1;
            let run = beat.run;
            self.say(&ToMaster::Missing { run, from }).await;
        }
        None
    }

    /// Takes in what its own VUs come to.
    async fn pass_on(&mut self, news: Option<News>) -> Option<Result<ExitCode, Error>> {
        let State::Playing(playing) = &mut self.part else {
            return None;
        };
        let now = Instant::now();
        match news {
            Some(News::Measured(measured)) => {
                if let Some(report) = &mut playing.report {
                    report.measured(&measured);
                }
                if measured.asked {
                    // Not all workers at once.
                    let slot = u64::from(playing.worker) * 0x9e37_79b9 % 1000;
                    let later = playing.spread.mul_f64(slot as f64 / 1e3);
                    playing.report_due.get_or_insert(now + later);
                }
                if let Some(memory) = &mut playing.memory {
                    match &mut memory.measured {
                        Some(all) => all.merge((*measured).clone()),
                        None => memory.measured = Some((*measured).clone()),
                    }
                }
                playing.outbox.measured(*measured);
                None
            }
            Some(news) => {
                match &news {
                    News::Stopped(_) => {
                        if let Some(report) = &mut playing.report {
                            report.stopping();
                        }
                    }
                    News::Finished { .. } => playing.is_over = true,
                    News::Concluded(_) => playing.concluded = true,
                    _ => {}
                }
                if let Some(memory) = &mut playing.memory {
                    memory.news.push(news.clone());
                }
                playing.outbox.tell(news);
                playing.report_due = Some(now);
                None
            }
            // The core has ended without its last words: no VU can start, or by a
            // defect. What it told is told on.
            None => {
                let ended = tokio::spawn(std::future::ready(()));
                let core = std::mem::replace(&mut playing.core, ended);
                if let Err(error) = core.await
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
                playing.concluded = true;
                playing.exit_code = ExitCode::Incomplete;
                playing.report_due = Some(now);
                None
            }
        }
    }

    async fn look_after_run(&mut self, now: Instant) -> Option<Result<ExitCode, Error>> {
        let State::Playing(playing) = &mut self.part else {
            return None;
        };
        if let Some(report) = &mut playing.report
            && report.next().is_some_and(|due| now >= due)
            && report.keep_time(now)
        {
            playing.obey(Command::Take);
        }
        let silent = now.saturating_duration_since(playing.heard);
        let lease = playing.lease();
        if !playing.is_uneasy && silent >= lease.map_or(SILENT, |lease| lease.mul_f64(UNEASY)) {
            playing.is_uneasy = true;
            (self.agent.tell)(&match lease {
                Some(lease) => format!(
                    "the master is silent; without it the load ends {} after its last sign of life",
                    crate::units::Pretty(lease)
                ),
                None => format!(
                    "the master is silent: the load goes on to the end of the plan, and what comes \
                     of it is kept; `squall master --resume {}` takes the run over",
                    playing.run
                ),
            });
        }
        match lease {
            Some(lease) if playing.ending.is_none() && silent >= lease => {
                playing.ending = Some(now);
                playing.exit_code = ExitCode::Incomplete;
                (self.agent.tell)("the master is gone: the load ends");
                playing.obey(Command::Stop(None));
            }
            None if playing.is_over && silent >= KEPT => {
                playing.exit_code = ExitCode::Incomplete;
                (self.agent.tell)(&format!(
                    "nobody has taken the run over for {}: its result is given up",
                    crate::units::Pretty(KEPT)
                ));
                return self.finish().await;
            }
            None if playing.is_over && playing.is_uneasy && !playing.told_kept => {
                playing.told_kept = true;
                (self.agent.tell)(&format!(
                    "the plan is through; `squall master --resume {}` collects the result",
                    playing.run
                ));
            }
            _ => {}
        }
        match playing.ending {
            Some(since) if now >= since + playing.grace => {
                // Nobody asks for more: its threads are dropped.
                playing.obey(Command::Cut);
                return self.finish().await;
            }
            // Those that have nothing to do any more need not wait.
            Some(_)
                if playing.is_over
                    && (silent >= lease.unwrap_or(SILENT) || playing.outbox.is_empty()) =>
            {
                return self.finish().await;
            }
            _ => {}
        }
        if playing.report_due.is_some_and(|due| now >= due) {
            playing.report_due = None;
            let report = Report {
                term: playing.term,
                ..playing
                    .outbox
                    .report(&playing.run, playing.worker, playing.take)
            };
            let prepared = playing.prepared.filter(|(_, at)| now >= *at + BEAT);
            if let Some((clock, _)) = prepared {
                playing.prepared = Some((clock, now));
                let run = playing.run.clone();
                let outcome = Ok(clock);
                self.say(&ToMaster::Prepared { run, outcome }).await;
            }
            self.say(&ToMaster::Report(Box::new(report))).await;
            return None;
        }
        if let Some((clock, at)) = playing.prepared
            && now >= at + BEAT
        {
            playing.prepared = Some((clock, now));
            let run = playing.run.clone();
            let outcome = Ok(clock);
            self.say(&ToMaster::Prepared { run, outcome }).await;
        }
        None
    }

    /// The master needs it no more.
    async fn let_go(&mut self, run: &str, term: u64) -> Option<Result<ExitCode, Error>> {
        match &mut self.part {
            // By one whose place another has taken.
            State::Playing(playing) if playing.run == run && term < playing.term => None,
            State::Playing(playing) if playing.run == run => {
                if !playing.concluded {
                    playing.exit_code = ExitCode::Incomplete;
                }
                self.finish().await
            }
            State::Preparing(preparing) if preparing.assignment.run == run => {
                self.part = State::Free;
                self.to_run = None;
                self.tell("the master has ended the run before its start");
                self.agent.once.then_some(Ok(ExitCode::Incomplete))
            }
            _ => None,
        }
    }

    /// Ends its part in a run.
    async fn finish(&mut self) -> Option<Result<ExitCode, Error>> {
        let State::Playing(mut playing) = std::mem::replace(&mut self.part, State::Free) else {
            return None;
        };
        self.to_run = None;
        // Without commands the core ends, if it has not.
        playing.commands = None;
        let ended = (&mut playing.core).await;
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        let mut exit_code = playing.exit_code;
        if let Some(report) = playing.report.take() {
            report.finish(exit_code);
        }
        if let Some(recorders) = playing.recorders.take() {
            let finish = tokio::task::spawn_blocking(move || recorders.finish(RECORDERS_FINISH));
            let outcomes = finish.await.unwrap_or_default();
            for outcome in outcomes.iter().filter(|outcome| !outcome.is_complete()) {
                exit_code = ExitCode::Incomplete;
                self.tell(&format!(
                    "the recorder `{}` did not record everything{}",
                    outcome.name,
                    outcome
                        .failure
                        .as_ref()
                        .map(|it| format!(": {it}"))
                        .unwrap_or_default()
                ));
            }
        }
        self.tell(&format!("run {}: over for `{}`", playing.run, playing.name));
        self.hello_due = Instant::now();
        let ends = self.agent.once || self.asked_to_stop;
        ends.then_some(Ok(exit_code))
    }

    /// The user ends it: with what is under way, and then at once.
    async fn stop(&mut self) -> Option<Result<ExitCode, Error>> {
        let is_second = std::mem::replace(&mut self.asked_to_stop, true);
        let why = "its user has ended it".to_owned();
        match &mut self.part {
            State::Free => Some(Ok(ExitCode::Passed)),
            State::Preparing(preparing) => {
                let run = preparing.assignment.run.clone();
                self.say(&ToMaster::Leave { run, why }).await;
                Some(Ok(ExitCode::Interrupted))
            }
            State::Playing(playing) => {
                playing.exit_code = ExitCode::Interrupted;
                let run = playing.run.clone();
                if playing.is_uneasy && playing.memory.is_some() {
                    (self.agent.tell)(&format!("its part of the run {run} is lost with it"));
                }
                playing.ending.get_or_insert(Instant::now());
                playing.obey(if is_second {
                    Command::Cut
                } else {
                    Command::Stop(None)
                });
                self.say(&ToMaster::Leave { run, why }).await;
                match is_second {
                    true => self.finish().await,
                    false => {
                        self.tell("stopping: iterations under way may end");
                        None
                    }
                }
            }
        }
    }
}

impl Playing {
    /// How long it goes on without its master; `None` is to the end of the plan.
    fn lease(&self) -> Option<Duration> {
        match self.assignment.lease {
            // There is nothing to play to its end.
            Lease::Plan if !self.has_started => Some(NOT_STARTED),
            lease => lease.time(),
        }
    }

    /// Tells the core.
    fn obey(&mut self, command: Command) {
        self.has_started |= matches!(command, Command::Start(_));
        if let Some(report) = &mut self.report {
            report.obey(&command);
        }
        if let Some(commands) = &self.commands {
            // One that has ended needs to hear nothing more.
            let _ = commands.send(command);
        }
    }
}

/// The next message of the run; never, if there is none.
async fn next(subscriber: &mut Option<Subscriber>) -> Option<async_nats::Message> {
    match subscriber {
        Some(subscriber) => subscriber.next().await,
        None => std::future::pending().await,
    }
}

/// What has come of what a worker does by itself.
enum Step<S> {
    /// Everything is made, or could not be.
    Made(Result<Made<S>, Error>),
    /// What its VUs come to; `None` if they are no more.
    Told(Option<News>),
}

/// The next step; never, if there is nothing under way. Can be dropped at any time.
async fn stepped<S: Script>(state: &mut State<S>) -> Step<S> {
    match state {
        State::Preparing(preparing) => {
            if let Stage::Making(making) = &mut preparing.stage {
                match making.await {
                    Ok(made) => return Step::Made(made),
                    Err(error) if error.is_panic() => {
                        std::panic::resume_unwind(error.into_panic());
                    }
                    Err(_) => {}
                }
            }
        }
        State::Playing(playing) if !playing.concluded => {
            return Step::Told(playing.news.recv().await);
        }
        State::Playing(_) | State::Free => {}
    }
    std::future::pending().await
}

/// Without its kind: the master has its own.
fn problem_of(error: Error) -> Problem {
    let text = error.to_string();
    match text.split_once("\nhint: ") {
        Some((what, hint)) => Problem::new(what).hint(hint),
        None => Problem::new(text),
    }
}

fn refused(complaint: &str) -> Error {
    Error::Cluster(
        Problem::new(format!(
            "the NATS server refuses what this worker does: {complaint}"
        ))
        .hint(
            "a worker's key may publish below `squall.CLUSTER.w` and subscribe below \
             `squall.CLUSTER.m`; is `--cluster` the right one?",
        ),
    )
}
