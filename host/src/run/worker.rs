//! A worker: plays a part of a run on this node, as its master says.
//!
//! It owns the threads that play VUs, runs `setup` and `teardown`, and watches
//! the process. What it is told comes by one channel, what it tells goes by
//! another; whoever is at their other ends, it does the same.
//!
//! | it is | from | it does |
//! |---|---|---|
//! | making ready | the beginning | makes VUs, then waits |
//! | playing | [`Command::Start`] | iterations start; it tells what was measured when it is asked |
//! | over | the last VU has ended | `teardown`, if it is asked; waits |
//! | through | [`Command::Conclude`], or the end of its commands | nothing |

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep_until;

use super::engine::{self, Companies, Report};
use super::link::{
    Command, Conclusion, Data, Ending, Measured, News, Origin, Post, Readiness, Standing, Start,
    Steering, TakeOver,
};
use super::pulse::Lag;
use super::usage::Usage;
use crate::error::Problem;
use crate::event::Clock;
use crate::executor::{Company, Order, Played};
use crate::measure::ScriptError;
use crate::plan::Share;
use crate::stats::names::NameKind;
use crate::stats::{Names, Shard, Snapshot, shard};
use crate::units::Pretty;
use crate::vu::{Phase, RunContext, Script, Seat, VirtualUser};

/// What a worker needs.
pub struct Duty<S> {
    /// What all its VUs share.
    pub context: Arc<RunContext>,
    /// The script of each of the plan's scenarios.
    pub scripts: Vec<S>,
    /// Which part of the plan it has; none if it waits until it is needed.
    pub share: Option<Share>,
    /// How many threads play VUs.
    pub threads: usize,
    /// How the master's time is told on this node.
    pub origin: Origin,
    /// What the user should know after the run.
    pub warnings: Box<dyn Fn() -> Vec<String> + Send>,
}

/// A worker with its threads.
pub struct Worker<S: Script> {
    context: Arc<RunContext>,
    scripts: Vec<Arc<S>>,
    origin: Origin,
    threads: u32,
    warnings: Box<dyn Fn() -> Vec<String> + Send>,
    names: Names,
    /// The scenarios of each part that it has.
    companies: Vec<Companies<Arc<S>>>,
    crew: Vec<Hand>,
    reports_in: UnboundedSender<(usize, Report)>,
    reports: UnboundedReceiver<(usize, Report)>,
    post: Post,
    usage: Usage,
    played: Played,
    /// By scenario: the VU that ran `setup`.
    setups: Vec<Option<(Seat, S::Vu)>>,
    /// What `setup` returned, by scenario, as far as it has come.
    data: Vec<Arc<str>>,
    started: Option<Start>,
    /// What scenarios were told since, for parts that are taken over.
    steered: Vec<Steering>,
    told_ending: bool,
    told_stopped: bool,
    told_finished: bool,
}

/// A thread that plays VUs, as its worker sees it.
struct Hand {
    commands: UnboundedSender<engine::Command>,
    thread: Option<JoinHandle<()>>,
    /// No iterations start on it any more.
    stopped: bool,
    /// All its VUs have ended.
    finished: bool,
}

/// Where a thread's reports go. The last one says that it is gone, whatever the
/// cause.
struct Reports {
    index: usize,
    to: UnboundedSender<(usize, Report)>,
}

impl Reports {
    fn send(&self, report: Report) {
        // The worker hears every thread out; were it gone, so is the run.
        let _ = self.to.send((self.index, report));
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.send(Report::Gone);
    }
}

/// Whether a worker goes on.
#[derive(PartialEq, Eq)]
enum Goes {
    On,
    Home,
}

