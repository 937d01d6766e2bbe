//! The search, as a state machine that is asked once a second.
//!
//! | it | does | until |
//! |---|---|---|
//! | settles | waits: what comes in still belongs to the level before | `settle`, and the time of an iteration, are over |
//! | holds | collects samples | `hold` is over, or there is no hope |
//! | recovers | applies half of a load that held, and ever less: the server has a backlog | two good samples in a row |
//!
//! A level that holds is followed by a higher one, until one has broken; from then on by
//! what lies between the highest that held and the lowest that broke. Nothing breaks at the
//! first try, and what held is tried once more at the end: a server has its moments.

use crate::goal::Goal;
use crate::options::{Growth, Options, Unit};

/// So many levels are tried at the most.
const LEVELS: usize = 60;
/// So long may a server take to recover, in seconds.
const RECOVERY_S: f64 = 60.0;
/// After so long without recovery it gets half the load, in seconds.
const RELIEF_S: f64 = 5.0;
/// A level ends early after so many samples far beyond the goal, one after the other.
const HOPELESS: usize = 3;
/// How far below its first level the search goes if that breaks.
const DEEPEST: f64 = 1.0 / 256.0;

/// What happened in about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    pub seconds: f64,
    /// Iterations that came to their end.
    pub iterations: u64,
    pub iteration_mean_s: f64,
    pub dropped: u64,
    pub requests: u64,
    pub failures: u64,
    pub times: Times,
}

/// How long requests took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    pub count: u64,
    pub min_ms: f64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// The search for the highest level that holds.
#[derive(Debug)]
pub struct Seeker {
    options: Options,
    phase: Phase,
    /// The level that is tried, or will be after the recovery.
    level: f64,
    /// Whether it has broken once.
    is_second_try: bool,
    /// The levels that held, in ascending order, with how often each did.
    held: Vec<(f64, u32)>,
    /// The lowest level that broke, and why.
    broke: Option<(f64, String)>,
    /// Every level that was tried, and whether it held.
    tried: Vec<(f64, bool)>,
    /// Why the search ended before its time.
    gave_up: Option<String>,
}

#[derive(Debug)]
enum Phase {
    New,
    Settle { until: f64 },
    Hold { until: f64, samples: Vec<Sample> },
    Recover { since: f64, good: u32 },
    Over,
}

impl Seeker {
    pub fn new(options: Options) -> Self {
        Self {
            phase: Phase::New,
            level: options.start,
            is_second_try: false,
            held: Vec::new(),
            broke: None,
            tried: Vec::new(),
            gave_up: None,
            options,
        }
    }

    pub fn unit(&self) -> Unit {
        self.options.unit
    }

    /// The load from `now_s` on, given what happened since the last call; `None` when the
    /// search is over.
    pub fn next(&mut self, now_s: f64, sample: &Sample) -> Option<f64> {
        match &mut self.phase {
            Phase::New => self.settle(now_s, sample),
            // A sample belongs to the level if all of it does.
            Phase::Settle { until } if now_s - sample.seconds < *until - 0.05 => {}
            Phase::Settle { .. } => {
                self.phase = Phase::Hold {
                    until: now_s - sample.seconds + self.options.hold_s,
                    samples: Vec::new(),
                };
                self.hold(now_s, sample);
            }
            Phase::Hold { .. } => self.hold(now_s, sample),
            Phase::Recover { since, good } => {
                let so_far_s = now_s - *since;
                *good = match is_good(&self.options.goal, sample) {
                    true => *good + 1,
                    false => 0,
                };
                if *good >= 2 {
                    self.settle(now_s, sample);
                } else if so_far_s > RECOVERY_S {
                    self.give_up(format!("the server did not recover within {RECOVERY_S} s"));
                }
            }
            Phase::Over => {}
        }
        match self.phase {
            Phase::Over => None,
            Phase::Recover { since, .. } => Some(self.relief(now_s - since)),
            _ => Some(self.level),
        }
    }

    /// The load while the server recovers: half of one that held, or is yet to be tried, and
    /// half of that the longer it takes.
    fn relief(&self, so_far_s: f64) -> f64 {
        let held = self.held.last().map_or(self.level, |(level, _)| *level);
        let halvings = 1 + (so_far_s / RELIEF_S) as i32;
        self.whole(held.min(self.level) * 0.5f64.powi(halvings))
    }

    fn settle(&mut self, now_s: f64, sample: &Sample) {
        let iteration_s = sample.iteration_mean_s.min(RECOVERY_S);
        self.phase = Phase::Settle {
            until: now_s + self.options.settle_s + iteration_s,
        };
    }

    fn hold(&mut self, now_s: f64, sample: &Sample) {
        let Phase::Hold { until, samples } = &mut self.phase else {
            return;
        };
        samples.push(*sample);
        let goal = &self.options.goal;
        let last = &samples[samples.len().saturating_sub(HOPELESS)..];
        let is_hopeless = last.len() == HOPELESS && last.iter().all(|last| goal.is_hopeless(last));
        if now_s + 0.05 < *until && !is_hopeless {
            return;
        }
        let due = match self.options.unit {
            Unit::Rate => {
                Some(self.level * samples.iter().map(|sample| sample.seconds).sum::<f64>())
            }
            Unit::Vus => None,
        };
        match goal.missed(samples, due) {
            None => self.has_held(now_s, sample),
            Some(why) => self.has_broken(now_s, why),
        }
    }

