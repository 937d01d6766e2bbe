//! Test data: `--data NAME=FILE[,KEY=VALUE…]`.
//!
//! It is the run's and not a scenario's, so that scenarios can be dealt the rows
//! of one file together.

use std::path::{Path, PathBuf};

use super::options::{Given, Key, Place, nearest};
use super::recorders::same;
use super::resolve::Reader;
use super::values::{Parsed, Wrong};
use crate::data::wrong_header;
use crate::plan::{AtEnd, DataFormat, DataOrder, DataSpec};

/// What may follow the file.
const KEYS: [&str; 4] = ["order", "at-end", "format", "header"];

/// The data sources that were asked for. `outputs` are the files that the run
/// writes, each with its flag: a data file among them would be overwritten.
pub(super) fn data(read: &mut Reader<'_>, outputs: &[(Key, PathBuf)]) -> Vec<DataSpec> {
    let mut specs: Vec<(DataSpec, Place)> = Vec::new();
    for given in read.options.all(Key::Data).to_vec() {
        let Some(spec) = one(read, &given) else {
            continue;
        };
        let shown = spec.path.display();
        for (key, path) in outputs {
            if same(path, &spec.path) {
                let what = format!(
                    "`{shown}` is the data `{}`, and would be overwritten",
                    spec.name
                );
                read.clash(*key, &what, "name another file");
            }
        }
        if let Some(number) = specs.iter().position(|(other, _)| other.name == spec.name) {
            if is_same_layer(&specs[number].1, &given.place) {
                let expected = "a name of its own for each file";
                let hint = Some("such as `items=items.csv`");
                read.wrong(Key::Data, &given, wrong(expected, hint));
            } else {
                // What comes later is of a stronger layer.
                specs[number] = (spec, given.place);
            }
            continue;
        }
        specs.push((spec, given.place));
    }
    specs.into_iter().map(|(spec, _)| spec).collect()
}

fn is_same_layer(one: &Place, other: &Place) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn wrong(expected: &str, hint: Option<&str>) -> Wrong {
    Wrong {
        expected: expected.to_owned(),
        hint: hint.map(str::to_owned),
        at: None,
    }
}

/// A source, unless its name or its file cannot be read. Mistakes in what
/// follows are noted, and what it would say is left as it is without.
fn one(read: &mut Reader<'_>, given: &Given) -> Option<DataSpec> {
    let mut parts = given.text.split(',').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some((name, path)) = first
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
    else {
        let hint = Some("such as `users=users.csv`");
        read.wrong(Key::Data, given, wrong("`NAME=FILE`", hint));
        return None;
    };
    // As scripts are: the file may be used from anywhere.
    let folder = match &given.place {
        Place::File { name, .. } => Path::new(&**name).parent(),
        _ => None,
    };
    let path = &folder.unwrap_or(Path::new("")).join(path);
    let mut texts: [Option<Given>; KEYS.len()] = Default::default();
    for part in parts {
        let part = Given {
            text: part.to_owned(),
            place: given.place.clone(),
        };
        let (key, _) = part.text.split_once('=').unwrap_or((&part.text, ""));
        match KEYS.iter().position(|known| *known == key) {
            Some(number) if texts[number].is_none() => texts[number] = Some(part),
            Some(_) => read.wrong(Key::Data, &part, wrong(&format!("`{key}` once"), None)),
            None => {
                let near = nearest(key, KEYS).map(|near| format!("did you mean `{near}`?"));
                let expected = "`order=`, `at-end=`, `format=` or `header=`";
                read.wrong(Key::Data, &part, wrong(expected, near.as_deref()));
            }
        }
    }
    let [order, at_end, format, header] = texts;
    let orders = [
        ("sequential", DataOrder::Sequential),
        ("random", DataOrder::Random),
        ("unique", DataOrder::Unique),
    ];
    let order = read_part(read, order.as_ref(), |text| choose(text, &orders))
        .unwrap_or(DataOrder::Sequential);
    let ends: &[(&str, AtEnd)] = match order {
        DataOrder::Sequential => &[
            ("wrap", AtEnd::Wrap),
            ("stop-vu", AtEnd::StopVu),
            ("end-run", AtEnd::EndRun),
        ],
        DataOrder::Unique => &[("stop-vu", AtEnd::StopVu), ("end-run", AtEnd::EndRun)],
        DataOrder::Random => &[],
    };
    let default_end = match order {
        DataOrder::Unique => AtEnd::StopVu,
        DataOrder::Sequential | DataOrder::Random => AtEnd::Wrap,
    };
    let at_end = read_part(read, at_end.as_ref(), |text| match ends {
        [] => Err(wrong(
            "no `at-end` for random rows, which never end",
            Some("leave it out"),
        )),
        ends => choose(text, ends).map_err(|wrong| match text {
            "wrap" => Wrong {
                hint: Some("unique rows do not begin anew; `order=sequential` does".to_owned()),
                ..wrong
            },
            _ => wrong,
        }),
    })
    .unwrap_or(default_end);
    let formats = [
        ("csv", DataFormat::Csv),
        ("json", DataFormat::Json),
        ("ndjson", DataFormat::Ndjson),
    ];
    let format = match &format {
        Some(part) => read_part(read, Some(part), |text| choose(text, &formats)),
        None => {
            let known = by_extension(path);
            if known.is_none() {
                let hint = "add `format=csv`, `format=json` or `format=ndjson`";
                let expected = "a file that ends in `.csv`, `.json`, `.ndjson` or `.jsonl`";
                read.wrong(Key::Data, given, wrong(expected, Some(hint)));
            }
            known
        }
    };
    let header = read_part(read, header.as_ref(), |text| match format {
        Some(DataFormat::Json | DataFormat::Ndjson) => Err(wrong(
            "no `header` for JSON, which has names",
            Some("leave it out"),
        )),
        _ => columns(text),
    });
    Some(DataSpec {
        name: name.to_owned(),
        path: path.clone(),
        format: format?,
        order,
        at_end,
        header,
    })
}

