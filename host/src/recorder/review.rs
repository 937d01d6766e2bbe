//! A recorder's log entries seen with the eyes of a log pipeline: what it would
//! drop, cut or misread.
//!
//! | rule | why |
//! |---|---|
//! | each entry is one JSON object, of at most 1 MiB | the host drops any other |
//! | a key has one type, in all entries | a store takes the type of the first value and refuses or bends the others |
//! | a number is finite | JSON has no other; `"NaN"` is a text |
//! | an entry has a point in time | a pipeline would put the time of arrival |
//! | at most 8 KiB | Splunk cuts a line at 10,000 bytes, Docker splits it at 16 KiB |

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;

use serde_json::Value;

use super::entry;
use super::replay::{Place, Replay};
use crate::units::Bytes;

/// How long an entry may get, in bytes.
const LONGEST: usize = 8 << 10;

/// The keys under which a point in time is looked for.
const TIMES: [&str; 7] = [
    "timestamp",
    "@timestamp",
    "time",
    "time_ms",
    "ts",
    "date",
    "datetime",
];

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Entries would be lost.
    Error,
    /// Entries would arrive, not quite as they are meant.
    Warning,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Alive,
    Object,
    OneType,
    Finite,
    OneKindOfNumber,
    Size,
    Time,
    Anything,
}

impl Rule {
    fn severity(self) -> Severity {
        match self {
            Self::Alive | Self::Object | Self::OneType => Severity::Error,
            Self::Finite | Self::OneKindOfNumber | Self::Size | Self::Time | Self::Anything => {
                Severity::Warning
            }
        }
    }
}

/// Something that is wrong with what a recorder returned.
#[derive(Debug, Clone)]
pub struct Finding {
    rule: Rule,
    /// The run, and the call in it.
    place: Option<(String, Place)>,
    key: Option<String>,
    what: String,
    /// How often the same was found in the run after this.
    more: u64,
}

impl Finding {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.rule.severity()
    }

    fn is_like(&self, other: &Self) -> bool {
        let run = |finding: &Self| finding.place.as_ref().map(|(run, _)| run.clone());
        (self.rule, &self.key, run(self)) == (other.rule, &other.key, run(other))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((run, place)) = &self.place {
            write!(f, "{run}, {place}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}` ")?;
        }
        f.write_str(&self.what)?;
        match self.more {
            0 => Ok(()),
            1 => write!(f, " (and once more)"),
            more => write!(f, " (and {more} times more)"),
        }
    }
}

/// The JSON types, and whole numbers told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Boolean,
    Whole,
    Fraction,
    Text,
    Array,
    Object,
}

impl Type {
    /// The type of a value; `null` stands for an absent one.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Boolean),
            Value::Number(number) if number.is_f64() => Some(Self::Fraction),
            Value::Number(_) => Some(Self::Whole),
            Value::String(_) => Some(Self::Text),
            Value::Array(_) => Some(Self::Array),
            Value::Object(_) => Some(Self::Object),
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Fraction)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Whole => "a whole number",
            Self::Fraction => "a number with a fraction",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// The entries of a recorder over all runs, as they come.
#[derive(Debug, Default)]
pub struct Review {
    findings: Vec<Finding>,
    /// Each key's type, and where it was first seen.
    types: BTreeMap<String, (Type, String)>,
    entries: u64,
}

impl Review {
    /// Looks at all that a recorder made of the run of this name. Hands each
    /// entry that is valid to `line`, as the line that a run would write.
    pub fn take(&mut self, run: &str, replay: &Replay, mut line: impl FnMut(&str)) {
        for returned in &replay.entries {
            self.entries += 1;
            let at = (run, &returned.place);
            match entry::check(&returned.text) {
                Ok(text) => {
                    line(&text);
                    self.valid(at, &text);
                }
                Err(reason) => {
                    let start: String = returned.text.chars().take(60).collect();
                    let what = format!("an entry would be dropped: {reason}, in `{start}`");
                    self.find(Rule::Object, at, None, what);
                }
            }
        }
        if let Some((place, error)) = &replay.failure {
            self.find(Rule::Alive, (run, place), None, error.to_string());
        }
    }

    /// Takes over the places of what was found with fewer events to a call.
    pub fn sharpen(&mut self, other: &Self) {
        for finding in &mut self.findings {
            if let Some(sharper) = other.findings.iter().find(|sharp| sharp.is_like(finding)) {
                finding.place.clone_from(&sharper.place);
                finding.what.clone_from(&sharper.what);
            }
        }
    }

