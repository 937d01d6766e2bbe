//! A worker of a Locust master: makes itself known, plays what it is told, and says
//! what came of it.
//!
//! | the master | it is | until |
//! |---|---|---|
//! | cannot be reached | away | the connection is up |
//! | is asked what there is to play | fetching | every file is here |
//! | is told that the worker is ready | greeting | it answers |
//! | may have forgotten the worker, after a break | probing | it answers a heartbeat, or does not |
//! | knows the worker | known | the connection breaks, or the swarm is over |
//!
//! A master that was restarted answers no heartbeat of a worker that it does not
//! know. It did not ask for any load either: the users that there are end, and the
//! worker makes itself known again.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::super::artefact::Store;
use super::fetch::Fetch;
use super::ledger::Ledger;
use super::link::{Event, Link};
use super::message::{Exception, FromMaster, Heartbeat, Logs, Spawn, Users, write};
use super::swarm::{Ending, Order, Swarm, Told, steered};
use crate::error::{Error, ExitCode, Problem};
use crate::event::StopReason;
use crate::plan::{Executor, Plan};
use crate::recorder::Setup;
use crate::run::link::{Measured, News};
use crate::run::{Outcome, Stop};
use crate::system::{Sampler, hostname};
use crate::vu::Script;

/// How often a worker gives a sign of life.
const BEAT: Duration = Duration::from_secs(1);
/// How often it says what was measured.
const REPORT: Duration = Duration::from_secs(3);
/// How long it waits for an answer before it asks again.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it waits for a master that it has never reached, as Locust does.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long for one that has gone silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a master has to answer a heartbeat after a break.
const PROBE: Duration = Duration::from_secs(3);
/// How late a timer fires if the process was stopped in between.
const PAUSED: Duration = Duration::from_secs(5);
/// How long iterations under way may go on at least, so that their requests count.
const GRACE: Duration = Duration::from_secs(1);
/// The same when the master ends: it waits half a second for the last report.
const LAST_GRACE: Duration = Duration::from_millis(250);
const LAST_REPORT: Duration = Duration::from_millis(400);
/// How long the last messages have to go out.
const FAREWELL: Duration = Duration::from_millis(100);
/// How many lines of a worker's log the master is told, and how long they are.
const LOG_LINES: usize = 500;
const LOG_LINE: usize = 2_000;

/// What it takes to be a worker of a Locust master.
pub struct Agent {
    /// Where the master is: `HOST:PORT`.
    pub master: String,
    /// What people call this worker; if they do not, its number is its name.
    pub name: Option<String>,
    /// How many threads play VUs.
    pub threads: usize,
    /// How many VUs there is room for.
    pub room: u32,
    /// What to play; without it the master's stub is asked.
    pub plan: Option<Plan>,
    /// Where scripts and data of a stub are kept.
    pub store: Store,
    /// The only hosts that scripts may reach from here, whatever a master says.
    pub allow_hosts: Option<Vec<String>>,
    /// How the user ends it.
    pub stop: watch::Receiver<Stop>,
    /// Tells people what it does.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What was made ready for a swarm.
pub struct Made<S> {
    /// The script of each scenario.
    pub scripts: Vec<S>,
    /// This node's recorders, not started yet.
    pub recorders: Vec<Setup>,
    /// What else the user should know, asked for after the run.
    pub warnings: Box<dyn Fn() -> Vec<String> + Send>,
}

/// What a worker needs others for.
pub struct Craft<C, M, E> {
    /// Looks whether a plan can be played.
    pub check: C,
    /// Makes ready what a swarm needs. Called on the swarm's thread.
    pub make: M,
    /// Shows what came of a swarm, and says what that means for the exit code.
    pub conclude: E,
}

/// A plan whose load somebody else gives.
///
/// # Errors
///
/// If a scenario has a load that no Locust master can give: every such mistake.
pub fn given_by_a_master(mut plan: Plan) -> Result<Plan, Vec<Problem>> {
    let mut wrong = Vec::new();
    if plan.shape.is_some() {
        wrong.push(
            Problem::new("a Locust master says how much load there is, and so does `--shape`")
                .hint("leave it out, and give the master a `LoadTestShape` if need be"),
        );
    }
    for scenario in &mut plan.scenarios {
        if scenario.executor.is_open() {
            wrong.push(
                Problem::new(format!(
                    "the scenario `{}` starts iterations at a rate, and a Locust master can only \
                     say how many users there are to be",
                    scenario.name
                ))
                .hint(
                    "leave out `--rate`; or run it with `squall run` or `squall master`, which \
                     can keep to a rate",
                ),
            );
        }
        scenario.start_time = Duration::ZERO;
        scenario.executor = match &scenario.executor {
            Executor::RampingVus {
                graceful_ramp_down, ..
            } => steered(0, *graceful_ramp_down),
            _ => steered(0, scenario.graceful_stop),
        };
    }
    match wrong.is_empty() {
        true => Ok(plan),
        false => Err(wrong),
    }
}

/// Is a worker until its master or its user ends it. Blocks the calling thread.
///
/// # Errors
///
/// If the master cannot be reached, what there is to play cannot be had or made, or
/// a swarm cannot start.
pub fn attach<S, C, M, E>(agent: Agent, craft: Craft<C, M, E>) -> Result<ExitCode, Error>
where
    S: Script,
    C: Fn(&Plan) -> Result<(), Error>,
    M: Fn(&Plan) -> Result<Made<S>, Error> + Send + Sync + 'static,
    E: Fn(&Outcome) -> Result<ExitCode, Error>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| {
            Error::Machine(Problem::new(format!(
                "the machine gives no event queue: {error}"
            )))
        })?;
    runtime.block_on(async {
        let mut node = Node::open(agent, craft)?;
        let ended = node.serve().await;
        sleep(FAREWELL).await;
        ended
    })
}

