//! The layer of the configuration file: TOML.
//!
//! Its keys are the long flags, or for what can be repeated their plurals, as in
//! a script's options. Those at the top hold for the run and for every scenario
//! that says nothing else; `[scenarios.NAME]` has a scenario's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{Arity, Given, Key, Options, Place, nearest};
use crate::error::Problem;

/// What a scenario's table holds beside options.
const SCENARIO_KEYS: [&str; 2] = ["script", "weight"];
/// What the file holds beside options.
const TOP_KEYS: [&str; 2] = ["script", "scenarios"];

/// What a configuration file says. Its mistakes are with [`File::options`].
#[derive(Debug, Clone, Default)]
pub struct File {
    /// What holds for the run, and for scenarios that say nothing else.
    pub options: Options,
    /// What the test plan is called unless it is given a name.
    pub name: Option<String>,
    /// The script of scenarios that name none.
    pub script: Option<PathBuf>,
    /// The scenarios, in the order in which they stand.
    pub scenarios: Vec<FileScenario>,
}

/// A scenario of a configuration file.
#[derive(Debug, Clone)]
pub struct FileScenario {
    /// Its name, unique in the file.
    pub name: Arc<str>,
    /// Its script, if it names one.
    pub script: Option<PathBuf>,
    /// Its part of a load that is shared.
    pub weight: Option<Given>,
    /// Where it stands: `load.toml:12`.
    pub at: String,
    /// What holds for it alone.
    pub options: Options,
}

impl File {
    /// Reads what a file holds. Scripts are looked for in the file's own folder;
    /// all other paths are the process's. Mistakes are kept and reported by
    /// `resolve`.
    pub fn parse(text: &str, path: &Path) -> Self {
        let mut reader = Reader {
            text,
            path,
            name: path.display().to_string().into(),
            file: Self {
                name: path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
                ..Self::default()
            },
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.mistake(
                at,
                error.message(),
                "see https://toml.io for how TOML is written",
            );
        }
        // What could not be read is missing from the table: whatever is wrong
        // with the rest may only follow from that.
        if errors.is_empty() {
            reader.top(table.get_ref());
        }
        reader.file
    }
}

type Entry<'a> = (
    &'a Spanned<std::borrow::Cow<'a, str>>,
    &'a Spanned<DeValue<'a>>,
);

