//! Whether a text is one JSON object, said quickly.
//!
//! Every log entry of every recorder is read once to see that it is JSON, and
//! at a line for each request that was half of what telemetry cost. This reads
//! a text once, without recursion, and says yes only to what is one object
//! (RFC 8259). Why another one is none, and whether it is none, serde_json says
//! (see [`entry`](super::entry)).

/// No object holds others deeper than this.
const DEPTH: u32 = 128;

/// How a JSON object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// On one line.
    OnOneLine,
    /// With line breaks between its tokens.
    OverLines,
}

/// How `text` stands, if it is surely one JSON object and nothing else.
pub(super) fn object(text: &str) -> Option<Object> {
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: 0,
        breaks: false,
    };
    scan.object()?;
    let all = scan.at == scan.bytes.len();
    all.then_some(match scan.breaks {
        true => Object::OverLines,
        false => Object::OnOneLine,
    })
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether there was a line break.
    breaks: bool,
}

impl Scan<'_> {
    /// An object with all that is in it. Inlined with all that it calls, so that
    /// the place it is at stays in a register.
    #[inline(always)]
    fn object(&mut self) -> Option<()> {
        if self.next()? != b'{' {
            return None;
        }
        // The containers around this place, innermost last: a bit each, set for
        // an object.
        let mut around: u128 = 1;
        let mut depth = 1;
        let mut in_object = true;
        // Whether this place is behind an opening bracket, or behind a comma.
        let mut is_first = true;
        loop {
            let mut byte = self.token()?;
            let is_empty = is_first && byte == if in_object { b'}' } else { b']' };
            if is_empty {
                self.at -= 1;
            } else {
                if in_object {
                    if byte != b'"' {
                        return None;
                    }
                    self.string()?;
                    if self.token()? != b':' {
                        return None;
                    }
                    byte = self.token()?;
                }
                match byte {
                    b'"' => self.string()?,
                    b'{' | b'[' => {
                        if depth == DEPTH {
                            return None;
                        }
                        in_object = byte == b'{';
                        around = around << 1 | u128::from(in_object);
                        (depth, is_first) = (depth + 1, true);
                        continue;
                    }
                    b't' => self.word(b"rue")?,
                    b'f' => self.word(b"alse")?,
                    b'n' => self.word(b"ull")?,
                    b'-' => {
                        let digit = self.next()?;
                        self.number(digit)?;
                    }
                    digit => self.number(digit)?,
                }
            }
            loop {
                match (self.token()?, in_object) {
                    (b',', _) => break,
                    (b'}', true) | (b']', false) => {
                        (around, depth) = (around >> 1, depth - 1);
                        in_object = around & 1 == 1;
                    }
                    _ => return None,
                }
                if depth == 0 {
                    return Some(());
                }
            }
            is_first = false;
        }
    }

    /// The rest of a string, behind its first quotation mark.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        loop {
            while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
                let plain = plain(chunk);
                self.at += plain;
                if plain < CHUNK {
                    break;
                }
            }
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                ..b' ' => return None,
                _ => {}
            }
        }
    }

    /// The rest of an escape sequence.
    #[inline(always)]
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => {
                for _ in 0..4 {
                    self.next().filter(u8::is_ascii_hexdigit)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The rest of a number, from its first digit on.
    #[inline(always)]
    fn number(&mut self, digit: u8) -> Option<()> {
        match digit {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.next().filter(u8::is_ascii_digit)?;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.next().filter(u8::is_ascii_digit)?;
            self.digits();
        }
        Some(())
    }

    #[inline(always)]
    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn word(&mut self, rest: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(rest);
        self.at += rest.len();
        found.then_some(())
    }

    /// The next byte that is no space between tokens.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.breaks = true,
                byte => return Some(byte),
            }
        }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// How many bytes of a string are looked at together.
const CHUNK: usize = 8;

/// How many bytes come before the first that ends what is plain in a string, or
/// all.
#[inline(always)]
fn plain(bytes: &[u8; CHUNK]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; CHUNK]);
    const HIGHEST: u64 = ONES << 7;
    let all = |byte: u8| ONES * u64::from(byte);
    let word = u64::from_le_bytes(*bytes);
    // Subtracting from each byte sets the highest bit of the first one that is
    // less, and may set it in later ones, which is why only the first counts. A
    // byte that had it set before is none of those that are looked for.
    let control = word.wrapping_sub(all(b' '));
    let quote = (word ^ all(b'"')).wrapping_sub(ONES);
    let backslash = (word ^ all(b'\\')).wrapping_sub(ONES);
    let special = (control | quote | backslash) & !word & HIGHEST;
    special.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What serde_json says of a text.
    fn judged(text: &str) -> bool {
        text.starts_with('{')
            && text.ends_with('}')
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_knows_an_object_in_each_form(
            members in prop::collection::hash_map(".{0,4}", json(), 0..4),
        ) {
            let whole = Value::Object(members.into_iter().collect());
            prop_assert!(object(&whole.to_string()) == Some(Object::OnOneLine));
            let pretty = format!("{whole:#}");
            prop_assert!(object(&pretty).is_some());
        }

        #[test]
        fn it_agrees_with_serde_json_on_what_was_damaged(
            members in prop::collection::hash_map(".{0,4}", json(), 0..4),
            at in any::<prop::sample::Index>(),
            with in prop::sample::select(r#"{}[]",:\0129.eE+-tfnu x"#.chars().collect::<Vec<_>>()),
            replace in any::<bool>(),
        ) {
            let mut text: Vec<char> = Value::Object(members.into_iter().collect())
                .to_string()
                .chars()
                .collect();
            let at = at.index(text.len());
            if replace {
                text[at] = with;
            } else {
                text.insert(at, with);
            }
            let text: String = text.into_iter().collect();
            prop_assert_eq!(object(&text).is_some(), judged(&text), "{}", text);
        }

        #[test]
        fn it_agrees_with_serde_json_on_nonsense(
            text in r#"\{("a"|[\[\]{},:"0-9eE.+\- \\nut]|true|null){0,12}\}"#,
        ) {
            prop_assert_eq!(object(&text).is_some(), judged(&text), "{}", text);
        }
    }

    #[test]
    fn line_breaks_between_tokens_are_seen_and_no_others() {
        assert_eq!(object(r#"{"a\n":"\r"}"#), Some(Object::OnOneLine));
        assert_eq!(object("{\"a\":\r1}"), Some(Object::OverLines));
        assert_eq!(object("{\n}"), Some(Object::OverLines));
        assert_eq!(object("{\"a\n\":1}"), None);
    }

    #[test]
    fn it_goes_so_deep_and_no_deeper() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!("{{\"a\":{open}{close}}}")
        };
        assert!(object(&nested(127)).is_some());
        assert!(object(&nested(129)).is_none());
        assert!(object(&nested(100_000)).is_none());
    }
}
