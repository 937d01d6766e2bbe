//! The token: who knows it may look at a run and steer it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Problem};

/// How many characters a token needs that somebody thought up.
const LEAST: usize = 16;
/// How many random bytes make a token.
const RANDOM: usize = 24;

/// A secret. It is never printed, and written to the notice alone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// The token that a user chose.
    ///
    /// # Errors
    ///
    /// If it can be guessed, or cannot stand in a header.
    pub fn chosen(text: &str) -> Result<Self, Error> {
        if text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Config(vec![
            Problem::new(format!(
                "variable `SQUALL_CONTROL_TOKEN`: expected at least {LEAST} visible ASCII \
                 characters without spaces"
            ))
            .hint("leave it out to have one made, or make one: `openssl rand -hex 24`"),
        ]))
    }

    /// A token that nobody can guess.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; RANDOM];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The secret itself, for a header or a file that only its user may read.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether an `Authorization` header holds it. How long that takes tells
    /// nothing of how much of it is right.
    pub fn is_in(&self, header: &[u8]) -> bool {
        let Some((scheme, given)) = header.split_at_checked("Bearer ".len()) else {
            return false;
        };
        let (ours, theirs) = (Sha256::digest(&self.0), Sha256::digest(given.trim_ascii()));
        let different = ours
            .iter()
            .zip(theirs.iter())
            .fold(0, |different, (a, b)| different | (a ^ b));
        scheme.eq_ignore_ascii_case(b"Bearer ") && std::hint::black_box(different) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_token_counts_and_nothing_but_it() {
        let token = Token::chosen("0123456789abcdef").expect("long enough");
        for good in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef "] {
            assert!(token.is_in(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789ABCDEF",
            "Basic  0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.is_in(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_can_be_guessed_or_seen_is_no_token() {
        for bad in [
            "short",
            "",
            "fifteen-letters",
            "with spaces in the middle",
            "tökentökentöken",
        ] {
            assert!(Token::chosen(bad).is_err(), "{bad}");
        }
        let (one, other) = (Token::random(), Token::random());
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert_ne!(one.secret(), other.secret());
        assert!(Token::chosen(one.secret()).is_ok());
        assert!(!format!("{one:?}").contains(one.secret()));
    }
}
