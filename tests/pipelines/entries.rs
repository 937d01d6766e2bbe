//! A run that writes entries for a consumer, and the entries as they were written.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::support::command::Squall;
use crate::support::guests::test_guest;
use crate::support::server::Server;

/// The file that the run writes, in the consumer's folder.
pub(crate) const FILE: &str = "telemetry.ndjson";

/// The name of the plan: with what takes quoting somewhere.
const PLAN: &str = r#"Prüfung "eins" \ 50% ] $x ${y} `z`"#;

/// When a file makes room for the next, in bytes. With the pace below that takes
/// a second or two: those who follow one name want to see each of the files.
const FILE_LIMIT: u64 = 64 * 1024;

/// A log entry.
pub(crate) struct Entry {
    /// The line, without its end.
    pub(crate) line: String,
    pub(crate) json: Value,
}

impl Entry {
    pub(crate) fn new(line: &str) -> Self {
        let json = serde_json::from_str(line);
        Self {
            line: line.to_owned(),
            json: json.unwrap_or_else(|error| panic!("{error} in `{line}`")),
        }
    }

    /// The text at a path such as `run.id`.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> &str {
        let found = self.at(path).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at `{path}` in `{}`", self.line))
    }

    /// The value at a path such as `run.id`.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(&self.json, |value, key| value.get(key))
    }

    pub(crate) fn seq(&self) -> u64 {
        self.json["seq"].as_u64().expect("a number")
    }

    /// Its time in nanoseconds since 1970.
    pub(crate) fn nanoseconds(&self) -> i128 {
        let time: Timestamp = self.text("time").parse().expect("RFC 3339");
        time.as_nanosecond()
    }
}

/// A run whose file is rotated in its middle, with entries of every level.
/// Returns them by their `seq`.
pub(crate) fn rotated(folder: &Path) -> Vec<Entry> {
    let file = folder.join(FILE);
    let recorder = format!("json,sink=file:{},rotate-size=64KiB", file.display());
    talk("5s")
        .flag("--recorder", recorder)
        .flag("--stats-interval", "100ms")
        .flag("--system-interval", "100ms")
        .run()
        .exited(0);

    let files = files(folder);
    assert!(files.len() > 2, "rotated in the middle: {files:?}");
    let mut entries = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("the run wrote it");
        assert!(text.len() as u64 <= FILE_LIMIT, "{file:?}: {}", text.len());
        assert!(text.ends_with('\n'), "{file:?} ends within a line");
        entries.extend(text.lines().map(Entry::new));
    }
    entries.sort_by_key(Entry::seq);
    every_one_once(entries.iter().map(Entry::seq), entries.len());
    let texts = |path: &str| -> BTreeSet<&str> { entries.iter().map(|e| e.text(path)).collect() };
    assert_eq!(texts("run.id").len(), 1);
    assert_eq!(
        texts("level"),
        BTreeSet::from(["debug", "error", "info", "warn"])
    );
    entries
}

/// What a crash leaves of a line, when the next run goes on behind it.
pub(crate) const TORN: &str = r#"{"time":"2026-11-23T06:32:17.7449"#;

/// Puts such a line into the file that the run wrote.
pub(crate) fn tear(folder: &Path) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.join(FILE))
        .expect("the run wrote it");
    writeln!(file, "{TORN}").expect("there is room");
}

/// A short run with entries of every level, as a recorder writes them.
pub(crate) fn some(recorder: &str) -> Vec<Entry> {
    let outcome = talk("1s").flag("--recorder", recorder).run().exited(0);
    outcome.stdout.lines().map(Entry::new).collect()
}

/// A run that says something at every level, a few times a second.
fn talk(duration: &str) -> Squall {
    let server = Server::start();
    Squall::script(test_guest("behaviour"))
        .script_env("CASE", "talk")
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", duration)
        .flag("--test-plan", PLAN)
        .flag("--tag", "team=Größe \"M\"")
}

/// The file and all that it was rotated into.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is ours");
    let files = entries.map(|entry| entry.expect("as above").path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(FILE))
    };
    files.filter(ours).collect()
}

/// Fails unless `numbers` are 1 to `count`, each of them once.
#[track_caller]
pub(crate) fn every_one_once(numbers: impl Iterator<Item = u64>, count: usize) {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=count as u64).collect();
    let lost: Vec<_> = expected
        .iter()
        .filter(|n| numbers.binary_search(n).is_err())
        .collect();
    let doubled: Vec<_> = numbers
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
        .collect();
    assert!(
        numbers == expected,
        "{} of {count} entries, lost {lost:?}, doubled {doubled:?}",
        numbers.len(),
    );
}
