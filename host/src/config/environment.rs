//! The layer of environment variables.

use std::ffi::OsString;

use super::options::{Arity, Key, Options, Place};
use crate::error::Problem;

impl Options {
    /// Reads the variables that squall knows out of an environment. An empty
    /// one counts as absent. One that is nearly a known one is a mistake; other
    /// unknown ones are not, since a cluster may set `SQUALL_SERVICE_HOST`.
    pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut options = Self::default();
        let mut found: Vec<_> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, value)| name.starts_with("SQUALL_") && !value.is_empty())
            .collect();
        found.sort();
        for (name, value) in found {
            let Some(key) = Key::all().find(|key| key.variable() == Some(&name)) else {
                if let Some(near) = misspelt(&name) {
                    options.mistake(
                        Problem::new(format!("variable `{name}` is unknown"))
                            .hint(format!("did you mean `{near}`?")),
                    );
                }
                continue;
            };
            match value.into_string() {
                Ok(text) => options.say_variable(key, &text),
                Err(_) => options.mistake(
                    Problem::new(format!("variable `{name}` is not valid UTF-8"))
                        .hint("give the value on the command line, or rename the file"),
                ),
            }
        }
        options
    }

    fn say_variable(&mut self, key: Key, text: &str) {
        let separator = match key.arity() {
            Arity::One | Arity::Switch => return self.say(key, text, Place::Variable),
            Arity::List(separator) | Arity::Pairs(separator) => separator,
        };
        text.split(separator)
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .for_each(|item| self.say(key, item, Place::Variable));
    }
}

/// The known variable that `name` is meant to be, if it is a slip away from one.
fn misspelt(name: &str) -> Option<&'static str> {
    let slips = if name.len() < "SQUALL_".len() + 8 {
        1
    } else {
        2
    };
    Key::all()
        .filter_map(Key::variable)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Options {
        Options::from_environment(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn lists_are_split_and_empty_variables_are_absent() {
        let options = read(&[
            ("SQUALL_VUS", ""),
            ("SQUALL_TAGS", "team=a, stage=b"),
            (
                "SQUALL_THRESHOLDS",
                "checks: rate > 0.9; http_reqs: count > 1",
            ),
        ]);
        assert!(options.get(Key::Vus).is_none());
        assert_eq!(options.all(Key::Tag)[1].text, "stage=b");
        assert_eq!(options.all(Key::Threshold)[1].text, "http_reqs: count > 1");
        assert!(options.mistakes().is_empty());
    }

    #[test]
    fn a_slip_in_a_name_is_a_mistake_and_a_foreign_variable_is_none() {
        let options = read(&[
            ("SQUALL_TAG", "a=b"),
            ("SQUALL_DURATOIN", "5s"),
            ("SQUALL_SERVICE_HOST", "10.0.0.1"),
            ("SQUALL_PORT", "tcp://10.0.0.1:80"),
        ]);
        let texts: Vec<_> = options.mistakes().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "variable `SQUALL_DURATOIN` is unknown\nhint: did you mean `SQUALL_DURATION`?",
                "variable `SQUALL_TAG` is unknown\nhint: did you mean `SQUALL_TAGS`?",
            ]
        );
    }
}
