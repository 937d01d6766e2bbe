//! Whole lines, from events to text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::envelope::{LINE_LIMIT, Name};
use crate::recorder::Recorder;
use crate::schemas::Judge;
use crate::squall::recorder::events::*;

mod nasty;
mod profiles;

const TIME_MS: f64 = 1_795_383_628_123.456;
const ELAPSED_MS: f64 = 4_000.5;

#[test]
fn a_run_becomes_the_expected_lines() {
    let lines = record(everything(), &whole_run()).join("\n") + "\n";
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests.ndjson");
        std::fs::write(file, &lines).expect("the expected lines can be written");
    }
    let expected = include_str!("tests.ndjson");
    for (line, expected) in lines.lines().zip(expected.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.lines().count(), expected.lines().count());
}

#[test]
fn each_event_has_a_schema_and_each_schema_is_that_of_lines() {
    let names: BTreeSet<String> = Name::ALL
        .iter()
        .map(|name| name.text().to_owned())
        .collect();
    let schemas: BTreeSet<String> = schemas()
        .into_keys()
        .filter(|name| !name.starts_with("envelope"))
        .collect();
    assert_eq!(names, schemas);
    let judge = judge();
    let mut written = BTreeSet::new();
    for line in record(everything(), &whole_run()) {
        let line = parse(&line);
        judge
            .check(&line)
            .unwrap_or_else(|mistake| panic!("{mistake}"));
        written.insert(line["event_name"].as_str().expect("a name").to_owned());
    }
    assert_eq!(written, names);
}

#[test]
fn a_line_that_is_not_what_its_schema_says_is_found_out() {
    let judge = judge();
    let lines = record(everything(), &whole_run());
    let end = parse(lines.last().expect("a run has an end"));
    judge.check(&end).expect("it is a line");
    for (at, value) in [
        ("/seq", json!(0)),
        ("/seq", json!("1")),
        ("/time", json!("2026-11-22T21:40:28Z")),
        ("/level", json!("fatal")),
        ("/level", json!("debug")),
        ("/event_name", json!("loadtest.run.start")),
        ("/event_name", json!("loadtest.run")),
        ("/schema_version", json!("2.0")),
        ("/message", Value::Null),
        ("/node/role", json!("slave")),
        ("/test", json!({})),
        ("/test/duration_s", json!("4.0")),
        ("/test/exit_code", json!(0.5)),
        ("/test/data_quality/names_capped", json!({})),
    ] {
        let mut wrong = end.clone();
        *wrong.pointer_mut(at).expect("it is there") = value;
        assert!(judge.check(&wrong).is_err(), "{wrong}");
    }
    for at in [
        "",
        "/test",
        "/node",
        "/run",
        "/service/instance",
        "/test/totals",
    ] {
        let mut wrong = end.clone();
        let object = wrong.pointer_mut(at).and_then(Value::as_object_mut);
        object.expect("an object").insert("more".into(), json!(1));
        assert!(judge.check(&wrong).is_err(), "{wrong}");
    }
}

/// What a schema declares at a path: its type, and whether it was seen.
type Declared = BTreeMap<String, String>;

#[test]
fn a_key_has_one_type_in_all_schemas() {
    let mut types = Declared::new();
    for (name, schema) in schemas() {
        if name.starts_with("envelope.") {
            continue;
        }
        declared("", &schema, &mut |path, kind| {
            let before = types.insert(path.to_owned(), kind.to_owned());
            assert!(
                before.as_deref().is_none_or(|before| before == kind),
                "{path} is {before:?} and {kind} in {name}"
            );
        });
    }
    assert!(types.len() > 150, "{types:?}");
    let depth = types.keys().map(|path| path.matches('/').count()).max();
    assert_eq!(depth, Some(4), "{types:?}");
}

