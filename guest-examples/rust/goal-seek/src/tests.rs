//! The search against servers whose capacity is known by arithmetic.

use std::collections::VecDeque;

use crate::goal::{Aggregate, Goal, TimeRule};
use crate::options::{Growth, Options, Unit};
use crate::seeker::{Found, Sample, Seeker, Times};

/// Numbers as if by chance, the same each time.
struct Dice(u64);

impl Dice {
    /// From 0 to 1, neither included.
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.roll().ln()
    }
}

/// How long the server works on a request, or how arrivals follow each other.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    Even,
    Chance,
}

/// A server with so many workers and one queue, and what sends requests to it.
struct World {
    workers: Vec<f64>,
    service_s: f64,
    service: Spread,
    arrivals: Spread,
    /// Requests under way at once, at the most; more are dropped.
    most: usize,
    /// Requests that take longer fail.
    timeout_s: f64,
    /// Between these times nothing is served.
    outage: Option<(f64, f64)>,
    dice: Dice,
    now_s: f64,
    /// When the next iteration is due, in an open model.
    due_s: f64,
    /// When each VU is free, in a closed model.
    vus: VecDeque<f64>,
    /// Requests under way: when each ends, and how long it will have taken.
    under_way: Vec<(f64, f64)>,
}

impl World {
    fn new(workers: usize, service_s: f64) -> Self {
        Self {
            workers: vec![0.0; workers],
            service_s,
            service: Spread::Even,
            arrivals: Spread::Even,
            most: 10_000,
            timeout_s: 60.0,
            outage: None,
            dice: Dice(7),
            now_s: 0.0,
            due_s: 0.0,
            vus: VecDeque::new(),
            under_way: Vec::new(),
        }
    }

    /// When a request that is sent now ends.
    fn serve(&mut self, at: f64) -> f64 {
        let time = match self.service {
            Spread::Even => self.service_s,
            Spread::Chance => self.dice.exponential(self.service_s),
        };
        let outage = self.outage;
        let worker = self
            .workers
            .iter_mut()
            .min_by(|a, b| a.total_cmp(b))
            .expect("there is a worker");
        let mut begins = worker.max(at);
        if let Some((from, until)) = outage
            && (from..until).contains(&begins)
        {
            begins = until;
        }
        *worker = begins + time;
        *worker
    }

    /// A second at a level.
    fn second(&mut self, unit: Unit, level: f64) -> Sample {
        let end = self.now_s + 1.0;
        let mut dropped = 0;
        match unit {
            Unit::Rate => {
                self.due_s = self.due_s.max(self.now_s);
                while self.due_s < end {
                    let at = self.due_s;
                    let busy = || self.under_way.iter().filter(|(ends, _)| *ends > at).count();
                    if self.under_way.len() < self.most || busy() < self.most {
                        let ends = self.serve(at);
                        self.under_way.push((ends, ends - at));
                    } else {
                        dropped += 1;
                    }
                    self.due_s += match self.arrivals {
                        Spread::Even => 1.0 / level,
                        Spread::Chance => self.dice.exponential(1.0 / level),
                    };
                }
            }
            Unit::Vus => {
                // Those that are too many end when they are free.
                while self.vus.len() < level as usize {
                    self.vus.push_back(self.now_s);
                }
                while self.vus.len() > level as usize {
                    self.vus.pop_back();
                }
                loop {
                    let (first, at) = self
                        .vus
                        .iter()
                        .copied()
                        .enumerate()
                        .min_by(|a, b| a.1.total_cmp(&b.1))
                        .expect("there is a VU");
                    if at >= end {
                        break;
                    }
                    let ends = self.serve(at);
                    self.under_way.push((ends, ends - at));
                    self.vus[first] = ends;
                }
            }
        }
        self.now_s = end;
        let mut times: Vec<f64> = Vec::new();
        self.under_way.retain(|(ends, took)| {
            if *ends <= end {
                times.push(*took);
            }
            *ends > end
        });
        self.sample(times, dropped)
    }

    fn sample(&self, mut times: Vec<f64>, dropped: u64) -> Sample {
        times.sort_by(f64::total_cmp);
        let count = times.len() as u64;
        let failures = times.iter().filter(|time| **time > self.timeout_s).count() as u64;
        let mean = times.iter().sum::<f64>() / (times.len().max(1)) as f64;
        let quantile = |q: f64| match times.len() {
            0 => 0.0,
            len => times[((q * len as f64).ceil() as usize).clamp(1, len) - 1] * 1e3,
        };
        Sample {
            seconds: 1.0,
            iterations: count,
            iteration_mean_s: mean,
            dropped,
            requests: count,
            failures,
            times: Times {
                count,
                min_ms: quantile(0.0),
                mean_ms: mean * 1e3,
                p50_ms: quantile(0.5),
                p90_ms: quantile(0.9),
                p95_ms: quantile(0.95),
                p99_ms: quantile(0.99),
                max_ms: quantile(1.0),
            },
        }
    }
}