impl<S: Script> Worker<S> {
    /// Starts the threads that have something to do, which begin to make their
    /// VUs.
    ///
    /// # Errors
    ///
    /// If the machine gives no more threads.
    pub fn hire(duty: Duty<S>, post: Post) -> std::io::Result<Self> {
        let Duty {
            context,
            scripts,
            share,
            threads,
            origin,
            warnings,
        } = duty;
        let (reports_in, reports) = unbounded_channel();
        let threads = u32::try_from(threads.max(1)).unwrap_or(u32::MAX);
        let mut worker = Self {
            names: Names::tracking(context.plan.limits.names, context.tracking.clone()),
            usage: Usage::new(
                Instant::now(),
                context.plan.system_interval,
                threads as usize,
            ),
            setups: scripts.iter().map(|_| None).collect(),
            data: vec![Arc::default(); scripts.len()],
            scripts: scripts.into_iter().map(Arc::new).collect(),
            context,
            origin,
            threads,
            warnings,
            companies: Vec::new(),
            crew: Vec::new(),
            reports_in,
            reports,
            post,
            played: Played::default(),
            started: None,
            steered: Vec::new(),
            told_ending: false,
            told_stopped: false,
            told_finished: false,
        };
        if let Some(share) = share {
            worker.take_part(share, None)?;
        }
        Ok(worker)
    }

    /// Puts threads to a part of the run.
    fn take_part(&mut self, share: Share, inherited: Option<&TakeOver>) -> std::io::Result<()> {
        let companies: Companies<Arc<S>> = self
            .scripts
            .iter()
            .enumerate()
            .map(|(scenario, script)| {
                let context = self.context.clone();
                let script = script.clone();
                let company = Company::new(script, context, scenario, share, self.threads);
                Arc::new(match inherited {
                    Some(it) => {
                        let left = it.left.get(scenario).copied().flatten();
                        company.inherited(self.origin.instant(it.at), left)
                    }
                    None => company,
                })
            })
            .collect();
        self.companies.push(companies.clone());
        let concerned = |thread: &u32| companies.iter().any(|company| company.concerns(*thread));
        for thread in (0..self.threads).filter(concerned) {
            let (commands, theirs) = unbounded_channel();
            let reports = Reports {
                index: self.crew.len(),
                to: self.reports_in.clone(),
            };
            let report = move |report| reports.send(report);
            let (companies, names) = (companies.clone(), self.names.clone());
            let feed = self.context.feed.clone();
            let thread = engine::spawn(thread, companies, names, feed, theirs, report)?;
            self.crew.push(Hand {
                commands,
                thread: Some(thread),
                stopped: false,
                finished: false,
            });
        }
        Ok(())
    }