#[test]
fn what_is_declared_is_written_and_with_a_fraction_if_it_measures() {
    let schemas = schemas();
    let mut missing = BTreeMap::new();
    for (name, schema) in &schemas {
        if !name.starts_with("envelope.") {
            declared("", schema, &mut |path, kind| {
                missing.insert((name.clone(), path.to_owned()), kind.to_owned());
            });
        }
    }
    let types = missing.clone();
    let mut lines = record(everything(), &whole_run());
    lines.extend(record(long(everything()), &[event(EventKind::RunStarted)]));
    for line in lines {
        let line = parse(&line);
        let name = line["event_name"].as_str().expect("a name").to_owned();
        visit("", &line, &mut |path, value| {
            for name in [name.clone(), "envelope".to_owned()] {
                let key = (name, path.to_owned());
                missing.remove(&key);
                let number = match types.get(&key).map(String::as_str) {
                    Some("number") => value.is_f64(),
                    Some("integer") => value.is_u64(),
                    _ => true,
                };
                assert!(number, "{path} in {line}");
            }
        });
    }
    // The lines of one run are of one node, and are not cut.
    assert_eq!(missing, BTreeMap::new());
}

#[test]
fn a_key_has_one_type_and_a_value() {
    let mut types = BTreeMap::new();
    let mut events = whole_run();
    // A run in which nothing could be measured must not change the types.
    events.extend([
        event(EventKind::Stats(Stats {
            total: window(&[]),
            ..stats(&[])
        })),
        event(EventKind::System(system(f64::NAN))),
        event(EventKind::ThresholdChanged(threshold(
            true,
            Some(f64::INFINITY),
        ))),
    ]);
    for line in record(everything(), &events) {
        let line = parse(&line);
        visit("", &line, &mut |path, value| {
            let kind = match value {
                Value::Null => panic!("{path} is null in {line}"),
                Value::String(text) if text.is_empty() => panic!("{path} is empty in {line}"),
                Value::Bool(_) => "bool",
                Value::Number(number) if number.is_f64() => "float",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            let before = types.insert(path.to_owned(), kind);
            assert!(
                before.is_none_or(|before| before == kind),
                "{path} in {line}"
            );
        });
    }
    assert!(types.len() > 150, "{types:?}");
}

#[test]
fn the_intervals_add_up_to_the_total() {
    let lines: Vec<Value> = record(run_info(), &whole_run())
        .iter()
        .map(|line| parse(line))
        .collect();
    let sum = |window: &str, name: &str, at: &str| -> u64 {
        let payload = at.rsplit_once('/').expect("a pointer into the payload").0;
        lines
            .iter()
            .filter(|line| line["event_name"] == name)
            .filter(|line| {
                line.pointer(payload)
                    .is_some_and(|it| it["window"] == window)
            })
            .filter_map(|line| line.pointer(at).and_then(Value::as_u64))
            .sum()
    };
    for (name, at) in [
        ("loadtest.request.stats", "/stats/count"),
        ("loadtest.request.stats", "/stats/failures"),
        ("loadtest.request.stats", "/stats/bytes_received"),
        ("loadtest.request.error", "/error/count"),
        ("loadtest.iteration.stats", "/iterations/finished"),
        ("loadtest.check.stats", "/checks/passed"),
        ("loadtest.transaction.stats", "/transactions/count"),
        ("loadtest.metric.custom", "/metric/count"),
    ] {
        let total = sum("total", name, at);
        assert_eq!(sum("interval", name, at), total, "{name} {at}");
        assert_ne!(total, 0, "{name} {at}");
    }
}

#[test]
fn lines_are_numbered_without_a_gap() {
    let lines = record(run_info(), &whole_run());
    for (line, seq) in lines.iter().zip(1_u64..) {
        assert_eq!(parse(line)["seq"], seq);
        assert!(line.starts_with(r#"{"time":"2026-11-22T21:40:"#), "{line}");
    }
}

/// The same run with texts that are far too long, and too many of them.
fn long(run: RunInfo) -> RunInfo {
    let long = "\u{1}\"é\n".repeat(10_000);
    let tags = (0..100)
        .map(|n| (format!("{n}{long}"), long.clone()))
        .collect();
    let plan: BTreeMap<String, Vec<String>> = (0..200)
        .map(|n| (format!("scenario-{n}"), vec!["x".repeat(90); n / 10]))
        .collect();
    RunInfo {
        run_id: long.clone(),
        test_plan: long.clone(),
        hostname: long.clone(),
        host_version: long.clone(),
        scenarios: vec![long; 100],
        tags,
        plan: serde_json::to_string_pretty(&plan).expect("a map of strings is JSON"),
        ..run
    }
}

#[test]
fn no_line_is_longer_than_8_kib() {
    let long_text = "\u{1}\"é\n".repeat(10_000);
    let events = [
        event(EventKind::RunStarted),
        event(EventKind::WorkerLost(long_text.clone())),
        event(EventKind::ScriptError(ScriptError {
            scenario: long_text.clone(),
            vu: 1,
            iteration: 2,
            message: long_text.clone(),
            stack: Some(long_text.clone()),
        })),
        measured(|told| {
            let text = told.text(&long_text);
            MeasurementKind::Request(Request {
                scenario: text,
                method: text,
                name: text,
                url: text,
                failure: Some(text),
                tags: told.tags(vec![(long_text.clone(), long_text.clone()); 100]),
                ..request(told, 500, None)
            })
        }),
        Event {
            node: long_text.clone(),
            ..event(EventKind::RunStopping(StopReason::Other(long_text)))
        },
    ];
    for profile in ["native", "ecs", "datadog", "gcp"] {
        let run = with_options(
            long(run_info()),
            &[("profile", profile), ("requests", "all")],
        );
        let lines = record(run, &events);
        assert_eq!(lines.len(), events.len());
        for line in lines {
            assert!(line.len() <= LINE_LIMIT, "{} bytes: {line}", line.len());
            let line = parse(&line);
            assert_eq!(line["truncated"], true);
            judge()
                .check(&line)
                .unwrap_or_else(|mistake| panic!("{mistake}"));
        }
    }
}

#[test]
fn a_plan_that_is_too_large_keeps_its_small_parts() {
    let plan = json!({ "a": 1, "big": vec!["x".repeat(1_000); 8], "z": [2] });
    let run = RunInfo {
        plan: plan.to_string(),
        ..run_info()
    };
    let line = parse(&record(run, &[event(EventKind::RunStarted)])[0]);
    assert_eq!(line["test"]["config"], json!({ "a": 1, "z": [2] }));
    assert_eq!(line["truncated"], true);
}

#[test]
fn a_long_string_alone_is_shortened_to_1_kib() {
    let message = "x".repeat(5_000);
    let log = LogMessage {
        scenario: "default".into(),
        vu: 1,
        iteration: 0,
        level: LogLevel::Warn,
        message,
    };
    let lines = record(run_info(), &[event(EventKind::Log(log))]);
    let line = parse(&lines[0]);
    let message = line["message"].as_str().expect("a message is a string");
    assert_eq!((message.len(), message.ends_with('…')), (1024, true));
    assert_eq!(line["run"]["plan"], "checkout");
    assert_eq!(line["truncated"], true);
}

#[test]
fn an_event_of_another_node_says_nothing_about_this_one() {
    let elsewhere = Event {
        node: "worker-2".into(),
        ..event(EventKind::System(system(50.0)))
    };
    let lines = record(run_info(), &[elsewhere]);
    let node = parse(&lines[0])["node"].to_string();
    assert_eq!(node, r#"{"role":"worker","id":"worker-2"}"#);
}

#[test]
fn a_plan_that_is_not_an_object_is_left_out() {
    for plan in ["", "{", "7", "null"] {
        let run = RunInfo {
            plan: plan.into(),
            ..run_info()
        };
        let lines = record(run, &[event(EventKind::RunStarted)]);
        let line = parse(&lines[0]);
        assert_eq!(line["test"].get("config"), None);
        assert_eq!(line["test"]["scenarios"][0], "default");
    }
}

#[test]
fn requests_are_filtered_and_the_numbers_of_lines_have_no_gap() {
    let mut told = Told::default();
    let requests = [
        request(&mut told, 200, None),
        request(&mut told, 500, Some("status 500")),
        request(&mut told, 0, Some("connection refused")),
        Request {
            duration_ms: 500.0,
            ..request(&mut told, 200, None)
        },
    ];
    let events = [told.event(requests.map(MeasurementKind::Request).to_vec())];
    for (option, expected) in [
        ("none", vec![]),
        ("failed", vec![500, 0]),
        ("slow:500ms", vec![200]),
        ("failed+slow:0.5s", vec![500, 0, 200]),
        ("all", vec![200, 500, 0, 200]),
    ] {
        let run = with_options(run_info(), &[("requests", option)]);
        let lines: Vec<Value> = record(run, &events)
            .iter()
            .map(|line| parse(line))
            .collect();
        let status = |line: &Value| {
            line["http"]["response"]["status_code"]
                .as_u64()
                .unwrap_or(0)
        };
        let statuses: Vec<_> = lines.iter().map(status).collect();
        assert_eq!(statuses, expected, "{option}");
        for (line, seq) in lines.iter().zip(1_u64..) {
            assert_eq!(line["seq"], seq);
            let failed = line["request"]["failed"] == true;
            assert_eq!(line["level"], if failed { "warn" } else { "info" });
            assert_eq!(line.get("error").is_some(), failed);
        }
    }
}

#[test]
fn many_tags_are_cut_and_said_to_be() {
    let tags = (0..40).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let event = measured(|told| {
        MeasurementKind::Request(Request {
            tags: told.tags(tags),
            ..request(told, 200, None)
        })
    });
    let run = with_options(run_info(), &[("requests", "all")]);
    let line = parse(&record(run, &[event])[0]);
    assert_eq!(line["tags"].as_array().map(Vec::len), Some(16));
    assert_eq!(
        (&line["tags"][0], &line["truncated"]),
        (&json!("k0=v"), &json!(true))
    );
}

#[test]
fn ten_thousand_endpoints_are_ten_thousand_lines() {
    let endpoints = (0..10_000)
        .map(|n| requests("GET", &format!("/item/{n}"), 1))
        .collect();
    let stats = Stats {
        interval: Window {
            requests: endpoints,
            ..window(&[1])
        },
        ..stats(&[1])
    };
    let lines = record(run_info(), &[event(EventKind::Stats(stats))]);
    let judge = judge();
    let mut routes = BTreeSet::new();
    for (line, seq) in lines.iter().zip(1_u64..) {
        assert!(line.len() < LINE_LIMIT);
        let line = parse(line);
        assert_eq!(line["seq"], seq);
        judge
            .check(&line)
            .unwrap_or_else(|mistake| panic!("{mistake}"));
        if line["event_name"] == "loadtest.request.stats" {
            routes.extend(line["http"]["route"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(routes.len(), 10_000);
}

#[test]
fn wrong_options_are_refused() {
    let run = with_options(run_info(), &[("profile", "splunk"), ("requests", "some")]);
    let mistakes = Recorder::new(run).expect_err("both are wrong");
    assert_eq!(mistakes.matches("hint: ").count(), 2, "{mistakes}");
}

#[test]
fn a_run_that_was_cut_short_says_so() {
    for (reason, passed, status, level) in [
        (StopReason::Completed, true, "passed", "info"),
        (StopReason::Completed, false, "failed", "error"),
        (
            StopReason::Threshold("checks: rate > 0.9".into()),
            false,
            "failed",
            "error",
        ),
        (StopReason::Interrupted, true, "interrupted", "warn"),
        (
            StopReason::Aborted("out of items".into()),
            false,
            "aborted",
            "error",
        ),
    ] {
        let summary = RunSummary {
            reason,
            passed,
            ..summary()
        };
        let lines = record(run_info(), &[event(EventKind::RunFinished(summary))]);
        let end = parse(lines.last().expect("a run has an end"));
        assert_eq!(end["event_name"], "loadtest.run.end");
        assert_eq!(
            (&end["test"]["status"], &end["level"]),
            (&status.into(), &level.into())
        );
    }
}

fn record(run: RunInfo, events: &[Event]) -> Vec<String> {
    let mut recorder = Recorder::new(run).expect("the run is fine");
    let pages = recorder.handle(events);
    assert!(pages.iter().all(|page| page.ends_with('\n')));
    pages
        .iter()
        .flat_map(|page| page.lines())
        .map(str::to_owned)
        .collect()
}

fn parse(line: &str) -> Value {
    assert!(!line.contains('\n'), "more than one line: {line}");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn visit(path: &str, value: &Value, seen: &mut impl FnMut(&str, &Value)) {
    seen(path, value);
    // The plan's keys are the host's, those of the labels the user's.
    if let Value::Object(members) = value
        && path != "/test/config"
        && path != "/run/labels"
    {
        for (key, value) in members {
            visit(&format!("{path}/{key}"), value, seen);
        }
    }
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schema"))
}

fn judge() -> &'static Judge {
    static JUDGE: OnceLock<Judge> = OnceLock::new();
    JUDGE.get_or_init(|| Judge::read(folder()))
}

/// The schemas themselves, by name.
fn schemas() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder()).expect("the schemas are there");
    files
        .map(|file| {
            let path = file.expect("the schemas are there").path();
            let name = path.file_stem().and_then(|name| name.to_str());
            let text = std::fs::read_to_string(&path).expect("a schema is text");
            (
                name.expect("it has a name").to_owned(),
                parse(&text.replace('\n', " ")),
            )
        })
        .collect()
}

/// Tells of everything that a schema declares, with its type.
fn declared(path: &str, schema: &Value, tell: &mut impl FnMut(&str, &str)) {
    let kind = match (
        schema["type"].as_str(),
        schema.get("const"),
        schema.get("enum"),
    ) {
        (Some(kind), ..) => Some(kind),
        (None, Some(value), _) => Some(if value.is_string() {
            "string"
        } else {
            "boolean"
        }),
        (None, None, Some(values)) => Some(if values[0].is_string() {
            "string"
        } else {
            "integer"
        }),
        (None, None, None) => None,
    };
    if let Some(kind) = kind {
        tell(path, kind);
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        declared(&format!("{path}/{key}"), schema, tell);
    }
}

/// A run of which everything is to be recorded.
fn everything() -> RunInfo {
    let measurements = "transactions+iterations+checks+samples";
    with_options(
        run_info(),
        &[("requests", "all"), ("measurements", measurements)],
    )
}

fn with_options(run: RunInfo, options: &[(&str, &str)]) -> RunInfo {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    RunInfo { options, ..run }
}

/// What measurements call by their places, filled as they are made.
struct Told(Measurements);

impl Default for Told {
    fn default() -> Self {
        Self(Measurements {
            texts: Vec::new(),
            tag_sets: vec![Vec::new()],
            all: Vec::new(),
        })
    }
}

impl Told {
    fn text(&mut self, text: &str) -> u32 {
        place(&mut self.0.texts, text.to_owned())
    }

    fn tags(&mut self, tags: Vec<Tag>) -> u32 {
        place(&mut self.0.tag_sets, tags)
    }

    fn event(self, all: Vec<MeasurementKind>) -> Event {
        let measurement = |kind| Measurement {
            time_ms: TIME_MS,
            elapsed_ms: ELAPSED_MS,
            kind,
        };
        let all = all.into_iter().map(measurement).collect();
        event(EventKind::Measured(Measurements { all, ..self.0 }))
    }
}

fn place<T: PartialEq>(all: &mut Vec<T>, one: T) -> u32 {
    let place = all.iter().position(|other| *other == one);
    place.unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    }) as u32
}

/// An event that is one measurement.
fn measured(make: impl FnOnce(&mut Told) -> MeasurementKind) -> Event {
    let mut told = Told::default();
    let kind = make(&mut told);
    told.event(vec![kind])
}

fn request(told: &mut Told, status: u16, failure: Option<&str>) -> Request {
    let answered = (status > 0).then_some(11.5);
    Request {
        scenario: told.text("default"),
        vu: 3,
        iteration: 7,
        method: told.text("GET"),
        name: told.text("/item/[id]"),
        url: told.text("http://user:secret@127.0.0.1:8080/item/5?token=secret#top"),
        status,
        started_at_ms: 1_795_383_628_100.25,
        duration_ms: 12.345_6,
        first_byte_ms: answered,
        phases: RequestPhases {
            connecting_ms: Some(0.25),
            tls_ms: answered,
            waiting_ms: answered,
            receiving_ms: answered,
        },
        sent_bytes: 120,
        received_bytes: 4_096,
        failure: failure.map(|failure| told.text(failure)),
        tags: told.tags(vec![("color".into(), "red".into())]),
    }
}

fn every_measurement() -> EventKind {
    let mut told = Told::default();
    let scenario = told.text("default");
    let tags = told.tags(vec![("color".into(), "red".into())]);
    let all = vec![
        MeasurementKind::Request(request(&mut told, 200, None)),
        MeasurementKind::Request(request(&mut told, 0, Some("connection refused"))),
        MeasurementKind::Transaction(Transaction {
            scenario,
            vu: 3,
            iteration: 4,
            name: told.text("checkout"),
            duration_ms: 1_234.5,
            failure: Some(told.text("out of stock")),
            tags,
        }),
        MeasurementKind::Iteration(Iteration {
            scenario,
            vu: 3,
            iteration: 7,
            duration_ms: 2_000.0,
            failure: Some(told.text("out of stock")),
        }),
        MeasurementKind::Check(Check {
            scenario,
            vu: 3,
            iteration: 4,
            name: told.text("has a price"),
            passed: false,
            tags,
        }),
        MeasurementKind::Sample(Sample {
            metric: told.text("queue"),
            kind: MetricKind::Gauge,
            value: 0.000_001,
            tags,
        }),
        MeasurementKind::Other(OtherMeasurement {
            name: told.text("page-painted"),
            payload: told.text(r#"{"ms":12.5}"#),
        }),
    ];
    told.event(all).kind
}

/// Every kind of event that becomes a line.
fn whole_run() -> Vec<Event> {
    let kinds = vec![
        EventKind::RunStarted,
        EventKind::WorkerJoined("worker-1".into()),
        EventKind::RampUpFinished(RampUp { vus: 50 }),
        EventKind::Stats(stats(&[1, 1])),
        EventKind::System(system(150.0)),
        EventKind::ResourceWarning(ResourceWarning {
            resource: ResourceKind::Cpu,
            value: 93.0,
            limit: 90.0,
        }),
        EventKind::ResourceRecovered(ResourceWarning {
            resource: ResourceKind::Cpu,
            value: 40.0,
            limit: 90.0,
        }),
        EventKind::ThresholdChanged(threshold(false, Some(612.0))),
        EventKind::ThresholdChanged(threshold(true, Some(412.5))),
        EventKind::LoadChanged(LoadChange {
            scenario: "default".into(),
            action: LoadAction::Target,
            before: Load::Vus(50),
            after: Load::Vus(1),
            by: Steerer::ControlApi("127.0.0.1:6789".into()),
        }),
        EventKind::LoadChanged(LoadChange {
            scenario: "default".into(),
            action: LoadAction::Paused,
            before: Load::Rate(12.5),
            after: Load::Rate(0.0),
            by: Steerer::Terminal,
        }),
        EventKind::ScriptError(ScriptError {
            scenario: "default".into(),
            vu: 3,
            iteration: 7,
            message: "wasm trap: wasm `unreachable` instruction executed".into(),
            stack: Some("shop::pick_item\nshop::iterate".into()),
        }),
        EventKind::Log(LogMessage {
            scenario: "default".into(),
            vu: 3,
            iteration: 8,
            level: LogLevel::Debug,
            message: "two\nlines".into(),
        }),
        every_measurement(),
        EventKind::Other(OtherEvent {
            name: "moon-phase-changed".into(),
            payload: r#"{"phase":"full"}"#.into(),
        }),
        EventKind::ShapeReported(ShapeReport {
            shape: "goal_seek".into(),
            findings: vec![
                Finding {
                    name: "held".into(),
                    value: FindingValue::Number(Quantity {
                        value: 198.4,
                        unit: "/s".into(),
                    }),
                },
                Finding {
                    name: "found".into(),
                    value: FindingValue::Text("yes".into()),
                },
            ],
            failure: None,
        }),
        EventKind::ShapeReported(ShapeReport {
            shape: "goal_seek".into(),
            findings: Vec::new(),
            failure: Some("it stopped".into()),
        }),
        EventKind::EventsDropped(12),
        EventKind::WorkerLost("worker-1".into()),
        EventKind::Stats(stats(&[2])),
        EventKind::RunStopping(StopReason::Aborted("out of items".into())),
        EventKind::RunFinished(summary()),
    ];
    kinds.into_iter().map(event).collect()
}

fn summary() -> RunSummary {
    RunSummary {
        passed: true,
        exit_code: 0,
        reason: StopReason::Other("it is late".into()),
        stats: stats(&[2]),
        thresholds: vec![threshold(true, Some(312.25)), threshold(false, None)],
        quality: DataQuality {
            events_dropped: 12,
            log_messages_dropped: 0,
            script_errors_dropped: 0,
            workers_lost: 1,
            vus_not_started: 0,
            resource_warnings: 1,
            names_capped: vec![CappedNames {
                kind: NameKind::Request,
                limit: 1_000,
                uses: 99_000,
            }],
        },
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        time_ms: TIME_MS,
        elapsed_ms: ELAPSED_MS,
        node: "standalone".into(),
        kind,
    }
}

fn run_info() -> RunInfo {
    RunInfo {
        run_id: "01936d5e-7d4b-7000-8000-000000000001".into(),
        test_plan: "checkout".into(),
        host_version: "0.1.0".into(),
        role: Role::Standalone,
        node: "standalone".into(),
        hostname: "machine".into(),
        process_id: 4242,
        scenarios: vec!["default".into()],
        tags: vec![("stage".into(), "test".into())],
        stats_interval_ms: 2_000.0,
        plan: "{\n  \"vus\": 50,\n  \"base_url\": null\n}".into(),
        options: Vec::new(),
    }
}

/// Statistics of an interval in which some units of work were done, in a run of
/// four units.
fn stats(units: &[u64]) -> Stats {
    Stats {
        vus: 50,
        interval: window(units),
        total: window(&[1, 1, 2]),
        complete: true,
    }
}

/// What one unit of work adds to a window.
fn window(units: &[u64]) -> Window {
    let n: u64 = units.iter().sum();
    if n == 0 {
        return Window {
            duration_ms: 0.0,
            all: requests("", "", 0),
            requests: vec![requests("GET", "/item/[id]", 0)],
            transactions: Vec::new(),
            failures: Vec::new(),
            checks: Vec::new(),
            metrics: Vec::new(),
            iterations: iterations(0),
        };
    }
    Window {
        duration_ms: n as f64 * 1_000.0,
        all: requests("", "", 30 * n),
        requests: vec![
            requests("GET", "/item/[id]", 20 * n),
            requests("POST", "/basket", 10 * n),
            requests("GET", "/unused", 0),
        ],
        transactions: vec![TransactionStats {
            name: "checkout".into(),
            failures: n,
            duration: distribution(5 * n),
        }],
        failures: vec![
            failure(FailureOrigin::Request, "GET", "/item/[id]", n),
            failure(FailureOrigin::Transaction, "", "checkout", n),
            failure(FailureOrigin::Script, "", "default", n),
        ],
        checks: vec![CheckStats {
            name: "has a price".into(),
            passes: 9 * n,
            failures: n,
        }],
        metrics: vec![
            metric(MetricKind::Counter, "revenue", n, 12.5 * n as f64),
            metric(MetricKind::Gauge, "basket", n, 3.0),
            metric(MetricKind::Rate, "buys", n, 0.5),
            metric(MetricKind::Trend, "price", n, 12.5),
        ],
        iterations: iterations(5 * n),
    }
}

fn requests(method: &str, name: &str, n: u64) -> RequestStats {
    RequestStats {
        method: method.into(),
        name: name.into(),
        requests: n,
        failures: n / 10,
        requests_per_s: n as f64 / 2.0,
        failures_per_s: (n / 10) as f64 / 2.0,
        duration: distribution(n),
        phases: Phases {
            connecting: distribution(n / 10),
            tls: distribution(n / 10),
            waiting: distribution(n),
            receiving: distribution(n),
        },
        statuses: vec![(0, n / 10), (200, n - n / 10)],
        sent_bytes: 100 * n,
        received_bytes: 1_000 * n,
    }
}

fn iterations(n: u64) -> IterationStats {
    IterationStats {
        finished: n,
        failed: n / 5,
        interrupted: 1,
        dropped: 2,
        duration: distribution(n),
        lag: distribution(n),
    }
}

fn distribution(count: u64) -> Distribution {
    let measured = if count == 0 { 0.0 } else { 1.0 };
    let percentiles = [
        (0.5, 10.0),
        (0.9, 20.5),
        (0.95, 30.0),
        (0.99, 40.0),
        (0.999, 50.0),
    ];
    Distribution {
        count,
        min_ms: measured,
        mean_ms: 12.345_678_9 * measured,
        median_ms: 10.0 * measured,
        max_ms: 60.0 * measured,
        percentiles_ms: percentiles
            .map(|(fraction, ms)| (fraction, ms * measured))
            .into(),
    }
}

fn failure(origin: FailureOrigin, method: &str, name: &str, n: u64) -> FailureStats {
    FailureStats {
        origin,
        method: method.into(),
        name: name.into(),
        message: "timeout".into(),
        occurrences: n,
        first_seen_ms: 1_795_383_626_000.0,
        last_seen_ms: 1_795_383_627_000.0,
    }
}

fn metric(kind: MetricKind, name: &str, count: u64, value: f64) -> MetricStats {
    let distribution = matches!(kind, MetricKind::Trend).then(|| distribution(count));
    MetricStats {
        name: name.into(),
        kind,
        count,
        value,
        distribution,
    }
}

fn threshold(passed: bool, value: Option<f64>) -> Threshold {
    Threshold {
        expression: "http_req_duration: p(95) < 500".into(),
        passed,
        value,
    }
}

fn system(cpu_percent: f64) -> SystemUsage {
    SystemUsage {
        cpu_percent,
        cores: 2,
        machine_cpu_percent: 80.0,
        machine_steal_percent: Some(2.0),
        scheduler_lag_ms: 1.5,
        memory_bytes: 64 * 1024 * 1024,
        machine_memory_bytes: 8 * 1024 * 1024 * 1024,
        threads: 4,
        open_files: 120,
        open_files_limit: 1_024,
        network_sent_bytes: 10_000,
        network_received_bytes: 200_000,
        requests_sent_bytes: 9_000,
        requests_received_bytes: 190_000,
    }
}
