//! The recorder `locust`: lines that drop into what was built for
//! locust-telemetry, with figures that are right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use rustix::process::Signal;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::{example, repository};
use crate::support::port;
use crate::support::server::Server;

/// The demo's reader, who asks for two pages that the server has and for two that
/// it has not.
fn reader(base_url: &str) -> Squall {
    Squall::script(example("demo"))
        .flag("--base-url", base_url)
        .flag("--vus", "5")
        .flag("--stats-interval", "300ms")
        .flag("--system-interval", "300ms")
        .flag("--test-plan", "a plan")
}

fn against(server: &Server) -> Outcome {
    reader(&server.url(""))
        .flag("--duration", "2s")
        .flag("--recorder", "json")
        .flag("--recorder", "locust")
        .run()
        .exited(0)
}

/// The lines of the recorder `locust`, in their order.
#[track_caller]
fn told(outcome: &Outcome) -> Vec<Line> {
    // Whatever it is, it must be JSON.
    assert!(!outcome.lines().is_empty());
    let lines = outcome.stdout.lines();
    let lines: Vec<_> = lines
        .filter(|line| line.contains(r#""name": "locust_telemetry."#))
        .map(Line::parse)
        .collect();
    assert!(!lines.is_empty(), "{}", outcome.story());
    lines
}

/// The one line of a form.
#[track_caller]
fn only<'a>(lines: &'a [Line], form: &str) -> &'a Line {
    let found = of(lines, form);
    assert_eq!(found.len(), 1, "lines of the form `{form}`");
    found[0]
}

fn of<'a>(lines: &'a [Line], form: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.form() == form).collect()
}

#[track_caller]
fn sum(lines: &[&Line], key: &str) -> u64 {
    lines.iter().map(|line| line.count(key)).sum()
}

const CURRENT: &str = "request.metric.stats current";
const FINAL: &str = "request.metric.stats final";
const ERROR: &str = "request.metric.stats endpoint error";
const ENDPOINT: &str = "request.metric.stats endpoint success";

/// Fails unless all the lines about requests agree with `requests`, of which so
/// many failed.
#[track_caller]
fn assert_adds_up(lines: &[Line], requests: u64, failures: u64) {
    let last = only(lines, FINAL);
    assert_eq!(last.count("num_requests"), requests);
    assert_eq!(last.count("num_failures"), failures);
    assert_eq!(last.field("complete"), true);
    assert_eq!(last.count("events_dropped"), 0);
    let endpoints = of(lines, ENDPOINT);
    assert_eq!(sum(&endpoints, "num_requests"), requests);
    assert_eq!(sum(&endpoints, "num_failures"), failures);
    assert_eq!(sum(&of(lines, ERROR), "occurrences"), failures);
    let intervals = of(lines, CURRENT);
    assert_eq!(sum(&intervals, "interval_num_requests"), requests);
    assert_eq!(sum(&intervals, "interval_num_failures"), failures);
}

#[test]
fn the_figures_are_those_of_the_summary_of_json_and_of_the_server() {
    let server = Server::start();
    let outcome = against(&server);
    let lines = told(&outcome);
    let summary = outcome.summary();
    let (requests, failures) = (server.total(), summary.count("/all/failures"));
    assert_eq!(summary.count("/all/requests"), requests);
    assert_eq!(failures, server.count("/slow") + server.count("/flaky"));
    assert!(failures > 0);
    assert_adds_up(&lines, requests, failures);
    for line in of(&lines, ENDPOINT) {
        let path = line.field("name").as_str().expect("a name");
        let path = path.split('?').next().expect("a path");
        assert_eq!(line.count("num_requests"), server.count(path), "{path}");
    }

    let end = &outcome.entries("loadtest.run.end")[0];
    assert_eq!(end["test"]["totals"]["requests"], requests);
    assert_eq!(end["test"]["totals"]["failures"], failures);
    for line in &lines {
        assert_eq!(*line.field("run_id"), end["run"]["id"]);
        assert_eq!(line.field("testplan"), "a plan");
    }
    // Of its own requests, which are all there were.
    for (direction, key) in [("sent", "/all/sent_bytes"), ("recv", "/all/received_bytes")] {
        let network = of(&lines, &format!("system.metric.network {direction}"));
        let values: Vec<_> = network.iter().map(|line| line.count("value")).collect();
        assert!(values.is_sorted(), "{values:?}");
        assert_eq!(values.last(), Some(&summary.count(key)), "{direction}");
    }
    // Every reading failed, for a part of the page is missing.
    let reading = only(&lines, "script.metric.failures");
    assert_eq!(reading.field("origin"), "transaction");
    let failed = &summary.row("/transactions", "read a page")["failures"];
    assert_eq!(reading.field("occurrences"), failed);
}

