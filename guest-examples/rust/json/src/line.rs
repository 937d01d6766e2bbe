//! A log entry as text, written in one go: JSON without a tree in between.
//!
//! What is written this way keeps the promises that hold for all lines: what is
//! not known (an optional text, a number that is not finite, an object without
//! members) is left out, a number that counts has no fraction and one that
//! measures always has one, and no string takes more than the line's limit.

use std::fmt;

use crate::digits;
use crate::time::Clock;

/// Stands at the end of a text that was cut.
const ELLIPSIS: char = '…';

/// A line under way, behind those that are finished.
#[derive(Debug, Default)]
pub struct Line {
    text: String,
    /// Where it begins.
    start: usize,
    /// How many bytes a string may take.
    limit: usize,
    truncated: bool,
    clock: Clock,
}

impl Line {
    /// An empty line whose strings take at most `limit` bytes each.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Begins afresh, behind those that are finished.
    pub fn clear(&mut self, limit: usize) {
        self.text.truncate(self.start);
        self.limit = limit;
        self.truncated = false;
    }

    /// Ends the line: the next one begins behind it.
    pub fn finish(&mut self) {
        self.text.push('\n');
        self.start = self.text.len();
    }

    /// How many bytes the finished lines have.
    pub fn finished(&self) -> usize {
        self.start
    }

    /// Takes the finished lines, with room for as many that follow. Forgets the
    /// one under way.
    pub fn take(&mut self) -> String {
        self.text.truncate(self.start);
        self.start = 0;
        let room = String::with_capacity(self.text.capacity());
        std::mem::replace(&mut self.text, room)
    }

    pub fn text(&self) -> &str {
        &self.text[self.start..]
    }

    /// Whether a string was cut.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Appends what is JSON already. Inlined, so that a text that is known when
    /// this is compiled is not copied by a call.
    #[inline(always)]
    pub fn raw(&mut self, json: &str) {
        self.text.push_str(json);
    }

    /// The same of what is short, and not known when this is compiled.
    pub fn short(&mut self, json: &str) {
        append(&mut self.text, json);
    }

    pub fn count(&mut self, value: u64) {
        digits::count(value, &mut self.text);
    }

    /// A string.
    pub fn text_value(&mut self, value: &str) {
        self.string(|text| text.push(value));
    }

    /// The same of what is known.
    pub fn known(&mut self, value: Known<'_>) {
        self.string(|text| text.known(value));
    }

    /// A string whose quotation marks are written by others.
    #[inline(always)]
    pub fn inside(&mut self, value: Known<'_>) {
        if value.is_plain && value.text.len() + ELLIPSIS.len_utf8() <= self.limit {
            append(&mut self.text, value.text);
        } else {
            self.unquoted(|text| text.known(value));
        }
    }

    /// A string that `write` writes.
    pub fn string(&mut self, write: impl FnOnce(&mut Text<'_>)) {
        self.text.push('"');
        self.unquoted(write);
        self.text.push('"');
    }

    /// A string that `write` writes, and whose quotation marks are written by
    /// others.
    #[inline(always)]
    pub fn unquoted(&mut self, write: impl FnOnce(&mut Text<'_>)) {
        let start = self.text.len();
        let mut text = Text {
            start,
            safe: start,
            full: false,
            line: self,
        };
        write(&mut text);
    }

    /// A URL without what may be secret: user, password, query and fragment.
    pub fn url(&mut self, url: Known<'_>) {
        if url.is_public {
            return self.known(url);
        }
        let url = url.text;
        let index = |of: &str, wanted: fn(u8) -> bool| of.bytes().position(wanted);
        let end = index(url, |byte| byte == b'?' || byte == b'#').unwrap_or(url.len());
        let (shown, hidden) = url.split_at(end);
        let (scheme, rest) = match index(shown, |byte| byte == b':') {
            Some(at) if shown[at..].starts_with("://") => shown.split_at(at + 3),
            // No scheme has a colon, but then this is no URL.
            Some(_) => shown
                .find("://")
                .map_or(("", shown), |at| shown.split_at(at + 3)),
            None => ("", shown),
        };
        let host = index(rest, |byte| byte == b'/').unwrap_or(rest.len());
        let secret = rest[..host].bytes().rposition(|byte| byte == b'@');
        self.string(|text| {
            text.push(scheme);
            match secret {
                Some(at) => {
                    text.plain("REDACTED");
                    text.push(&rest[at..]);
                }
                None => text.push(rest),
            }
            if hidden.starts_with('?') {
                text.plain("?REDACTED");
            }
        });
    }

    /// A point in time, given in milliseconds since 1970.
    pub fn time(&mut self, unix_ms: f64) {
        self.text.push('"');
        self.unquoted_time(unix_ms);
        self.text.push('"');
    }

    /// The same without its quotation marks.
    pub fn unquoted_time(&mut self, unix_ms: f64) {
        self.clock.write(unix_ms, &mut self.text);
    }

    /// An object whose members `write` writes.
    pub fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        self.text.push('{');
        write(&mut Object { line: self });
        self.text.push('}');
    }

    /// The members of an object that is open already.
    pub fn members(&mut self) -> Object<'_> {
        Object { line: self }
    }