    fn has_held(&mut self, now_s: f64, sample: &Sample) {
        self.tried.push((self.level, true));
        match self.held.iter_mut().find(|(level, _)| *level == self.level) {
            Some((_, times)) => *times += 1,
            None => {
                self.held.push((self.level, 1));
                self.held.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        self.is_second_try = false;
        if self.go_on() {
            self.settle(now_s, sample);
        }
    }

    fn has_broken(&mut self, now_s: f64, why: String) {
        self.tried.push((self.level, false));
        self.is_second_try = !self.is_second_try;
        if !self.is_second_try {
            self.held.retain(|(level, _)| *level < self.level);
            self.broke = Some((self.level, why));
            if !self.go_on() {
                return;
            }
        }
        self.phase = Phase::Recover {
            since: now_s,
            good: 0,
        };
    }

    /// Sets the level to try next; false if there is none.
    fn go_on(&mut self) -> bool {
        if self.tried.len() >= LEVELS {
            self.give_up(format!("{LEVELS} levels were tried"));
            return false;
        }
        let held = self.held.last().copied();
        let next = match (held, &self.broke) {
            (None, None) => self.options.start,
            (Some((held, _)), None) if held >= self.options.max => held,
            (Some((held, _)), None) => {
                let next = match self.options.growth {
                    Growth::Factor(factor) => held * factor,
                    Growth::Step(step) => held + step,
                };
                // Of VUs there is at least one more.
                let next = self.whole(next).max(self.whole(held) + self.least());
                next.min(self.options.max)
            }
            (None, Some((broke, _))) => {
                let next = self.whole(broke / 2.0);
                if next >= *broke || next < self.options.start * DEEPEST {
                    self.give_up("every level broke".to_owned());
                    return false;
                }
                next
            }
            (Some((held, _)), Some((broke, _))) if self.is_near(held, *broke) => held,
            (Some((held, _)), Some((broke, _))) => {
                let middle = self.whole((held * broke).sqrt());
                middle.max(held + self.least())
            }
        };
        // It has been tried: once more, and that is it.
        if let Some((held, times)) = held
            && next == held
            && times > 1
        {
            self.phase = Phase::Over;
            return false;
        }
        self.level = next;
        true
    }

    fn give_up(&mut self, why: String) {
        self.gave_up = Some(why);
        self.phase = Phase::Over;
    }

    fn is_near(&self, held: f64, broke: f64) -> bool {
        broke <= held * (1.0 + self.options.within) || broke - held <= self.least()
    }

    /// By how much levels differ at the least.
    fn least(&self) -> f64 {
        match self.options.unit {
            Unit::Rate => 0.0,
            Unit::Vus => 1.0,
        }
    }

    fn whole(&self, level: f64) -> f64 {
        match self.options.unit {
            Unit::Rate => level,
            Unit::Vus => level.round().max(1.0),
        }
    }

    fn named(&self, level: f64) -> String {
        let digits = if level < 100.0 { 2 } else { 1 };
        match self.options.unit {
            Unit::Rate => format!("{level:.digits$}/s"),
            Unit::Vus => format!("{level:.0} VUs"),
        }
    }

    /// What was found out.
    pub fn report(&self) -> Vec<(&'static str, Found)> {
        let text = |text: &str| Found::Text(text.to_owned());
        let level = |level: Option<f64>| level.map_or(text("nothing"), Found::Level);
        let broke = self.broke.as_ref();
        let mut report = vec![
            ("goal", Found::Text(self.options.goal.to_string())),
            ("held", level(self.held.last().map(|(held, _)| *held))),
            ("broke", level(broke.map(|(broke, _)| *broke))),
        ];
        if let Some((_, why)) = broke {
            report.push(("because", text(why)));
        }
        let found = match (&self.phase, &self.gave_up) {
            (_, Some(why)) => format!("no: {why}"),
            (Phase::Over, None) if broke.is_none() => {
                format!("no: nothing broke up to {}", self.named(self.options.max))
            }
            (Phase::Over, None) => "yes".to_owned(),
            _ => format!(
                "no: the run ended while {} was tried",
                self.named(self.level)
            ),
        };
        report.push(("found", Found::Text(found)));
        let tried = self.tried.iter().map(|(level, held)| match held {
            true => self.named(*level),
            false => format!("({})", self.named(*level)),
        });
        let tried: Vec<_> = tried.collect();
        report.push(("tried", Found::Text(tried.join(" "))));
        report
    }
}

/// Something that was found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Text(String),
    Level(f64),
}

/// Whether the server is itself again.
fn is_good(goal: &Goal, sample: &Sample) -> bool {
    sample.requests > 0 && goal.missed(std::slice::from_ref(sample), None).is_none()
}