/// How a worker ends.
type Ended = Result<ExitCode, Error>;

struct Node<C, M, E> {
    agent: Agent,
    check: C,
    make: Arc<M>,
    conclude: E,
    id: String,
    link: Link,
    standing: Standing,
    /// Whether a master ever knew it, and as which.
    index: Option<u32>,
    began: Instant,
    /// The last sign of life of a master that knows this worker.
    heard: Instant,
    looked: Instant,
    /// Whether the link broke since the master last knew this worker.
    has_broken: bool,
    plan: Option<Arc<Plan>>,
    fetch: Fetch,
    /// When the last spawn was said, by the master's clock.
    spawned_at: f64,
    stop_timeout: Duration,
    run_id: Option<String>,
    swarm: Option<Swarm>,
    /// Of this swarm: what was complained about.
    complaints: BTreeSet<String>,
    told_in: UnboundedSender<Told>,
    told: UnboundedReceiver<Told>,
    ledger: Ledger,
    /// Until when, by the wall clock, what is in the ledger was measured.
    measured_until: f64,
    /// Heartbeats since the link is up: sent, and answered.
    beats: u64,
    answers: u64,
    beat_due: Instant,
    report_due: Instant,
    /// When the last report has to be out, whatever is missing.
    last_report_due: Option<Instant>,
    sampler: Sampler,
    log: Vec<String>,
    logged: usize,
    exit_code: ExitCode,
    asked_to_stop: bool,
}

/// How the master stands to this worker.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Standing {
    Away,
    Fetching {
        again: Instant,
    },
    Greeting {
        again: Instant,
    },
    Probing {
        until: Instant,
    },
    Known,
    /// It has told the master that its users are gone, and is not ready yet.
    Between,
}

