//! The locustfile that a Locust master needs for workers of squall's: a user class
//! for each scenario, and what workers that were started without a script ask for.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::super::artefact::hash;
use super::super::message::Artefact;
use super::message::{ASK_FOR_PART, ASK_FOR_PLAN};
use super::python::repr;
use crate::error::{Error, Problem};
use crate::plan::{Plan, ScriptSource};

/// How much of a file goes in one message.
const PART: usize = 512 << 10;
/// How long a line of what is embedded is.
const LINE: usize = 96;

/// A locustfile to be written.
pub struct Stub<'a> {
    /// The plan, whose scenarios are the user classes.
    pub plan: &'a Plan,
    /// By scenario: how many users of a class there are to the others'.
    pub weights: &'a [u32],
    /// Whether files are in it. Otherwise the master reads them where they are now.
    pub is_whole: bool,
}

/// A file that the locustfile brings.
struct Brought {
    artefact: Artefact,
    path: PathBuf,
}

impl Stub<'_> {
    /// Writes it, with all that workers need to know. Reads scripts and data.
    ///
    /// # Errors
    ///
    /// If one of these cannot be read.
    pub fn locustfile(&self) -> Result<String, Error> {
        let mut files: Vec<Brought> = Vec::new();
        let mut bring = |path: &Path| -> Result<Artefact, Error> {
            let wrong = |error: std::io::Error| {
                Error::File(Problem::new(format!(
                    "cannot read `{}`: {error}",
                    path.display()
                )))
            };
            let path = path.canonicalize().map_err(wrong)?;
            if let Some(known) = files.iter().find(|it| it.path == path) {
                return Ok(known.artefact.clone());
            }
            let (sha256, size) = hash(&path).map_err(wrong)?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            let artefact = Artefact {
                sha256,
                size,
                name: name.to_string_lossy().into_owned(),
            };
            files.push(Brought {
                artefact: artefact.clone(),
                path,
            });
            Ok(artefact)
        };
        let mut plan = self.plan.clone();
        let mut scripts = Vec::new();
        for scenario in &mut plan.scenarios {
            scripts.push(match &mut scenario.script {
                ScriptSource::File(path) => {
                    let artefact = bring(path)?;
                    *path = PathBuf::from(&artefact.name);
                    Some(artefact)
                }
                ScriptSource::Demo => None,
            });
        }
        let mut data = Vec::new();
        for spec in &mut plan.data {
            let artefact = bring(&spec.path)?;
            spec.path = PathBuf::from(&artefact.name);
            data.push(artefact);
        }
        let mut text = HEAD.to_owned();
        self.write_classes(&mut text);
        let packed = rmp_serde::to_vec_named(&plan).expect("a plan is plain data");
        let _ = write!(
            text,
            "\n# What workers that were started without a script are told, and the files for it.\n\
             PLAN = {{\n    \"host_version\": {},\n    \"plan\": base64.b64decode({}),\n    \
             \"scripts\": {},\n    \"data\": {},\n}}\n",
            repr(env!("CARGO_PKG_VERSION")),
            quoted(&base64(&packed)),
            listed(
                scripts
                    .iter()
                    .map(|it| it.as_ref().map_or_else(|| "None".to_owned(), dictionary))
            ),
            listed(data.iter().map(dictionary)),
        );
        text.push_str("FILES = {\n");
        for Brought { artefact, path } in &files {
            let source = match self.is_whole {
                true => {
                    let bytes = std::fs::read(path).map_err(|error| {
                        Error::File(Problem::new(format!(
                            "cannot read `{}`: {error}",
                            path.display()
                        )))
                    })?;
                    format!("base64.b64decode({})", quoted(&base64(&bytes)))
                }
                false => repr(&path.to_string_lossy()),
            };
            let _ = writeln!(text, "    {}: {source},", repr(&artefact.sha256));
        }
        text.push_str("}\n");
        let tail = TAIL
            .replace("ASK_FOR_PLAN", &repr(ASK_FOR_PLAN))
            .replace("ASK_FOR_PART", &repr(ASK_FOR_PART))
            .replace("PART_SIZE", &PART.to_string());
        text.push_str(&tail);
        Ok(text)
    }

    fn write_classes(&self, text: &mut String) {
        for (scenario, weight) in self.plan.scenarios.iter().zip(self.weights) {
            let name = &*scenario.name;
            let _ = match is_identifier(name) {
                true => writeln!(text, "\n\nclass {name}(Scenario):\n    weight = {weight}"),
                // A class may be called anything, a variable may not.
                false => writeln!(
                    text,
                    "\n\nglobals()[{name}] = type({name}, (Scenario,), {{\"weight\": {weight}}})",
                    name = repr(name)
                ),
            };
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|it| it.is_ascii_alphabetic());
    begins && characters.all(|it| it.is_ascii_alphanumeric() || it == '_') && !TAKEN.contains(&name)
}

