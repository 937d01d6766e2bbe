//! Reading thresholds, and saying at which character one cannot be read on.

use std::sync::Arc;
use std::time::Duration;

use super::metric::{BuiltIn, Filter, Metric, Shape, Statuses, Subject};
use super::{Aggregate, Operator, Threshold, ThresholdError};
use crate::units::parse_duration;

type Parsed<T> = Result<T, ThresholdError>;

/// The windows that can be judged.
const WINDOWS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Names that other tools have for an aggregate.
const ALIASES: [(&str, &str); 8] = [
    ("mean", "avg"),
    ("average", "avg"),
    ("median", "med"),
    ("minimum", "min"),
    ("maximum", "max"),
    ("sum", "count"),
    ("total", "count"),
    ("latest", "value"),
];

pub(super) fn all(text: &str) -> Result<Vec<Threshold>, Vec<ThresholdError>> {
    let mut rest = Rest { text, at: 0 };
    let (metric, filter) = rest.head().map_err(|error| vec![error])?;
    let head = text[..rest.at].trim_start();
    let mut conditions = Vec::new();
    let mut errors = Vec::new();
    loop {
        rest.skip_space();
        let start = rest.at;
        match rest.condition(&metric) {
            Ok(condition) => conditions.push((condition, text[start..rest.at].trim_end())),
            Err(error) => {
                errors.push(error);
                // A condition holds no comma: the next one begins after it.
                rest.while_in(|c| c != ',');
            }
        }
        if !rest.take(",") {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let single = conditions.len() == 1;
    Ok(conditions
        .into_iter()
        .map(|(condition, written)| Threshold {
            text: match single {
                true => text.trim().to_owned(),
                false => format!("{head} {written}"),
            },
            metric: metric.clone(),
            filter: filter.clone(),
            aggregate: condition.aggregate,
            window: condition.window,
            operator: condition.operator,
            limit: condition.limit,
            abort_after: condition.abort_after,
        })
        .collect())
}

/// What follows the metric.
struct Condition {
    aggregate: Aggregate,
    window: Option<Duration>,
    operator: Operator,
    limit: f64,
    abort_after: Option<Duration>,
}

/// The part of the text that is not parsed yet.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    /// The metric, its filter and the colon.
    fn head(&mut self) -> Parsed<(Metric, Filter)> {
        self.skip_space();
        let metric = self.metric()?;
        self.skip_space();
        let subject = metric.subject();
        let filter = match self.take("{") {
            true => self.filter(&metric, subject)?,
            false => Filter::default(),
        };
        self.skip_space();
        if self.take(":") {
            return Ok((metric, filter));
        }
        let after = match filter.is_empty() {
            true => "`:` after the metric, or a filter such as `{name:login}`",
            false => "`:` after the filter",
        };
        Err(self.expected(after))
    }

    fn metric(&mut self) -> Parsed<Metric> {
        let start = self.at;
        if let Some(name) = self.quoted()? {
            return Ok(Metric::Own(name));
        }
        let name = self.while_in(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
        if let Some(metric) = BuiltIn::named(name) {
            return Ok(Metric::BuiltIn(metric));
        }
        let wrong = self.expected_at(start, "the name of a metric");
        if name.is_empty() {
            return Err(wrong.hint("such as `http_req_duration: p(95) < 500`"));
        }
        if let Some((_, instead)) = BuiltIn::ABSENT.iter().find(|(absent, _)| *absent == name) {
            return Err(wrong.hint(format!("`{name}` is not measured; there is {instead}")));
        }
        // Any other name is the script's own, but hardly one that is a slip of
        // the finger away from the host's.
        let slips = if name.len() > 7 { 2 } else { 1 };
        let near = BuiltIn::names()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, _)| *distance <= slips)
            .min();
        match near {
            None => Ok(Metric::Own(name.into())),
            Some((_, near)) => Err(wrong.hint(format!(
                "did you mean `{near}`? A metric of the script's own that is named so goes in \
                 double quotes"
            ))),
        }
    }

    /// What stands in braces, and the closing one.
    fn filter(&mut self, metric: &Metric, subject: Subject) -> Parsed<Filter> {
        let mut filter = Filter::default();
        let mut seen: Vec<Arc<str>> = Vec::new();
        loop {
            self.skip_space();
            let start = self.at;
            let tag: Arc<str> = match self.quoted()? {
                Some(tag) => tag,
                None => self
                    .while_in(|c| !c.is_whitespace() && !matches!(c, ':' | ',' | '{' | '}' | '='))
                    .into(),
            };
            self.tag_fits(start, &tag, metric, subject)?;
            if seen.contains(&tag) {
                return Err(self
                    .expected_at(start, "each tag once")
                    .hint("a measurement has one value of a tag: give a threshold for each"));
            }
            self.skip_space();
            if !self.take(":") {
                let hint = format!("such as `{{{tag}:login}}`");
                return Err(self.expected("`:` and a value after the tag").hint(hint));
            }
            self.skip_space();
            let start = self.at;
            let value = self.value()?;
            self.put(&mut filter, start, &tag, value)?;
            seen.push(tag);
            self.skip_space();
            if self.take("}") {
                return Ok(filter);
            }
            if !self.take(",") {
                return Err(self.expected("`,` or `}` after the tag's value"));
            }
        }
    }

    /// Whether the metric's measurements can have a tag.
    fn tag_fits(&self, start: usize, tag: &str, metric: &Metric, subject: Subject) -> Parsed<()> {
        let tags = subject.tags();
        let listed = listed(tags.iter().copied());
        let name = match metric {
            Metric::BuiltIn(known) => {
                let row = BuiltIn::ALL.iter().find(|(metric, ..)| metric == known);
                row.map_or("", |(_, name, ..)| *name)
            }
            Metric::Own(name) => name,
        };
        if subject == Subject::Vus {
            return Err(self.expected_at(start, format!("no filter: `{name}` has no tags")));
        }
        if tag.is_empty() {
            return Err(self.expected_at(start, format!("a tag: {listed}, or one of your own")));
        }
        if Subject::OWN_TAGS.contains(&tag) && !tags.contains(&tag) {
            return Err(self.expected_at(
                start,
                format!("a tag of `{name}`: {listed}, or one of your own"),
            ));
        }
        Ok(())
    }

    /// A tag's value: in quotes, or up to the comma or the brace that ends it.
    fn value(&mut self) -> Parsed<Arc<str>> {
        if let Some(value) = self.quoted()? {
            return Ok(value);
        }
        let start = self.at;
        // Names such as `/item/{id}` are common: what is opened is closed.
        let mut open = 0;
        let left = self.left();
        let end = left.find(|c| {
            match c {
                '{' => open += 1,
                '}' if open > 0 => open -= 1,
                '}' => return true,
                ',' => return open == 0,
                _ => {}
            }
            false
        });
        let value = &left[..end.unwrap_or(left.len())];
        self.at += value.len();
        if end.is_none() {
            return Err(self.expected("`}` after the tag's value"));
        }
        match value.trim_end() {
            "" => Err(self
                .expected_at(start, "the tag's value")
                .hint("an empty one is written `\"\"`")),
            value => Ok(value.into()),
        }
    }

    fn put(
        &self,
        filter: &mut Filter,
        start: usize,
        tag: &Arc<str>,
        value: Arc<str>,
    ) -> Parsed<()> {
        match &**tag {
            "name" => filter.name = Some(value),
            "method" => filter.method = Some(value.to_ascii_uppercase().into()),
            "check" => filter.check = Some(value),
            "group" => filter.group = Some(value),
            "scenario" => filter.scenario = Some(value),
            "status" => {
                let statuses = Statuses::parse(&value);
                filter.status = Some(statuses.ok_or_else(|| {
                    self.expected_at(start, "a status such as `503`, or several such as `5xx`")
                        .hint("`0` stands for no answer")
                })?);
            }
            "expected_response" => {
                let expected = value.parse();
                filter.expected_response =
                    Some(expected.map_err(|_| self.expected_at(start, "`true` or `false`"))?);
            }
            _ => filter.tags.push((tag.clone(), value)),
        }
        Ok(())
    }

    /// A condition, up to the comma after it or the end.
    fn condition(&mut self, metric: &Metric) -> Parsed<Condition> {
        let aggregate = self.aggregate(metric)?;
        self.skip_space();
        let window = match self.take("[") {
            true => Some(self.window()?),
            false => None,
        };
        self.skip_space();
        let start = self.at;
        let operator = Operator::ALL.iter().find(|(sign, _)| self.take(sign));
        let Some((_, operator)) = operator.copied() else {
            let wrong = self.expected_at(start, "one of `<`, `<=`, `>`, `>=`, `==`, `!=`");
            return Err(match self.left().chars().next() {
                Some('=') => wrong.hint("did you mean `==`?"),
                Some('≤') => wrong.hint("did you mean `<=`?"),
                Some('≥') => wrong.hint("did you mean `>=`?"),
                _ => wrong,
            });
        };
        self.skip_space();
        let limit = self.limit(metric)?;
        self.skip_space();
        let abort_after = self.abort()?;
        self.skip_space();
        if self.is_empty() || self.left().starts_with(',') {
            return Ok(Condition {
                aggregate,
                window,
                operator,
                limit,
                abort_after,
            });
        }
        Err(match abort_after {
            Some(_) => self.expected("`after` with a time, `,` or the end after `abort`"),
            None => self.after_number(metric, limit),
        })
    }

    /// What is wrong after the number.
    fn after_number(&self, metric: &Metric, limit: f64) -> ThresholdError {
        let wrong = self.expected("`abort`, `,` or the end after the number");
        let left = self.left();
        let is_time = metric.shape() == Some(Shape::Trend);
        match parse_duration(&format!(
            "{limit}{}",
            left.split([',', ' ']).next().unwrap_or("")
        )) {
            Ok(time) if is_time => wrong.hint(format!(
                "times are in milliseconds, without a unit: `{}`",
                time.as_secs_f64() * 1e3
            )),
            _ if left.starts_with('%') => {
                wrong.hint(format!("shares are from 0 to 1: `{}`", limit / 100.0))
            }
            _ => wrong,
        }
    }

    fn aggregate(&mut self, metric: &Metric) -> Parsed<Aggregate> {
        let start = self.at;
        let word = self.while_in(|c| c.is_alphanumeric() || c == '_');
        let aggregate = match word {
            "p" => Some(Aggregate::Quantile(0.0)),
            "med" => Some(Aggregate::Quantile(0.5)),
            "min" => Some(Aggregate::Min),
            "max" => Some(Aggregate::Max),
            "avg" => Some(Aggregate::Mean),
            "count" => Some(Aggregate::Count),
            "rate" => Some(Aggregate::Rate),
            "value" => Some(Aggregate::Value),
            _ => None,
        };
        let shape = metric.shape();
        if let Some(aggregate) = aggregate.filter(|found| shape.is_none_or(|it| found.is_of(it))) {
            return match word {
                "p" => self.percentile(),
                _ => Ok(aggregate),
            };
        }
        let known = match shape {
            Some(shape) => shape.aggregates(),
            None => &["p(N)", "min", "max", "avg", "med", "count", "rate", "value"],
        };
        let of = match shape {
            Some(shape) => format!(", since the metric is {}", shape.with_article()),
            None => String::new(),
        };
        let wrong = self.expected_at(start, format!("{}{of}", listed(known.iter().copied())));
        Err(
            match near_aggregate(word).filter(|near| known.iter().any(|it| fits(near, it))) {
                Some(near) => wrong.hint(format!("did you mean `{near}`?")),
                None => wrong,
            },
        )
    }

    fn percentile(&mut self) -> Parsed<Aggregate> {
        if !self.take("(") {
            return Err(self
                .expected("`(N)` after `p`, with N from 0 to 100")
                .hint("such as `p(95)`"));
        }
        let start = self.at;
        let percent = self.number()?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(self.expected_at(start, "a number from 0 to 100"));
        }
        if !self.take(")") {
            return Err(self.expected("`)`"));
        }
        // Shifted as a decimal: 99.9 / 100.0 is not the number 0.999.
        let share = format!("{percent}e-2").parse();
        Ok(Aggregate::Quantile(share.unwrap_or(percent / 100.0)))
    }

    /// The window's time and the closing bracket.
    fn window(&mut self) -> Parsed<Duration> {
        let start = self.at;
        let written = self.while_in(|c| !matches!(c, ']' | ',' | '<' | '>' | '='));
        let window = parse_duration(written).ok();
        let Some(window) = window.filter(|window| WINDOWS.contains(window)) else {
            return Err(self.expected_at(start, "a window from `1s` to `24h`, such as `30s`"));
        };
        match self.take("]") {
            true => Ok(window),
            false => Err(self.expected("`]` after the window")),
        }
    }

    /// What the aggregate is compared with.
    fn limit(&mut self, metric: &Metric) -> Parsed<f64> {
        let start = self.at;
        let limit = self.number()?;
        // Beyond it a share always holds, or never.
        if metric.shape() == Some(Shape::Rate) && !(0.0..=1.0).contains(&limit) {
            let wrong = self.expected_at(start, "a share from 0 to 1");
            return Err(match (1.0..=100.0).contains(&limit) {
                true => wrong.hint(format!("{limit} % are `{}`", limit / 100.0)),
                false => wrong,
            });
        }
        Ok(limit)
    }

    /// `abort`, or `abort after TIME`.
    fn abort(&mut self) -> Parsed<Option<Duration>> {
        let start = self.at;
        match self.while_in(char::is_alphanumeric) {
            "abort" => {}
            _ => {
                self.at = start;
                return Ok(None);
            }
        }
        self.skip_space();
        if !self.take("after") {
            return Ok(Some(Duration::ZERO));
        }
        self.skip_space();
        let start = self.at;
        let time = parse_duration(self.while_in(|c| c.is_alphanumeric() || c == '.'));
        time.map(Some)
            .map_err(|_| self.expected_at(start, "a time since the run's start, such as `10s`"))
    }

    fn number(&mut self) -> Parsed<f64> {
        let start = self.at;
        let digits = self.while_in(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e'));
        digits
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| self.expected_at(start, "a number"))
    }

    /// A text in double quotes, if one begins here. A backslash takes the
    /// character after it as it is.
    fn quoted(&mut self) -> Parsed<Option<Arc<str>>> {
        if !self.take("\"") {
            return Ok(None);
        }
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.left().char_indices() {
            match c {
                _ if escaped => {
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at += at + 1;
                    return Ok(Some(text.into()));
                }
                c => text.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.expected("the closing `\"`"))
    }

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

    fn expected(&self, expected: impl Into<String>) -> ThresholdError {
        self.expected_at(self.at, expected)
    }

    fn expected_at(&self, at: usize, expected: impl Into<String>) -> ThresholdError {
        ThresholdError {
            at: self.text[..at].chars().count(),
            expected: expected.into(),
            hint: None,
        }
    }
}