    /// A number that measures, to the thousandth. Must be finite.
    pub fn measure(&mut self, value: f64) {
        const WHOLE: u64 = 1_000;
        let thousandths = rounded((value * 1e3).abs());
        if thousandths >= 9e15 {
            return self.exact(value);
        }
        let thousandths = thousandths as u64;
        if value < 0.0 && thousandths > 0 {
            self.text.push('-');
        }
        self.count(thousandths / WHOLE);
        digits::fraction((thousandths % WHOLE) as usize, &mut self.text);
    }

    /// A number that measures, with all its digits. Must be finite.
    pub fn exact(&mut self, value: f64) {
        let text = serde_json::to_string(&value).expect("a number is JSON");
        self.text.push_str(&text);
    }
}

/// A number that is not negative, to the nearest whole one: as `f64::round`,
/// which is a function where this is a few instructions.
#[inline(always)]
fn rounded(value: f64) -> f64 {
    let whole = value.trunc();
    if value - whole >= 0.5 {
        whole + 1.0
    } else {
        whole
    }
}

/// Whether a text stands for itself in a string of JSON: it has no quotation
/// mark, no backslash and nothing that is to be escaped.
fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks();
    let is_plain_word = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        less(word, b' ') | has(word, b'"') | has(word, b'\\') == 0
    };
    words.iter().all(is_plain_word)
        && rest
            .iter()
            .all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\')
}

/// Whether a URL has nothing that may be secret.
fn is_public(url: &str) -> bool {
    let (words, rest) = url.as_bytes().as_chunks();
    let is_public_word = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        has(word, b'?') | has(word, b'#') | has(word, b'@') == 0
    };
    words.iter().all(is_public_word) && !rest.iter().any(|byte| b"?#@".contains(byte))
}

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Not 0 if one of eight bytes is less than this one, which is not above 128.
/// Subtracting sets the highest bit of a byte that is less, and those that had
/// it set before are none of these.
#[inline(always)]
fn less(word: u64, than: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(than)) & !word & (ONES << 7)
}

/// Not 0 if one of eight bytes is this one.
#[inline(always)]
fn has(word: u64, byte: u8) -> u64 {
    less(word ^ (ONES * u64::from(byte)), 1)
}

/// Appends a text. A copy of a length that is not known when this is compiled is
/// a call into the host, which is dearer than a few steps for a short one.
fn append(to: &mut String, text: &str) {
    const LONG: usize = 64;
    let mut rest = text;
    if rest.len() < LONG {
        while let Some((step, after)) = rest.split_at_checked(16) {
            to.push_str(step);
            rest = after;
        }
        if let Some((step, after)) = rest.split_at_checked(8) {
            to.push_str(step);
            rest = after;
        }
        if let Some((step, after)) = rest.split_at_checked(4) {
            to.push_str(step);
            rest = after;
        }
        if let Some((step, after)) = rest.split_at_checked(2) {
            to.push_str(step);
            rest = after;
        }
        if let Some((step, after)) = rest.split_at_checked(1) {
            to.push_str(step);
            rest = after;
        }
    }
    if !rest.is_empty() {
        to.push_str(rest);
    }
}

/// A text of which is known how it stands in a string of JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    text: &'a str,
    /// Whether it stands for itself.
    is_plain: bool,
    /// Whether, if it is a URL, it has nothing that may be secret.
    is_public: bool,
}