/// A table's entries in the order in which they stand.
fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    name: Arc<str>,
    file: File,
}

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in entries(table) {
            let at = key.span().start;
            let name: &str = key.get_ref();
            match name {
                "script" => self.file.script = self.script(value),
                "scenarios" => match value.get_ref() {
                    DeValue::Table(scenarios) => self.scenarios(scenarios),
                    _ => self.mistake(
                        at,
                        "`scenarios`: expected tables",
                        "write each as `[scenarios.NAME]`",
                    ),
                },
                _ => match Key::named(name) {
                    Some(Key::Config) => {
                        self.mistake(at, "a file cannot name another", "join them to one");
                    }
                    Some(key) => {
                        let given = self.values(key, name, value);
                        given
                            .into_iter()
                            .for_each(|given| self.file.options.give(key, given));
                    }
                    None => self.unknown(at, name, &TOP_KEYS, |_| true),
                },
            }
        }
    }

    fn scenarios(&mut self, scenarios: &DeTable<'_>) {
        if scenarios.is_empty() {
            self.mistake(0, "there is no scenario in `scenarios`", "leave it out");
        }
        for (name, value) in entries(scenarios) {
            let at = name.span().start;
            match value.get_ref() {
                DeValue::Table(table) => self.scenario(name.get_ref(), at, table),
                _ => self.mistake(
                    at,
                    &format!("the scenario `{}`: expected a table", name.get_ref()),
                    &format!("write it as `[scenarios.{}]`", name.get_ref()),
                ),
            }
        }
    }

    fn scenario(&mut self, name: &str, at: usize, table: &DeTable<'_>) {
        if name.trim().is_empty() {
            self.mistake(
                at,
                "a scenario without a name",
                "such as `[scenarios.browse]`",
            );
        }
        let mut scenario = FileScenario {
            name: name.into(),
            script: None,
            weight: None,
            at: self.place_text(at),
            options: Options::default(),
        };
        for (key, value) in entries(table) {
            let at = key.span().start;
            let name: &str = key.get_ref();
            match (name, Key::named(name)) {
                ("script", _) => scenario.script = self.script(value),
                ("weight", _) => {
                    scenario.weight = self.one("weight", value, "a number");
                }
                (_, Some(key)) if key.is_for_scenarios() => {
                    let given = self.values(key, name, value);
                    given
                        .into_iter()
                        .for_each(|given| scenario.options.give(key, given));
                }
                (_, Some(_)) => self.mistake(
                    at,
                    &format!("`{name}` holds for the whole run, not for one scenario"),
                    "write it above the first `[scenarios.…]`",
                ),
                (_, None) => self.unknown(at, name, &SCENARIO_KEYS, Key::is_for_scenarios),
            }
        }
        self.file.scenarios.push(scenario);
    }

    /// A script's path, as seen from where the process is.
    fn script(&mut self, value: &Spanned<DeValue<'_>>) -> Option<PathBuf> {
        let given = self.one("script", value, "the path of a component")?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Some(folder.join(given.text))
    }

    /// The values of an option, as they would be written on the command line.
    fn values(&mut self, key: Key, name: &str, value: &Spanned<DeValue<'_>>) -> Vec<Given> {
        match (key.arity(), value.get_ref()) {
            (Arity::Pairs(_), DeValue::Table(pairs)) => entries(pairs)
                .into_iter()
                .filter_map(|(pair, value)| {
                    if let (Key::Data, DeValue::Table(parts)) = (key, value.get_ref()) {
                        return self.data(pair, parts);
                    }
                    let given = self.one(pair.get_ref(), value, "a text")?;
                    Some(Given {
                        text: format!("{}={}", pair.get_ref(), given.text),
                        ..given
                    })
                })
                .collect(),
            (Arity::Pairs(_) | Arity::List(_), DeValue::Array(items)) => items
                .iter()
                .filter_map(|item| match (key, item.get_ref()) {
                    (Key::Stage, DeValue::Table(stage)) => self.stage(item, stage),
                    _ => self.one(name, item, "a list of texts"),
                })
                .collect(),
            (Arity::Pairs(_), _) => {
                self.wrong(name, value, "a table, or a list of `NAME=VALUE`");
                Vec::new()
            }
            (arity, _) => {
                let expected = match arity {
                    Arity::List(_) => "a text or a list of texts",
                    _ => "a text or a number",
                };
                self.one(name, value, expected).into_iter().collect()
            }
        }
    }

    /// `[data.NAME]`, as `--data` has it.
    fn data(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        parts: &DeTable<'_>,
    ) -> Option<Given> {
        let at = name.span().start;
        let (mut file, mut more) = (None, String::new());
        for (key, value) in entries(parts) {
            let key: &str = key.get_ref();
            let text = match (key, value.get_ref()) {
                ("header", DeValue::Array(columns)) => {
                    let columns: Vec<_> = columns
                        .iter()
                        .filter_map(|column| self.one(key, column, "a list of texts"))
                        .map(|column| column.text)
                        .collect();
                    columns.join("+")
                }
                _ => self.one(key, value, "a text")?.text,
            };
            match key {
                "file" => file = Some(text),
                _ => more += &format!(",{key}={text}"),
            }
        }
        let Some(file) = file else {
            let what = format!("the data `{}` has no file", name.get_ref());
            self.mistake(at, &what, "add `file = \"FILE.csv\"`");
            return None;
        };
        Some(Given {
            text: format!("{}={file}{more}", name.get_ref()),
            place: self.place(at),
        })
    }

    /// `{ duration = "30s", target = 50 }`.
    fn stage(&mut self, item: &Spanned<DeValue<'_>>, stage: &DeTable<'_>) -> Option<Given> {
        let mut parts = ["duration", "target"].map(|name| (name, None));
        for (key, value) in entries(stage) {
            match parts.iter_mut().find(|(name, _)| key.get_ref() == name) {
                Some((name, part)) => *part = Some(self.one(name, value, "a text or a number")?),
                None => {
                    let what = format!("a stage has no `{}`", key.get_ref());
                    self.mistake(key.span().start, &what, STAGE);
                    return None;
                }
            }
        }
        match parts.map(|(_, part)| part) {
            [Some(duration), Some(target)] => Some(Given {
                text: format!("{}:{}", duration.text, target.text),
                ..duration
            }),
            _ => {
                let what = "a stage needs a duration and a target";
                self.mistake(item.span().start, what, STAGE);
                None
            }
        }
    }

    /// A single value as it would be written on the command line.
    fn one(&mut self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<Given> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().replace('_', ""),
            DeValue::Boolean(yes) => yes.to_string(),
            _ => {
                self.wrong(name, value, expected);
                return None;
            }
        };
        Some(Given {
            text,
            place: self.place(value.span().start),
        })
    }

    fn wrong(&mut self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = &self.text[value.span()];
        let found = match found.lines().next() {
            Some(first) if first.len() < found.len() => format!("{first}…"),
            _ => found.to_owned(),
        };
        let place = self.place_text(value.span().start);
        self.file.options.mistake(Problem::new(format!(
            "{place}: `{name}`: expected {expected}, found `{found}`"
        )));
    }

    fn unknown(
        &mut self,
        at: usize,
        name: &str,
        more: &[&'static str],
        fits: impl Fn(Key) -> bool,
    ) {
        let known: Vec<_> = Key::all()
            .filter(|key| *key != Key::Config && fits(*key))
            .map(Key::flag)
            .chain(more.iter().copied())
            .collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.mistake(at, &format!("`{name}` is unknown"), &hint);
    }

    fn mistake(&mut self, at: usize, what: &str, hint: &str) {
        let place = self.place_text(at);
        self.file
            .options
            .mistake(Problem::new(format!("{place}: {what}")).hint(hint));
    }

    fn place(&self, at: usize) -> Place {
        Place::File {
            name: self.name.clone(),
            line: self.line(at),
        }
    }

    /// The line of a place in the text, from 1.
    fn line(&self, at: usize) -> u32 {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(lines + 1).unwrap_or(u32::MAX)
    }

    fn place_text(&self, at: usize) -> String {
        let line = self.line(at);
        format!("{}:{line}", self.name)
    }
}

