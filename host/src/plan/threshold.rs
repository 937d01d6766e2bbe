//! Thresholds: what a run's result is judged by, as the user writes them.
//!
//! `METRIC: AGGREGATE OPERATOR NUMBER`, in the words and with the metric names
//! of k6: `http_req_duration: p(95) < 500`, `http_req_failed: rate < 0.01`.
//! Parsing rejects what could never be judged; evaluating is in
//! [`stats::thresholds`](crate::stats::thresholds).

use std::fmt;

use serde::{Serialize, Serializer};

/// A valid threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    /// The metric it is on.
    pub metric: Metric,
    /// Which number of the metric is compared.
    pub aggregate: Aggregate,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with: milliseconds for times, a share from 0 to 1
    /// for rates, a number otherwise.
    pub limit: f64,
}

/// A metric that a threshold can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// `http_reqs`
    HttpReqs,
    /// `http_req_duration`
    HttpReqDuration,
    /// `http_req_connecting`
    HttpReqConnecting,
    /// `http_req_tls_handshaking`
    HttpReqTlsHandshaking,
    /// `http_req_waiting`
    HttpReqWaiting,
    /// `http_req_receiving`
    HttpReqReceiving,
    /// `http_req_failed`
    HttpReqFailed,
    /// `iterations`
    Iterations,
    /// `iteration_duration`
    IterationDuration,
    /// `iteration_lag`
    IterationLag,
    /// `dropped_iterations`
    DroppedIterations,
    /// `checks`
    Checks,
    /// `data_sent`
    DataSent,
    /// `data_received`
    DataReceived,
}

/// The kind of a built-in metric: which aggregates it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `count`, `rate` (a second).
    Counter,
    /// `rate` (the share of hits).
    Rate,
    /// `p(N)`, `min`, `max`, `avg`, `med`, `count`.
    Trend,
}

impl Shape {
    /// The aggregates it has, as users write them.
    pub fn aggregates(self) -> &'static str {
        match self {
            Self::Counter => "`count` or `rate` (a second)",
            Self::Rate => "`rate` (from 0 to 1)",
            Self::Trend => "`p(N)`, `min`, `max`, `avg`, `med` or `count`",
        }
    }
}

impl Metric {
    /// Every metric with its name and shape.
    pub const ALL: [(Self, &str, Shape); 14] = [
        (Self::HttpReqs, "http_reqs", Shape::Counter),
        (Self::HttpReqDuration, "http_req_duration", Shape::Trend),
        (Self::HttpReqConnecting, "http_req_connecting", Shape::Trend),
        (
            Self::HttpReqTlsHandshaking,
            "http_req_tls_handshaking",
            Shape::Trend,
        ),
        (Self::HttpReqWaiting, "http_req_waiting", Shape::Trend),
        (Self::HttpReqReceiving, "http_req_receiving", Shape::Trend),
        (Self::HttpReqFailed, "http_req_failed", Shape::Rate),
        (Self::Iterations, "iterations", Shape::Counter),
        (Self::IterationDuration, "iteration_duration", Shape::Trend),
        (Self::IterationLag, "iteration_lag", Shape::Trend),
        (
            Self::DroppedIterations,
            "dropped_iterations",
            Shape::Counter,
        ),
        (Self::Checks, "checks", Shape::Rate),
        (Self::DataSent, "data_sent", Shape::Counter),
        (Self::DataReceived, "data_received", Shape::Counter),
    ];

    /// The kind of the metric.
    pub fn shape(self) -> Shape {
        Self::ALL
            .iter()
            .find(|(metric, ..)| *metric == self)
            .map(|(.., shape)| *shape)
            .expect("every metric is in the list of all")
    }

    fn named(name: &str) -> Option<(Self, Shape)> {
        Self::ALL
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(metric, _, shape)| (*metric, *shape))
    }
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
    /// The longer ones first, since one may begin another.
    const ALL: [(&str, Self); 6] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
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
}

/// Why a text is not a threshold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdError {
    /// Which character of the text is wrong, from 0.
    pub at: usize,
    /// What was expected there.
    pub expected: String,
}