impl<S, C, M, E> Node<C, M, E>
where
    S: Script,
    C: Fn(&Plan) -> Result<(), Error>,
    M: Fn(&Plan) -> Result<Made<S>, Error> + Send + Sync + 'static,
    E: Fn(&Outcome) -> Result<ExitCode, Error>,
{
    fn open(mut agent: Agent, craft: Craft<C, M, E>) -> Result<Self, Error> {
        // The part before the last `_` is the machine: a master spreads users over
        // machines by it.
        let id = format!("{}_{}", hostname(), Uuid::now_v7().simple());
        let (told_in, told) = unbounded_channel();
        let now = Instant::now();
        let plan = agent.plan.take();
        let mut node = Self {
            link: Link::new(&agent.master, &id),
            id,
            check: craft.check,
            make: Arc::new(craft.make),
            conclude: craft.conclude,
            standing: Standing::Away,
            index: None,
            began: now,
            heard: now,
            looked: now,
            has_broken: false,
            plan: None,
            fetch: Fetch::new(agent.store.clone()),
            spawned_at: 0.0,
            stop_timeout: Duration::ZERO,
            run_id: None,
            swarm: None,
            complaints: BTreeSet::new(),
            told_in,
            told,
            ledger: Ledger::default(),
            measured_until: wall(),
            beats: 0,
            answers: 0,
            beat_due: now,
            report_due: now,
            last_report_due: None,
            sampler: Sampler::new(),
            log: Vec::new(),
            logged: 0,
            exit_code: ExitCode::Passed,
            asked_to_stop: false,
            agent,
        };
        if let Some(plan) = plan {
            node.adopt(plan)?;
        }
        node.say(&format!(
            "waiting for a Locust master at {}",
            node.agent.master
        ));
        Ok(node)
    }

    /// Takes a plan, if it can be played.
    fn adopt(&mut self, mut plan: Plan) -> Result<(), Error> {
        let scenarios = u32::try_from(plan.scenarios.len()).unwrap_or(u32::MAX);
        let each = NonZeroU32::new(self.agent.room / scenarios.max(1)).unwrap_or(NonZeroU32::MIN);
        for scenario in &mut plan.scenarios {
            scenario.max_vus = scenario.max_vus.min(each);
            if let Some(allowed) = &self.agent.allow_hosts {
                let http = &mut scenario.http;
                http.allow_hosts = Some(match http.allow_hosts.take() {
                    Some(hosts) => {
                        let both = hosts.into_iter().filter(|it| allowed.contains(it));
                        both.collect()
                    }
                    None => allowed.clone(),
                });
            }
        }
        (self.check)(&plan)?;
        self.plan = Some(Arc::new(plan));
        Ok(())
    }

    /// Tells this worker's user something, and its master's.
    fn say(&mut self, text: &str) {
        (self.agent.tell)(text);
        self.note("INFO", text);
    }

    /// Adds to what the master shows as this worker's log.
    fn note(&mut self, level: &str, text: &str) {
        for line in text.lines() {
            if self.log.len() < LOG_LINES {
                let line: String = line.chars().take(LOG_LINE).collect();
                let host = hostname();
                self.log.push(format!("{host}/{level}/squall: {line}"));
            }
        }
    }

    async fn send<T: Serialize>(&mut self, kind: &str, data: &T) -> bool {
        let message = write(kind, data, &self.id);
        self.link.send(message).await
    }

    /// Tells both users what is not as it should be, once for each swarm.
    async fn complain(&mut self, what: &Problem) {
        let text = what.to_string();
        if self.complaints.insert(text.clone()) {
            (self.agent.tell)(&format!("warning: {text}"));
            self.accuse(text).await;
        }
    }

    /// Tells the master's user what is not as it should be: the test is not what it
    /// was to be, and so Locust's exit code is another.
    async fn accuse(&mut self, text: String) {
        self.note("ERROR", &text);
        let exception = Exception {
            traceback: format!("squall worker `{}`:\n{text}\n", self.name()),
            msg: text,
        };
        self.send("exception", &exception).await;
        self.send_log().await;
    }

    fn name(&self) -> String {
        let numbered = || format!("worker-{}", self.index.unwrap_or_default());
        self.agent.name.clone().unwrap_or_else(numbered)
    }

    async fn serve(&mut self) -> Ended {
        let mut stop = self.agent.stop.clone();
        loop {
            let due = self.due();
            let wanted = match self.asked_to_stop {
                true => Stop::Now,
                false => Stop::Graceful,
            };
            let ended = tokio::select! {
                biased;
                Ok(_) = stop.wait_for(|stop| *stop >= wanted) => self.stop().await,
                Some(told) = self.told.recv() => self.hear_swarm(told).await,
                event = self.link.next() => match event {
                    Event::Up => self.up().await,
                    Event::Down => self.down(),
                    Event::Said(said) => self.hear(said).await,
                },
                () = sleep_until(due) => self.look().await,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn due(&self) -> Instant {
        let swarm = self.swarm.as_ref().and_then(|swarm| swarm.cut_at);
        let standing = match self.standing {
            Standing::Fetching { again } | Standing::Greeting { again } => Some(again),
            Standing::Probing { until } => Some(until),
            Standing::Away | Standing::Known | Standing::Between => None,
        };
        let others = [swarm, standing, self.last_report_due];
        let others = others.into_iter().flatten();
        others.fold(self.beat_due.min(self.report_due), Instant::min)
    }

    /// Does what is due.
    async fn look(&mut self) -> Option<Ended> {
        let now = Instant::now();
        if now.saturating_duration_since(self.looked) >= BEAT + PAUSED && self.link.is_up() {
            // Who was stopped for so long may have been forgotten.
            self.heard = now;
            if self.standing == Standing::Known {
                self.standing = Standing::Probing { until: now + PROBE };
            }
        }
        self.looked = now;
        if now >= self.beat_due {
            self.beat_due = now + BEAT;
            self.beat().await;
        }
        if now >= self.report_due {
            self.report_due = now + REPORT;
            if self.standing == Standing::Known {
                self.report().await;
                self.send_log().await;
            }
        }
        if self.last_report_due.is_some_and(|due| now >= due) {
            self.last_report_due = None;
            self.report().await;
        }
        if let Some(swarm) = &mut self.swarm {
            swarm.heed_panic();
            if swarm.cut_at.is_some_and(|at| now >= at) {
                swarm.cut();
            }
        }
        match self.standing {
            Standing::Fetching { again } | Standing::Greeting { again } if now >= again => {
                self.ask_again(now).await;
            }
            Standing::Probing { until } if now >= until => self.forgotten().await,
            _ => {}
        }
        self.patience(now).await
    }

    /// Asks once more what was not answered.
    async fn ask_again(&mut self, now: Instant) {
        match &mut self.standing {
            Standing::Fetching { again } => {
                *again = now + ANSWER;
                if self.fetch.is_unanswered() {
                    self.say(
                        "no answer: only the locustfile of `squall locust-stub` can tell this \
                         worker what to play; or name a script",
                    );
                }
                let question = self.fetch.question(&self.id);
                self.link.send(question).await;
            }
            Standing::Greeting { .. } => self.greet().await,
            _ => {}
        }
    }

    /// Ends what a master is no longer there for.
    async fn patience(&mut self, now: Instant) -> Option<Ended> {
        if self.index.is_none() {
            if now < self.began + PATIENCE {
                return None;
            }
            let address = &self.agent.master;
            let problem = match self.link.is_up() {
                true => Problem::new(format!("who listens at {address} does not answer"))
                    .hint("is it a Locust master?"),
                false => Problem::new(format!("there is no Locust master at {address}"))
                    .hint("start one with `locust --master`; it listens at port 5557"),
            };
            return Some(Err(Error::Cluster(problem)));
        }
        let is_ending = self.swarm.as_ref().is_some_and(|it| it.ending.is_some());
        if is_ending || now < self.heard + SILENCE {
            return None;
        }
        self.say("the master was silent for 60s: the load ends");
        match &mut self.swarm {
            Some(swarm) => {
                swarm.end(Ending::Silent, GRACE.max(self.stop_timeout));
                None
            }
            None => Some(Ok(ExitCode::Incomplete)),
        }
    }

    async fn up(&mut self) -> Option<Ended> {
        let now = Instant::now();
        if self.plan.is_none() {
            self.standing = Standing::Fetching {
                again: now + ANSWER,
            };
            let question = self.fetch.question(&self.id);
            self.link.send(question).await;
        } else if self.index.is_some() && self.standing != Standing::Between {
            self.standing = Standing::Probing { until: now + PROBE };
            self.beat().await;
        } else if self.swarm.is_none() {
            self.greet().await;
        }
        None
    }

    fn down(&mut self) -> Option<Ended> {
        self.has_broken = true;
        self.ledger.reclaim();
        (self.beats, self.answers) = (0, 0);
        if self.index.is_some() {
            self.say("the connection to the master is gone; trying again");
        }
        if self.standing != Standing::Between {
            self.standing = Standing::Away;
        }
        None
    }

    /// Says that it is ready.
    async fn greet(&mut self) {
        self.standing = Standing::Greeting {
            again: Instant::now() + ANSWER,
        };
        // A number in place of Locust's version: it is none of them.
        self.send("client_ready", &-1).await;
    }

    async fn beat(&mut self) {
        if !matches!(self.standing, Standing::Known | Standing::Probing { .. }) {
            return;
        }
        let usage = self.sampler.sample();
        let heartbeat = Heartbeat {
            state: match &self.swarm {
                None => "ready",
                Some(swarm) if !swarm.is_spawned => "spawning",
                Some(_) => "running",
            },
            current_cpu_usage: usage.cpu_percent / self.agent.threads.max(1) as f64,
            current_memory_usage: usage.memory_bytes,
        };
        if self.send("heartbeat", &heartbeat).await {
            self.beats += 1;
        } else {
            self.down();
        }
    }

    /// Tells what was measured, and makes sure that the master has it.
    async fn report(&mut self) {
        if !self.link.is_up() {
            return;
        }
        let stats = self.ledger.report(self.users(), wall(), self.beats + 1);
        if !self.send("stats", &stats).await {
            self.down();
            return;
        }
        for exception in self.ledger.exceptions() {
            self.send("exception", &exception).await;
        }
        self.beat_due = Instant::now() + BEAT;
        self.beat().await;
    }

    async fn send_log(&mut self) {
        if self.logged == self.log.len() || self.standing != Standing::Known {
            return;
        }
        let logs = Logs {
            worker_id: &self.id,
            logs: &self.log,
        };
        let message = write("logs", &logs, &self.id);
        if self.link.send(message).await {
            self.logged = self.log.len();
        }
    }

    fn users(&self) -> Users {
        let Some(plan) = &self.plan else {
            return Users::default();
        };
        let vus = |number: usize| match &self.swarm {
            Some(swarm) => swarm.vus.get(number).copied().unwrap_or_default(),
            None => 0,
        };
        let scenarios = plan.scenarios.iter().enumerate();
        Users::of(scenarios.map(|(number, scenario)| (scenario.name.to_string(), vus(number))))
    }

    async fn hear(&mut self, said: FromMaster) -> Option<Ended> {
        let now = Instant::now();
        match said {
            FromMaster::Ack(ack) => self.known(ack.index, now),
            FromMaster::Heartbeat => {
                self.heard = now;
                self.answers += 1;
                self.ledger.confirm(self.answers);
                if matches!(self.standing, Standing::Probing { .. }) {
                    self.standing = Standing::Known;
                    if std::mem::take(&mut self.has_broken) {
                        self.say("the master is back, and knows this worker");
                    }
                }
            }
            FromMaster::Spawn(spawn) => return self.spawn(*spawn).await,
            FromMaster::Stop => self.master_stops().await,
            FromMaster::Quit => return self.master_quits(now).await,
            FromMaster::Reconnect => {
                self.say("the master asks for another connection");
                self.link.reset();
                self.down();
            }
            FromMaster::Metadata(metadata) => {
                let is_name = |text: &String| {
                    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
                    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
                };
                self.run_id = metadata.run_id.filter(is_name);
            }
            FromMaster::Plan(carried) => {
                let plan = self.fetch.plan(*carried);
                return self.fetched(plan).await;
            }
            FromMaster::Part(part) => {
                let plan = self.fetch.part(&part);
                return self.fetched(plan).await;
            }
            FromMaster::Other(kind) => tracing::debug!(kind, "of no use for squall"),
        }
        None
    }

    /// Goes on fetching, or is ready.
    async fn fetched(&mut self, plan: Result<Option<Plan>, Problem>) -> Option<Ended> {
        if !matches!(self.standing, Standing::Fetching { .. }) {
            return None;
        }
        match plan {
            Ok(Some(plan)) => {
                self.say(&format!(
                    "the master's locustfile brought `{}`",
                    plan.test_plan
                ));
                let plan = given_by_a_master(plan).map_err(Error::Config);
                match plan.and_then(|plan| self.adopt(plan)) {
                    Ok(()) => self.greet().await,
                    Err(error) => return Some(Err(error)),
                }
            }
            Ok(None) => {
                self.standing = Standing::Fetching {
                    again: Instant::now() + ANSWER,
                };
                let question = self.fetch.question(&self.id);
                self.link.send(question).await;
            }
            Err(problem) => return Some(Err(Error::Cluster(problem))),
        }
        None
    }

    /// The master knows it now.
    fn known(&mut self, index: Option<u32>, now: Instant) {
        let is_new = self.index.is_none() || self.has_broken;
        self.index = Some(index.unwrap_or_default());
        self.standing = Standing::Known;
        self.heard = now;
        self.has_broken = false;
        // It has read everything that came before.
        self.ledger.confirm(u64::MAX);
        (self.beats, self.answers) = (0, 0);
        self.beat_due = now;
        if is_new {
            let (name, master) = (self.name(), self.agent.master.clone());
            self.say(&format!(
                "`{name}` is ready for the Locust master at {master}"
            ));
        }
    }

    /// Lets the users end that a master asked for which is no more.
    async fn forgotten(&mut self) {
        self.spawned_at = 0.0;
        match &mut self.swarm {
            Some(swarm) => {
                swarm.end(Ending::Forgotten, GRACE);
                self.standing = Standing::Between;
                self.say("the master does not know this worker: its users end");
            }
            None => self.greet().await,
        }
    }

    /// From now on so many users.
    async fn spawn(&mut self, spawn: Spawn) -> Option<Ended> {
        let is_known = |_: &_| self.standing == Standing::Known;
        let plan = self.plan.clone().filter(is_known)?;
        self.send("spawning", &()).await;
        if spawn.timestamp <= self.spawned_at {
            return None;
        }
        self.spawned_at = spawn.timestamp;
        let seconds = spawn.stop_timeout.unwrap_or_default().clamp(0.0, 1e6);
        self.stop_timeout = Duration::from_secs_f64(seconds);
        if self.swarm.is_none() {
            self.complaints.clear();
        }
        let vus = self.vus(&plan, &spawn).await;
        match &mut self.swarm {
            Some(swarm) if swarm.ending.is_none() => swarm.ask(vus),
            // It ends for another reason, and the master will hear of it.
            Some(_) => {}
            None => return self.begin(&plan, &spawn, vus).await,
        }
        None
    }

    /// How many VUs there are to be, by scenario: what cannot be is complained of.
    async fn vus(&mut self, plan: &Plan, spawn: &Spawn) -> Vec<u32> {
        for (class, count) in &spawn.user_classes_count {
            let is_known = plan.scenarios.iter().any(|it| *it.name == **class);
            if *count > 0 && !is_known {
                let names: Vec<_> = plan
                    .scenarios
                    .iter()
                    .map(|it| format!("`{}`", it.name))
                    .collect();
                let problem = Problem::new(format!(
                    "the master asks for users of the class `{class}`, and this worker has no \
                     scenario of that name: nobody plays them"
                ))
                .hint(format!(
                    "it has {}; `squall locust-stub` writes a locustfile with these",
                    names.join(", ")
                ));
                self.complain(&problem).await;
            }
        }
        let mut vus = Vec::new();
        for scenario in &plan.scenarios {
            let asked = spawn.user_classes_count.get(&*scenario.name);
            let asked = asked.copied().unwrap_or_default();
            let most = scenario.max_vus.get();
            if asked > most {
                let problem = Problem::new(format!(
                    "the master asks for {asked} users of `{}`, and this worker may have {most} \
                     at the most",
                    scenario.name
                ))
                .hint("`--max-vus` makes room for more, or start more workers");
                self.complain(&problem).await;
            }
            vus.push(asked.min(most));
        }
        vus
    }

    /// Begins a swarm.
    async fn begin(&mut self, plan: &Plan, spawn: &Spawn, vus: Vec<u32>) -> Option<Ended> {
        let mut plan = plan.clone();
        // Workers that draw the same numbers would do the same.
        plan.seed = plan
            .seed
            .wrapping_add(self.index.unwrap_or_default().into());
        for (scenario, vus) in plan.scenarios.iter_mut().zip(&vus) {
            if scenario.http.base_url.is_none() {
                scenario.http.base_url = spawn.host.clone().filter(|host| !host.is_empty());
            }
            if let Executor::RampingVus {
                graceful_ramp_down, ..
            } = scenario.executor
            {
                scenario.executor = steered(*vus, graceful_ramp_down);
            }
            scenario.graceful_stop = scenario.graceful_stop.max(self.stop_timeout);
        }
        if let Err(problem) = usable(&plan).and_then(|()| reachable(&plan)) {
            self.complain(&problem).await;
            self.send("spawning_complete", &self.users()).await;
            return None;
        }
        self.say(&format!(
            "a swarm begins: {}",
            plan.scenarios
                .iter()
                .zip(&vus)
                .map(|(scenario, vus)| format!("{vus} of `{}`", scenario.name))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        self.measured_until = wall();
        let order = Order {
            plan,
            run_id: self.run_id.take(),
            node: self.name().into(),
            by: self.agent.master.as_str().into(),
            threads: self.agent.threads,
        };
        match Swarm::start(order, vus, self.make.clone(), self.told_in.clone()) {
            Ok(swarm) => self.swarm = Some(swarm),
            Err(error) => {
                let problem = Problem::new(format!("the machine gives no thread: {error}"));
                return Some(Err(Error::Machine(problem)));
            }
        }
        None
    }

    async fn hear_swarm(&mut self, told: Told) -> Option<Ended> {
        match told {
            Told::News(news) => self.take_in(news).await,
            Told::Spawned(vus) => {
                let Some(swarm) = &mut self.swarm else {
                    return None;
                };
                if swarm.spawned(&vus) && self.standing == Standing::Known {
                    let users = self.users();
                    self.send("spawning_complete", &users).await;
                }
            }
            Told::Refused(problem) => {
                if self.swarm.as_ref().is_some_and(|it| it.ending.is_none()) {
                    self.complain(&problem).await;
                }
            }
            Told::Over(outcome) => return self.over(*outcome).await,
        }
        None
    }

    async fn take_in(&mut self, news: News) {
        match news {
            News::Measured(measured) => {
                let Measured {
                    measured,
                    standing,
                    asked,
                    ..
                } = *measured;
                let now = wall();
                self.ledger.measured(&measured, self.measured_until, now);
                if asked {
                    self.measured_until = now;
                }
                if let Some(swarm) = &mut self.swarm {
                    swarm.measured(&standing.running);
                }
            }
            News::Finished { .. } => {
                if let Some(swarm) = &mut self.swarm {
                    swarm.vus.fill(0);
                    if swarm.ending == Some(Ending::Quit) {
                        // The master waits for it, and not for long.
                        self.last_report_due = None;
                        self.report().await;
                    }
                }
            }
            News::Concluded(_) => {
                if let Some(swarm) = &mut self.swarm
                    && swarm.ending == Some(Ending::Stopped)
                {
                    self.users_are_gone().await;
                }
            }
            _ => {}
        }
    }

    /// Tells the master that it has no users any more, after all that they did.
    async fn users_are_gone(&mut self) {
        if self.standing == Standing::Known {
            self.report().await;
            self.send_log().await;
            self.send("client_stopped", &()).await;
            self.standing = Standing::Between;
        }
    }

    /// A swarm is over.
    async fn over(&mut self, outcome: Result<Outcome, Error>) -> Option<Ended> {
        let ending = self.swarm.take()?.ending;
        let shown = outcome.and_then(|outcome| {
            let code = (self.conclude)(&outcome)?;
            Ok((code, outcome.summary.reason))
        });
        let (code, reason) = match shown {
            Ok(shown) => shown,
            Err(error) => {
                self.accuse(error.to_string()).await;
                self.report().await;
                self.send("quit", &()).await;
                return Some(Err(error));
            }
        };
        if self.exit_code == ExitCode::Passed {
            self.exit_code = code;
        }
        match ending {
            Some(Ending::Stopped) => {
                self.users_are_gone().await;
                if self.link.is_up() {
                    self.greet().await;
                } else {
                    self.standing = Standing::Between;
                }
                None
            }
            Some(Ending::Forgotten) => {
                if self.has_broken {
                    // It was measured for a master that is no more.
                    self.ledger = Ledger::default();
                }
                if self.link.is_up() {
                    self.greet().await;
                }
                None
            }
            Some(Ending::Quit) => {
                if !self.ledger.is_empty() {
                    self.report().await;
                }
                Some(Ok(self.exit_code))
            }
            Some(Ending::Silent) => Some(Ok(ExitCode::Incomplete)),
            Some(Ending::User) => {
                self.farewell().await;
                Some(Ok(ExitCode::Interrupted))
            }
            // By itself: a script or a threshold ended it. The master cannot be told
            // to stop, but that it has lost a worker, and why.
            None => {
                let why = match &reason {
                    StopReason::Threshold(threshold) => format!("a threshold: {threshold}"),
                    StopReason::Aborted(why) => format!("the script aborted it: {why}"),
                    StopReason::Other(why) => why.to_string(),
                    StopReason::Completed | StopReason::Interrupted => "no VU is left".to_owned(),
                };
                let why = Problem::new(format!("the load has ended by itself: {why}"));
                self.complain(&why).await;
                self.farewell().await;
                Some(Ok(self.exit_code))
            }
        }
    }

    /// The last report, and that it goes.
    async fn farewell(&mut self) {
        self.report().await;
        self.send_log().await;
        self.send("quit", &()).await;
    }

    async fn master_stops(&mut self) {
        match &mut self.swarm {
            Some(swarm) => swarm.end(Ending::Stopped, GRACE.max(self.stop_timeout)),
            None => {
                self.users_are_gone().await;
                self.greet().await;
            }
        }
    }

    async fn master_quits(&mut self, now: Instant) -> Option<Ended> {
        let is_first = self.last_report_due.is_none();
        match &mut self.swarm {
            Some(swarm) if swarm.ending != Some(Ending::Quit) && is_first => {
                swarm.end(Ending::Quit, LAST_GRACE);
                self.last_report_due = Some(now + LAST_REPORT);
                // On a busy machine the last one may come too late.
                self.report().await;
                (self.agent.tell)("the master ends this worker");
                None
            }
            Some(_) => None,
            None => {
                self.report().await;
                (self.agent.tell)("the master ends this worker");
                Some(Ok(self.exit_code))
            }
        }
    }

    /// The user ends it: with what is under way, and then at once.
    async fn stop(&mut self) -> Option<Ended> {
        let is_second = std::mem::replace(&mut self.asked_to_stop, true);
        match &mut self.swarm {
            None => {
                self.farewell().await;
                Some(Ok(self.exit_code))
            }
            Some(swarm) if is_second => {
                swarm.end(Ending::User, Duration::ZERO);
                None
            }
            Some(swarm) => {
                // Each scenario cuts its own when its time is over.
                swarm.end(Ending::User, Duration::from_secs(24 * 3600));
                self.say("stopping: iterations under way may end");
                None
            }
        }
    }
}

/// Whether what the master says URLs are relative to can be that.
fn usable(plan: &Plan) -> Result<(), Problem> {
    for base in plan
        .scenarios
        .iter()
        .filter_map(|it| it.http.base_url.as_ref())
    {
        let url = url::Url::parse(base).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(Problem::new(format!(
                "the master's host `{base}` is no absolute `http` or `https` URL"
            ))
            .hint("such as `http://127.0.0.1:8080`; `--base-url` of a worker wins over it"));
        }
    }
    Ok(())
}

/// Whether scripts may go where the plan has them go.
fn reachable(plan: &Plan) -> Result<(), Problem> {
    for scenario in &plan.scenarios {
        let Some(allowed) = &scenario.http.allow_hosts else {
            continue;
        };
        let Some(base) = &scenario.http.base_url else {
            continue;
        };
        let url = url::Url::parse(base).ok();
        let host = url.and_then(|url| url.host_str().map(str::to_ascii_lowercase));
        if let Some(host) = host.filter(|host| !allowed.contains(host)) {
            return Err(
                Problem::new(format!("this worker does not allow load against `{host}`")).hint(
                    format!(
                        "it allows {}; who runs the worker can start it with `--allow-host {host}`",
                        allowed.join(", ")
                    ),
                ),
            );
        }
    }
    Ok(())
}

/// Seconds since the Unix epoch, by this machine's clock.
fn wall() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
