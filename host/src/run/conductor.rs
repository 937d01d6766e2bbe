//! The conductor: one task that owns a run's phase, merges what its threads
//! measured, and makes its events.
//!
//! | phase | begins when | what happens |
//! |---|---|---|
//! | starting | the run is called | components, recorders, VUs, `setup` |
//! | running | every VU is made and `setup` is done | iterations start |
//! | stopping | the plan's time is over, the user or a script ends the run | iterations under way may end, for the graceful stop; then they are cut |
//! | finishing | every VU has ended | `teardown`, last statistics, recorders |

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::sleep_until;
use uuid::Uuid;

use super::cadence::{Cadence, Ticks};
use super::engine::{self, Command, Report, Shared};
use super::pulse::Lag;
use super::{Health, Live, Outcome, Phase, Setup, Stop};
use crate::error::{Error, ExitCode, Problem};
use crate::event::{
    CappedNames, DataQuality, EventKind, Interests, RunSummary, Stats, StopReason, SystemUsage,
};
use crate::executor::Schedule;
use crate::measure::ScriptError;
use crate::plan::{Executor, Plan, Share};
use crate::recorder::{RecorderOutcome, Recorders, Role, RunInfo};
use crate::stats::names::NameKind;
use crate::stats::snapshot::RequestSeries;
use crate::stats::thresholds::{Verdict, judge};
use crate::stats::{Names, Shard, Snapshot, shard};
use crate::system::{Sampler, Watch, hostname};
use crate::vu::{RunContext, Script, Seat, VirtualUser};

/// How often the run looks at itself for the live line.
const LOOK: Duration = Duration::from_secs(1);
/// How long recorders may take to write what is left.
const RECORDERS_FINISH: Duration = Duration::from_secs(10);
/// This node's name in a run without workers.
const NODE: &str = "standalone";