impl<'a> Known<'a> {
    /// One that stands for itself.
    pub const fn plain(text: &'a str) -> Self {
        Self {
            text,
            is_plain: true,
            is_public: false,
        }
    }

    pub fn text(self) -> &'a str {
        self.text
    }
}

impl<'a> From<&'a str> for Known<'a> {
    fn from(text: &'a str) -> Self {
        Self {
            is_plain: is_plain(text),
            is_public: is_public(text),
            text,
        }
    }
}

/// A string under way. It takes what it is given up to the line's limit, counted
/// as it is written, and ends in an ellipsis if there was more.
pub struct Text<'a> {
    line: &'a mut Line,
    start: usize,
    /// Where to cut, should there be more than fits.
    safe: usize,
    full: bool,
}

impl Text<'_> {
    pub fn push(&mut self, text: &str) {
        if self.fits(text.len()) && is_plain(text) {
            append(&mut self.line.text, text);
            self.safe = self.line.text.len();
        } else {
            self.push_carefully(text);
        }
    }

    pub fn known(&mut self, known: Known<'_>) {
        if known.is_plain && self.fits(known.text.len()) {
            append(&mut self.line.text, known.text);
            self.safe = self.line.text.len();
        } else {
            self.push_carefully(known.text);
        }
    }

    /// As `push`, of what is known to stand for itself when this is compiled.
    #[inline(always)]
    pub fn plain(&mut self, text: &str) {
        if self.fits(text.len()) {
            self.line.text.push_str(text);
            self.safe = self.line.text.len();
        } else {
            self.push_carefully(text);
        }
    }

    /// Whether so many bytes that stand for themselves can be written, with room
    /// for an ellipsis behind them.
    #[inline(always)]
    fn fits(&self, bytes: usize) -> bool {
        let end = self.line.text.len() + bytes + ELLIPSIS.len_utf8();
        !self.full && end <= self.start + self.line.limit
    }

    #[cold]
    fn push_carefully(&mut self, text: &str) {
        if self.full {
            return;
        }
        let before_ellipsis = self.start + self.line.limit - ELLIPSIS.len_utf8();
        for character in text.chars() {
            if self.line.text.len() <= before_ellipsis {
                self.safe = self.line.text.len();
            }
            self.push_escaped(character);
            if self.line.text.len() - self.start > self.line.limit {
                self.line.text.truncate(self.safe);
                self.line.text.push(ELLIPSIS);
                self.line.truncated = true;
                self.full = true;
                return;
            }
        }
        if self.line.text.len() <= before_ellipsis {
            self.safe = self.line.text.len();
        }
    }

    pub fn count(&mut self, value: u64) {
        if self.fits(digits::LONGEST) {
            self.line.count(value);
            self.safe = self.line.text.len();
        } else {
            let mut text = String::new();
            digits::count(value, &mut text);
            self.push_carefully(&text);
        }
    }

    /// A time in milliseconds, as a person reads it.
    pub fn ms(&mut self, value: f64) {
        if value.is_finite() && value.abs() < 1e12 {
            let tenths = match value {
                0.0.. => rounded(value * 10.0) as u64,
                _ => 0,
            };
            self.count(tenths / 10);
            let tenths = (tenths % 10) as usize;
            self.plain(&".0 ms.1 ms.2 ms.3 ms.4 ms.5 ms.6 ms.7 ms.8 ms.9 ms"[5 * tenths..][..5]);
        } else {
            self.plain("? ms");
        }
    }

    /// A number as a person reads it.
    pub fn number(&mut self, value: f64) {
        // A string takes all that it is given.
        let _ = fmt::Write::write_fmt(self, format_args!("{value}"));
    }

    fn push_escaped(&mut self, character: char) {
        let text = &mut self.line.text;
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let code = character as u8;
                text.push_str(if code < 16 { "\\u000" } else { "\\u001" });
                text.push(char::from(b"0123456789abcdef"[usize::from(code % 16)]));
            }
            _ => text.push(character),
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// An object under way.
pub struct Object<'a> {
    line: &'a mut Line,
}

