//! Log entries: checked before they become lines.

use std::borrow::Cow;

use super::scan;
use crate::units::Bytes;

/// How long an entry may be, in bytes. No consumer takes a line of more.
pub(super) const LONGEST: usize = 1 << 20;

/// The entries in what a recorder returned as one string: one, which may stand
/// over several lines, or several, a line each.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let is_one = memchr::memchr(b'\n', text.as_bytes()).is_none() || scan::object(text).is_some();
    let (one, several) = match is_one {
        true => (Some(text), ""),
        false => (None, text),
    };
    one.into_iter().chain(lines(several))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .filter(|line| !line.trim_ascii().is_empty())
}

/// Checks that an entry is one JSON object of at most [`LONGEST`] bytes and
/// returns it as one line. Says what is wrong with any other.
pub(super) fn check(entry: &str) -> Result<Cow<'_, str>, String> {
    let entry = entry.trim();
    if entry.len() > LONGEST {
        return Err(format!(
            "it has {}, and {} is the most",
            Bytes(entry.len() as u64),
            Bytes(LONGEST as u64)
        ));
    }
    match scan::object(entry) {
        Some(scan::Object::OnOneLine) => return Ok(Cow::Borrowed(entry)),
        Some(scan::Object::OverLines) => {}
        None => {
            serde_json::from_str::<serde::de::IgnoredAny>(entry)
                .map_err(|error| error.to_string())?;
            if !entry.starts_with('{') {
                return Err("it is not an object".to_owned());
            }
        }
    }
    // Inside a JSON string a line break is always escaped, so these are between
    // the tokens, where a space means the same.
    Ok(Cow::Owned(entry.replace(['\n', '\r'], " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass_and_keep_their_text() {
        for entry in [
            "{}",
            r#"{"b":1.50,"a":"x\ny"}"#,
            r#"{"nested":{"deep":[1,2]}}"#,
        ] {
            assert_eq!(check(entry), Ok(Cow::Borrowed(entry)));
        }
    }

    #[test]
    fn an_entry_over_several_lines_becomes_one() {
        let line = check("\n{\n  \"a\": 1,\r\n  \"b\": \"x\\ny\"\n}\n").expect("valid");
        assert!(!line.contains(['\n', '\r']), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid");
        assert_eq!(value, serde_json::json!({"a": 1, "b": "x\ny"}));
    }

    #[test]
    fn an_entry_may_have_a_mebibyte_and_no_more() {
        let frame = r#"{"a":""}"#.len();
        let entry = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - frame));
        assert!(check(&entry(LONGEST)).is_ok());
        let refused = check(&entry(LONGEST + 1)).expect_err("too long");
        assert_eq!(refused, "it has 1.0 MiB, and 1.0 MiB is the most");
    }

    #[test]
    fn several_entries_in_one_string_stand_on_a_line_each() {
        let found = |text| split(text).collect::<Vec<_>>();
        assert_eq!(found("{\"a\":1}"), ["{\"a\":1}"]);
        assert_eq!(found("{}\n{\"a\":1}\n"), ["{}", "{\"a\":1}"]);
        assert_eq!(found("{}\r\n\n {}"), ["{}\r", " {}"]);
        // One over several lines is one, and so is one that is not there.
        assert_eq!(found("{\n\"a\":1\n}\n"), ["{\n\"a\":1\n}"]);
        assert_eq!(found(" \n"), [""]);
        // What is neither is taken line by line.
        assert_eq!(found("{}\nno\n{}"), ["{}", "no", "{}"]);
        assert_eq!(lines("{}\n\n{}\n").collect::<Vec<_>>(), ["{}", "{}"]);
    }

    #[test]
    fn everything_else_is_refused() {
        for entry in [
            "",
            "7",
            "[1]",
            "null",
            "\"{}\"",
            "{\"a\": broken",
            "{} {}",
            "{\"a\":\"x\ny\"}",
            "{\"a\":1,}",
        ] {
            assert!(check(entry).is_err(), "{entry}");
        }
    }
}
