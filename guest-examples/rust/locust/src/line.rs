//! JSON as text, in the way that Python writes it: with a space after each comma
//! and each colon. To a JSON reader that is all the same, to a regular expression
//! on the raw line it is not.

use serde_json::Value;

/// Appends a value to a line.
pub fn write(value: &Value, line: &mut String) {
    match value {
        Value::Object(members) => {
            line.push('{');
            for (number, (key, value)) in members.iter().enumerate() {
                if number > 0 {
                    line.push_str(", ");
                }
                line.push_str(&Value::from(key.as_str()).to_string());
                line.push_str(": ");
                write(value, line);
            }
            line.push('}');
        }
        Value::Array(values) => {
            line.push('[');
            for (number, value) in values.iter().enumerate() {
                if number > 0 {
                    line.push_str(", ");
                }
                write(value, line);
            }
            line.push(']');
        }
        plain => line.push_str(&plain.to_string()),
    }
}

/// A text that takes at most `limit` bytes of a line, with an ellipsis at its end
/// if it had to be cut.
pub fn shortened(text: &str, limit: usize) -> String {
    const ELLIPSIS: char = '…';
    let mut written = 0;
    // Where to cut, should the text turn out to be too long.
    let mut end = 0;
    for (at, character) in text.char_indices() {
        if written + ELLIPSIS.len_utf8() <= limit {
            end = at;
        }
        written += written_len(character);
        if written > limit {
            return format!("{}{ELLIPSIS}", &text[..end]);
        }
    }
    text.to_owned()
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

    use super::{shortened, write};

    #[test]
    fn there_is_a_space_after_each_comma_and_each_colon() {
        let mut line = String::new();
        let value = json!({ "a": [1, 2.0, "b,:\n"], "é\"": {}, "c": null, "d": [], "e": true });
        write(&value, &mut line);
        let expected = r#"{"a": [1, 2.0, "b,:\n"], "é\"": {}, "c": null, "d": [], "e": true}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn a_text_is_cut_only_if_it_is_too_long() {
        for text in ["", "exactly 16 bytes", "\n\n\n\n\n\n\n\n", "ééééçççç"] {
            assert_eq!(shortened(text, 16), text);
        }
        for text in [
            "seventeen bytes!!",
            "\u{1}\u{1}\u{1}",
            "ééééççççé",
            "\"\"\"\"\"\"\"\"\"",
            "🦀🦀🦀🦀🦀",
        ] {
            let short = shortened(text, 16);
            let start = short.strip_suffix('…').expect("an ellipsis");
            assert!(text.starts_with(start), "{short}");
            let written = Value::from(short.as_str()).to_string().len() - 2;
            assert!((16 - 6..=16).contains(&written), "{written} for {short}");
        }
    }
}