    /// Whether nothing was found so far.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// All that was found, the errors first.
    pub fn findings(mut self) -> Vec<Finding> {
        if self.entries == 0 && self.findings.is_empty() {
            self.findings.push(Finding {
                rule: Rule::Anything,
                place: None,
                key: None,
                what: "no run gave a log entry".to_owned(),
                more: 0,
            });
        }
        self.findings.sort_by_key(Finding::severity);
        self.findings
    }

    fn valid(&mut self, at: (&str, &Place), text: &str) {
        if text.len() > LONGEST {
            let what = format!(
                "an entry of {} is longer than {}: log pipelines cut or split it",
                Bytes(text.len() as u64),
                Bytes(LONGEST as u64)
            );
            self.find(Rule::Size, at, None, what);
        }
        match serde_json::from_str(text) {
            Ok(value) => {
                self.time(at, &value);
                self.value(at, "", &value);
            }
            // Valid for the host, which does not look at numbers.
            Err(error) => {
                let what = format!("an entry holds what most readers refuse: {error}");
                self.find(Rule::Finite, at, None, what);
            }
        }
    }

    fn time(&mut self, at: (&str, &Place), entry: &Value) {
        let found = TIMES
            .iter()
            .find_map(|key| Some((*key, entry.get(*key).filter(|value| !value.is_null())?)));
        let Some((key, value)) = found else {
            let what =
                "an entry has no point in time: log pipelines look for a key such as `timestamp`"
                    .to_owned();
            return self.find(Rule::Time, at, None, what);
        };
        let is_time = match value {
            Value::String(text) => text.parse::<jiff::Timestamp>().is_ok(),
            // Seconds since 1970 at the least.
            Value::Number(number) => number.as_f64().is_some_and(|number| number >= 1e9),
            _ => false,
        };
        if !is_time {
            let what = format!(
                "is no point in time: {value}; write RFC 3339, or a number of seconds or \
                 milliseconds since 1970"
            );
            self.find(Rule::Time, at, Some(key), what);
        }
    }

    fn value(&mut self, at: (&str, &Place), key: &str, value: &Value) {
        if !key.is_empty() {
            self.types(at, key, value);
        }
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let key = match key {
                        "" => name.clone(),
                        key => format!("{key}.{name}"),
                    };
                    self.value(at, &key, value);
                }
            }
            Value::Array(elements) => {
                let key = format!("{key}[]");
                for value in elements {
                    self.value(at, &key, value);
                }
            }
            Value::String(text) if is_no_number(text) => {
                let what =
                    format!("is the text `{text}`: leave the key out where there is no number");
                self.find(Rule::Finite, at, Some(key), what);
            }
            _ => {}
        }
    }

    fn types(&mut self, at: (&str, &Place), key: &str, value: &Value) {
        let Some(found) = Type::of(value) else {
            return;
        };
        let here = || format!("{}, {}", at.0, at.1);
        let (known, first) = match self.types.entry(key.to_owned()) {
            Slot::Vacant(slot) => {
                slot.insert((found, here()));
                return;
            }
            Slot::Occupied(slot) => slot.get().clone(),
        };
        if known == found {
            return;
        }
        let (rule, hint) = if known.is_number() && found.is_number() {
            let hint = "; a store that goes by the first one rounds the others: write `3.0`";
            (Rule::OneKindOfNumber, hint)
        } else {
            (Rule::OneType, "")
        };
        let what = format!("is {found} here and {known} in {first}{hint}");
        self.find(rule, at, Some(key), what);
    }

    fn find(&mut self, rule: Rule, (run, place): (&str, &Place), key: Option<&str>, what: String) {
        let finding = Finding {
            rule,
            place: Some((run.to_owned(), place.clone())),
            key: key.map(str::to_owned),
            what,
            more: 0,
        };
        match self
            .findings
            .iter_mut()
            .find(|known| known.is_like(&finding))
        {
            Some(known) => known.more += 1,
            None => self.findings.push(finding),
        }
    }
}