#[test]
fn an_interrupted_run_ends_with_complete_figures() {
    let server = Server::start();
    let mut running = reader(&server.url(""))
        .flag("--duration", "100s")
        .flag("--recorder", "locust")
        .start();
    running.until(&server, "/fast", 50);
    running.signal(Signal::INT);
    let outcome = running.wait().exited(105);
    let lines = told(&outcome);
    let failures = server.count("/slow") + server.count("/flaky");
    assert_adds_up(&lines, server.total(), failures);

    let forms: Vec<_> = lines.iter().map(Line::form).collect();
    let at = |form: &str| forms.iter().position(|known| known == form);
    let stop = at("event.test.stop").expect("it ends");
    assert!(at("event.test.stopping") < Some(stop));
    let parts: Vec<_> = forms[stop..]
        .chunk_by(|a, b| a == b)
        .map(|part| &*part[0])
        .collect();
    let expected = [
        "event.test.stop",
        FINAL,
        ERROR,
        ENDPOINT,
        "script.metric.failures",
    ];
    assert_eq!(parts, expected);
    assert_eq!(lines[stop].field("reason"), "interrupted");
    assert_eq!(lines[stop].field("exit_code"), 105);
    assert_eq!(only(&lines, FINAL).field("user_count"), 5);
}

#[test]
fn a_target_that_refuses_is_told_as_locust_telemetry_tells_it() {
    let outcome = reader(&format!("http://{}", port::refusing()))
        .flag("--iterations", "20")
        .flag("--recorder", "locust")
        .run()
        .exited(0);
    let lines = told(&outcome);
    // Four pages in each iteration.
    assert_adds_up(&lines, 80, 80);
    let known = Golden::read(&["refused"]);
    for form in [FINAL, ERROR, ENDPOINT] {
        for line in of(&lines, form) {
            known.assert_like(line);
        }
    }
    // Nothing left the process, and nothing came back.
    for direction in ["sent", "recv"] {
        let network = of(&lines, &format!("system.metric.network {direction}"));
        assert_eq!(sum(&network, "value"), 0, "{direction}");
    }
    for line in of(&lines, ENDPOINT) {
        assert_eq!(line.count("num_requests"), 20);
        assert_eq!(line.count("num_failures"), 20);
        assert_eq!(line.field("avg_content_length"), 0.0);
    }
    for line in of(&lines, ERROR) {
        let error = line.field("error").as_str().expect("a text");
        assert!(error.to_lowercase().contains("refused"), "{error}");
        assert!(line.field("first_seen").as_f64() <= line.field("last_seen").as_f64());
    }
}

#[test]
fn each_line_has_the_keys_and_types_of_locust_telemetry() {
    let server = Server::start();
    let lines = told(&against(&server));
    let golden = Golden::read(&["master", "worker", "refused", "edge"]);
    let mut forms = BTreeSet::new();
    for line in &lines {
        if golden.knows(&line.form()) {
            golden.assert_like(line);
            forms.insert(line.form());
        }
    }
    let mut expected = golden.forms();
    // This run has no warning, unless the machine is busy with others.
    for forms in [&mut forms, &mut expected] {
        forms.remove("event.cpu.warning");
    }
    assert_eq!(forms, expected);
}

