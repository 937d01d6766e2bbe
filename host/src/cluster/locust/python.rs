//! Errors as Locust writes them: an error of a squall worker's and the same one of
//! a Python worker's have to be one to the master.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// What Locust calls a failure of a request with this name: as its own client does
/// where that has the same failure, and as squall does otherwise.
pub(super) fn error(message: &str, name: &str) -> String {
    let status = message.strip_prefix("status ");
    let status = status.and_then(|status| status.parse::<u16>().ok());
    if let Some(status) = status.filter(|status| (400..600).contains(status)) {
        let whose = if status < 500 { "Client" } else { "Server" };
        let known = http::StatusCode::from_u16(status).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        let reason = reason.unwrap_or("None");
        let text = format!("{status} {whose} Error: {reason} for url: {name}");
        return format!("HTTPError({})", repr(&text));
    }
    if message.starts_with("cannot connect") && message.ends_with(": Connection refused") {
        return "ConnectionRefusedError(111, 'Connection refused')".to_owned();
    }
    message.to_owned()
}

/// The key of an error, by which a master merges what workers tell.
pub(super) fn key(method: &str, name: &str, error: &str) -> String {
    let text = format!("{method}.{name}.{}", repr(error));
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// A text as Python's `repr` has it.
pub(super) fn repr(text: &str) -> String {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut repr = String::from(quote);
    for character in text.chars() {
        let _ = match character {
            '\\' => write!(repr, "\\\\"),
            '\n' => write!(repr, "\\n"),
            '\r' => write!(repr, "\\r"),
            '\t' => write!(repr, "\\t"),
            it if it == quote => write!(repr, "\\{it}"),
            it if it.is_control() || matches!(it, '\u{a0}' | '\u{ad}') => {
                write!(repr, "\\x{:02x}", u32::from(it))
            }
            it if it != ' ' && it.is_whitespace() => write!(repr, "\\u{:04x}", u32::from(it)),
            it => write!(repr, "{it}"),
        };
    }
    repr.push(quote);
    repr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_failures_are_called_as_locust_calls_them() {
        assert_eq!(
            error("status 500", "/error"),
            "HTTPError('500 Server Error: Internal Server Error for url: /error')"
        );
        assert_eq!(
            error("status 404", "/it's"),
            "HTTPError(\"404 Client Error: Not Found for url: /it's\")"
        );
        assert_eq!(
            error("cannot connect to 127.0.0.1:9: Connection refused", "/"),
            "ConnectionRefusedError(111, 'Connection refused')"
        );
        for own in ["status 302", "status of the cart", "no price"] {
            assert_eq!(error(own, "/"), own);
        }
    }

    #[test]
    fn texts_are_quoted_as_python_quotes() {
        for (text, quoted) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("'\"", "'\\'\"'"),
            ("a\\b\n\t\u{1}é", "'a\\\\b\\n\\t\\x01é'"),
            ("\u{a0}\u{2028}", "'\\xa0\\u2028'"),
        ] {
            assert_eq!(repr(text), quoted);
        }
    }

    #[test]
    fn a_key_is_the_hash_of_method_name_and_error() {
        // hashlib.sha256(b"GET./a.'status 302'").hexdigest()
        assert_eq!(
            key("GET", "/a", "status 302"),
            "c579473042311ec116984855895de6ecc2197e7e626fb04a7eb51e1c59c6930a"
        );
    }
}