fn options(text: &str) -> Options {
    let pairs: Vec<_> = text
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Options::parse(&pairs, 1000).expect("valid options")
}

type Report = Vec<(&'static str, Found)>;

/// Searches to the end: what held, the report, and how many seconds it took.
fn search(world: &mut World, text: &str) -> (f64, Report, u32) {
    let mut seeker = Seeker::new(options(text));
    let mut sample = Sample::default();
    let mut seconds = 0;
    while let Some(level) = seeker.next(f64::from(seconds), &sample) {
        sample = world.second(seeker.unit(), level);
        seconds += 1;
        assert!(seconds < 3_600, "no end: {:?}", seeker.report());
    }
    let report = seeker.report();
    (level(&report, "held").unwrap_or(0.0), report, seconds)
}

fn found<'a>(report: &'a Report, name: &str) -> &'a Found {
    let found = report.iter().find(|(known, _)| *known == name);
    let (_, found) = found.unwrap_or_else(|| panic!("no `{name}` in {report:?}"));
    found
}

/// A level of the report, unless it is `nothing`.
fn level(report: &Report, name: &str) -> Option<f64> {
    match found(report, name) {
        Found::Level(level) => Some(*level),
        Found::Text(text) => {
            assert_eq!(text, "nothing");
            None
        }
    }
}

fn value<'a>(report: &'a Report, name: &str) -> &'a str {
    match found(report, name) {
        Found::Text(text) => text,
        level => panic!("`{name}` is {level:?}"),
    }
}

#[track_caller]
fn near(found: f64, expected: f64, share: f64, report: &Report) {
    assert!(
        (found - expected).abs() <= share * expected,
        "found {found}, expected {expected}: {report:?}"
    );
}

#[test]
fn it_finds_the_capacity_of_servers_of_every_size() {
    for (workers, service_s) in [(1, 0.02), (4, 0.05), (16, 0.1), (50, 0.2)] {
        let capacity = workers as f64 / service_s;
        let goal_ms = 5.0 * service_s * 1e3;
        for start in [
            capacity / 100.0,
            capacity / 7.0,
            capacity * 0.9,
            capacity * 3.0,
        ] {
            let mut world = World::new(workers, service_s);
            let text = format!("p99={goal_ms}ms,start={start},factor=2");
            let (held, report, _) = search(&mut world, &text);
            assert_eq!(value(&report, "found"), "yes", "{report:?}");
            near(held, capacity, 0.06, &report);
        }
    }
}

/// The share of requests that take longer than `t` in an M/M/c queue with the load `a`, by
/// Erlang's formula; times in units of the service time.
fn slower_than(workers: u32, a: f64, t: f64) -> f64 {
    let c = f64::from(workers);
    let mut blocking = 1.0;
    for k in 1..=workers {
        blocking = a * blocking / (f64::from(k) + a * blocking);
    }
    let waits = blocking / (1.0 - a / c * (1.0 - blocking));
    let free = c - a;
    (-t).exp() + waits * ((-free * t).exp() - (-t).exp()) / (1.0 - free)
}

#[test]
fn it_finds_what_erlangs_formula_says() {
    let (workers, service_s) = (16u32, 0.05);
    // Requests alone take longer than 4.6 service times in 1 % of the cases.
    for goal in [5.5, 8.0, 12.0] {
        let (mut low, mut high) = (1.0, f64::from(workers) * 0.9999);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            match slower_than(workers, middle, goal) > 0.01 {
                true => high = middle,
                false => low = middle,
            }
        }
        let expected = low / service_s;
        for seed in 1..=5 {
            let mut world = World::new(workers as usize, service_s);
            world.service = Spread::Chance;
            world.arrivals = Spread::Chance;
            world.dice = Dice(seed);
            let text = format!(
                "p99={}ms,start=40,hold=30s,settle=3s",
                goal * service_s * 1e3
            );
            let (held, report, _) = search(&mut world, &text);
            near(held, expected, 0.1, &report);
        }
    }
}

#[test]
fn dropped_iterations_break_a_level_whatever_the_times_say() {
    let mut world = World::new(1_000, 0.1);
    world.most = 20;
    // Never slow, but no more than 20 at once.
    let (held, report, _) = search(&mut world, "p99=5s,start=10,factor=2");
    near(held, 200.0, 0.06, &report);
    assert!(
        value(&report, "because").contains("could not start"),
        "{report:?}"
    );
}

#[test]
fn errors_break_a_level_however_fast_they_come() {
    let mut world = World::new(4, 0.05);
    world.timeout_s = 0.2;
    let (held, report, _) = search(&mut world, "errors=1%,start=10");
    near(held, 80.0, 0.06, &report);
    assert!(value(&report, "because").contains("failed"), "{report:?}");
}

