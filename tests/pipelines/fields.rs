//! Promtail, Alloy and Fluent Bit: the fields that their configurations name are
//! in real entries, and their layouts of a time are those that the collector and
//! syslog-ng read real entries with.

use std::collections::{BTreeMap, BTreeSet};

use crate::consumer::shipped;
use crate::entries::{self, Entry};

/// Loki's labels: few values each, as every set of values is a stream.
const LABELS: [&str; 4] = ["event_name", "level", "node_role", "service_name"];
/// What goes beside an entry without being an index.
const METADATA: [&str; 3] = ["http_route", "run_id", "run_plan"];

/// The lines between the one that is `start` and the next that `ends`.
fn section<'a>(text: &'a str, start: &str, ends: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let mut lines = text.lines().map(str::trim);
    assert!(lines.any(|line| line == start), "no `{start}`");
    lines.take_while(|line| !ends(line)).collect()
}

/// `name: path` or `name = path`, by name.
fn pairs(lines: &[&str], separator: char) -> BTreeMap<String, String> {
    let clean = |text: &str| text.trim_matches([' ', '"', ',']).to_owned();
    let pair = |line: &&str| {
        let (name, path) = line.split_once(separator).expect("a name and a path");
        (clean(name), clean(path))
    };
    lines.iter().map(pair).collect()
}

fn names(pairs: &BTreeMap<String, String>) -> Vec<&str> {
    pairs.keys().map(String::as_str).collect()
}

/// Fails unless the paths lead to text: in every entry, but for the route, which
/// is in some.
#[track_caller]
fn lead_to_text(paths: &BTreeMap<String, String>, entries: &[Entry]) {
    for (name, path) in paths {
        let found: BTreeSet<&str> = entries
            .iter()
            .filter(|entry| name != "http_route" || entry.at(path).is_some())
            .map(|entry| entry.text(path))
            .collect();
        assert!(!found.is_empty(), "no entry has `{path}`");
        assert!(!found.contains(""), "`{path}` is empty");
        if LABELS.contains(&name.as_str()) {
            assert!(found.len() < 20, "a label of many values: {found:?}");
        }
    }
}

/// Fails unless the stages' paths are those of `squall.vrl`, which its engine runs.
#[track_caller]
fn those_of_vrl(paths: &BTreeMap<String, String>) {
    let program = shipped("squall.vrl");
    for name in LABELS.iter().chain(&METADATA) {
        let line = format!("\"{name}\": .{},", paths[*name]);
        assert!(program.contains(&line), "no `{line}` in squall.vrl");
    }
}

#[test]
fn promtail_names_fields_that_entries_have() {
    let text = shipped("promtail.yaml");
    let next_stage = |line: &str| line.starts_with("- ");
    let paths = pairs(&section(&text, "expressions:", next_stage), ':');
    lead_to_text(&paths, &entries::some("json"));
    those_of_vrl(&paths);
    let labels = pairs(&section(&text, "- labels:", next_stage), ':');
    assert_eq!(BTreeSet::from_iter(names(&labels)), BTreeSet::from(LABELS));
    let metadata = pairs(&section(&text, "- structured_metadata:", next_stage), ':');
    assert_eq!(
        BTreeSet::from_iter(names(&metadata)),
        BTreeSet::from(METADATA)
    );
    assert!(text.contains("source: time\n          format: RFC3339Nano\n"));
    assert_eq!(paths["time"], "time");
}

#[test]
fn promtail_names_the_fields_and_labels_of_locust_telemetry() {
    let text = shipped("promtail-locust.yaml");
    let next_stage = |line: &str| line.starts_with("- ") || line.starts_with('#');
    let paths = pairs(&section(&text, "expressions:", next_stage), ':');
    let entries = entries::some("locust");
    assert!(!entries.is_empty());
    for (name, path) in &paths {
        for entry in &entries {
            assert!(!entry.text(path).is_empty(), "`{name}` of `{}`", entry.line);
        }
    }
    // Those that the dashboards select by. `container` follows from the source.
    let labels = pairs(&section(&text, "- labels:", next_stage), ':');
    assert_eq!(
        names(&labels),
        [
            "container",
            "level",
            "run_id",
            "telemetry_name",
            "telemetry_type",
            "testplan"
        ]
    );
    let known = |name: &&str| *name == "container" || paths.contains_key(*name);
    assert!(names(&labels).iter().all(known), "{labels:?}");
    assert!(text.contains("- template:\n          source: container\n"));
    let sources: BTreeSet<&str> = entries
        .iter()
        .map(|entry| entry.text(&paths["source"]))
        .collect();
    assert!(
        !sources.contains("WorkerRunner"),
        "it is no worker: {sources:?}"
    );
    assert!(text.contains("source: time\n          format: RFC3339Nano\n"));
}

#[test]
fn alloy_names_fields_that_entries_have() {
    let text = shipped("alloy.alloy");
    let end = |line: &str| line == "}";
    let paths = pairs(&section(&text, "expressions = {", end), '=');
    lead_to_text(&paths, &entries::some("json"));
    those_of_vrl(&paths);
    let stage = |name: &str| {
        let (_, stage) = text.split_once(name).expect("the stage is there");
        pairs(&section(stage, "values = {", end), '=')
    };
    assert_eq!(names(&stage("stage.labels {")), LABELS);
    assert_eq!(names(&stage("stage.structured_metadata {")), METADATA);
    assert!(text.contains("source = \"time\"\n    format = \"RFC3339Nano\"\n"));
    assert_eq!(paths["time"], "time");
}

/// `RFC3339Nano` is Go's name for the layout that the collector is given: what it
/// reads to the nanosecond, Promtail and Alloy do.
#[test]
fn the_collector_reads_the_layout_of_promtail_and_alloy() {
    let layout = "layout: \"2006-01-02T15:04:05.999999999Z07:00\"\n";
    assert!(shipped("otelcol.yaml").contains(layout));
}

#[test]
fn fluent_bit_names_fields_that_entries_have() {
    let text = shipped("fluent-bit.yaml");
    let paths = |start: &str| -> BTreeMap<String, String> {
        let lines = section(&text, start, |line| !line.contains("=$"));
        let plain = |path: &str| path.replace("['", ".").replace("']", "");
        let paths = pairs(&lines, '=').into_iter();
        paths
            .map(|(name, path)| (name, plain(path.trim_start_matches('$'))))
            .collect()
    };
    let (labels, metadata) = (paths("labels: >-"), paths("structured_metadata: >-"));
    assert_eq!(names(&labels), LABELS);
    assert_eq!(names(&metadata), METADATA);
    let mut all = labels;
    all.extend(metadata);
    lead_to_text(&all, &entries::some("json"));
    those_of_vrl(&all);

    // The same directives of strptime as syslog-ng's, but for the fraction's.
    let layout = "%Y-%m-%dT%H:%M:%S.%LZ";
    assert!(text.contains("time_key: time\n"));
    assert!(text.contains(&format!("time_format: \"{layout}\"\n")));
    let theirs = layout.replace("%L", "%f");
    assert!(shipped("syslog-ng.conf").contains(&format!("format(\"{theirs}\")")));
}