impl Object<'_> {
    /// The line that the object is in.
    pub fn line(&mut self) -> &mut Line {
        self.line
    }

    fn key(&mut self, key: &str) {
        let text = &mut self.line.text;
        if !text.ends_with('{') {
            text.push(',');
        }
        text.push('"');
        text.push_str(key);
        text.push_str("\":");
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.line.string(|text| text.push(value));
    }

    /// A text of `limit` bytes at most.
    pub fn short_text(&mut self, key: &str, value: &str, limit: usize) {
        self.limited(limit, |line| {
            Object { line }.text(key, value);
        });
    }

    /// Texts with a name and a value each, of `limit` bytes at most:
    /// `["name=value"]`.
    pub fn pairs(&mut self, key: &str, pairs: &[(String, String)], limit: usize) {
        if pairs.is_empty() {
            return;
        }
        self.key(key);
        self.line.text.push('[');
        for (number, (name, value)) in pairs.iter().enumerate() {
            if number > 0 {
                self.line.text.push(',');
            }
            self.limited(limit, |line| {
                line.string(|text| {
                    text.push(name);
                    text.push("=");
                    text.push(value);
                });
            });
        }
        self.line.text.push(']');
    }

    /// Texts, as many as take no more than `room` bytes.
    pub fn texts(&mut self, key: &str, texts: &[String], room: usize) {
        self.key(key);
        let start = self.line.text.len();
        self.line.text.push('[');
        for (number, text) in texts.iter().enumerate() {
            let end = self.line.text.len();
            if number > 0 {
                self.line.text.push(',');
            }
            self.line.string(|line| line.push(text));
            if number > 0 && self.line.text.len() - start > room {
                self.line.text.truncate(end);
                self.line.truncated = true;
                break;
            }
        }
        self.line.text.push(']');
    }

    /// A text that is left out if there is none, or if it is empty.
    pub fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.text(key, value);
        }
    }

    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.line
            .text
            .push_str(if value { "true" } else { "false" });
    }

    pub fn count(&mut self, key: &str, value: u64) {
        self.key(key);
        self.line.count(value);
    }

    /// A number that measures, to the thousandth: microseconds, where the unit
    /// is milliseconds.
    pub fn measure(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.key(key);
            self.line.measure(value);
        }
    }

    /// The same, if it is known.
    pub fn known(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.measure(key, value);
        }
    }

    /// A number that measures, with all its digits.
    pub fn exact(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.key(key);
            self.line.exact(value);
        }
    }

    /// A point in time.
    pub fn time(&mut self, key: &str, unix_ms: f64) {
        self.key(key);
        self.line.time(unix_ms);
    }

    /// What is JSON already.
    pub fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.line.text.push_str(json);
    }

    /// Says that something was left out.
    pub fn mark_truncated(&mut self) {
        self.line.truncated = true;
    }

    /// How many bytes a string may take.
    pub fn limit(&self) -> usize {
        self.line.limit
    }

    /// An object, left out if it turns out to have no members.
    pub fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        let before = self.line.text.len();
        self.key(key);
        self.line.text.push('{');
        write(&mut Object { line: self.line });
        if self.line.text.ends_with('{') {
            self.line.text.truncate(before);
        } else {
            self.line.text.push('}');
        }
    }

    fn limited(&mut self, limit: usize, write: impl FnOnce(&mut Line)) {
        let usual = self.line.limit;
        self.line.limit = limit.min(usual);
        write(self.line);
        self.line.limit = usual;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Line, Object};

    fn written(write: impl FnOnce(&mut Object<'_>)) -> String {
        let mut line = Line::new(100);
        line.object(write);
        line.text().to_owned()
    }

    fn string(text: &str, limit: usize) -> (String, bool) {
        let mut line = Line::new(limit);
        line.string(|string| string.push(text));
        (line.text().to_owned(), line.truncated())
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let line = written(|line| {
            line.count("kept", 0);
            line.flag("also", false);
            line.measure("fraction", 1.0);
            line.optional("empty", Some(""));
            line.optional("none", None);
            line.measure("nan", f64::NAN);
            line.exact("endless", f64::NEG_INFINITY);
            line.pairs("pairs", &[], 10);
            line.object("outer", |line| {
                line.object("inner", |line| line.known("unknown", None));
            });
        });
        assert_eq!(line, r#"{"kept":0,"also":false,"fraction":1.0}"#);
    }

    #[test]
    fn numbers_are_written_as_serde_writes_them() {
        for value in [
            0.0,
            1.0,
            -1.0,
            0.001,
            -0.5,
            12.345,
            12.3,
            99.999,
            1e3,
            123_456_789.25,
            8_999_999_999_999.999,
            1e15,
            1e21,
            f64::MAX,
            f64::MIN_POSITIVE,
        ] {
            let expected = serde_json::to_string(&value).expect("a number is JSON");
            let line = written(|line| line.exact("x", value));
            assert_eq!(line, format!("{{\"x\":{expected}}}"));
            if value != f64::MIN_POSITIVE {
                let line = written(|line| line.measure("x", value));
                assert_eq!(line, format!("{{\"x\":{expected}}}"));
            }
        }
        let rounded = [
            (0.000_4, "0.0"),
            (-0.000_1, "0.0"),
            (0.000_6, "0.001"),
            (1.999_6, "2.0"),
        ];
        for (value, expected) in rounded {
            let line = written(|line| line.measure("x", value));
            assert_eq!(line, format!("{{\"x\":{expected}}}"));
        }
        let line = written(|line| line.count("x", u64::MAX));
        assert_eq!(line, r#"{"x":18446744073709551615}"#);
    }

    #[test]
    fn a_text_is_written_as_serde_writes_it() {
        let every: String = ('\0'..='\u{100}').chain("„é🦀\u{2028}".chars()).collect();
        for text in ["", "abc", "\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", &every] {
            let expected = Value::from(text).to_string();
            assert_eq!(string(text, 10_000), (expected, false));
        }
    }

    #[test]
    fn a_short_text_stays_as_it_is() {
        for text in ["abc", "exactly 16 bytes", "\n\n\n\n\n\n\n\n", "ééééçççç"] {
            assert_eq!(string(text, 16), (Value::from(text).to_string(), false));
        }
    }

    #[test]
    fn a_long_text_takes_no_more_than_the_limit() {
        for text in [
            "seventeen bytes!!",
            "\u{1}\u{1}\u{1}",
            "ééééçççé!",
            "\"\"\"\"\"\"\"\"\"",
            "🦀🦀🦀🦀🦀",
            "thirteen bytes\n\n",
        ] {
            // In one piece, and in as many as it has characters.
            let (whole, truncated) = string(text, 16);
            let mut pieces = Line::new(16);
            pieces.string(|string| {
                for character in text.chars() {
                    string.push(character.encode_utf8(&mut [0; 4]));
                }
            });
            assert_eq!(pieces.text(), whole);
            let written = whole.len() - 2;
            assert!(truncated, "{whole}");
            assert!((11..=16).contains(&written), "{whole}: {written} bytes");
            let parsed: String = serde_json::from_str(&whole).expect("it is JSON");
            let start = parsed.strip_suffix('…').expect("it was cut");
            assert!(text.starts_with(start), "{whole}");
        }
    }

    #[test]
    fn a_list_takes_no_more_than_its_room() {
        let texts = vec!["abcdefgh".to_owned(); 100];
        let line = written(|line| line.texts("list", &texts, 50));
        let parsed: Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(parsed["list"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_url_keeps_its_secrets() {
        for (url, expected) in [
            ("http://h/a/b", "http://h/a/b"),
            ("http://h?q=1", "http://h?REDACTED"),
            ("http://h/a?q=http://x/@y#z", "http://h/a?REDACTED"),
            ("http://h/a#secret?", "http://h/a"),
            ("http://me:p@ss@h:80/a@b", "http://REDACTED@h:80/a@b"),
            ("https://token@h", "https://REDACTED@h"),
            ("no url at all", "no url at all"),
            ("/only/a/path?x", "/only/a/path?REDACTED"),
        ] {
            let mut line = Line::new(100);
            line.url(url.into());
            assert_eq!(line.text(), format!("\"{expected}\""));
        }
    }

    #[test]
    fn a_time_is_told_with_one_decimal() {
        let told = |ms: f64| {
            let mut line = Line::new(100);
            line.string(|text| text.ms(ms));
            line.text().trim_matches('"').to_owned()
        };
        assert_eq!(told(0.0), "0.0 ms");
        assert_eq!(told(12.36), "12.4 ms");
        assert_eq!(told(f64::NAN), "? ms");
    }
}
