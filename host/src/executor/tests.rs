//! Scenarios played by VUs that are no components, on a clock that stands still
//! while nobody waits for it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Company, Order, Played, Profile, Steer, Troupe};
use crate::error::Problem;
use crate::measure::{DropReason, ScriptError};
use crate::plan::{
    Arrivals, AtEnd, DataFormat, DataOrder, DataSpec, Executor, HttpPlan, Limits, Plan, Scenario,
    ScriptSource, Share, Stage,
};
use crate::recorder::Feed;
use crate::stats::window::IterationStats;
use crate::stats::{Names, Shard, shard};
use crate::units::Rate;
use crate::vu::{Next, Phase, RunContext, Script, Seat, VirtualUser, now};

/// What VUs do, and what they did.
#[derive(Debug, Clone)]
struct Fakes {
    /// How long an iteration takes.
    time: Duration,
    fails: bool,
    starts: bool,
    /// How long they take to start, and to stop.
    hooks: (Duration, Duration),
    stops_after: Option<u32>,
    /// How many rows of data are left, if iterations take one each; without one
    /// an iteration is none, or the VU's last.
    rows: Option<(Arc<AtomicU64>, Next)>,
    /// Wakes when it is told to leave, as a script does that sleeps.
    wakes: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    began: Option<Instant>,
    /// When iterations started, in milliseconds, by which VU, and how late.
    iterations: Vec<(u64, u32, Option<Duration>)>,
    /// When VUs started and ended, in milliseconds.
    started: Vec<(u64, u32)>,
    ended: Vec<(u64, u32)>,
    /// Whether iterations are noted one by one.
    counts_only: bool,
    count: u64,
}

impl Seen {
    fn ms(&self) -> u64 {
        let began = self.began.expect("the scenario began");
        now().saturating_duration_since(began).as_millis() as u64
    }
}

struct Fake {
    is: Fakes,
    seat: Seat,
}

impl Script for Fakes {
    type Vu = Fake;

    fn vu(&self, seat: Seat) -> Result<Fake, Problem> {
        let is = self.clone();
        Ok(Fake { is, seat })
    }