/// What the panels of json-dashboard.json and test-runs.json select, and the
/// fields they show of it.
const PANELS: &[(&str, &str, &[&str])] = &[
    ("Total Requests", FINAL, &["num_requests"]),
    (
        "Minimum and Maximum Response Time",
        FINAL,
        &["min_response_time", "max_response_time"],
    ),
    ("Total Failures", FINAL, &["num_failures"]),
    (
        "Requests and Failures Per Second",
        FINAL,
        &["total_rps", "total_fail_per_sec"],
    ),
    (
        "Requests vs Failures",
        CURRENT,
        &["num_requests", "num_failures"],
    ),
    (
        "Rate of Requests and Failures",
        CURRENT,
        &["total_rps", "total_fail_per_sec", "user_count"],
    ),
    (
        "Average Response Time",
        CURRENT,
        &["avg_response_time", "percentile_99", "percentile_95"],
    ),
    ("User Count", CURRENT, &["user_count"]),
    (
        "Endpoint's Average Response Time",
        ENDPOINT,
        &["name", "avg_response_time"],
    ),
    (
        "Endpoint Statistics",
        ENDPOINT,
        &[
            "run_id",
            "testplan",
            "name",
            "method",
            "num_requests",
            "num_failures",
            "avg_response_time",
            "total_rps",
            "percentile_95",
            "percentile_99",
        ],
    ),
    (
        "Endpoint Errors",
        ERROR,
        &["run_id", "testplan", "name", "error", "occurrences"],
    ),
    (
        "CPU Usage Profile, Total Workers",
        "system.metric.cpu",
        &["value", "source_id"],
    ),
    (
        "Memory Profile",
        "system.metric.mem",
        &["value", "source_id"],
    ),
    (
        "Network Bytes Sent",
        "system.metric.network sent",
        &["value", "source_id"],
    ),
    (
        "Network Bytes Received",
        "system.metric.network recv",
        &["value", "source_id"],
    ),
    ("annotation of the start", "event.test.start", &[]),
    ("annotation of the end", "event.test.stop", &[]),
    ("annotation of the users", "event.spawn.complete", &[]),
    (
        "runs, their start",
        "event.test.start",
        &["run_id", "testplan"],
    ),
    (
        "runs, their end",
        "event.test.stop",
        &["run_id", "end_time"],
    ),
];

#[test]
fn every_panel_of_the_dashboards_finds_its_fields() {
    let server = Server::start();
    let lines = told(&against(&server));
    for (panel, form, fields) in PANELS {
        let selected = of(&lines, form);
        assert!(!selected.is_empty(), "nothing for {panel}");
        for line in selected {
            for key in *fields {
                let value = line.field(key);
                let texts = [
                    "run_id",
                    "testplan",
                    "name",
                    "method",
                    "error",
                    "source_id",
                    "end_time",
                ];
                let found = match texts.contains(key) {
                    true => value.as_str().is_some_and(|text| !text.is_empty()),
                    false => value.is_number(),
                };
                assert!(found, "{panel}: `{key}` is {value}");
            }
        }
    }
    // What Promtail makes labels of, without which it drops the line.
    for line in &lines {
        for key in ["run_id", "testplan", "telemetry_type", "telemetry_name"] {
            let label = line.field(key).as_str().unwrap_or_default();
            assert!(!label.is_empty(), "no {key} in {}", line.value);
        }
        let time = line.value["time"].as_str().expect("a time");
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
        assert_eq!(line.field("source"), "MasterRunner");
        assert_eq!(line.field("source_id"), "master");
    }
}

#[test]
fn an_option_of_locust_is_refused_before_the_run() {
    let server = Server::start();
    let outcome = reader(&server.url(""))
        .flag("--recorder", "locust,testplan=mine")
        .run()
        .exited(104);
    assert!(outcome.stderr.contains("`testplan`"), "{}", outcome.story());
    assert!(
        outcome.stderr.contains("--test-plan"),
        "{}",
        outcome.story()
    );
    assert_eq!(server.total(), 0);
}