fn by_extension(path: &Path) -> Option<DataFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match &*extension {
        "csv" => Some(DataFormat::Csv),
        "json" => Some(DataFormat::Json),
        "ndjson" | "jsonl" => Some(DataFormat::Ndjson),
        _ => None,
    }
}

/// Parses the value of `KEY=VALUE`, if it was given.
fn read_part<T>(
    read: &mut Reader<'_>,
    part: Option<&Given>,
    parse: impl Fn(&str) -> Parsed<T>,
) -> Option<T> {
    read.parse(Key::Data, part?, |text| {
        parse(text.split_once('=').map_or("", |(_, value)| value))
    })
}

/// The choice of this name.
fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names = || choices.iter().map(|(name, _)| *name);
        let quoted: Vec<_> = names().map(|name| format!("`{name}`")).collect();
        let (last, others) = quoted.split_last().expect("there is a choice");
        Wrong {
            expected: format!("{} or {last}", others.join(", ")),
            hint: nearest(text, names()).map(|near| format!("did you mean `{near}`?")),
            at: None,
        }
    })
}

/// The names of a CSV file's columns.
fn columns(text: &str) -> Parsed<Vec<String>> {
    let columns: Vec<String> = text.split('+').map(|name| name.trim().to_owned()).collect();
    match wrong_header(&columns) {
        None => Ok(columns),
        Some(_) => Err(wrong(
            "a different name for each column",
            Some("such as `header=login+password`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Place, Surroundings, resolve};
    use super::*;
    use crate::error::Error;
    use crate::plan::ScriptSource;

    fn resolved(values: &[(Key, &str)]) -> Result<Vec<DataSpec>, Vec<String>> {
        let mut options = Options::default();
        for (key, text) in values {
            options.say(*key, *text, Place::Flag);
        }
        resolved_options(&options)
    }

    fn resolved_options(options: &Options) -> Result<Vec<DataSpec>, Vec<String>> {
        let around = Surroundings {
            stdout_is_terminal: false,
            has_keys: false,
            cores: 4,
            vus_room: 10_000,
            cache_home: None,
        };
        match resolve(ScriptSource::Demo, options, &around) {
            Ok(resolved) => Ok(resolved.plan.data),
            Err(Error::Config(mistakes)) => Err(mistakes.iter().map(ToString::to_string).collect()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_source_is_its_name_and_file_and_what_follows() {
        let specs = resolved(&[
            (Key::Data, "users=a/users.CSV"),
            (Key::Data, "items=i.jsonl,order=random"),
            (
                Key::Data,
                "q=q.txt, format=csv,header=term+n,order=unique,at-end=end-run",
            ),
            (Key::Data, "once=o.json,order=unique"),
        ])
        .expect("valid");
        let of = |spec: &DataSpec| (spec.format, spec.order, spec.at_end);
        let expected = [
            (DataFormat::Csv, DataOrder::Sequential, AtEnd::Wrap),
            (DataFormat::Ndjson, DataOrder::Random, AtEnd::Wrap),
            (DataFormat::Csv, DataOrder::Unique, AtEnd::EndRun),
            (DataFormat::Json, DataOrder::Unique, AtEnd::StopVu),
        ];
        assert_eq!(specs.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!(specs[0].path, Path::new("a/users.CSV"));
        assert_eq!(
            specs[2].header.as_deref(),
            Some(&["term".into(), "n".into()][..])
        );
    }

    #[test]
    fn a_source_of_a_stronger_layer_replaces_that_of_its_name() {
        let file = Place::File {
            name: "tests/load.toml".into(),
            line: 1,
        };
        let mut weaker = Options::default();
        weaker.say(Key::Data, "users=users.csv,order=unique", file.clone());
        weaker.say(Key::Data, "items=/data/items.csv", file);
        let mut options = Options::default();
        options.say(Key::Data, "users=few.csv", Place::Flag);
        let specs = resolved_options(&options.over(weaker)).expect("valid");
        let of = |spec: &DataSpec| (spec.path.display().to_string(), spec.order);
        assert_eq!(
            specs.iter().map(of).collect::<Vec<_>>(),
            [
                ("few.csv".to_owned(), DataOrder::Sequential),
                ("/data/items.csv".to_owned(), DataOrder::Sequential),
            ]
        );
        // A file's own sources are looked for where the file is.
        let mut alone = Options::default();
        let place = Place::File {
            name: "tests/load.toml".into(),
            line: 1,
        };
        alone.say(Key::Data, "users=users.csv", place);
        let specs = resolved_options(&alone).expect("valid");
        assert_eq!(specs[0].path, Path::new("tests/users.csv"));
    }

    #[test]
    fn every_mistake_is_told() {
        let mistakes = resolved(&[
            (Key::Data, "users.csv"),
            (Key::Data, "a=a.xls"),
            (Key::Data, "b=b.csv,oder=random,order=uniqe,order=unique"),
            (Key::Data, "c=c.csv,order=random,at-end=wrap"),
            (Key::Data, "d=d.csv,order=unique,at-end=wrap"),
            (Key::Data, "e=e.json,header=x"),
            (Key::Data, "f=f.csv,header=x+x"),
            (Key::Data, "f=g.csv"),
            (Key::Data, "h=./out.json"),
            (Key::Summary, "out.json"),
        ])
        .expect_err("mistakes");
        assert_eq!(
            mistakes,
            [
                "`--data`: expected `NAME=FILE`, found `users.csv`\nhint: such as `users=users.csv`",
                "`--data`: expected a file that ends in `.csv`, `.json`, `.ndjson` or `.jsonl`, found `a=a.xls`\nhint: add `format=csv`, `format=json` or `format=ndjson`",
                "`--data`: expected `order=`, `at-end=`, `format=` or `header=`, found `oder=random`\nhint: did you mean `order`?",
                "`--data`: expected `order` once, found `order=unique`",
                "`--data`: expected `sequential`, `random` or `unique`, found `order=uniqe`\nhint: did you mean `unique`?",
                "`--data`: expected no `at-end` for random rows, which never end, found `at-end=wrap`\nhint: leave it out",
                "`--data`: expected `stop-vu` or `end-run`, found `at-end=wrap`\nhint: unique rows do not begin anew; `order=sequential` does",
                "`--data`: expected no `header` for JSON, which has names, found `header=x`\nhint: leave it out",
                "`--data`: expected a different name for each column, found `header=x+x`\nhint: such as `header=login+password`",
                "`--data`: expected a name of its own for each file, found `f=g.csv`\nhint: such as `items=items.csv`",
                "`--summary`: `./out.json` is the data `h`, and would be overwritten\nhint: name another file",
            ]
        );
    }
}
