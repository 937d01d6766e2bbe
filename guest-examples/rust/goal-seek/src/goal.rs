//! What must hold, and whether it did: over a number of samples taken together.
//!
//! A sample tells only some quantiles of its times. How many of its requests were slower
//! than a limit is read off the straight lines between them; so the samples of a level can
//! be added up, and `p99=500ms` means one request of a hundred over the whole time for which
//! the level was watched, not in each of its seconds.

use std::fmt;

use crate::seeker::{Sample, Times};

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    pub times: Vec<TimeRule>,
    /// The share of the requests that may fail.
    pub errors: f64,
}

/// A limit for how long requests take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeRule {
    pub aggregate: Aggregate,
    pub limit_ms: f64,
}

/// What of the times is held against the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// So large a share of the requests, at most, may be slower.
    Slower(&'static str, f64),
    Mean,
}

impl Aggregate {
    const ALL: [(&str, Self); 6] = [
        ("p50", Self::Slower("p50", 0.5)),
        ("p90", Self::Slower("p90", 0.1)),
        ("p95", Self::Slower("p95", 0.05)),
        ("p99", Self::Slower("p99", 0.01)),
        ("max-time", Self::Slower("max-time", 0.0)),
        ("mean", Self::Mean),
    ];

    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, aggregate)| aggregate)
    }
}

impl fmt::Display for TimeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.aggregate {
            Aggregate::Slower(name, _) => name,
            Aggregate::Mean => "mean",
        };
        write!(f, "{name} <= {}", Ms(self.limit_ms))
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.times {
            write!(f, "{rule}, ")?;
        }
        write!(f, "errors <= {}", Percent(self.errors))
    }
}

impl Goal {
    /// Why these samples, taken together, miss the goal, if they do. If a rate was asked
    /// for, `due` is how many iterations were to start.
    pub fn missed(&self, samples: &[Sample], due: Option<f64>) -> Option<String> {
        let sum = |of: fn(&Sample) -> u64| samples.iter().map(of).sum::<u64>();
        let dropped = sum(|sample| sample.dropped);
        if dropped > 0 {
            return Some(format!("{dropped} iterations were due and could not start"));
        }
        let (requests, failures) = (sum(|sample| sample.requests), sum(|sample| sample.failures));
        let failed = share(failures, requests);
        if failed > self.errors {
            return Some(format!("{} of the requests failed", Percent(failed)));
        }
        for rule in &self.times {
            if let Some(miss) = rule.missed(samples) {
                return Some(miss);
            }
        }
        let iterations = sum(|sample| sample.iterations) as f64;
        // Those under way at the ends differ by a few; chance adds its root.
        let short = due.filter(|due| due - iterations > 0.03 * due + 2.0 * due.sqrt().max(1.0));
        if let Some(due) = short {
            return Some(format!(
                "only {iterations} of {due:.0} iterations came to their end"
            ));
        }
        self.rising(samples)
    }

    /// Times that are half as long again at the end: a queue that grows, and would
    /// break the goal if it were given the time.
    fn rising(&self, samples: &[Sample]) -> Option<String> {
        let limits = self.times.iter().map(|rule| rule.limit_ms);
        let limit_ms = limits.reduce(f64::min)?;
        let third = samples.len() / 3;
        let before = mean_of(&samples[..third], |times| times.mean_ms);
        let after = mean_of(&samples[samples.len() - third..], |times| times.mean_ms);
        (after > 1.5 * before && after - before > 0.1 * limit_ms)
            .then(|| format!("times rose from {} to {}", Ms(before), Ms(after)))
    }

    /// Whether a sample is so far beyond the goal that there is no need for more of them.
    pub fn is_hopeless(&self, sample: &Sample) -> bool {
        let beyond = Self {
            times: self.times.iter().map(TimeRule::far_beyond).collect(),
            errors: (3.0 * self.errors).clamp(0.1, 0.9),
        };
        beyond.missed(std::slice::from_ref(sample), None).is_some()
    }
}

impl TimeRule {
    fn missed(&self, samples: &[Sample]) -> Option<String> {
        let limit_ms = self.limit_ms;
        match self.aggregate {
            Aggregate::Slower(name, may) => {
                let slower = mean_of(samples, |times| times.slower_than(limit_ms));
                (slower > may).then(|| {
                    let (slower, limit) = (Percent(slower), Ms(limit_ms));
                    format!("{slower} of the requests took longer than {limit} ({name})")
                })
            }
            Aggregate::Mean => {
                let mean_ms = mean_of(samples, |times| times.mean_ms);
                (mean_ms > limit_ms).then(|| format!("requests took {} on average", Ms(mean_ms)))
            }
        }
    }

    fn far_beyond(&self) -> Self {
        match self.aggregate {
            Aggregate::Slower(name, may) => Self {
                aggregate: Aggregate::Slower(name, (5.0 * may).clamp(0.2, 0.9)),
                ..*self
            },
            Aggregate::Mean => Self {
                limit_ms: 2.0 * self.limit_ms,
                ..*self
            },
        }
    }
}

/// The mean of a value over all requests.
fn mean_of(samples: &[Sample], value: impl Fn(&Times) -> f64) -> f64 {
    let count: u64 = samples.iter().map(|sample| sample.times.count).sum();
    let sum: f64 = samples
        .iter()
        .map(|sample| sample.times.count as f64 * value(&sample.times))
        .sum();
    if count == 0 { 0.0 } else { sum / count as f64 }
}

impl Times {
    /// The share of the values above a limit, read off the lines between the quantiles.
    pub fn slower_than(&self, limit_ms: f64) -> f64 {
        if self.count == 0 || self.max_ms <= limit_ms {
            return 0.0;
        }
        let known = [
            (1.0, self.min_ms),
            (0.5, self.p50_ms),
            (0.1, self.p90_ms),
            (0.05, self.p95_ms),
            (0.01, self.p99_ms),
            (0.0, self.max_ms),
        ];
        // The largest one is above the limit: one of them is slower at the least.
        let least = 1.0 / self.count as f64;
        for pair in known.windows(2) {
            let [(share, low), (next, high)] = [pair[0], pair[1]];
            if limit_ms < low {
                return share;
            }
            if limit_ms < high {
                let part = (limit_ms - low) / (high - low);
                return (share + part * (next - share)).max(least);
            }
        }
        least
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// A time, as short as it can be told.
pub struct Ms(pub f64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms >= 1e4 => write!(f, "{:.1} s", ms / 1e3),
            ms if ms >= 10.0 || ms == ms.trunc() => write!(f, "{ms:.0} ms"),
            ms => write!(f, "{ms:.2} ms"),
        }
    }
}

/// A share in percent.
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        let digits = if percent == percent.round() { 0 } else { 1 };
        // What is not nothing is not shown as nothing.
        match percent > 0.0 && percent < 0.05 {
            true => f.write_str("under 0.1 %"),
            false => write!(f, "{percent:.digits$} %"),
        }
    }
}