    fn has_lifecycle(&self) -> bool {
        false
    }
}

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

    async fn start(&mut self, _: Arc<str>) -> Result<Next, ScriptError> {
        if !self.is.starts {
            return Err(ScriptError::new("no"));
        }
        sleep(self.is.hooks.0).await;
        let mut seen = self.is.seen.lock().expect("no panic");
        let ms = seen.ms();
        seen.started.push((ms, self.seat.vu));
        Ok(Next::Continue)
    }

    async fn iterate(&mut self, number: u32, lag: Option<Duration>) -> Result<Next, ScriptError> {
        {
            let mut seen = self.is.seen.lock().expect("no panic");
            seen.count += 1;
            if !seen.counts_only {
                let ms = seen.ms();
                seen.iterations.push((ms, self.seat.vu, lag));
            }
        }
        let leave = self.seat.leave.clone();
        tokio::select! {
            () = sleep(self.is.time) => {}
            () = leave.asked(), if self.is.wakes => {}
        }
        if let Some((rows, without)) = &self.is.rows {
            let took = |left: u64| left.checked_sub(1);
            if rows.fetch_update(Relaxed, Relaxed, took).is_err() {
                return Ok(*without);
            }
        }
        if self.is.fails {
            return Err(ScriptError::new("boom"));
        }
        Ok(match self.is.stops_after {
            Some(count) if number + 1 == count => Next::StopVu,
            _ => Next::Continue,
        })
    }

    async fn stop(&mut self) -> Result<(), ScriptError> {
        sleep(self.is.hooks.1).await;
        let mut seen = self.is.seen.lock().expect("no panic");
        let ms = seen.ms();
        seen.ended.push((ms, self.seat.vu));
        Ok(())
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fakes(time: Duration) -> Fakes {
    Fakes {
        time,
        fails: false,
        starts: true,
        hooks: Default::default(),
        stops_after: None,
        rows: None,
        wakes: false,
        seen: Arc::default(),
    }
}

fn steady() -> Fakes {
    fakes(ms(300))
}

fn vus(vus: u32) -> NonZeroU32 {
    NonZeroU32::new(vus).expect("not zero")
}

fn scenario(executor: Executor, max_vus: u32) -> Scenario {
    Scenario {
        name: "default".into(),
        script: ScriptSource::Demo,
        executor,
        start_time: Duration::ZERO,
        graceful_stop: ms(30_000),
        max_vus: vus(max_vus),
        env: Vec::new(),
        http: HttpPlan {
            base_url: None,
            timeout: Duration::from_secs(1),
            allow_hosts: None,
            insecure_tls: false,
        },
        tags: Vec::new(),
    }
}

fn context(scenario: Scenario) -> Arc<RunContext> {
    let second = Duration::from_secs(1);
    let plan = Plan {
        shape: None,
        test_plan: "test".into(),
        scenarios: vec![scenario],
        thresholds: Vec::new(),
        tags: Vec::new(),
        group_by: Vec::new(),
        seed: 1,
        data: vec![DataSpec {
            name: "rows".into(),
            path: "rows.csv".into(),
            format: DataFormat::Csv,
            order: DataOrder::Unique,
            at_end: AtEnd::StopVu,
            header: None,
        }],
        limits: Limits {
            vu_memory: 1 << 20,
            iteration_timeout: second,
            setup_timeout: second,
            teardown_timeout: second,
            on_start_timeout: second,
            on_stop_timeout: second,
            names: 10,
            log_messages: 10,
        },
        stats_interval: second,
        system_interval: second,
        recorders: Vec::new(),
    };
    let context = RunContext::new(Arc::new(plan), "test".into(), Feed::none());
    context.enter(Phase::Running);
    Arc::new(context)
}

/// Fakes that need a row of data for each iteration, and so many rows.
fn with_rows(rows: u64, time: u64, without: Next) -> Fakes {
    Fakes {
        rows: Some((Arc::new(AtomicU64::new(rows)), without)),
        ..fakes(ms(time))
    }
}

/// What came of a scenario.
struct Came {
    iterations: IterationStats,
    played: Played,
    left: u64,
    /// Why those that are left did not start.
    reasons: Vec<DropReason>,
    /// When no more iterations started, and when all had ended, in milliseconds.
    stopped: u64,
    took: u64,
    seen: Seen,
}

/// Plays a scenario on so many threads of so many nodes, all of them tasks of
/// this one, which `conduct` gives orders.
async fn conducted<F: Future<Output = ()> + Send + 'static>(
    scenario: Scenario,
    fakes: Fakes,
    (nodes, threads): (u32, u32),
    conduct: impl FnOnce(Vec<UnboundedSender<Order>>, Arc<RunContext>) -> F,
) -> Came {
    shard::install(Shard::new(Names::new(10)));
    let run = context(scenario);
    let began = now();
    fakes.seen.lock().expect("no panic").began = Some(began);
    let stopped = Arc::new(Mutex::new(0));
    let mut playing = JoinSet::new();
    let mut orders = Vec::new();
    let mut companies = Vec::new();
    for node in 0..nodes {
        let share = Share::new(node, nodes).expect("in range");
        let (script, run) = (fakes.clone(), run.clone());
        let company = Company::new(script, run, 0, share, threads);
        let company = Arc::new(company);
        companies.push(company.clone());
        for thread in 0..threads {
            let mut troupe = Troupe::new(company.clone(), thread);
            troupe.prepare().await.expect("fakes can be made");
            let (sender, receiver) = unbounded_channel();
            orders.push(sender);
            let stopped = stopped.clone();
            let origin = began + company.plan().start_time;
            playing.spawn(troupe.play(origin, Arc::default(), receiver, move || {
                *stopped.lock().expect("no panic") = (now() - began).as_millis() as u64;
            }));
        }
    }
    let conducting = tokio::spawn(conduct(orders, run.clone()));
    let mut played = Played::default();
    while let Some(troupe) = playing.join_next().await {
        let troupe = troupe.expect("no troupe panics");
        played.started += troupe.started;
        played.never_started += troupe.never_started;
    }
    conducting.abort();
    let window = shard::with(Shard::take).window(Duration::from_secs(1));
    assert!(companies.iter().all(|company| company.running() == 0));
    let seen = std::mem::take(&mut *fakes.seen.lock().expect("no panic"));
    Came {
        iterations: window.iterations,
        played,
        left: companies
            .iter()
            .map(|company| company.never_started().0)
            .sum(),
        reasons: companies
            .iter()
            .map(|company| company.never_started().1)
            .collect(),
        stopped: *stopped.lock().expect("no panic"),
        took: (now() - began).as_millis() as u64,
        seen,
    }
}

