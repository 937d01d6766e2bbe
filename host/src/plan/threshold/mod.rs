//! Thresholds: what a run's result is judged by, as the user writes them.
//!
//! `METRIC{TAG:VALUE, …}: AGGREGATE[WINDOW] OPERATOR NUMBER abort after TIME`, in
//! the words and with the metric names of k6: `http_req_duration: p(95) < 500`,
//! `http_req_failed{name:login}: rate < 0.01`. Filter, window and abort can be
//! left out; several conditions on one metric are joined by commas. Parsing
//! rejects what could never be judged; judging is in
//! [`stats::thresholds`](crate::stats::thresholds).

mod metric;
mod parse;

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use metric::{BuiltIn, Filter, Metric, Shape, Statuses, Subject};

/// A valid threshold: one condition on one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    /// The metric it is on.
    pub metric: Metric,
    /// Which of the metric's measurements count.
    pub filter: Filter,
    /// Which number of the metric is compared.
    pub aggregate: Aggregate,
    /// Over how long the number is taken again and again; `None` is the whole
    /// run.
    pub window: Option<Duration>,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with: milliseconds for times, a share from 0 to 1
    /// for rates, a number otherwise.
    pub limit: f64,
    /// Whether the run ends when it does not hold, and from when on: so long
    /// after its start.
    pub abort_after: Option<Duration>,
}

/// Which number of a metric is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// `p(N)`: the N-th percentile, here as a share from 0 to 1.
    Quantile(f64),
    /// `min`
    Min,
    /// `max`
    Max,
    /// `avg`
    Mean,
    /// `count`
    Count,
    /// `rate`: a second for a counter, the share of hits for a rate.
    Rate,
    /// `value`: a gauge's latest.
    Value,
}

impl Aggregate {
    /// Whether a metric of this kind has it.
    pub fn is_of(self, shape: Shape) -> bool {
        match self {
            Self::Quantile(_) | Self::Mean => shape == Shape::Trend,
            Self::Min | Self::Max => matches!(shape, Shape::Trend | Shape::Gauge),
            Self::Count => matches!(shape, Shape::Trend | Shape::Counter),
            Self::Rate => matches!(shape, Shape::Rate | Shape::Counter),
            Self::Value => shape == Shape::Gauge,
        }
    }
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Operator {
    /// The longer ones first, since one may begin another. `===` is k6's.
    const ALL: [(&str, Self); 7] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("===", Self::Equal),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Whether `value OPERATOR limit` holds.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => value == limit,
            Self::NotEqual => value != limit,
        }
    }

    /// Of two values of which neither holds, the one that is farther off.
    pub fn worse(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Less | Self::LessOrEqual => one.max(other),
            Self::Greater | Self::GreaterOrEqual => one.min(other),
            Self::Equal | Self::NotEqual => one,
        }
    }
}

/// Why a text is not a threshold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdError {
    /// Which character of the text is wrong, from 0.
    pub at: usize,
    /// What was expected there.
    pub expected: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

impl Threshold {
    /// The threshold as the user wrote it. One of several on a metric has the
    /// metric in front, so that it can be parsed again.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses conditions on a metric, one or several joined by commas.
    ///
    /// # Errors
    ///
    /// Points, for each condition, at the first character that cannot be right
    /// and says what was expected there.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Vec<ThresholdError>> {
        parse::all(text)
    }

    /// Parses a single condition.
    ///
    /// # Errors
    ///
    /// As [`parse_all`](Self::parse_all); a second condition is one too.
    pub fn parse(text: &str) -> Result<Self, ThresholdError> {
        let mut all = parse::all(text).map_err(|mut errors| errors.swap_remove(0))?;
        match all.len() {
            1 => Ok(all.swap_remove(0)),
            _ => Err(ThresholdError {
                at: 0,
                expected: "a single condition".to_owned(),
                hint: None,
            }),
        }
    }

    /// Whether it compares a number of things, of which nothing is 0.
    pub fn counts(&self) -> bool {
        self.aggregate == Aggregate::Count || self.metric.shape() == Some(Shape::Counter)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at character {}", self.expected, self.at + 1)
    }
}

impl std::error::Error for ThresholdError {}