/// Lines that locust-telemetry wrote.
struct Golden {
    lines: Vec<Line>,
}

impl Golden {
    fn read(files: &[&str]) -> Self {
        let read = |file: &&str| {
            let path = format!("guest-examples/rust/locust/golden/{file}.jsonl");
            fs::read_to_string(repository().join(path)).expect("it is there")
        };
        let text: String = files.iter().map(read).collect();
        Self {
            lines: text.lines().map(Line::parse).collect(),
        }
    }

    fn forms(&self) -> BTreeSet<String> {
        self.lines.iter().map(Line::form).collect()
    }

    fn knows(&self, form: &str) -> bool {
        self.lines.iter().any(|line| line.form() == form)
    }

    /// Fails unless a line has the keys of those of its form, in their order and
    /// with their types, and perhaps more keys after them.
    #[track_caller]
    fn assert_like(&self, line: &Line) {
        let known = self.lines.iter().find(|known| known.form() == line.form());
        let known = known.expect("a line of this form");
        assert_eq!(line.keys, known.keys, "in {}", line.value);
        for key in ["name", "message"] {
            assert_eq!(line.value[key], known.value[key]);
        }
        // A warning is one here, as it is not there.
        if !line.form().ends_with("warning") {
            assert_eq!(line.value["level"], "INFO");
        }
        let expected = &known.inner;
        assert_eq!(&line.inner[..expected.len()], expected, "in {}", line.value);
        let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
        for other in &self.lines {
            for key in &other.inner {
                let kind = kind(other.field(key));
                // Errors have an empty text where other lines have a number.
                if !(key.starts_with("percentile") && kind == "text") {
                    let name = other.field("telemetry_name").to_string();
                    kinds.entry((name, key)).or_default().insert(kind);
                }
            }
        }
        let name = line.field("telemetry_name").to_string();
        for key in expected {
            let kind = kind(line.field(key));
            match kinds.get(&(name.clone(), key)) {
                Some(kinds) => assert!(kinds.contains(kind), "`{key}` in {}", line.value),
                None => panic!("`{key}` has no type among the golden lines"),
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "count",
        Value::String(_) => "text",
        _ => "other",
    }
}

/// A line, and its keys in their order.
struct Line {
    keys: Vec<String>,
    /// The keys inside `telemetry`.
    inner: Vec<String>,
    value: Value,
}

impl Line {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let Keys(mut outer) = serde_json::from_str(text).expect("JSON");
        let inner = outer.iter_mut().find(|(key, _)| key == "telemetry");
        let inner = inner.map(|(_, Keys(inner))| std::mem::take(inner));
        let names = |keys: Vec<(String, Keys)>| keys.into_iter().map(|(key, _)| key).collect();
        Self {
            keys: names(outer),
            inner: names(inner.expect("telemetry")),
            value: serde_json::from_str(text).expect("JSON"),
        }
    }

    fn field(&self, key: &str) -> &Value {
        &self.value["telemetry"][key]
    }

    #[track_caller]
    fn count(&self, key: &str) -> u64 {
        let value = self.field(key);
        value
            .as_u64()
            .unwrap_or_else(|| panic!("`{key}` is {value}, not a count, in {}", self.value))
    }

    /// By what one tells lines apart.
    fn form(&self) -> String {
        ["telemetry_name", "stats_type", "status", "direction"]
            .map(|key| self.field(key).as_str().unwrap_or_default())
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            .replace("locust.tl.", "")
    }
}

/// The keys of an object in their order, each with those inside it. What is no
/// object has none.
struct Keys(Vec<(String, Keys)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some(member) = map.next_entry()? {
            keys.push(member);
        }
        Ok(Keys(keys))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Keys, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Keys(Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Keys, E> {
        Ok(Keys(Vec::new()))
    }
}