async fn played(scenario: Scenario, fakes: Fakes) -> Came {
    let silent = |orders, _| async {
        let _orders: Vec<UnboundedSender<Order>> = orders;
        std::future::pending().await
    };
    conducted(scenario, fakes, (1, 1), silent).await
}

async fn shared(scenario: Scenario, fakes: Fakes, shares: (u32, u32)) -> Came {
    let silent = |orders, _| async {
        let _orders: Vec<UnboundedSender<Order>> = orders;
        std::future::pending().await
    };
    conducted(scenario, fakes, shares, silent).await
}

fn for_a_second(number: u32) -> Scenario {
    let executor = Executor::ConstantVus {
        vus: vus(number),
        duration: ms(1_000),
    };
    scenario(executor, number)
}

fn a_hundred(number: u32) -> Scenario {
    let executor = Executor::SharedIterations {
        vus: vus(number),
        iterations: 100,
        max_duration: ms(10_000),
    };
    scenario(executor, number)
}

fn ramp(start_vus: u32, stages: &[(u64, u32)], grace: u64) -> Scenario {
    let most = stages.iter().map(|(_, target)| *target).max();
    let stages = stages.iter().map(|(time, target)| Stage {
        duration: ms(*time),
        target: *target,
    });
    let executor = Executor::RampingVus {
        start_vus,
        stages: stages.collect(),
        graceful_ramp_down: ms(grace),
    };
    scenario(executor, most.unwrap_or(0).max(start_vus))
}

fn rate(per_s: f64, time: u64, max_vus: u32) -> Scenario {
    let executor = Executor::ConstantArrivalRate {
        rate: Rate::per_second(per_s),
        duration: ms(time),
        arrivals: Arrivals::Even,
    };
    scenario(executor, max_vus)
}

#[tokio::test(start_paused = true)]
async fn constant_vus_start_no_iteration_after_the_end() {
    // At 0, 300, 600 and 900 ms; the last one ends at 1,200 ms.
    let result = played(for_a_second(3), steady()).await;
    let iterations = result.iterations;
    assert_eq!((iterations.finished, iterations.failed), (12, 0));
    assert_eq!(result.played.started, 3);
    assert_eq!((result.stopped, result.took), (1_000, 1_200));
    assert_eq!(iterations.lag.max, 0.0, "a closed model never lags");
}

#[tokio::test(start_paused = true)]
async fn a_scenario_begins_at_its_start_time() {
    let late = Scenario {
        start_time: ms(5_000),
        ..for_a_second(2)
    };
    let result = played(late, steady()).await;
    assert_eq!(result.iterations.finished, 8);
    assert_eq!(result.seen.iterations[0].0, 5_000);
    assert_eq!((result.stopped, result.took), (6_000, 6_200));
}

