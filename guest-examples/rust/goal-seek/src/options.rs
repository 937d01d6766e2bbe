//! What the user asks for: `p99=500ms,errors=1%,start=20`.

use crate::goal::{Aggregate, Goal, TimeRule};

/// The options, with their defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub goal: Goal,
    pub unit: Unit,
    /// The first level.
    pub start: f64,
    pub growth: Growth,
    /// How long a level is watched, in seconds.
    pub hold_s: f64,
    /// How long after a change nothing is judged, in seconds, beside the time that an
    /// iteration takes.
    pub settle_s: f64,
    /// How near what held has to be to what broke, as a share.
    pub within: f64,
    /// The highest level to try.
    pub max: f64,
}

/// What a level is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Iterations that start a second.
    Rate,
    /// VUs.
    Vus,
}

/// How the level rises until it breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Growth {
    Factor(f64),
    Step(f64),
}

const KNOWN: &str = "p50, p90, p95, p99, mean, max-time, errors, unit, start, factor, step, \
                     hold, settle, within, max";

impl Options {
    /// Reads the options of `--shape goal_seek.wasm,NAME=VALUE…`.
    pub fn parse(given: &[(String, String)], max_vus: u32) -> Result<Self, String> {
        let mut times = Vec::new();
        let (mut errors, mut unit) = (0.01, Unit::Rate);
        let (mut start, mut max, mut factor, mut step) = (None, None, None, None);
        let (mut hold_s, mut settle_s, mut within) = (10.0, 2.0, 0.05);
        for (name, value) in given {
            let wrong = |expected: &str| format!("`{name}={value}`: expected {expected}");
            let number = || {
                let number: Option<f64> = value.parse().ok();
                number
                    .filter(|number| number.is_finite() && *number > 0.0)
                    .ok_or_else(|| wrong("a number above 0"))
            };
            let time = || seconds(value).ok_or_else(|| wrong("a time such as 500ms or 2s"));
            if let Some(aggregate) = Aggregate::named(name) {
                let limit_ms = time()? * 1e3;
                times.push(TimeRule {
                    aggregate,
                    limit_ms,
                });
                continue;
            }
            match name.as_str() {
                "errors" => errors = share(value).ok_or_else(|| wrong("a share such as 1%"))?,
                "unit" => {
                    unit = match value.as_str() {
                        "rate" => Unit::Rate,
                        "vus" => Unit::Vus,
                        _ => return Err(wrong("`rate` or `vus`")),
                    };
                }
                "start" => start = Some(number()?),
                "max" => max = Some(number()?),
                "factor" => {
                    let above_1 = Some(number()?).filter(|factor| *factor > 1.0);
                    factor = Some(above_1.ok_or_else(|| wrong("a number above 1"))?);
                }
                "step" => step = Some(number()?),
                "hold" => hold_s = time()?,
                "settle" => settle_s = time()?,
                "within" => {
                    let share = share(value).filter(|share| *share > 0.0);
                    within = share.ok_or_else(|| wrong("a share such as 5%"))?;
                }
                _ => return Err(format!("unknown option `{name}`: there is {KNOWN}")),
            }
        }
        if times.is_empty() && !given.iter().any(|(name, _)| name == "errors") {
            return Err("no goal: say what must hold, such as p99=500ms or errors=1%".to_owned());
        }
        let growth = match (factor, step) {
            (Some(_), Some(_)) => {
                return Err("`factor` and `step` are two ways to rise: leave one out".to_owned());
            }
            (_, Some(step)) => Growth::Step(step),
            (factor, None) => Growth::Factor(factor.unwrap_or(1.5)),
        };
        let start = start.unwrap_or(match unit {
            Unit::Rate => 10.0,
            Unit::Vus => 1.0,
        });
        let max = match unit {
            Unit::Rate => max.unwrap_or(f64::INFINITY),
            Unit::Vus => max.unwrap_or(f64::INFINITY).min(f64::from(max_vus)),
        };
        if start > max {
            return Err(format!(
                "`start={start}` is more than {max}, the most there may be"
            ));
        }
        Ok(Self {
            goal: Goal { times, errors },
            unit,
            start,
            growth,
            hold_s,
            settle_s,
            within,
            max,
        })
    }
}

/// `500ms`, `2s`, `1.5s`, `1m`.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * unit)
}

/// `1%`, or `0.01`.
fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}
