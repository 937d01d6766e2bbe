//! What every line is put through before it is written.

use serde_json::{Map, Value};

/// Drops what says nothing (null, the empty string, an empty list or object) and
/// shortens strings to `limit` bytes. `None` if nothing is left.
///
/// A number that is not finite is null in a [`Value`], so it is dropped as well.
/// Sets `truncated` if a string was shortened.
pub fn tidy(value: Value, limit: usize, truncated: &mut bool) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) => Some(value),
        Value::String(text) => {
            let text = shorten(text, limit, truncated);
            (!text.is_empty()).then_some(Value::String(text))
        }
        Value::Array(values) => {
            let values: Vec<Value> = values
                .into_iter()
                .filter_map(|value| tidy(value, limit, truncated))
                .collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        Value::Object(members) => {
            let members: Map<String, Value> = members
                .into_iter()
                .filter_map(|(key, value)| Some((key, tidy(value, limit, truncated)?)))
                .collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
    }
}

/// Cuts a text so that it takes at most `limit` bytes of a line, an ellipsis at
/// its end included. Sets `truncated` if it had to.
pub fn shorten(mut text: String, limit: usize, truncated: &mut bool) -> String {
    const ELLIPSIS: char = '…';
    let mut written = 0;
    // Where to cut, should the text turn out to be too long.
    let mut end = 0;
    for (at, character) in text.char_indices() {
        if written <= limit - ELLIPSIS.len_utf8() {
            end = at;
        }
        written += written_len(character);
        if written > limit {
            text.truncate(end);
            text.push(ELLIPSIS);
            *truncated = true;
            break;
        }
    }
    text
}

/// How many bytes a character takes inside a JSON string.
fn written_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{shorten, tidy};

    #[test]
    fn what_says_nothing_is_left_out() {
        let value = json!({
            "kept": 0, "also": false, "fraction": 1.0, "list": [1, null, ""],
            "null": null, "empty": "", "nan": f64::NAN, "endless": f64::INFINITY,
            "inside": { "deep": { "null": null } }, "none": [],
        });
        let tidied = tidy(value, 100, &mut false);
        let expected = r#"{"kept":0,"also":false,"fraction":1.0,"list":[1]}"#;
        assert_eq!(
            tidied.map(|value| value.to_string()).as_deref(),
            Some(expected)
        );
        assert_eq!(tidy(json!({ "a": { "b": "" } }), 100, &mut false), None);
    }

    #[test]
    fn a_short_text_stays_as_it_is() {
        for text in [
            "",
            "abc",
            "exactly 16 bytes",
            "\n\n\n\n\n\n\n\n",
            "ééééçççç",
        ] {
            let mut truncated = false;
            assert_eq!(shorten(text.to_owned(), 16, &mut truncated), text);
            assert!(!truncated, "{text}");
        }
    }

    #[test]
    fn a_long_text_takes_no_more_than_the_limit() {
        for text in [
            "seventeen bytes!!",
            "\u{1}\u{1}\u{1}",
            "ééééççççé",
            "\"\"\"\"\"\"\"\"\"",
            "🦀🦀🦀🦀🦀",
        ] {
            let mut truncated = false;
            let short = shorten(text.to_owned(), 16, &mut truncated);
            let written = Value::from(short.as_str()).to_string();
            assert!(truncated && short.ends_with('…'), "{short}");
            assert!(text.starts_with(short.trim_end_matches('…')), "{short}");
            assert!(
                written.len() - 2 <= 16,
                "{written} has {} bytes",
                written.len() - 2
            );
            assert!(written.len() - 2 > 16 - 6, "{written} was cut too early");
        }
    }
}