/// Names that mean something else in the locustfile.
const TAKEN: [&str; 47] = [
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "base64",
    "hashlib",
    "logging",
    "events",
    "globals",
    "type",
    "open",
    "User",
    "Scenario",
    "MasterRunner",
    "PLAN",
    "FILES",
];

fn dictionary(artefact: &Artefact) -> String {
    // A JSON object of texts and numbers is a dictionary in Python, too.
    serde_json::to_string(artefact).expect("plain data")
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A long text in lines.
fn quoted(text: &str) -> String {
    if text.len() <= LINE {
        return format!("\"{text}\"");
    }
    let mut quoted = String::from("\n");
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        let _ = writeln!(quoted, "        \"{line}\"");
        rest = after;
    }
    quoted.push_str("    ");
    quoted
}

/// Base 64, as RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_there = digit <= three.len();
            let place = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_there {
                DIGITS[place as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

const HEAD: &str = r#""""For a Locust master whose workers are squall's: `squall worker --locust-master HOST:PORT`.

Written by `squall locust-stub`. The classes are squall's scenarios: their users are
played by the workers, and nothing here makes any load.
"""

import base64
import hashlib
import logging

from locust import User, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner


class Scenario(User):
    abstract = True

    @task
    def play(self):
        logging.error("only a worker of squall's can play `%s`", type(self).__name__)
        raise StopUser()
"#;

const TAIL: &str = r#"

def _content(sha256):
    content = FILES[sha256]
    if isinstance(content, str):
        with open(content, "rb") as file:
            content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("a file has changed since `squall locust-stub` read it: write it anew")
    return content


@events.init.add_listener
def _serve_workers(environment, runner, **_):
    if not isinstance(runner, MasterRunner):
        return
    contents = {}

    def tell_plan(environment, msg, **_):
        runner.send_message(ASK_FOR_PLAN, PLAN, client_id=msg.node_id)

    def send_part(environment, msg, **_):
        sha256, offset = msg.data["sha256"], msg.data["offset"]
        if sha256 in FILES and sha256 not in contents:
            try:
                contents[sha256] = _content(sha256)
            except (OSError, ValueError):
                logging.exception("a file cannot be handed out")
        part = contents.get(sha256, b"")[offset : offset + PART_SIZE]
        answer = {"sha256": sha256, "offset": offset, "bytes": part}
        runner.send_message(ASK_FOR_PART, answer, client_id=msg.node_id)

    runner.register_message(ASK_FOR_PLAN, tell_plan)
    runner.register_message(ASK_FOR_PART, send_part)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_base_64() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"\xff\xef\xbe", "/+++"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn only_names_are_written_as_names() {
        for (name, is_name) in [
            ("browse", true),
            ("buy_2", true),
            ("log-in", false),
            ("class", false),
            ("2nd", false),
            ("FILES", false),
            ("", false),
        ] {
            assert_eq!(is_identifier(name), is_name, "{name}");
        }
    }
}