impl Threshold {
    /// The threshold as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses a threshold.
    ///
    /// # Errors
    ///
    /// Points at the first character that cannot be right and says what was
    /// expected there.
    pub fn parse(text: &str) -> Result<Self, ThresholdError> {
        let mut rest = Rest { text, at: 0 };
        rest.skip_space();
        let start = rest.at;
        let name = rest.word();
        let Some((metric, shape)) = Metric::named(name) else {
            let hint = nearest(name, Metric::ALL.iter().map(|(_, name, _)| *name))
                .map(|near| format!(", such as `{near}`"))
                .unwrap_or_default();
            return Err(rest.expected_at(start, format!("the name of a metric{hint}")));
        };
        rest.skip_space();
        if !rest.take(":") {
            return Err(rest.expected(format!("`:` after `{name}`")));
        }
        rest.skip_space();
        let start = rest.at;
        let aggregate = match rest.word() {
            "p" if shape == Shape::Trend => rest.percentile()?,
            "med" if shape == Shape::Trend => Aggregate::Quantile(0.5),
            "min" if shape == Shape::Trend => Aggregate::Min,
            "max" if shape == Shape::Trend => Aggregate::Max,
            "avg" if shape == Shape::Trend => Aggregate::Mean,
            "count" if shape != Shape::Rate => Aggregate::Count,
            "rate" if shape != Shape::Trend => Aggregate::Rate,
            _ => {
                let expected = format!("{} of `{name}`", shape.aggregates());
                return Err(rest.expected_at(start, expected));
            }
        };
        rest.skip_space();
        let Some((_, operator)) = Operator::ALL
            .iter()
            .find(|(sign, _)| rest.take(sign))
            .copied()
        else {
            return Err(rest.expected("one of `<`, `<=`, `>`, `>=`, `==`, `!=`".to_owned()));
        };
        rest.skip_space();
        let limit = rest.number()?;
        rest.skip_space();
        if !rest.is_empty() {
            return Err(rest.expected("the end after the number".to_owned()));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            metric,
            aggregate,
            operator,
            limit,
        })
    }
}

/// The part of the text that is not parsed yet.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn left(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.left().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.left().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn while_in(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let left = self.left();
        let end = left.find(|c| !accept(c)).unwrap_or(left.len());
        self.at += end;
        &left[..end]
    }

    fn word(&mut self) -> &'a str {
        self.while_in(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn number(&mut self) -> Result<f64, ThresholdError> {
        let start = self.at;
        let digits = self.while_in(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e'));
        digits
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| self.expected_at(start, "a number".to_owned()))
    }

    fn percentile(&mut self) -> Result<Aggregate, ThresholdError> {
        let expected = "`(N)` after `p`, with N from 0 to 100";
        if !self.take("(") {
            return Err(self.expected(expected.to_owned()));
        }
        let start = self.at;
        let percent = self.number()?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(self.expected_at(start, "a number from 0 to 100".to_owned()));
        }
        if !self.take(")") {
            return Err(self.expected("`)`".to_owned()));
        }
        // Shifted as a decimal: 99.9 / 100.0 is not the number 0.999.
        let share = format!("{percent}e-2").parse();
        Ok(Aggregate::Quantile(share.unwrap_or(percent / 100.0)))
    }

    fn expected(&self, expected: String) -> ThresholdError {
        self.expected_at(self.at, expected)
    }

    fn expected_at(&self, at: usize, expected: String) -> ThresholdError {
        ThresholdError {
            at: self.text[..at].chars().count(),
            expected,
        }
    }
}

/// The candidate that is most like `word`, if one is.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
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

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at character {}", self.expected, self.at + 1)
    }
}

impl std::error::Error for ThresholdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_reads_as_it_is_written() {
        let threshold = Threshold::parse(" http_req_duration:p(99.9)<= 1.5e3 ").expect("valid");
        assert_eq!(threshold.metric, Metric::HttpReqDuration);
        let Aggregate::Quantile(quantile) = threshold.aggregate else {
            panic!("{threshold:?}");
        };
        assert!((quantile - 0.999).abs() < 1e-12);
        assert_eq!(threshold.operator, Operator::LessOrEqual);
        assert_eq!(threshold.limit, 1500.0);
        assert_eq!(threshold.to_string(), "http_req_duration:p(99.9)<= 1.5e3");
    }

    #[test]
    fn an_error_points_at_the_character() {
        let cases = [
            (
                "http_req_durations: p(95) < 1",
                0,
                "such as `http_req_duration`",
            ),
            ("http_reqs count > 1", 10, "`:`"),
            ("http_req_failed: p(95) < 1", 17, "`rate`"),
            ("http_req_duration: p95 < 1", 19, "`p(N)`"),
            ("http_req_duration: p(101) < 1", 21, "0 to 100"),
            ("http_req_duration: p(95) ~ 1", 25, "`<`"),
            ("http_req_duration: p(95) < ", 27, "a number"),
            ("http_req_duration: p(95) < 5 ms", 29, "the end"),
        ];
        for (text, at, expected) in cases {
            let error = Threshold::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.expected.contains(expected), "{text}: {error}");
        }
    }
}