#[tokio::test(start_paused = true)]
async fn shared_iterations_are_all_run_and_none_twice() {
    let result = shared(a_hundred(7), steady(), (2, 2)).await;
    assert_eq!((result.iterations.finished, result.left), (100, 0));
    assert_eq!(result.played.started, 7);
}

#[tokio::test(start_paused = true)]
async fn iterations_that_time_leaves_no_room_for_are_known() {
    // One VU starts 34 of them in ten seconds.
    let result = played(a_hundred(1), steady()).await;
    assert_eq!((result.iterations.finished, result.left), (34, 66));
}

#[tokio::test(start_paused = true)]
async fn each_vu_runs_its_own_iterations() {
    let each = |max_duration| {
        let executor = Executor::PerVuIterations {
            vus: vus(5),
            iterations: 4,
            max_duration: ms(max_duration),
        };
        scenario(executor, 5)
    };
    let result = shared(each(10_000), steady(), (2, 2)).await;
    assert_eq!(result.iterations.finished, 20);
    for vu in 1..=5 {
        let own = result.seen.iterations.iter().filter(|(_, by, _)| *by == vu);
        assert_eq!(own.count(), 4, "VU {vu}");
    }
    assert_eq!(result.took, 1_200);
    // At 0 and 300 ms.
    let result = shared(each(500), steady(), (1, 2)).await;
    assert_eq!(result.iterations.finished, 10);
    let dropped = result.iterations.dropped_because;
    assert_eq!(dropped.because(DropReason::RunEnded), 10);
}