/// Whether a text is what languages print for a number that is none.
fn is_no_number(text: &str) -> bool {
    let bare = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    matches!(&*bare, "nan" | "inf" | "infinity")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::RecorderError;
    use super::super::replay::Returned;
    use super::*;

    fn place(line: usize) -> Place {
        Place::Events {
            first: line,
            last: line,
            kinds: "stats".to_owned(),
        }
    }

    /// A run in which each event gave one entry.
    fn played(entries: &[&str]) -> Replay {
        let returned = |(index, text): (usize, &&str)| Returned {
            place: place(index + 2),
            text: (*text).to_owned(),
        };
        Replay {
            entries: entries.iter().enumerate().map(returned).collect(),
            events: 0,
            calls: 0,
            startup: Duration::ZERO,
            busy: Duration::ZERO,
            failure: None,
        }
    }

    fn findings(entries: &[&str]) -> Vec<String> {
        let mut review = Review::default();
        review.take("normal", &played(entries), |_| {});
        texts(review)
    }

    fn texts(review: Review) -> Vec<String> {
        let text = |finding: &Finding| format!("{:?}: {finding}", finding.severity());
        review.findings().iter().map(text).collect()
    }

    #[test]
    fn good_entries_pass_and_become_lines() {
        let entries = [
            r#"{"timestamp":"2026-01-02T03:04:05.678Z","a":{"b":[1.5,2.0]},"c":null}"#,
            "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\n\"a\":{\"b\":[]},\"c\":\"x\"}",
        ];
        let mut review = Review::default();
        let mut lines = Vec::new();
        review.take("normal", &played(&entries), |line| {
            lines.push(line.to_owned())
        });
        assert_eq!(
            lines,
            [entries[0].to_owned(), entries[1].replace('\n', " ")]
        );
        assert!(review.is_clean());
        assert_eq!(texts(review), [""; 0]);
    }

    #[test]
    fn numbers_since_1970_are_points_in_time_too() {
        assert_eq!(findings(&[r#"{"time_ms":1700000000000.5}"#]), [""; 0]);
        assert_eq!(findings(&[r#"{"ts":1700000000}"#]), [""; 0]);
        let found = findings(&[r#"{"time":12}"#, r#"{"@timestamp":"noon"}"#, "{}", "{}"]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0]
                .starts_with("Warning: normal, line 2 (stats): `time` is no point in time: 12;")
        );
        assert!(found[2].ends_with("(and once more)"), "{found:?}");
    }

    #[test]
    fn everything_is_found_at_once_with_run_event_and_key() {
        let long = format!(
            r#"{{"ts":1e9,"a":{{"b":true}},"text":"{}"}}"#,
            "x".repeat(9000)
        );
        let entries = [
            r#"{"ts":1e9,"a":{"b":"x"},"n":1}"#,
            r#"{"ts":1e9,"a":NaN}"#,
            "[1]",
            &long,
            r#"{"ts":1e9,"n":1.5}"#,
            r#"{"ts":1e9,"n":"-Infinity"}"#,
        ];
        let found = findings(&entries);
        let starts = [
            "Error: normal, line 3 (stats): an entry would be dropped: ",
            "Error: normal, line 5 (stats): `a.b` is a boolean here and a text in normal, line 2 (stats)",
            "Error: normal, line 7 (stats): `n` is a text here and a whole number in normal, line 2",
            "Warning: normal, line 5 (stats): an entry of 8.8 KiB is longer than 8.0 KiB",
            "Warning: normal, line 6 (stats): `n` is a number with a fraction here and a whole number",
            "Warning: normal, line 7 (stats): `n` is the text `-Infinity`",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (text, start) in found.iter().zip(starts) {
            assert!(text.starts_with(start), "{text}");
        }
        assert!(found[0].ends_with("(and once more)"), "{found:#?}");
    }

    #[test]
    fn keys_keep_their_type_over_all_runs() {
        let mut review = Review::default();
        review.take("normal", &played(&[r#"{"ts":1e9,"a":1}"#]), |_| {});
        review.take("empty", &played(&[r#"{"ts":1e9,"a":""}"#]), |_| {});
        assert_eq!(
            texts(review),
            [
                "Error: empty, line 2 (stats): `a` is a text here and a whole number in normal, line 2 (stats)"
            ]
        );
    }

    #[test]
    fn a_number_too_large_for_most_readers_is_told() {
        let found = findings(&[r#"{"ts":1e9,"a":1e999}"#]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("number out of range"), "{found:?}");
    }

    #[test]
    fn a_failure_is_an_error_and_silence_a_warning() {
        let mut replay = played(&[]);
        assert_eq!(findings(&[]), ["Warning: no run gave a log entry"]);
        replay.failure = Some((Place::Finish, RecorderError::Trapped("oh".to_owned())));
        let mut review = Review::default();
        review.take("normal", &replay, |_| {});
        assert_eq!(texts(review), ["Error: normal, `finish`: it stopped: oh"]);
    }

    #[test]
    fn fewer_events_to_a_call_make_the_place_exact() {
        let mut batched = played(&["{}", "[1]"]);
        for entry in &mut batched.entries {
            entry.place = Place::Finish;
        }
        let mut review = Review::default();
        review.take("normal", &batched, |_| {});
        let mut exact = Review::default();
        exact.take("normal", &played(&["[1]"]), |_| {});
        review.sharpen(&exact);
        let found = texts(review);
        assert!(
            found[0].starts_with("Error: normal, line 2 (stats): "),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("Warning: normal, `finish`: "),
            "{found:?}"
        );
    }
}