    /// Does what it is told, to the end of the run. `setup` and `teardown` run on
    /// the calling thread, and are measured as VUs are.
    pub async fn serve(mut self) {
        shard::install(Shard::new(self.names.clone()));
        let ready = self.ready().await;
        let failed = ready.is_err();
        self.tell(News::Ready(ready));
        if failed {
            return;
        }
        loop {
            let due = self.usage.due();
            let context = self.context.clone();
            let goes = tokio::select! {
                biased;
                command = self.post.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => Goes::Home,
                },
                Some((index, report)) = self.reports.recv() => {
                    self.take_in(index, report);
                    Goes::On
                }
                () = ended(&context), if !self.told_ending => {
                    self.tell_ending();
                    Goes::On
                }
                () = sleep_until(due.into()), if self.started.is_some() => {
                    self.watch_itself().await;
                    Goes::On
                }
            };
            if goes == Goes::Home {
                return;
            }
        }
    }

    fn tell(&self, news: News) {
        (self.post.news)(news);
    }

    /// Waits until every thread has made its VUs.
    async fn ready(&mut self) -> Result<Readiness, ScriptError> {
        for _ in 0..self.crew.len() {
            let (index, report) = self.hear().await;
            match report {
                Report::Ready(Err(error)) => {
                    self.join(index);
                    return Err(error);
                }
                Report::Gone => self.join(index),
                _ => {}
            }
        }
        Ok(Readiness {
            has_hooks: self.scripts.iter().any(|script| script.has_lifecycle()),
        })
    }

    async fn obey(&mut self, command: Command) -> Goes {
        match command {
            Command::SetUp => {
                let set_up = self.set_up().await;
                self.tell(News::SetUp(set_up));
            }
            Command::Start(start) => self.start(*start),
            Command::Take => self.collect(true).await,
            Command::Steer(steering) => {
                let order = Order::Steer {
                    at: self.origin.instant(steering.at),
                    steer: steering.steer,
                };
                self.order(Some(steering.scenario as usize), order);
                self.steered.push(*steering);
            }
            Command::Stop(scenario) => {
                if scenario.is_none() {
                    self.context.enter(Phase::Stopping);
                }
                self.order(scenario.map(|scenario| scenario as usize), Order::Stop);
                self.tell_how_far();
            }
            Command::Cut => {
                self.context.enter(Phase::Stopping);
                self.order(None, Order::Cut);
                self.tell_how_far();
            }
            Command::TakeOver(part) => self.take_over(&part),
            Command::TearDown(data) => {
                self.context.enter(Phase::Finishing);
                self.tear_down(&data).await;
                self.tell(News::TornDown);
            }
            Command::Conclude => {
                self.conclude();
                return Goes::Home;
            }
        }
        Goes::On
    }

    /// Runs each script's `setup`. It ends before its time if it is cut.
    async fn set_up(&mut self) -> Result<Data, Problem> {
        let limit = self.context.plan.limits.setup_timeout;
        for scenario in 0..self.scripts.len() {
            if !self.scripts[scenario].has_lifecycle() {
                continue;
            }
            let (seat, mut vu) = self.extra(scenario)?;
            let data = tokio::select! {
                data = vu.setup() => data,
                () = tokio::time::sleep(limit) => {
                    return Err(
                        Problem::new(format!("`setup` took longer than {}", Pretty(limit)))
                            .hint("no VU has started; `--setup-timeout` gives it more time"),
                    );
                }
                () = cut(&mut self.post.commands) => return Ok(Data(self.data.clone())),
            };
            match data {
                Ok(data) => {
                    self.data[scenario] = data;
                    self.setups[scenario] = Some((seat, vu));
                }
                Err(error) => {
                    return Err(script_failed("`setup` failed", &error).hint(
                        "no VU has started; check what `setup` needs, such as `--base-url` \
                         and `--env`",
                    ));
                }
            }
        }
        Ok(Data(self.data.clone()))
    }

    /// A VU beside those that make load.
    fn extra(&self, scenario: usize) -> Result<(Seat, S::Vu), Problem> {
        let seat = Seat {
            run: self.context.clone(),
            scenario: self.context.plan.scenarios[scenario].name.clone(),
            vu: 0,
            life: 0,
            leave: Arc::default(),
        };
        let vu = self.scripts[scenario].vu(seat.clone())?;
        Ok((seat, vu))
    }

    fn start(&mut self, start: Start) {
        self.started = Some(start.clone());
        let at = self.origin.instant(start.at);
        // What making the VUs took is no part of the run.
        let interval = self.context.plan.system_interval;
        self.usage = Usage::new(at, interval, self.threads as usize);
        self.context.start_clock_at(Clock::at(at, start.wall_ms));
        self.context.enter(Phase::Running);
        let data = self.by_scenario(start.data);
        for hand in &self.crew {
            // A thread that is gone has panicked; hearing it out tells.
            let _ = hand.commands.send(engine::Command::Start {
                at,
                data: data.clone(),
            });
        }
        // Without a thread there is nobody who would.
        self.tell_how_far();
    }

    /// What `setup` returned, with nothing for scenarios that have none.
    fn by_scenario(&self, data: Data) -> Arc<[Arc<str>]> {
        let mut data = data.0;
        data.resize(self.scripts.len(), Arc::default());
        data.into()
    }

    /// Plays another part beside its own.
    fn take_over(&mut self, part: &TakeOver) {
        let Some(start) = self.started.clone() else {
            return;
        };
        let before = self.crew.len();
        if let Err(error) = self.take_part(part.share, Some(part)) {
            tracing::error!(%error, "a part cannot be taken over");
        }
        self.told_stopped = false;
        self.told_finished = false;
        self.context.enter(Phase::Running);
        let at = self.origin.instant(start.at);
        let data = self.by_scenario(start.data);
        for hand in &self.crew[before..] {
            let data = data.clone();
            // A thread that is gone has panicked; hearing it out tells.
            let _ = hand.commands.send(engine::Command::Start { at, data });
            for steering in &self.steered {
                let order = Order::Steer {
                    at: self.origin.instant(steering.at),
                    steer: steering.steer,
                };
                let scenario = Some(steering.scenario as usize);
                let _ = hand.commands.send(engine::Command::Order(scenario, order));
            }
        }
        self.tell_how_far();
    }

    /// Gives an order to one scenario, or to all.
    fn order(&self, scenario: Option<usize>, order: Order) {
        for hand in &self.crew {
            // A thread that is gone has panicked; hearing it out tells.
            let _ = hand.commands.send(engine::Command::Order(scenario, order));
        }
    }

    /// Asks every thread for what it measured, and tells it.
    async fn collect(&mut self, asked: bool) {
        let mut waiting = 0;
        for hand in self.crew.iter().filter(|hand| !hand.finished) {
            if hand.commands.send(engine::Command::Take).is_ok() {
                waiting += 1;
            }
        }
        while waiting > 0 {
            let (index, report) = self.hear().await;
            waiting -= 1;
            // A thread that finished before it read the command says so, and
            // nothing more.
            self.take_in(index, report);
        }
        // Its own, of `setup` and `teardown`; it comes last, and is the answer.
        self.tell_measured(shard::with(Shard::take), Lag::default(), asked);
    }

    /// The next report.
    async fn hear(&mut self) -> (usize, Report) {
        let report = self.reports.recv().await;
        report.expect("the worker holds an end that sends")
    }

    fn take_in(&mut self, index: usize, report: Report) {
        match report {
            Report::Taken { measured, lag } => self.tell_measured(measured, lag, false),
            Report::Stopped => self.crew[index].stopped = true,
            Report::Finished { rest, lag, played } => {
                self.played.started += played.started;
                self.played.never_started += played.never_started;
                self.join(index);
                self.tell_measured(rest, lag, false);
            }
            // It has panicked, unless it is joined.
            Report::Gone => self.join(index),
            Report::Ready(_) => {}
        }
        self.tell_how_far();
    }

    /// Tells what some thread measured.
    fn tell_measured(&mut self, measured: Snapshot, lag: Lag, asked: bool) {
        self.usage.add(lag);
        for series in measured.requests.values() {
            self.usage.sent_bytes += series.sent_bytes;
            self.usage.received_bytes += series.received_bytes;
        }
        if measured.is_empty() && !asked && lag == Lag::default() {
            return;
        }
        self.tell(News::Measured(Box::new(Measured {
            measured,
            lag,
            standing: self.standing(),
            asked,
        })));
    }

    /// Tells that no more iterations start, and that the last VU has ended, each
    /// once.
    fn tell_how_far(&mut self) {
        if !self.told_stopped && self.crew.iter().all(|hand| hand.stopped) {
            // Why comes first.
            self.tell_ending();
            self.told_stopped = true;
            self.context.enter(Phase::Stopping);
            self.tell(News::Stopped(self.parts()));
        }
        if !self.told_finished && self.crew.iter().all(|hand| hand.finished) {
            self.told_finished = true;
            // What was asked for and never started is counted, whatever the cause.
            for company in self.companies.iter().flat_map(|part| part.iter()) {
                let (dropped, reason) = company.never_started();
                shard::with(|shard| shard.dropped_iterations(dropped, reason, company.marks()));
            }
            self.tell_measured(shard::with(Shard::take), Lag::default(), false);
            self.tell(News::Finished {
                parts: self.parts(),
                played: self.played,
                at: self.origin.moment(Instant::now()),
            });
        }
    }

    fn parts(&self) -> u32 {
        self.companies.len() as u32
    }

    /// Tells once if the script, or what it needs, ends the run.
    fn tell_ending(&mut self) {
        if self.told_ending {
            return;
        }
        let ending = match (self.context.abort_reason(), self.context.end_reason()) {
            (Some(reason), _) => Ending::Aborted(reason),
            (None, Some(reason)) if self.context.is_broken_off() => Ending::BrokenOff(reason),
            (None, Some(reason)) => Ending::Over(reason),
            (None, None) => return,
        };
        self.told_ending = true;
        self.tell(News::Ending(ending));
    }

    fn standing(&self) -> Standing {
        let by_scenario = |of: fn(&Company<Arc<S>>) -> u32| {
            let all = 0..self.scripts.len();
            let sum = |scenario: usize| {
                let parts = self.companies.iter();
                parts.map(|companies| of(&companies[scenario])).sum()
            };
            all.map(sum).collect()
        };
        Standing {
            // In this order: one that ends in between is in neither.
            running: by_scenario(Company::running),
            never_came: by_scenario(Company::never_came),
            log_messages_lost: self.context.log_messages_lost(),
            script_failures_untold: self.context.script_failures_untold(),
            names_refused: NameKind::ALL.map(|kind| self.names.refused(kind)),
            resource_warnings: self.usage.warnings(),
        }
    }

    /// Takes a sample of what the process uses.
    async fn watch_itself(&mut self) {
        if self.usage.pass(Instant::now()) {
            self.collect(false).await;
            self.usage.sample(&self.context);
        }
    }

    /// Runs each script's `teardown`, also after a run that failed. It ends before
    /// its time if it is cut.
    async fn tear_down(&mut self, data: &Data) {
        let limit = self.context.plan.limits.teardown_timeout;
        for scenario in 0..self.scripts.len() {
            // Where another worker ran `setup`, which is gone, one of this node's
            // takes its place.
            let given = data.0.get(scenario);
            let (seat, mut vu, data) = match (self.setups[scenario].take(), given) {
                (Some((seat, vu)), _) => (seat, vu, self.data[scenario].clone()),
                (None, Some(given)) if self.scripts[scenario].has_lifecycle() => {
                    match self.extra(scenario) {
                        Ok((seat, vu)) => (seat, vu, given.clone()),
                        Err(problem) => {
                            tracing::error!(%problem, "`teardown` cannot run");
                            continue;
                        }
                    }
                }
                _ => continue,
            };
            let failed = tokio::select! {
                torn = vu.teardown(&data) => torn.err(),
                () = tokio::time::sleep(limit) => Some(ScriptError::new(format!(
                    "`teardown` took longer than {}: `--teardown-timeout` gives it more time",
                    Pretty(limit)
                ))),
                () = cut(&mut self.post.commands) => None,
            };
            if let Some(error) = failed {
                seat.script_failed(0, &error);
            }
        }
    }

    /// The last figures, and the last words.
    fn conclude(&mut self) {
        self.tell_measured(shard::with(Shard::take), Lag::default(), false);
        // After the last requests, which it counts.
        self.usage.sample(&self.context);
        self.tell(News::Concluded(Box::new(Conclusion {
            standing: self.standing(),
            health: self.usage.health(),
            warnings: (self.warnings)(),
        })));
    }

    fn join(&mut self, index: usize) {
        let hand = &mut self.crew[index];
        hand.stopped = true;
        hand.finished = true;
        if let Some(thread) = hand.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits until the script, or what it needs, ends the run.
async fn ended(context: &RunContext) {
    tokio::select! {
        _ = context.aborted() => {}
        _ = context.ended() => {}
    }
}

/// Waits until the run is to end at once, or nobody is there any more.
async fn cut(commands: &mut UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if command == Command::Cut {
            return;
        }
    }
}

pub(super) fn script_failed(what: &str, error: &ScriptError) -> Problem {
    let mut text = format!("{what}: {}", error.message);
    for line in error.stack.iter().flat_map(|stack| stack.lines()) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    Problem::new(text)
}