#[tokio::test(start_paused = true)]
async fn a_cut_iteration_counts_as_interrupted_and_nothing_else() {
    let impatient = Scenario {
        graceful_stop: ms(50),
        ..for_a_second(2)
    };
    let result = played(impatient, steady()).await;
    let iterations = result.iterations;
    assert_eq!((iterations.finished, iterations.interrupted), (6, 2));
    assert_eq!(iterations.duration.count, 6);
    assert_eq!(result.took, 1_050);
    assert!(result.seen.ended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_iteration_is_finished_and_the_vu_goes_on() {
    let failing = Fakes {
        fails: true,
        ..steady()
    };
    let iterations = played(for_a_second(1), failing).await.iterations;
    assert_eq!((iterations.finished, iterations.failed), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_vu_that_stops_itself_takes_no_more_tickets() {
    let stopping = Fakes {
        stops_after: Some(3),
        ..steady()
    };
    let result = played(a_hundred(2), stopping.clone()).await;
    assert_eq!((result.iterations.finished, result.left), (6, 94));
    let result = played(for_a_second(2), stopping).await;
    assert_eq!((result.iterations.finished, result.took), (6, 900));
}

#[tokio::test(start_paused = true)]
async fn a_vu_that_cannot_start_takes_no_ticket() {
    let broken = Fakes {
        starts: false,
        ..steady()
    };
    let result = played(a_hundred(2), broken.clone()).await;
    assert_eq!((result.iterations.finished, result.left), (0, 100));
    assert_eq!(result.played.never_started, 2);
    // Of an open model each iteration makes another one.
    let result = played(rate(10.0, 1_000, 3), broken).await;
    let dropped = result.iterations.dropped_because;
    assert_eq!(dropped.because(DropReason::VuFailed), 10);
    assert_eq!(
        result.played,
        Played {
            started: 0,
            never_started: 10
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_vu_has_so_much_time_to_start_and_to_stop() {
    let (second, longer) = (ms(1_000), ms(1_001));
    for (hooks, started, ended) in [
        ((second, second), 2, 2),
        ((longer, second), 0, 0),
        // What it has done counts, whether or not it ends well.
        ((second, longer), 2, 0),
    ] {
        let slow = Fakes {
            hooks,
            ..fakes(ms(10))
        };
        let result = played(a_hundred(2), slow).await;
        assert_eq!(result.played.started, started, "{hooks:?}");
        assert_eq!(result.played.never_started, 2 - started, "{hooks:?}");
        let finished = if started > 0 { 100 } else { 0 };
        assert_eq!(result.iterations.finished, finished, "{hooks:?}");
        assert_eq!(result.seen.ended.len(), ended, "{hooks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_iteration_without_a_row_is_none_and_ends_its_vu() {
    let result = played(for_a_second(3), with_rows(5, 100, Next::NoRow)).await;
    assert_eq!(
        (result.iterations.finished, result.iterations.dropped),
        (5, 0)
    );
    assert_eq!((result.iterations.interrupted, result.took), (0, 300));
    assert_eq!(result.seen.ended.len(), 3, "each VU wound up");
    // A script that did something else in it has played it.
    let result = played(for_a_second(3), with_rows(5, 100, Next::NoMoreRows)).await;
    assert_eq!((result.iterations.finished, result.took), (8, 300));
}

#[tokio::test(start_paused = true)]
async fn iterations_that_rows_do_not_suffice_for_are_dropped_for_that() {
    for (without, finished) in [(Next::NoRow, 30), (Next::NoMoreRows, 34)] {
        let result = shared(a_hundred(4), with_rows(30, 100, without), (1, 2)).await;
        let dropped = result.iterations.dropped_because;
        assert_eq!(result.iterations.finished, finished);
        assert_eq!(
            dropped.because(DropReason::NoRow) + result.left,
            100 - finished
        );
        assert_eq!(result.reasons, [DropReason::NoRow]);
        assert_eq!(dropped.total(), dropped.because(DropReason::NoRow));
        let own = Executor::PerVuIterations {
            vus: vus(4),
            iterations: 25,
            max_duration: ms(10_000),
        };
        let result = shared(scenario(own, 4), with_rows(30, 100, without), (2, 1)).await;
        let dropped = result.iterations.dropped_because;
        assert_eq!(result.iterations.finished, finished);
        assert_eq!(dropped.because(DropReason::NoRow), 100 - finished);
        assert_eq!((dropped.total(), result.left), (100 - finished, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_model_without_rows_makes_no_more_vus_and_ends() {
    // The arrival at 500 ms finds no row when it asks at 730 ms. From then on no
    // VU is made; those that are there go one by one as they ask, and with the
    // last of them the scenario.
    for (threads, vus, dropped, took) in [(1, 3, 5, 930), (4, 4, 6, 1_030), (7, 7, 9, 1_330)] {
        let fakes = with_rows(5, 230, Next::NoRow);
        let result = shared(rate(10.0, 3_600_000, 50), fakes, (1, threads)).await;
        let iterations = result.iterations;
        assert_eq!((iterations.finished, iterations.failed), (5, 0));
        let reasons = iterations.dropped_because;
        assert_eq!(reasons.because(DropReason::NoRow), reasons.total());
        let came = (result.played.started, reasons.total(), result.took);
        assert_eq!(came, (vus, dropped, took), "{threads} threads");
        assert_eq!(result.seen.ended.len(), vus as usize, "each wound up");
    }
}

#[tokio::test(start_paused = true)]
async fn each_node_of_an_open_model_ends_with_its_own_rows() {
    // The fakes of all nodes share the rows here; what matters is that all end.
    let fakes = with_rows(50, 10, Next::NoRow);
    let result = shared(rate(100.0, 3_600_000, 50), fakes, (3, 2)).await;
    assert_eq!(result.iterations.finished, 50);
    assert!(result.took < 1_000, "{}", result.took);
}

#[tokio::test(start_paused = true)]
async fn vus_come_and_go_with_the_ramp() {
    let quick = fakes(ms(10));
    let stages = [(4_000, 4), (1_000, 4), (4_000, 0), (1_000, 0)];
    let result = shared(ramp(0, &stages, 1_000), quick, (1, 2)).await;
    let mut started = result.seen.started;
    started.sort_unstable();
    assert_eq!(started, [(0, 1), (1_000, 2), (2_000, 3), (3_000, 4)]);
    let mut ended = result.seen.ended;
    ended.sort_unstable();
    // Each one finishes the iteration that it is in.
    let expected = [(6_000, 4), (7_000, 3), (8_000, 2), (9_000, 1)];
    for ((at, vu), (due, of)) in ended.into_iter().zip(expected) {
        assert_eq!(vu, of);
        assert!((due..due + 12).contains(&at), "VU {vu} at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vu_too_many_is_cut_after_its_grace() {
    let slow = fakes(ms(100_000));
    let result = played(
        ramp(2, &[(1_000, 2), (0, 1), (9_000, 1)], 500),
        slow.clone(),
    )
    .await;
    // One at 1,500 ms, the other 30 s after the end.
    assert_eq!(result.iterations.interrupted, 2);
    assert_eq!(result.took, 40_000);
    // One that sleeps wakes and ends well.
    let sleeping = Fakes {
        wakes: true,
        ..slow
    };
    let result = played(ramp(2, &[(1_000, 2), (0, 1), (9_000, 1)], 500), sleeping).await;
    assert_eq!(result.iterations.interrupted, 0);
    assert_eq!(result.seen.ended, [(1_000, 2), (10_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_begins_when_the_ramp_rises_again() {
    let stages = [(1_000, 2), (0, 0), (1_000, 0), (0, 2), (1_000, 2)];
    let result = played(ramp(2, &stages, 500), steady()).await;
    assert_eq!(
        result.seen.started,
        [(0, 1), (0, 2), (2_000, 1), (2_000, 2)]
    );
    // One that is still in its iteration goes on with the life it has.
    let stages = [(1_000, 2), (0, 0), (100, 0), (0, 2), (1_000, 2)];
    let result = played(ramp(2, &stages, 500), steady()).await;
    assert_eq!(result.seen.started, [(0, 1), (0, 2)]);
    assert_eq!(result.seen.iterations.len(), 14);
}

#[tokio::test(start_paused = true)]
async fn arrivals_start_when_they_are_due_whatever_the_iterations_take() {
    // 20 a second for 2 s, of 300 ms each: six VUs at once.
    let result = shared(rate(20.0, 2_000, 100), steady(), (2, 3)).await;
    let mut at: Vec<_> = result.seen.iterations.iter().map(|(at, ..)| *at).collect();
    at.sort_unstable();
    let due: Vec<_> = (0..40).map(|k| k * 50).collect();
    assert_eq!(at, due);
    assert!(
        result
            .seen
            .iterations
            .iter()
            .all(|(_, _, lag)| *lag == Some(Duration::ZERO))
    );
    assert_eq!(result.iterations.dropped, 0);
    assert_eq!((result.stopped, result.took), (2_000, 2_250));
    // A VU that is free is used again, on the thread that has it.
    let result = played(rate(20.0, 2_000, 100), steady()).await;
    assert_eq!(result.seen.started.len(), 6);
    assert_eq!(result.seen.ended.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_of_arrivals_keeps_to_its_integral() {
    let stage = |time, target| Stage {
        duration: ms(time),
        target: Rate::per_second(target),
    };
    let executor = Executor::RampingArrivalRate {
        start_rate: Rate::per_second(0.0),
        stages: vec![stage(5_000, 100.0), stage(2_000, 100.0), stage(3_000, 10.0)],
        arrivals: Arrivals::Even,
    };
    let profile = Profile::of(&executor);
    let result = shared(scenario(executor, 1_000), fakes(ms(40)), (3, 2)).await;
    let at: Vec<_> = result.seen.iterations.iter().map(|(at, ..)| *at).collect();
    assert_eq!(at.len(), 615);
    for step in 0..=100 {
        let time = step * 100;
        let count = at.iter().filter(|at| **at < time).count() as f64;
        let exact = profile.area(time as f64 / 1e3);
        assert!(
            (count - exact).abs() <= 1.0,
            "{count} at {time} ms, not {exact}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_vu_is_dropped_and_no_backlog_is_built() {
    // Two VUs start an iteration every second each, of 10 a second.
    let result = played(rate(10.0, 5_000, 2), fakes(ms(1_000))).await;
    let iterations = result.iterations;
    assert_eq!(iterations.finished, 10);
    assert_eq!(iterations.dropped_because.because(DropReason::NoFreeVu), 40);
    assert_eq!(iterations.dropped, 40);
    assert_eq!(iterations.lag.max, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_thread_helps_another_when_there_may_be_no_more_vus() {
    // The first two iterations make the only two VUs, on two of four threads.
    let result = shared(rate(10.0, 5_000, 2), fakes(ms(150)), (1, 4)).await;
    assert_eq!(result.iterations.finished, 50);
    assert_eq!(result.iterations.dropped, 0);
    assert_eq!(result.seen.started.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn vus_of_an_open_model_have_numbers_of_their_own() {
    let stopping = Fakes {
        stops_after: Some(2),
        ..steady()
    };
    let result = shared(rate(20.0, 3_000, 8), stopping, (2, 2)).await;
    assert_eq!(result.iterations.finished + result.iterations.dropped, 60);
    let mut alive = std::collections::BTreeSet::new();
    let starts = result.seen.started.iter().map(|(at, vu)| (*at, true, *vu));
    let ends = result.seen.ended.iter().map(|(at, vu)| (*at, false, *vu));
    let mut lives: Vec<_> = starts.chain(ends).collect();
    lives.sort_unstable();
    for (at, starts, vu) in lives {
        assert!((1..=8).contains(&vu));
        if starts {
            assert!(alive.insert(vu), "two VUs {vu} at {at}");
        } else {
            alive.remove(&vu);
        }
    }
}

fn all(orders: &[UnboundedSender<Order>], order: Order) {
    for troupe in orders {
        let _ = troupe.send(order);
    }
}

fn steer(orders: &[UnboundedSender<Order>], steer: Steer) {
    // A moment ahead, so that every troupe hears of it in time.
    let at = now() + ms(10);
    all(orders, Order::Steer { at, steer });
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_told_to_stop_starts_nothing_more() {
    for scenario in [for_a_second(2), a_hundred(2), rate(10.0, 5_000, 5)] {
        let stop = |orders: Vec<_>, run: Arc<RunContext>| async move {
            sleep(ms(450)).await;
            run.enter(Phase::Stopping);
            all(&orders, Order::Stop);
            std::future::pending().await
        };
        let result = conducted(scenario, steady(), (1, 1), stop).await;
        assert!(result.seen.iterations.iter().all(|(at, ..)| *at <= 450));
        assert_eq!(result.iterations.interrupted, 0);
        assert_eq!(result.stopped, 450);
        assert!((600..=700).contains(&result.took), "{}", result.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_ends_at_once() {
    for scenario in [for_a_second(2), a_hundred(2), rate(10.0, 5_000, 5)] {
        let cut = |orders: Vec<_>, _| async move {
            sleep(ms(450)).await;
            all(&orders, Order::Cut);
            std::future::pending().await
        };
        let result = conducted(scenario, steady(), (1, 1), cut).await;
        assert_eq!(result.took, 450);
        assert!(result.iterations.interrupted >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn another_target_counts_from_its_time_on_for_all_shares() {
    let scenario = ramp(4, &[(10_000, 4)], 500);
    let more = |orders: Vec<_>, _| async move {
        sleep(ms(1_990)).await;
        steer(&orders, Steer::Target(9.0));
        sleep(ms(2_000)).await;
        steer(&orders, Steer::Target(1.0));
        std::future::pending().await
    };
    let result = conducted(scenario, fakes(ms(10)), (2, 2), more).await;
    let started = |at| {
        result
            .seen
            .started
            .iter()
            .filter(|start| start.0 == at)
            .count()
    };
    assert_eq!((started(0), started(2_000)), (4, 5));
    let early = result.seen.ended.iter().filter(|end| end.0 < 9_000);
    let early: Vec<_> = early.collect();
    assert_eq!(early.len(), 8);
    assert!(early.iter().all(|end| (4_000..4_012).contains(&end.0)));

    let more = |orders: Vec<_>, _| async move {
        sleep(ms(990)).await;
        steer(&orders, Steer::Target(100.0));
        std::future::pending().await
    };
    let result = conducted(rate(10.0, 2_000, 50), fakes(ms(10)), (2, 2), more).await;
    assert_eq!(result.iterations.finished, 10 + 100);
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_nothing_from_the_plan() {
    let pause = |orders: Vec<UnboundedSender<Order>>, _| async move {
        sleep(ms(490)).await;
        steer(&orders, Steer::Pause);
        sleep(ms(3_000)).await;
        steer(&orders, Steer::Resume);
        std::future::pending().await
    };
    let quick = || fakes(ms(10));
    let result = conducted(for_a_second(2), quick(), (1, 2), pause).await;
    let paused = result
        .seen
        .iterations
        .iter()
        .filter(|(at, ..)| (501..3_500).contains(at));
    assert_eq!(paused.count(), 0);
    assert_eq!((result.stopped, result.took), (4_000, 4_000));
    assert_eq!(result.iterations.finished, 200);

    let result = conducted(rate(20.0, 1_000, 5), quick(), (1, 2), pause).await;
    let mut at: Vec<_> = result.seen.iterations.iter().map(|(at, ..)| *at).collect();
    at.sort_unstable();
    let due: Vec<_> = (0..20)
        .map(|k| k * 50 + if k < 10 { 0 } else { 3_000 })
        .collect();
    assert_eq!(at, due);
    assert_eq!(result.stopped, 4_000);

    let result = conducted(a_hundred(2), quick(), (1, 1), pause).await;
    assert_eq!((result.iterations.finished, result.took), (100, 3_500));
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_can_be_stopped() {
    let pause = |orders: Vec<UnboundedSender<Order>>, run: Arc<RunContext>| async move {
        sleep(ms(490)).await;
        steer(&orders, Steer::Pause);
        sleep(ms(3_000)).await;
        run.enter(Phase::Stopping);
        all(&orders, Order::Stop);
        std::future::pending().await
    };
    for scenario in [for_a_second(2), a_hundred(2), rate(10.0, 5_000, 5)] {
        let result = conducted(scenario, steady(), (1, 2), pause).await;
        assert_eq!((result.stopped, result.took), (3_490, 3_490));
    }
}

/// A day in which the rate goes up and down, with fewer iterations than a
/// server would get, so that the test is over in seconds.
#[tokio::test(start_paused = true)]
async fn a_day_is_counted_to_the_last_iteration() {
    let hour = 3_600_000;
    let stage = |hours: u64, per_s: f64| Stage {
        duration: ms(hours * hour),
        target: Rate::per_second(per_s),
    };
    let executor = Executor::RampingArrivalRate {
        start_rate: Rate::per_second(1.0),
        stages: vec![stage(8, 5.0), stage(8, 20.0), stage(8, 1.0)],
        arrivals: Arrivals::Even,
    };
    // 8 h each of 3, 12.5 and 10.5 a second in the mean.
    let expected = 8 * 3_600 * 26;
    let quiet = fakes(ms(70));
    quiet.seen.lock().expect("no panic").counts_only = true;
    let result = shared(scenario(executor, 50), quiet, (1, 2)).await;
    assert_eq!(result.seen.count, expected);
    assert_eq!(result.iterations.finished, expected);
    assert_eq!(result.iterations.dropped, 0);
    assert_eq!(result.stopped, 24 * hour);
    // Two each for the iterations that are due at once or overlap.
    assert!(result.played.started <= 8, "{:?}", result.played);
}