const STAGE: &str = "such as `{ duration = \"30s\", target = 50 }` or `\"30s:50\"`";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> File {
        File::parse(text, Path::new("tests/load.toml"))
    }

    fn texts(options: &Options, key: Key) -> Vec<&str> {
        options.all(key).iter().map(|given| &*given.text).collect()
    }

    fn mistakes(text: &str) -> Vec<String> {
        let file = parsed(text);
        let mistakes = file.options.mistakes().iter();
        mistakes.map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_reads_as_flags_do() {
        let file = parsed(
            r#"
vus = 1_00
thresholds = ["checks: rate > 0.9", "http_reqs: count > 1"]
script = "shop.wasm"
tags = { team = "a" }

[env]
COUNT = 3

[scenarios.write]
weight = 20
stages = ["30s:50", { target = 0, duration = "5s" }]
script = "../write.wasm"

[scenarios.browse]
weight = 80
[scenarios.browse.tags]
part = "browse"
"#,
        );
        assert!(file.options.mistakes().is_empty(), "{:?}", file.options);
        assert_eq!(texts(&file.options, Key::Vus), ["100"]);
        assert_eq!(texts(&file.options, Key::Threshold).len(), 2);
        assert_eq!(texts(&file.options, Key::Tag), ["team=a"]);
        assert_eq!(texts(&file.options, Key::Env), ["COUNT=3"]);
        let place = file
            .options
            .get(Key::Vus)
            .map(|given| given.place_of(Key::Vus));
        assert_eq!(place.as_deref(), Some("tests/load.toml:2: `vus`"));
        assert_eq!(file.script, Some("tests/shop.wasm".into()));
        assert_eq!(file.name.as_deref(), Some("load"));
        let names: Vec<_> = file
            .scenarios
            .iter()
            .map(|scenario| &*scenario.name)
            .collect();
        assert_eq!(
            names,
            ["write", "browse"],
            "in the order in which they stand"
        );
        let [write, browse] = &file.scenarios[..] else {
            panic!("{:?}", file.scenarios);
        };
        assert_eq!(texts(&write.options, Key::Stage), ["30s:50", "5s:0"]);
        assert_eq!(write.script, Some("tests/../write.wasm".into()));
        assert_eq!(write.weight.as_ref().map(|given| &*given.text), Some("20"));
        assert_eq!(texts(&browse.options, Key::Tag), ["part=browse"]);
        assert_eq!(browse.at, "tests/load.toml:15");
    }

    #[test]
    fn data_is_a_text_or_a_table() {
        let file = parsed(
            r#"
[data]
items = "items.ndjson,order=random"
[data.users]
at-end = "end-run"
order = "unique"
file = "users.csv"
header = ["login", "password"]
"#,
        );
        assert_eq!(
            texts(&file.options, Key::Data),
            [
                "items=items.ndjson,order=random",
                "users=users.csv,at-end=end-run,order=unique,header=login+password",
            ]
        );
        assert_eq!(
            mistakes("[data.a]\norder = \"unique\"\n[data.b]\nfile = []\n[scenarios.c.data]\n"),
            [
                "tests/load.toml:1: the data `a` has no file\nhint: add `file = \"FILE.csv\"`",
                "tests/load.toml:4: `file`: expected a text, found `[]`",
                "tests/load.toml:5: `data` holds for the whole run, not for one scenario\nhint: write it above the first `[scenarios.…]`",
            ]
        );
        assert_eq!(
            mistakes("data = 5"),
            ["tests/load.toml:1: `data`: expected a table, or a list of `NAME=VALUE`, found `5`"]
        );
    }

    #[test]
    fn all_mistakes_come_at_once_each_with_its_line_and_a_hint() {
        let found = mistakes(
            r#"vuss = 5
config = "other.toml"
tags = 7
duration = 1979-05-27
thresholds = ["a", 1, {}]

[scenarios.a]
wieght = 3
summary = "s.json"
stages = [{ duration = "5s" }, { duration = "5s", to = 3 }]
weight = [
  1,
]
[scenarios]
b = 5
"#,
        );
        assert_eq!(
            found,
            [
                "tests/load.toml:1: `vuss` is unknown\nhint: did you mean `vus`?",
                "tests/load.toml:2: a file cannot name another\nhint: join them to one",
                "tests/load.toml:3: `tags`: expected a table, or a list of `NAME=VALUE`, found `7`",
                "tests/load.toml:4: `duration`: expected a text or a number, found `1979-05-27`",
                "tests/load.toml:5: `thresholds`: expected a list of texts, found `{}`",
                "tests/load.toml:8: `wieght` is unknown\nhint: did you mean `weight`?",
                "tests/load.toml:9: `summary` holds for the whole run, not for one scenario\nhint: write it above the first `[scenarios.…]`",
                "tests/load.toml:10: a stage needs a duration and a target\nhint: such as `{ duration = \"30s\", target = 50 }` or `\"30s:50\"`",
                "tests/load.toml:10: a stage has no `to`\nhint: such as `{ duration = \"30s\", target = 50 }` or `\"30s:50\"`",
                "tests/load.toml:11: `weight`: expected a number, found `[…`",
                "tests/load.toml:15: the scenario `b`: expected a table\nhint: write it as `[scenarios.b]`",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_by_line_all_of_it() {
        let found = mistakes("vus = \nduration = \"5s\"\nrate = 5/s\nvus = 3\n");
        assert!(found.len() >= 2, "{found:#?}");
        assert!(found[0].starts_with("tests/load.toml:1: "), "{found:#?}");
        assert!(
            found
                .iter()
                .any(|text| text.starts_with("tests/load.toml:3: ")),
            "{found:#?}"
        );
    }
}