#[test]
fn vus_are_sought_as_well_as_rates() {
    // 8 workers of 100 ms: with 24 VUs each request takes 300 ms.
    let mut world = World::new(8, 0.1);
    let (held, report, _) = search(&mut world, "p95=301ms,unit=vus,hold=5s");
    assert_eq!(held, 24.0, "{report:?}");
    assert_eq!(level(&report, "broke"), Some(25.0), "{report:?}");
}

#[test]
fn a_short_outage_does_not_spoil_the_result() {
    for begins in [20.0, 47.0, 61.0, 80.0] {
        let mut world = World::new(10, 0.05);
        world.outage = Some((begins, begins + 2.0));
        let (held, report, _) = search(&mut world, "p99=250ms,start=50,factor=1.5");
        near(held, 200.0, 0.1, &report);
    }
}

#[test]
fn a_rate_just_above_the_capacity_does_not_pass() {
    // 2.5 % too much: in 30 s it takes 0.75 s, less than the goal.
    let mut world = World::new(10, 0.05);
    let (held, report, _) = search(&mut world, "p99=2s,start=205,max=205,hold=30s");
    assert!(held < 201.0, "{report:?}");
}

#[test]
fn the_end_of_what_may_be_tried_is_told() {
    let mut world = World::new(1_000, 0.01);
    let (held, report, _) = search(&mut world, "p99=1s,start=10,factor=4,max=100");
    assert_eq!(held, 100.0);
    assert_eq!(value(&report, "broke"), "nothing");
    assert_eq!(value(&report, "found"), "no: nothing broke up to 100.0/s");
}

#[test]
fn a_server_that_is_always_too_slow_holds_nothing() {
    let mut world = World::new(1_000, 2.0);
    let (held, report, seconds) = search(&mut world, "p99=1s,start=100");
    assert_eq!(held, 0.0);
    assert_eq!(value(&report, "held"), "nothing");
    assert!(value(&report, "found").starts_with("no: "), "{report:?}");
    assert!(seconds < 600, "{seconds}");
}

#[test]
fn a_run_that_ends_early_reports_how_far_it_came() {
    let mut seeker = Seeker::new(options("p99=1s,start=10"));
    let mut world = World::new(10, 0.05);
    let mut sample = Sample::default();
    for now in 0..20 {
        let level = seeker.next(f64::from(now), &sample).expect("not over");
        sample = world.second(Unit::Rate, level);
    }
    let report = seeker.report();
    assert_eq!(level(&report, "held"), Some(10.0));
    assert_eq!(
        value(&report, "found"),
        "no: the run ended while 15.00/s was tried"
    );
}

#[test]
fn options_are_read_and_mistakes_refused() {
    let read = options("p99=500ms,errors=0.02,unit=vus,step=5,hold=1m,settle=0.5s,within=10%");
    assert_eq!(
        read,
        Options {
            goal: Goal {
                times: vec![TimeRule {
                    aggregate: Aggregate::named("p99").expect("known"),
                    limit_ms: 500.0,
                }],
                errors: 0.02,
            },
            unit: Unit::Vus,
            start: 1.0,
            growth: Growth::Step(5.0),
            hold_s: 60.0,
            settle_s: 0.5,
            within: 0.1,
            max: 1000.0,
        }
    );
    for (text, expected) in [
        ("", "no goal"),
        ("start=5", "no goal"),
        ("p99=500", "a time such as 500ms"),
        ("p99=1s,factor=1", "above 1"),
        ("p99=1s,factor=2,step=3", "leave one out"),
        ("p99=1s,errors=200%", "a share"),
        ("p99=1s,unit=users", "`rate` or `vus`"),
        ("p99=1s,start=0", "above 0"),
        ("p99=1s,start=9,max=5", "more than 5"),
        ("p98=1s", "unknown option `p98`"),
    ] {
        let pairs: Vec<_> = text
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let error = Options::parse(&pairs, 1000).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_share_above_a_limit_is_read_off_the_quantiles() {
    let times = Times {
        count: 1_000,
        min_ms: 10.0,
        mean_ms: 30.0,
        p50_ms: 20.0,
        p90_ms: 60.0,
        p95_ms: 80.0,
        p99_ms: 100.0,
        max_ms: 200.0,
    };
    for (limit_ms, share) in [
        (5.0, 1.0),
        (15.0, 0.75),
        (20.0, 0.5),
        (70.0, 0.075),
        (100.0, 0.01),
        (150.0, 0.005),
        // One of a thousand, at the least.
        (199.9, 0.001),
        (200.0, 0.0),
    ] {
        let read = times.slower_than(limit_ms);
        assert!((read - share).abs() < 1e-9, "{limit_ms}: {read}");
    }
    assert_eq!(Times::default().slower_than(1.0), 0.0);
}