impl ThresholdError {
    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Names in backticks, with `or` before the last.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let mut list = String::new();
    for (at, name) in names.enumerate() {
        list += match at {
            0 => "",
            _ if at + 1 == count => " or ",
            _ => ", ",
        };
        list += &format!("`{name}`");
    }
    list
}

/// What a word that is no aggregate was meant to be.
fn near_aggregate(word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    if let Some(percent) = word.strip_prefix('p')
        && let Ok(number) = percent.parse::<f64>()
    {
        // In other tools p999 is the 99.9th percentile.
        return Some(match percent.len() {
            3.. if number > 100.0 => format!("p({}.{})", &percent[..2], &percent[2..]),
            _ => format!("p({percent})"),
        });
    }
    if let Some((_, ours)) = ALIASES.iter().find(|(theirs, _)| *theirs == word) {
        return Some((*ours).to_owned());
    }
    if "percentile".starts_with(&word) && word.len() > 2 {
        return Some("p(95)".to_owned());
    }
    ["min", "max", "avg", "med", "count", "rate", "value"]
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, _)| *distance <= 1)
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Whether an aggregate is one of a list, where `p(N)` stands for all of them.
fn fits(aggregate: &str, listed: &str) -> bool {
    aggregate == listed || aggregate.starts_with("p(") && listed == "p(N)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_reads_as_it_is_written() {
        let threshold = Threshold::parse(" http_req_duration:p(99.9)<= 1.5e3 ").expect("valid");
        assert_eq!(threshold.metric, Metric::BuiltIn(BuiltIn::HttpReqDuration));
        assert_eq!(threshold.aggregate, Aggregate::Quantile(0.999));
        assert_eq!(threshold.operator, Operator::LessOrEqual);
        assert_eq!(threshold.limit, 1500.0);
        assert_eq!((threshold.window, threshold.abort_after), (None, None));
        assert!(threshold.filter.is_empty());
        assert_eq!(threshold.to_string(), "http_req_duration:p(99.9)<= 1.5e3");
    }

    #[test]
    fn filter_window_and_abort_read_as_they_are_written() {
        let text = r#"http_req_duration{ name:/item/{id}, method:get, status:5xx, team: a b ,"x y":"1,2}"}: p(95)[1m30s] < 500 abort after 10s"#;
        let threshold = Threshold::parse(text).expect("valid");
        let filter = &threshold.filter;
        assert_eq!(filter.name.as_deref(), Some("/item/{id}"));
        assert_eq!(filter.method.as_deref(), Some("GET"));
        assert_eq!(
            filter.status.map(|it| (it.first, it.last)),
            Some((500, 599))
        );
        let tag = |name: &str, value: &str| (name.into(), value.into());
        assert_eq!(filter.tags, [tag("team", "a b"), tag("x y", "1,2}")]);
        assert_eq!(threshold.window, Some(Duration::from_secs(90)));
        assert_eq!(threshold.abort_after, Some(Duration::from_secs(10)));
    }

    #[test]
    fn several_conditions_share_a_metric_and_read_alone() {
        let all = Threshold::parse_all(
            "http_req_duration{name:login}: p(95) < 500, p(99)[30s] < 900 abort,max<5000",
        )
        .expect("valid");
        let texts: Vec<_> = all.iter().map(Threshold::text).collect();
        assert_eq!(
            texts,
            [
                "http_req_duration{name:login}: p(95) < 500",
                "http_req_duration{name:login}: p(99)[30s] < 900 abort",
                "http_req_duration{name:login}: max<5000",
            ]
        );
        for threshold in &all {
            assert_eq!(Threshold::parse(threshold.text()).as_ref(), Ok(threshold));
        }
        assert_eq!(all[0].abort_after, None);
        assert_eq!(all[1].abort_after, Some(Duration::ZERO));
    }

    #[test]
    fn any_other_name_is_the_scripts_own() {
        for (text, name) in [
            ("basket-value: avg > 5", "basket-value"),
            ("\"http_req_durations\": p(95) < 5", "http_req_durations"),
            (r#""a \"b\": c": count > 5"#, "a \"b\": c"),
            ("checkout_time: med < 5", "checkout_time"),
        ] {
            let threshold = Threshold::parse(text).expect(text);
            assert_eq!(threshold.metric, Metric::Own(name.into()), "{text}");
        }
    }

    #[test]
    fn an_error_points_at_the_character_and_knows_a_way_out() {
        let cases = [
            (
                "http_req_durations: p(95) < 1",
                0,
                "a metric",
                "`http_req_duration`",
            ),
            (
                "http_req_sending: p(95) < 1",
                0,
                "a metric",
                "`http_req_waiting`",
            ),
            (": p(95) < 1", 0, "a metric", "such as"),
            ("http_reqs count > 1", 10, "`:`", ""),
            ("http_req_failed: p(95) < 1", 17, "`rate`", ""),
            ("http_req_duration: p95 < 1", 19, "`p(N)`", "`p(95)`"),
            ("http_req_duration: p999 < 1", 19, "`p(N)`", "`p(99.9)`"),
            ("http_req_duration: mean < 1", 19, "`avg`", "`avg`"),
            ("http_req_duration: p < 1", 20, "`(N)`", "`p(95)`"),
            ("http_req_duration: p(101) < 1", 21, "0 to 100", ""),
            ("http_req_duration: p(95) ~ 1", 25, "`<`", ""),
            ("http_req_duration: p(95) = 1", 25, "`<`", "`==`"),
            ("http_req_duration: p(95) < ", 27, "a number", ""),
            ("http_req_duration: p(95) < 1.5 s", 31, "the end", ""),
            ("http_req_duration: p(95) < 1.5s", 30, "the end", "`1500`"),
            ("http_req_failed: rate < 1%", 25, "the end", "`0.01`"),
            ("http_req_failed: rate < 5", 24, "0 to 1", "`0.05`"),
            ("http_req_duration: p(95)[30] < 5", 25, "a window", ""),
            ("http_req_duration: p(95)[10ms] < 5", 25, "`1s`", ""),
            ("http_req_duration: p(95)[30s < 5", 29, "`]`", ""),
            ("http_reqs: rate > 5 abort after 10", 32, "a time", ""),
            ("http_reqs: rate > 5 abort 10s", 26, "`after`", ""),
            ("http_reqs{name=login}: rate > 5", 14, "`:`", "{name:login}"),
            ("http_reqs{name:}: rate > 5", 15, "value", "\"\""),
            ("http_reqs{name:login: rate > 5", 30, "`}`", ""),
            ("http_reqs{name:a,name:b}: rate > 5", 17, "once", "each"),
            ("http_reqs{status:ok}: rate > 5", 17, "`5xx`", ""),
            ("iterations{name:login}: rate > 5", 11, "`scenario`", ""),
            ("vus{scenario:a}: value > 5", 4, "no filter", ""),
            ("ünïcode{ü:ä,}: rate > 5", 12, "a tag", ""),
            ("\"open: rate > 5", 15, "closing", ""),
        ];
        for (text, at, expected, hint) in cases {
            let error = Threshold::parse(text).expect_err(text);
            assert!(error.expected.contains(expected), "{text}: {error:?}");
            assert_eq!(error.at, at, "{text}: {error}");
            let found = error.hint.unwrap_or_default();
            assert!(found.contains(hint), "{text}: {found}");
        }
    }

    #[test]
    fn every_wrong_condition_is_told() {
        let errors = Threshold::parse_all("http_req_duration: p95 < 1, max < 2, avg < x")
            .expect_err("two are wrong");
        let places: Vec<_> = errors.iter().map(|error| error.at).collect();
        assert_eq!(places, [19, 43]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_typed_panics(text in "[a-z_{}:,\"\\[\\]()<>=0-9 .äé%\\\\-]{0,40}") {
            let _ = Threshold::parse_all(&text);
            let _ = Threshold::parse_all(&format!("http_req_duration{{{text}"));
            let _ = Threshold::parse_all(&format!("http_reqs: {text}"));
        }
    }
}
