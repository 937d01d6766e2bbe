//! The layer of the script's own options: JSON that the component returns.

use serde_json::Value;

use super::options::{Arity, Key, Options, Place, nearest};
use crate::error::Problem;

impl Options {
    /// Reads a script's options: one JSON object whose keys are the long flags
    /// (`vus`, `base-url`) or, for what can be repeated, their plurals
    /// (`thresholds`). A list is a list of texts, `tags` and `env` may be
    /// objects. Mistakes are kept and reported by `resolve`.
    ///
    /// A script cannot set what reaches the machine's files or what guards
    /// against it, such as `summary` or `vu-memory`.
    pub fn from_script_json(json: &str) -> Self {
        let mut options = Self::default();
        let object = match serde_json::from_str(json) {
            Ok(Value::Object(object)) => object,
            Ok(_) => {
                options.mistake(
                    Problem::new("the script's options are not a JSON object")
                        .hint("return an object such as `{\"vus\": 5, \"duration\": \"30s\"}`"),
                );
                return options;
            }
            Err(error) => {
                options.mistake(
                    Problem::new(format!("the script's options are not valid JSON: {error}"))
                        .hint("return an object such as `{\"vus\": 5, \"duration\": \"30s\"}`"),
                );
                return options;
            }
        };
        for (name, value) in &object {
            match Key::named(name) {
                Some(key) if key.is_for_scripts() => options.say_json(key, name, value),
                Some(key) => options.mistake(
                    Problem::new(format!("a script cannot set the option `{name}`"))
                        .hint(format!("give it on the command line: `--{}`", key.flag())),
                ),
                None => options.mistake(unknown(name)),
            }
        }
        options
    }

    fn say_json(&mut self, key: Key, name: &str, value: &Value) {
        let expected = match (key.arity(), value) {
            (Arity::Pairs(_), Value::Object(pairs)) => {
                for (name, value) in pairs {
                    match text(value) {
                        Some(value) => self.say(key, format!("{name}={value}"), Place::Script),
                        None => self.mistake(wrong(name, "a text", value)),
                    }
                }
                return;
            }
            (Arity::Pairs(_) | Arity::List(_), Value::Array(items)) => {
                for item in items {
                    match text(item) {
                        Some(text) => self.say(key, text, Place::Script),
                        None => self.mistake(wrong(name, "a list of texts", item)),
                    }
                }
                return;
            }
            (Arity::Pairs(_), _) => "an object, or a list of `NAME=VALUE`",
            (Arity::List(_), _) => "a text or a list of texts",
            (Arity::One | Arity::Switch, _) => "a text or a number",
        };
        match text(value) {
            Some(text) => self.say(key, text, Place::Script),
            None => self.mistake(wrong(name, expected, value)),
        }
    }
}

/// A single value as it would be written on the command line.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> Problem {
    Problem::new(format!(
        "the script's option `{name}`: expected {expected}, found `{found}`"
    ))
}

fn unknown(name: &str) -> Problem {
    let known = || Key::all().filter(|key| key.is_for_scripts()).map(Key::flag);
    let problem = Problem::new(format!("the script's option `{name}` is unknown"));
    match nearest(name, known()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => {
            let known: Vec<_> = known().collect();
            problem.hint(format!("known are {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_plurals_are_keys() {
        let options = Options::from_script_json(
            r#"{"vus": 5, "duration": "10s", "thresholds": ["checks: rate > 0.9"],
                "threshold": "http_reqs: count > 1", "tags": {"team": "a"}, "env": ["K=V"]}"#,
        );
        assert!(options.mistakes().is_empty(), "{:?}", options.mistakes());
        assert_eq!(options.all(Key::Threshold).len(), 2);
        assert_eq!(options.all(Key::Tag)[0].text, "team=a");
        assert_eq!(options.all(Key::Env)[0].text, "K=V");
        assert_eq!(options.all(Key::Vus)[0].text, "5");
    }

    #[test]
    fn mistakes_come_together_and_with_a_way_out() {
        let options = Options::from_script_json(
            r#"{"duraton": "10s", "summary": "/etc/passwd", "vus": [1], "tag": 5.5}"#,
        );
        let texts: Vec<_> = options.mistakes().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "the script's option `duraton` is unknown\nhint: did you mean `duration`?",
                "a script cannot set the option `summary`\nhint: give it on the command line: `--summary`",
                "the script's option `vus`: expected a text or a number, found `[1]`",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["", "[]", "{", "5"] {
            assert_eq!(
                Options::from_script_json(json).mistakes().len(),
                1,
                "{json}"
            );
        }
    }
}