/// Runs a plan to its end. Blocks the calling thread until then, and starts
/// threads of its own.
///
/// # Errors
///
/// If the run cannot start: a recorder or a VU cannot be made, or the script's
/// `setup` fails. What goes wrong later is in the outcome.
pub fn run<S: Script>(setup: Setup<S>) -> Result<Outcome, Error> {
    let Setup {
        plan,
        scripts,
        recorders,
        threads,
        stop,
        live,
    } = setup;
    let run_id = Uuid::now_v7().to_string();
    let (recorders, feed) = Recorders::start(recorders, &run_info(&plan, &run_id))?;
    let mut intervals = feed.stats_intervals();
    // The run's own comes first, whether a recorder has it or not: it is the
    // one at which thresholds are judged.
    intervals.retain(|interval| *interval != plan.stats_interval);
    intervals.insert(0, plan.stats_interval);
    let context = Arc::new(RunContext::new(plan.clone(), NODE.into(), feed));
    let names = Names::new(plan.limits.names);
    let shared = Arc::new(Shared {
        scripts,
        names: names.clone(),
        running: AtomicU32::new(0),
    });
    let (reports_in, reports) = unbounded_channel();
    let crew = hire(&context, &shared, threads.max(1), &reports_in).map_err(no_thread)?;
    drop(reports_in);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(no_thread)?;
    // `setup` and `teardown` run on this thread, and are measured like VUs.
    shard::install(Shard::new(names.clone()));
    let began = Instant::now();
    let conductor = Conductor {
        context,
        shared,
        crew,
        reports,
        stop,
        live,
        cadences: intervals
            .into_iter()
            .map(|interval| Cadence::new(began, interval))
            .collect(),
        looks: Ticks::new(began, LOOK),
        samples: Ticks::new(began, plan.system_interval),
        recent: RequestSeries::default(),
        total: Snapshot::default(),
        recent_began: began,
        started: began,
        verdicts: Vec::new(),
        sampler: Sampler::new(),
        shortage: Watch::new(),
        lag: Lag::default(),
        health: HealthWatch::new(threads.max(1)),
        never_started: 0,
        resource_warnings: 0,
        schedules: Arc::new([]),
        setups: Vec::new(),
    };
    // Without a result the recorders are dropped: there is nothing to finish.
    let ended = runtime.block_on(conductor.conduct())?;
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

/// What every recorder is told of the run.
fn run_info(plan: &Plan, run_id: &str) -> RunInfo {
    RunInfo {
        run_id: run_id.to_owned(),
        test_plan: plan.test_plan.clone(),
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        role: Role::Standalone,
        node: NODE.into(),
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

/// A thread that plays VUs, as the conductor sees it.
struct Hand {
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
    finished: bool,
}

/// Deals the VUs out to the threads, one after the other, and starts them.
fn hire<S: Script>(
    context: &Arc<RunContext>,
    shared: &Arc<Shared<S>>,
    threads: usize,
    reports: &UnboundedSender<(usize, Report)>,
) -> std::io::Result<Vec<Hand>> {
    let mut places: Vec<Vec<engine::Place>> = (0..threads).map(|_| Vec::new()).collect();
    let mut vu = 0;
    for (number, scenario) in context.plan.scenarios.iter().enumerate() {
        let whole = u64::from(scenario.executor.vus().get());
        for _ in 0..Share::WHOLE.part(whole) {
            let seat = Seat {
                run: context.clone(),
                scenario: scenario.name.clone(),
                vu: vu + 1,
            };
            places[vu as usize % threads].push((number, seat));
            vu += 1;
        }
    }
    places
        .into_iter()
        .filter(|places| !places.is_empty())
        .enumerate()
        .map(|(index, places)| {
            let (commands, theirs) = unbounded_channel();
            let thread = engine::spawn(index, places, shared.clone(), theirs, reports.clone())?;
            Ok(Hand {
                commands,
                thread: Some(thread),
                finished: false,
            })
        })
        .collect()
}

struct Conductor<S: Script> {
    context: Arc<RunContext>,
    shared: Arc<Shared<S>>,
    crew: Vec<Hand>,
    reports: UnboundedReceiver<(usize, Report)>,
    stop: watch::Receiver<Stop>,
    live: watch::Sender<Live>,
    /// The stats intervals, the run's own first, each with what was measured
    /// since its last statistics.
    cadences: Vec<Cadence>,
    looks: Ticks,
    samples: Ticks,
    /// What was measured since the last look, and since the start.
    recent: RequestSeries,
    total: Snapshot,
    recent_began: Instant,
    /// When iterations began to start.
    started: Instant,
    verdicts: Vec<Verdict>,
    sampler: Sampler,
    shortage: Watch,
    /// How late the VUs' threads ran since the last sample.
    lag: Lag,
    health: HealthWatch,
    never_started: u32,
    resource_warnings: u32,
    /// By scenario, once the run has started.
    schedules: Arc<[Schedule]>,
    /// By scenario: the VU that ran `setup`, and what it returned.
    setups: Vec<(Seat, S::Vu, Arc<str>)>,
}

/// A run that has ended.
struct Ended {
    started_ms: f64,
    reason: StopReason,
    summary: RunSummary,
    exit_code: ExitCode,
    total: Snapshot,
    health: Health,
    vus: u32,
}

impl<S: Script> Conductor<S> {
    async fn conduct(mut self) -> Result<Ended, Error> {
        self.ready().await?;
        let reason = match self.set_up().await? {
            None => {
                self.start();
                self.watch_over().await
            }
            // Nothing has started: there is nothing to wait for.
            Some(reason) => {
                let reason = self.stopping(reason);
                self.cut().await;
                reason
            }
        };
        self.context.enter(Phase::Finishing);
        self.show();
        self.tear_down().await;
        Ok(self.end(reason))
    }

    /// Waits until every thread has made its VUs.
    async fn ready(&mut self) -> Result<(), Error> {
        self.show();
        for _ in 0..self.crew.len() {
            let (index, report) = self.hear().await;
            if let Report::Ready(Err(error)) = report {
                self.join(index);
                return Err(Error::Script(
                    script_failed("the script cannot start", &error).hint(
                        "no VU has run; `squall inspect` tells what a script asks for, and \
                         `--vu-memory` says how much memory it gets",
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Runs each script's `setup`. An interrupt ends it: the reason.
    async fn set_up(&mut self) -> Result<Option<StopReason>, Error> {
        for (script, scenario) in self.shared.scripts.iter().zip(&self.context.plan.scenarios) {
            if !script.has_lifecycle() {
                continue;
            }
            let seat = Seat {
                run: self.context.clone(),
                scenario: scenario.name.clone(),
                vu: 0,
            };
            let mut vu = script.vu(seat.clone()).map_err(Error::Machine)?;
            let data = tokio::select! {
                data = vu.setup() => data,
                () = asked(&mut self.stop) => return Ok(Some(StopReason::Interrupted)),
            };
            match data {
                Ok(data) => self.setups.push((seat, vu, data)),
                Err(error) => {
                    return Err(Error::Script(script_failed("`setup` failed", &error).hint(
                        "no VU has started; check what `setup` needs, such as `--base-url` \
                             and `--env`",
                    )));
                }
            }
        }
        Ok(None)
    }

    fn start(&mut self) {
        // What making the VUs took is no part of the run.
        self.sampler = Sampler::new();
        let clock = self.context.start_clock();
        self.started = clock.started();
        self.recent_began = self.started;
        let plan = &self.context.plan;
        for cadence in &mut self.cadences {
            cadence.start(self.started);
        }
        self.looks = Ticks::new(self.started, LOOK.min(plan.stats_interval));
        self.samples = Ticks::new(self.started, plan.system_interval);
        let schedules: Arc<[Schedule]> = plan
            .scenarios
            .iter()
            .map(|scenario| {
                let run = self.context.clone();
                Schedule::new(&scenario.executor, Share::WHOLE, self.started, run)
            })
            .collect();
        // A script without hooks has no data.
        let mut setups = self.setups.iter();
        let data: Arc<[Arc<str>]> = self
            .shared
            .scripts
            .iter()
            .map(|script| match script.has_lifecycle() {
                true => setups
                    .next()
                    .map(|(_, _, data)| data.clone())
                    .unwrap_or_default(),
                false => Arc::default(),
            })
            .collect();
        self.context.enter(Phase::Running);
        self.context.publish(EventKind::RunStarted);
        for hand in &self.crew {
            // A thread that is gone has panicked; hearing it out tells.
            let _ = hand.commands.send(Command::Start {
                schedules: schedules.clone(),
                data: data.clone(),
            });
        }
        self.schedules = schedules;
        self.context.publish(EventKind::RampUpFinished {
            vus: plan.max_vus(),
        });
    }

    /// Watches over the run while iterations start: until its end.
    async fn watch_over(&mut self) -> StopReason {
        let plan = self.context.plan.clone();
        let longest = plan
            .scenarios
            .iter()
            .map(|scenario| scenario.executor.max_duration())
            .max();
        let end = self.started + longest.expect("a plan has a scenario");
        let context = self.context.clone();
        let mut stop = self.stop.clone();
        let reason = self
            .until(async {
                tokio::select! {
                    () = tokio::time::sleep_until(end.into()) => StopReason::Completed,
                    reason = context.aborted() => StopReason::Aborted(reason),
                    () = asked(&mut stop) => StopReason::Interrupted,
                }
            })
            .await;
        match reason {
            Some(reason) => self.wind_down(reason).await,
            None => {
                let reason = self.context.abort_reason().map(StopReason::Aborted);
                self.stopping(reason.unwrap_or(StopReason::Completed))
            }
        }
    }

    /// No new iterations: lets those under way end, and cuts them when the
    /// graceful stop is over or the user asks again.
    async fn wind_down(&mut self, reason: StopReason) -> StopReason {
        let reason = self.stopping(reason);
        let limit = Instant::now() + self.context.plan.graceful_stop;
        let mut stop = self.stop.clone();
        let cut = self
            .until(async {
                tokio::select! {
                    () = tokio::time::sleep_until(limit.into()) => {}
                    _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
                }
            })
            .await;
        if cut.is_some() {
            self.cut().await;
        }
        reason
    }

    /// Drops what is still under way, and waits until it is gone.
    async fn cut(&mut self) {
        for hand in &self.crew {
            // A thread that is gone has panicked; hearing it out tells.
            let _ = hand.commands.send(Command::Cut);
        }
        self.until(std::future::pending::<()>()).await;
    }

    fn stopping(&mut self, reason: StopReason) -> StopReason {
        self.context.enter(Phase::Stopping);
        self.context.publish(EventKind::RunStopping(reason.clone()));
        self.show();
        reason
    }

    /// Keeps looking, reporting and sampling until `event` comes, or until
    /// every thread has finished: then `None`.
    async fn until<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let mut event = std::pin::pin!(event);
        while self.crew.iter().any(|hand| !hand.finished) {
            let due = self.due();
            tokio::select! {
                biased;
                event = &mut event => return Some(event),
                Some((index, report)) = self.reports.recv() => self.take_in(index, report),
                () = sleep_until(due.into()) => self.keep_time().await,
            }
        }
        None
    }

    /// When the next tick is due.
    fn due(&self) -> Instant {
        self.cadences
            .iter()
            .map(|cadence| cadence.ticks.due())
            .fold(self.looks.due().min(self.samples.due()), Instant::min)
    }

    /// Does what is due now, with one look at the threads for all of it.
    async fn keep_time(&mut self) {
        let now = Instant::now();
        let reports: Vec<_> = self
            .cadences
            .iter_mut()
            .map(|cadence| cadence.ticks.pass(now))
            .collect();
        let (look, sample) = (self.looks.pass(now), self.samples.pass(now));
        self.collect().await;
        let now = Instant::now();
        for (number, is_due) in reports.iter().enumerate() {
            if *is_due {
                self.report_stats(number, now);
            }
        }
        if reports[0] {
            self.judge(now);
        }
        if look {
            self.show();
        }
        if sample {
            self.sample();
        }
    }

    /// Asks every thread for what it measured, and merges it.
    async fn collect(&mut self) {
        let mut waiting = 0;
        for hand in self.crew.iter().filter(|hand| !hand.finished) {
            if hand.commands.send(Command::Take).is_ok() {
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
        let own = shard::with(Shard::take);
        self.merge(&own);
    }

    /// The next report. A thread that ends without its last one has panicked,
    /// which is passed on.
    async fn hear(&mut self) -> (usize, Report) {
        match self.reports.recv().await {
            Some(report) => report,
            None => {
                (0..self.crew.len()).for_each(|index| self.join(index));
                unreachable!("a thread ends with a report or a panic");
            }
        }
    }

    fn take_in(&mut self, index: usize, report: Report) {
        match report {
            Report::Taken { measured, lag } => {
                self.merge(&measured);
                self.lag.merge(lag);
            }
            Report::Finished {
                rest,
                lag,
                never_started,
            } => {
                self.merge(&rest);
                self.lag.merge(lag);
                self.never_started += never_started;
                self.join(index);
            }
            Report::Ready(_) => {}
        }
    }

    fn join(&mut self, index: usize) {
        let hand = &mut self.crew[index];
        hand.finished = true;
        if let Some(thread) = hand.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }

    fn merge(&mut self, snapshot: &Snapshot) {
        for cadence in &mut self.cadences {
            cadence.measured.merge(snapshot);
        }
        for series in snapshot.requests.values() {
            self.recent.merge(series);
        }
        self.total.merge(snapshot);
    }

    /// Ends an interval, and reports its statistics to whoever asked for them.
    fn report_stats(&mut self, number: usize, now: Instant) {
        let interval = self.cadences[number].interval;
        if self.context.feed.wants_stats(interval) {
            let stats = self.stats(&self.cadences[number], now);
            self.context.publish_at(interval, EventKind::Stats(stats));
        }
        self.cadences[number].measured = Snapshot::default();
        self.cadences[number].began = now;
    }

    fn stats(&self, cadence: &Cadence, now: Instant) -> Arc<Stats> {
        Arc::new(Stats {
            vus: self.shared.running.load(Ordering::Relaxed),
            interval: cadence.measured.window(now - cadence.began),
            total: self.total.window(now - self.started),
            complete: true,
        })
    }

    fn judge(&mut self, now: Instant) {
        let verdicts = judge(
            &self.context.plan.thresholds,
            &self.total,
            now - self.started,
        );
        for (number, verdict) in verdicts.iter().enumerate() {
            let before = self.verdicts.get(number).is_none_or(|before| before.passed);
            if before != verdict.passed {
                self.context
                    .publish(EventKind::ThresholdChanged(verdict.clone()));
            }
        }
        self.verdicts = verdicts;
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
        let by_time = |executor: &Executor| matches!(executor, Executor::ConstantVus { .. });
        let executors = || plan.scenarios.iter().map(|scenario| &scenario.executor);
        let phase = self.context.phase();
        let live = Live {
            phase,
            elapsed: if phase == Phase::Starting {
                Duration::ZERO
            } else {
                now - self.started
            },
            vus: self.shared.running.load(Ordering::Relaxed),
            vus_planned: plan.max_vus(),
            planned: executors().all(by_time).then(|| {
                executors()
                    .map(Executor::max_duration)
                    .max()
                    .unwrap_or_default()
            }),
            iterations: self.total.iterations.finished,
            iterations_planned: executors()
                .map(|executor| match executor {
                    Executor::SharedIterations { iterations, .. } => Some(*iterations),
                    Executor::ConstantVus { .. } => None,
                })
                .sum(),
            requests,
            requests_per_s: if seconds > 0.0 {
                recent.duration.count() as f64 / seconds
            } else {
                0.0
            },
            failures,
            p95_ms: recent.duration.quantile(0.95) as f64 / 1e3,
        };
        self.live.send_replace(live);
    }

    /// Looks at what the process uses, and warns if it runs short.
    fn sample(&mut self) {
        let lag = std::mem::take(&mut self.lag);
        let mut usage = SystemUsage {
            scheduler_lag_ms: lag.max.as_secs_f64() * 1e3,
            ..self.sampler.sample()
        };
        // What the threads told at the last look.
        for series in self.total.requests.values() {
            usage.requests_sent_bytes += series.sent_bytes;
            usage.requests_received_bytes += series.received_bytes;
        }
        let cpu_is_known = self.sampler.knows_cpu();
        self.health.take_in(&usage, cpu_is_known, lag);
        if !cpu_is_known {
            // Nobody is told of figures that were not measured.
            return;
        }
        if self.context.feed.wants(Interests::SYSTEM) {
            self.context.publish(EventKind::System(usage));
        }
        for change in self.shortage.observe(&usage) {
            if matches!(change, EventKind::ResourceWarning(_)) {
                self.resource_warnings += 1;
            }
            self.context.publish(change);
        }
    }

    /// Runs each script's `teardown`, also after a run that failed.
    async fn tear_down(&mut self) {
        for (seat, mut vu, data) in std::mem::take(&mut self.setups) {
            let limit = self.context.plan.graceful_stop;
            let mut stop = self.stop.clone();
            let failed = tokio::select! {
                torn = vu.teardown(&data) => torn.err(),
                () = tokio::time::sleep(limit) => Some(ScriptError::new("`teardown` took too long")),
                _ = stop.wait_for(|stop| *stop == Stop::Now) => None,
            };
            if let Some(error) = failed {
                seat.script_failed(0, &error);
            }
        }
    }

    /// The last statistics, the verdict and the last event.
    fn end(mut self, reason: StopReason) -> Ended {
        // What was asked for and never started is counted, whatever the cause.
        let dropped = self.schedules.iter().map(Schedule::never_started).sum();
        shard::with(|shard| shard.dropped_iterations(dropped));
        let own = shard::with(Shard::take);
        self.merge(&own);
        // After the last requests, which it counts.
        self.sample();
        let now = Instant::now();
        let last: Vec<_> = self
            .cadences
            .iter()
            .map(|cadence| (cadence.interval, self.stats(cadence, now)))
            .collect();
        for (interval, stats) in &last {
            self.context
                .publish_at(*interval, EventKind::Stats(stats.clone()));
        }
        self.judge(now);
        let vus = self.context.plan.max_vus();
        let exit_code = match &reason {
            StopReason::Aborted(_) => ExitCode::Aborted,
            StopReason::Interrupted => ExitCode::Interrupted,
            _ if self.never_started == vus => ExitCode::ScriptFailed,
            _ if self.verdicts.iter().any(|verdict| !verdict.passed) => ExitCode::ThresholdFailed,
            _ => ExitCode::Passed,
        };
        let summary = RunSummary {
            passed: exit_code == ExitCode::Passed,
            exit_code: exit_code as u8,
            reason: reason.clone(),
            stats: last[0].1.clone(),
            thresholds: std::mem::take(&mut self.verdicts),
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
        Ended {
            started_ms: self.context.clock().wall_ms(self.started),
            reason,
            summary,
            exit_code,
            total: self.total,
            health: self.health.health(),
            vus,
        }
    }

    /// What the figures lack, and what recorders were not told.
    fn quality(&self) -> DataQuality {
        let names = &self.shared.names;
        let capped = NameKind::ALL.map(|kind| CappedNames {
            kind,
            limit: names.limit(),
            uses: names.refused(kind),
        });
        DataQuality {
            log_messages_dropped: self.context.log_messages_lost(),
            script_errors_dropped: self.context.script_failures_untold(),
            workers_lost: 0,
            vus_not_started: self.never_started,
            resource_warnings: self.resource_warnings,
            names_capped: capped.into_iter().filter(|names| names.uses > 0).collect(),
        }
    }
}

/// Waits until the user asks for the run's end; for ever if nobody can.
async fn asked(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn script_failed(what: &str, error: &ScriptError) -> Problem {
    let mut text = format!("{what}: {}", error.message);
    for line in error.stack.iter().flat_map(|stack| stack.lines()) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    Problem::new(text)
}

impl Ended {
    fn outcome(self, run_id: String, plan: Arc<Plan>, telemetry: Vec<RecorderOutcome>) -> Outcome {
        let warnings = warnings(&self.summary.quality, self.vus);
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
        warnings.push(format!(
            "more than {limit} {}: {uses} uses of the others are counted together as \
             `(other)`; give URLs that hold an id a name, or raise `--names`",
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

/// What the samples of the process's use come to.
struct HealthWatch {
    health: Health,
    /// How many samples told the use of processors.
    samples: u32,
    lag: Lag,
}

impl HealthWatch {
    fn new(threads: usize) -> Self {
        Self {
            health: Health {
                threads,
                ..Health::default()
            },
            samples: 0,
            lag: Lag::default(),
        }
    }

    fn take_in(&mut self, usage: &SystemUsage, cpu_is_known: bool, lag: Lag) {
        self.lag.merge(lag);
        let health = &mut self.health;
        health.cores = usage.cores;
        health.memory_max_bytes = health.memory_max_bytes.max(usage.memory_bytes);
        health.open_files_max = health.open_files_max.max(usage.open_files);
        if !cpu_is_known {
            return;
        }
        self.samples += 1;
        health.cpu_is_known = true;
        health.cpu_mean_percent +=
            (usage.cpu_percent - health.cpu_mean_percent) / f64::from(self.samples);
        health.cpu_max_percent = health.cpu_max_percent.max(usage.cpu_percent);
        health.machine_cpu_max_percent = health
            .machine_cpu_max_percent
            .max(usage.machine_cpu_percent);
        let steal = [health.steal_max_percent, usage.machine_steal_percent];
        health.steal_max_percent = steal.into_iter().flatten().reduce(f64::max);
    }

    fn health(self) -> Health {
        Health {
            scheduler_lag_max: self.lag.max,
            scheduler_late_share: self.lag.late_share(),
            ..self.health
        }
    }
}
