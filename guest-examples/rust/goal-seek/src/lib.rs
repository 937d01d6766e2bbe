//! Looks for the highest load that still meets a goal: raises the rate, or the number of
//! VUs, until the goal breaks, narrows in between what held and what broke, and ends.
//!
//! ```sh
//! squall run shop.wasm --shape goal_seek.wasm,p99=500ms,errors=1%,start=20
//! ```
//!
//! This file is the component; `seeker` knows nothing of it, and is tested against servers
//! of known capacity. `README.md` says how the search goes and what its options are.

use std::cell::RefCell;

use exports::squall::shape::load_shape::{
    Distribution, Finding, Guest, Quantity, RunInfo, Stats, Target, Value, Vus, Window,
};
use options::{Options, Unit};
use seeker::{Found, Sample, Seeker, Times};

mod goal;
mod options;
mod seeker;
#[cfg(test)]
mod tests;

wit_bindgen::generate!({ world: "shape", path: "../../../wit/shape" });

thread_local! {
    static SEEKER: RefCell<Option<Seeker>> = const { RefCell::new(None) };
}

struct GoalSeek;

export!(GoalSeek);

impl Guest for GoalSeek {
    fn start(run: RunInfo) -> Result<(), String> {
        let options = Options::parse(&run.options, run.max_vus)?;
        SEEKER.set(Some(Seeker::new(options)));
        Ok(())
    }

    fn target_at(elapsed_ms: f64, stats: Stats) -> Option<Target> {
        SEEKER.with_borrow_mut(|seeker| {
            let seeker = seeker.as_mut()?;
            let level = seeker.next(elapsed_ms / 1e3, &sample(&stats.interval))?;
            Some(match seeker.unit() {
                Unit::Rate => Target::Rate(level),
                Unit::Vus => Target::Vus(Vus {
                    count: level as u32,
                    per_s: None,
                }),
            })
        })
    }

    fn report() -> Vec<Finding> {
        SEEKER.with_borrow(|seeker| {
            let Some(seeker) = seeker else { return vec![] };
            let unit = match seeker.unit() {
                Unit::Rate => "/s",
                Unit::Vus => "VUs",
            };
            let finding = |(name, found): (&str, Found)| Finding {
                name: name.to_owned(),
                value: match found {
                    Found::Text(text) => Value::Text(text),
                    Found::Level(value) => Value::Number(Quantity {
                        value,
                        unit: unit.to_owned(),
                    }),
                },
            };
            seeker.report().into_iter().map(finding).collect()
        })
    }
}

fn sample(window: &Window) -> Sample {
    // What a user would have waited, where the host can tell.
    let times = match window.from_due.count {
        0 => &window.duration,
        _ => &window.from_due,
    };
    Sample {
        seconds: window.duration_ms / 1e3,
        iterations: window.iterations,
        iteration_mean_s: window.iteration_duration.mean_ms / 1e3,
        dropped: window.dropped_iterations,
        requests: window.requests,
        failures: window.failures,
        times: self::times(times),
    }
}

fn times(distribution: &Distribution) -> Times {
    Times {
        count: distribution.count,
        min_ms: distribution.min_ms,
        mean_ms: distribution.mean_ms,
        p50_ms: distribution.p50_ms,
        p90_ms: distribution.p90_ms,
        p95_ms: distribution.p95_ms,
        p99_ms: distribution.p99_ms,
        max_ms: distribution.max_ms,
    }
}
