//! Whole lines, from events to text: held against those that locust-telemetry
//! wrote, which lie in `golden`, and against what this recorder promises.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::line;
use crate::recorder::Recorder;
use crate::squall::recorder::events::*;

/// A run with two workers, as its master told it: a start, two intervals, the end.
const MASTER: &str = include_str!("../golden/master.jsonl");
/// A worker of that run: two samples.
const WORKER: &str = include_str!("../golden/worker.jsonl");
/// A run against a port at which nobody listens.
const REFUSED: &str = include_str!("../golden/refused.jsonl");
/// A warning, repeated events, and a run that was stopped by hand.
const EDGE: &str = include_str!("../golden/edge.jsonl");

#[test]
fn the_master_of_a_run_writes_what_locust_telemetry_writes() {
    assert_like(MASTER, Role::Master, "master");
}

#[test]
fn a_run_without_workers_looks_like_one_with_its_master() {
    assert_like(MASTER, Role::Standalone, "standalone");
}

#[test]
fn a_worker_writes_what_locust_telemetry_writes() {
    assert_like(WORKER, Role::Worker, "worker-0");
}

#[test]
fn a_refused_connection_is_written_as_locust_telemetry_writes_it() {
    assert_like(REFUSED, Role::Standalone, "standalone");
}

#[test]
fn warnings_and_repeated_events_are_written_as_locust_telemetry_writes_them() {
    for line in EDGE.lines() {
        // Each is of a run of its own.
        if !line.contains("test.st") && !line.contains("final") {
            assert_like(line, Role::Standalone, "standalone");
        }
    }
    let stopped: Vec<_> = EDGE.lines().filter(|line| line.contains("web")).collect();
    // A start has its first figures, which are not among these lines.
    assert_like(&stopped[1..].join("\n"), Role::Standalone, "standalone");
}

#[test]
fn a_line_is_spaced_as_python_spaces_it() {
    for golden in [MASTER, WORKER, REFUSED, EDGE]
        .iter()
        .flat_map(|file| file.lines())
    {
        let mut line = String::new();
        line::write(&parse(golden), &mut line);
        // Python escapes what is not ASCII.
        assert_eq!(line, golden.replace(r"\u00e9", "é"));
    }
}

/// Plays the run that the golden lines tell of and fails unless the recorder
/// writes the same lines, but for what `README.md` says differs.
#[track_caller]
fn assert_like(golden: &str, role: Role, node: &str) {
    let golden: Vec<Value> = golden.lines().map(parse).collect();
    let context = &golden[0]["telemetry"];
    let run = RunInfo {
        run_id: text(&context["run_id"]),
        test_plan: text(&context["testplan"]),
        role,
        node: node.into(),
        ..run_info()
    };
    let lines = record(run, &played(&golden, node));
    let ours = lines.iter().map(|line| parse(line));
    // What nothing was measured by is left out.
    let golden: Vec<_> = golden
        .iter()
        .filter(|line| !(name(line).ends_with("metric.cpu") && line["telemetry"]["value"] == 0.0))
        .collect();
    let ours: Vec<_> = ours
        .filter(|line| !name(line).ends_with("stopping"))
        .collect();
    assert_eq!(ours.len(), golden.len(), "{lines:#?}");
    for (golden, ours) in golden.iter().zip(&ours) {
        assert_line(golden, ours);
    }
}

#[track_caller]
fn assert_line(golden: &Value, ours: &Value) {
    let keys = |line: &Value| -> Vec<String> {
        line.as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let expected = keys(golden);
    assert_eq!(keys(ours), expected);
    for key in ["level", "name", "message"] {
        // A warning of ours is a warning.
        if !(key == "level" && name(golden).ends_with("warning")) {
            assert_eq!(ours[key], golden[key], "in {ours}");
        }
    }
    let digits = |time: &Value| text(time).replace(|c: char| c.is_ascii_digit(), "9");
    assert_eq!(digits(&ours["time"]), digits(&golden["time"]));

    let (golden, ours) = (&golden["telemetry"], &ours["telemetry"]);
    let expected = keys(golden);
    assert_eq!(keys(ours)[..expected.len()], expected, "in {ours}");
    let kinds = golden_kinds();
    for key in &expected {
        let kinds = &kinds[&(text(&golden["telemetry_name"]), key.clone())];
        assert!(
            kinds.contains(kind(&ours[key])),
            "{key} is none of {kinds:?} in {ours}"
        );
        let differs = match &**key {
            "current_rps" | "current_fail_per_sec" => true,
            "unit" => golden["unit"] == "MiB" && ours["unit"] == "bytes",
            "end_time" => digits(&golden[key]) == digits(&ours[key]),
            "percentile_95" | "percentile_99" => {
                golden[key] == "" || golden[key].as_f64() > golden["max_response_time"].as_f64()
            }
            _ => false,
        };
        let same = match (golden[key].as_f64(), ours[key].as_f64()) {
            (Some(golden), Some(ours)) => (golden - ours).abs() <= golden.abs() * 1e-9,
            _ => golden[key] == ours[key],
        };
        assert!(differs || same, "{key} in {ours}\nin place of {golden}");
    }
}

/// The types of each key in the lines of each name. An empty text where other
/// lines have a number is none.
fn golden_kinds() -> BTreeMap<(String, String), BTreeSet<&'static str>> {
    let mut kinds: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in [MASTER, WORKER, REFUSED, EDGE]
        .iter()
        .flat_map(|file| file.lines())
    {
        let line = parse(line);
        let telemetry = line["telemetry"].as_object().expect("an object");
        for (key, value) in telemetry {
            let is_number = key.starts_with("percentile");
            if !(is_number && value == "") {
                let at = (name(&line), key.clone());
                kinds.entry(at).or_default().insert(kind(value));
            }
        }
    }
    kinds
}

/// The events of the run that these lines tell of.
fn played(golden: &[Value], node: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = 0;
    while let Some(line) = golden.get(at) {
        let lines = &golden[at..];
        let telemetry = &line["telemetry"];
        let (taken, kind) = match name(line).trim_start_matches("locust.tl.") {
            // With the first figures, all zero.
            "event.test.start" => (2, EventKind::RunStarted),
            "event.spawn.complete" => {
                let vus = number(&telemetry["user_count"]) as u32;
                (1, EventKind::RampUpFinished(RampUp { vus }))
            }
            "event.cpu.warning" => {
                let warning = ResourceWarning {
                    resource: ResourceKind::Cpu,
                    value: number(&telemetry["value"]),
                    limit: 100.0,
                };
                (1, EventKind::ResourceWarning(warning))
            }
            "system.metric.cpu" => (4, EventKind::System(usage(lines))),
            "request.metric.stats" => {
                let stats = Stats {
                    vus: number(&telemetry["user_count"]) as u32,
                    total: total(&lines[..1]),
                    ..stats(&[])
                };
                (1, EventKind::Stats(stats))
            }
            "event.test.stop" => {
                let stats = Stats {
                    vus: number(&lines[1]["telemetry"]["user_count"]) as u32,
                    total: total(&lines[1..]),
                    ..stats(&[])
                };
                (lines.len(), EventKind::RunFinished(summary(stats)))
            }
            other => panic!("no event gives `{other}`"),
        };
        at += taken;
        events.push(Event {
            node: node.into(),
            ..event(kind)
        });
    }
    events
}

/// A total as the line of all requests, and if there are any, those of failures
/// and of endpoints tell it.
fn total(lines: &[Value]) -> Window {
    let mut total = window(&[]);
    total.requests.clear();
    for line in lines {
        let line = &line["telemetry"];
        if line["status"] == "error" {
            total.failures.push(FailureStats {
                origin: FailureOrigin::Request,
                method: text(&line["method"]),
                name: text(&line["name"]),
                message: text(&line["error"]),
                occurrences: number(&line["occurrences"]) as u64,
                first_seen_ms: number(&line["first_seen"]) * 1e3,
                last_seen_ms: number(&line["last_seen"]) * 1e3,
            });
        } else if line["status"] == "success" {
            total.requests.push(request_stats(line));
        } else {
            total.all = request_stats(line);
        }
    }
    total
}

fn request_stats(line: &Value) -> RequestStats {
    let ms = |key: &str| number(&line[key]);
    let requests = number(&line["num_requests"]);
    RequestStats {
        method: text(&line["method"]),
        name: text(&line["name"]),
        failures: number(&line["num_failures"]) as u64,
        requests_per_s: number(&line["total_rps"]),
        failures_per_s: number(&line["total_fail_per_sec"]),
        duration: Distribution {
            count: requests as u64,
            min_ms: ms("min_response_time"),
            mean_ms: ms("avg_response_time"),
            median_ms: ms("median_response_time"),
            max_ms: ms("max_response_time"),
            percentiles_ms: vec![(0.95, ms("percentile_95")), (0.99, ms("percentile_99"))],
        },
        received_bytes: (number(&line["avg_content_length"]) * requests).round() as u64,
        ..requests_of("", "", requests as u64)
    }
}

fn usage(lines: &[Value]) -> SystemUsage {
    let value = |at: usize| number(&lines[at]["telemetry"]["value"]);
    SystemUsage {
        cpu_percent: value(0),
        machine_cpu_percent: value(0) / 2.0,
        memory_bytes: (value(1) * 1024.0 * 1024.0) as u64,
        requests_sent_bytes: value(2) as u64,
        requests_received_bytes: value(3) as u64,
        ..system(0.0)
    }
}

#[test]
fn the_end_comes_in_the_order_of_locust_telemetry() {
    let lines = record(run_info(), &whole_run());
    let kinds: Vec<String> = lines
        .iter()
        .map(|line| {
            let line = parse(line);
            let telemetry = &line["telemetry"];
            let part = |key: &str| telemetry[key].as_str().unwrap_or_default().to_owned();
            let parts = [name(&line), part("stats_type"), part("status")];
            parts.join(" ").trim().replace("locust.tl.", "")
        })
        .collect();
    let end = kinds
        .iter()
        .position(|kind| kind == "event.test.stop")
        .expect("it stops");
    assert_eq!(
        kinds[end..],
        [
            "event.test.stop",
            "request.metric.stats final",
            "request.metric.stats endpoint error",
            "request.metric.stats endpoint success",
            "request.metric.stats endpoint success",
            "script.metric.failures",
            "script.metric.failures",
            "event.threshold.result",
        ]
    );
    assert_eq!(kinds[1], "event.test.start");
    assert_eq!(kinds[2], "request.metric.stats current");
}

#[test]
fn the_intervals_and_the_endpoints_add_up_to_the_final_figures() {
    let lines: Vec<Value> = record(run_info(), &whole_run())
        .iter()
        .map(|line| parse(line)["telemetry"].clone())
        .collect();
    let sum = |filter: (&str, &str), key: &str| -> u64 {
        let of = lines.iter().filter(|line| line[filter.0] == filter.1);
        of.map(|line| line[key].as_u64().expect("a count")).sum()
    };
    for key in ["num_requests", "num_failures"] {
        let last = sum(("stats_type", "final"), key);
        assert_ne!(last, 0);
        assert_eq!(sum(("status", "success"), key), last);
        let interval = format!("interval_{key}");
        assert_eq!(sum(("stats_type", "current"), &interval), last);
    }
    let failures = sum(("stats_type", "final"), "num_failures");
    assert_eq!(sum(("status", "error"), "occurrences"), failures);
}

#[test]
fn current_rates_are_those_of_the_last_ten_seconds() {
    // Intervals of 2 s with so many requests each.
    let counts = [100, 1, 2, 3, 4, 5];
    let events: Vec<_> = counts
        .iter()
        .map(|count| {
            let mut stats = stats(&[1]);
            stats.interval.duration_ms = 2_000.5;
            stats.interval.all = requests_of("", "", 10 * count);
            stats.interval.requests = vec![requests_of("GET", "/", 10 * count)];
            event(EventKind::Stats(stats))
        })
        .chain([finished()])
        .collect();
    let lines: Vec<Value> = record(run_info(), &events)
        .iter()
        .map(|line| parse(line)["telemetry"].clone())
        .collect();
    let rates = |lines: &[Value]| -> Vec<f64> {
        let rounded = |line: &Value| number(&line["current_rps"]).round();
        lines.iter().map(rounded).collect()
    };
    assert_eq!(
        rates(&lines[..6]),
        [500.0, 252.0, 172.0, 132.0, 110.0, 15.0]
    );
    let failing = number(&lines[5]["current_fail_per_sec"]);
    assert_eq!(failing.to_string(), (15.0 / 10.0025).to_string());
    let last = lines.iter().find(|line| line["stats_type"] == "final");
    assert_eq!(number(&last.expect("it ends")["current_rps"]).round(), 15.0);
    // Nobody asked for it of late.
    let is_endpoint = |line: &&Value| line["status"] == "success" && line["name"] == "/item/[id]";
    let endpoint = lines.iter().find(is_endpoint);
    assert_eq!(number(&endpoint.expect("listed")["current_rps"]), 0.0);
}

#[test]
fn no_percentile_is_above_the_maximum() {
    for max_us in (0..3_000).step_by(7) {
        let max_ms = f64::from(max_us) / 1e3;
        let mut stats = stats(&[1]);
        let duration = &mut stats.total.all.duration;
        duration.max_ms = max_ms;
        duration.percentiles_ms = vec![(0.95, max_ms * 0.999), (0.99, max_ms)];
        let lines = record(run_info(), &[event(EventKind::Stats(stats))]);
        let line = &parse(&lines[0])["telemetry"];
        let value = |key: &str| number(&line[key]);
        assert!(value("percentile_95") <= value("percentile_99"), "{line}");
        assert!(
            value("percentile_99") <= value("max_response_time"),
            "{line}"
        );
        assert!(value("percentile_99") > max_ms - 1.0, "{line}");
        assert_eq!(value("percentile_99_ms"), max_ms);
    }
}

#[test]
fn a_first_sample_without_a_measurement_has_no_use_of_the_processor() {
    let idle = SystemUsage {
        machine_cpu_percent: 0.0,
        ..system(0.0)
    };
    let events = [idle, system(75.0), idle].map(|usage| event(EventKind::System(usage)));
    let lines = record(run_info(), &events);
    let cpu: Vec<f64> = lines
        .iter()
        .map(|line| parse(line))
        .filter(|line| name(line).ends_with("cpu"))
        .map(|line| number(&line["telemetry"]["value"]))
        .collect();
    assert_eq!(cpu, [75.0, 0.0]);
    assert_eq!(lines.len(), 3 + 4 + 4);
}

#[test]
fn a_key_has_one_type_in_all_lines_of_a_name() {
    let mut events = whole_run();
    // A run in which nothing could be measured must not change the types.
    let mut nothing = stats(&[]);
    nothing.interval.all.duration.max_ms = f64::NAN;
    nothing.total.all.duration.mean_ms = f64::INFINITY;
    nothing.total.all.duration.percentiles_ms.clear();
    events.extend([
        event(EventKind::Stats(nothing)),
        event(EventKind::System(system(f64::NAN))),
        event(EventKind::ThresholdChanged(threshold(
            true,
            Some(f64::INFINITY),
        ))),
    ]);
    let mut types = BTreeMap::new();
    for line in record(run_info(), &events) {
        let line = parse(&line);
        for (key, value) in line["telemetry"].as_object().expect("an object") {
            let kind = kind(value);
            let before = types.insert((name(&line), key.clone()), kind);
            assert!(
                before.is_none_or(|before| before == kind),
                "{key} in {line}"
            );
            assert_ne!(kind, "null", "{key} in {line}");
        }
    }
    assert!(types.len() > 150, "{}", types.len());
}

#[test]
fn a_worker_tells_of_itself_and_of_nothing_else() {
    let run = RunInfo {
        role: Role::Worker,
        node: "worker-2".into(),
        ..run_info()
    };
    let recorder = Recorder::new(run.clone()).expect("it has no options");
    assert_eq!(recorder.interests(), Interests::SYSTEM);
    let events: Vec<_> = whole_run()
        .into_iter()
        .map(|event| Event {
            node: "worker-2".into(),
            ..event
        })
        .collect();
    let mut names = BTreeSet::new();
    for line in record(run, &events) {
        let line = parse(&line);
        assert_eq!(line["telemetry"]["source"], "WorkerRunner");
        assert_eq!(line["telemetry"]["source_id"], "worker-2");
        names.insert(name(&line).replace("locust.tl.", ""));
    }
    let expected = [
        "event.cpu.recovered",
        "event.cpu.warning",
        "event.memory.warning",
        "event.telemetry.dropped",
        "system.metric.cpu",
        "system.metric.mem",
        "system.metric.network",
    ];
    assert_eq!(
        names.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn who_leads_tells_everything() {
    let recorder = Recorder::new(run_info()).expect("it has no options");
    assert_eq!(recorder.interests(), Interests::STATS | Interests::SYSTEM);
    for line in record(run_info(), &whole_run()) {
        let telemetry = &parse(&line)["telemetry"];
        assert_eq!(telemetry["source"], "MasterRunner");
        assert_eq!(telemetry["source_id"], "master");
        assert_eq!(telemetry["run_id"], run_info().run_id);
        assert_eq!(telemetry["testplan"], "checkout");
    }
}

#[test]
fn an_event_keeps_the_node_on_which_it_happened() {
    let elsewhere = Event {
        node: "worker-2".into(),
        ..event(EventKind::ResourceWarning(shortage(ResourceKind::Cpu)))
    };
    let lines = record(run_info(), &[elsewhere]);
    let telemetry = &parse(&lines[0])["telemetry"];
    assert_eq!(telemetry["source"], "WorkerRunner");
    assert_eq!(telemetry["source_id"], "worker-2");
}

#[test]
fn no_line_is_longer_than_8_kib() {
    let long = "\u{1}\"é\n".repeat(10_000);
    let run = RunInfo {
        run_id: long.clone(),
        test_plan: long.clone(),
        hostname: long.clone(),
        host_version: long.clone(),
        scenarios: vec![long.clone(); 100],
        tags: (0..100)
            .map(|n| (format!("{n}{long}"), long.clone()))
            .collect(),
        ..run_info()
    };
    let mut total = window(&[1]);
    total.all.requests = u64::MAX;
    total.requests[0].method.clone_from(&long);
    total.requests[0].name.clone_from(&long);
    total.requests[0].requests_per_s = f64::MIN_POSITIVE;
    for failure in &mut total.failures {
        failure.name.clone_from(&long);
        failure.method.clone_from(&long);
        failure.message.clone_from(&long);
    }
    let summary = RunSummary {
        reason: StopReason::Other(long.clone()),
        thresholds: vec![Threshold {
            expression: long.clone(),
            ..threshold(false, Some(f64::MAX))
        }],
        ..summary(Stats {
            total,
            ..stats(&[])
        })
    };
    let events = [
        EventKind::RunStarted,
        EventKind::WorkerLost(long.clone()),
        EventKind::RunStopping(StopReason::Aborted(long.clone())),
        EventKind::RunFinished(summary),
    ]
    .map(|kind| Event {
        node: long.clone(),
        ..event(kind)
    });
    let lines = record(run, &events);
    assert_eq!(lines.len(), 4 + 8);
    let longest = lines.iter().map(String::len).max();
    assert!(longest > Some(4 * 1024), "{longest:?}");
    for line in lines {
        assert!(line.len() <= 8 * 1024, "{} bytes: {line}", line.len());
        parse(&line);
    }
}

#[test]
fn what_is_not_ascii_stays_readable() {
    let mut summary = summary(stats(&[]));
    summary.stats.total.failures[0].message = "zurückgewiesen: \"é\"".into();
    let lines = record(run_info(), &[event(EventKind::RunFinished(summary))]);
    let error = r#""error": "zurückgewiesen: \"é\"""#;
    assert!(lines.iter().any(|line| line.contains(error)), "{lines:#?}");
}

#[test]
fn an_option_is_refused_with_a_hint() {
    let run = RunInfo {
        options: vec![("testplan".into(), "a".into())],
        ..run_info()
    };
    let error = Recorder::new(run).expect_err("it has no options");
    assert!(
        error.starts_with("unknown option `testplan`\nhint: "),
        "{error}"
    );
}

#[test]
fn events_that_were_not_asked_for_give_no_line() {
    let other = OtherEvent {
        name: "x".into(),
        payload: "{}".into(),
    };
    let log = LogMessage {
        scenario: "default".into(),
        vu: 1,
        iteration: 0,
        level: LogLevel::Warn,
        message: "m".into(),
    };
    let events = [EventKind::Other(other), EventKind::Log(log)].map(event);
    let lines = record(run_info(), &events);
    assert!(lines.is_empty(), "{lines:?}");
}

fn record(run: RunInfo, events: &[Event]) -> Vec<String> {
    let mut recorder = Recorder::new(run).expect("it has no options");
    events
        .iter()
        .flat_map(|event| recorder.handle(event))
        .collect()
}

fn parse(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).expect("a line is JSON");
    assert!(value.is_object(), "{line}");
    value
}

fn name(line: &Value) -> String {
    text(&line["telemetry"]["telemetry_name"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(Map { .. }) => "object",
    }
}

/// A run in which everything happens, in four units of work.
fn whole_run() -> Vec<Event> {
    [
        EventKind::WorkerJoined("worker-1".into()),
        EventKind::RunStarted,
        EventKind::System(system(75.0)),
        EventKind::RampUpFinished(RampUp { vus: 50 }),
        EventKind::Stats(stats(&[1])),
        EventKind::ThresholdChanged(threshold(false, Some(612.0))),
        EventKind::ThresholdChanged(threshold(true, None)),
        EventKind::LoadChanged(LoadChange {
            scenario: "default".into(),
            action: LoadAction::Target,
            before: Load::Rate(50.0),
            after: Load::Rate(62.5),
            by: Steerer::ControlApi("127.0.0.1:6789".into()),
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
        EventKind::ResourceWarning(shortage(ResourceKind::Cpu)),
        EventKind::ResourceRecovered(shortage(ResourceKind::Cpu)),
        EventKind::ResourceWarning(shortage(ResourceKind::Memory)),
        EventKind::EventsDropped(3),
        EventKind::WorkerLost("worker-1".into()),
        EventKind::RunStopping(StopReason::Aborted("enough".into())),
        EventKind::Stats(stats(&[1, 2])),
    ]
    .map(event)
    .into_iter()
    .chain([finished()])
    .collect()
}

fn finished() -> Event {
    event(EventKind::RunFinished(RunSummary {
        thresholds: vec![threshold(false, Some(612.0))],
        ..summary(stats(&[1, 2]))
    }))
}

fn event(kind: EventKind) -> Event {
    Event {
        time_ms: 1_795_383_724_015.25,
        elapsed_ms: 40_000.0,
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
        plan: "{}".into(),
        options: Vec::new(),
    }
}

fn summary(stats: Stats) -> RunSummary {
    RunSummary {
        passed: false,
        exit_code: 99,
        reason: StopReason::Completed,
        stats,
        thresholds: Vec::new(),
        quality: DataQuality {
            events_dropped: 3,
            log_messages_dropped: 0,
            script_errors_dropped: 0,
            workers_lost: 0,
            vus_not_started: 0,
            resource_warnings: 0,
            names_capped: Vec::new(),
        },
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

/// What some units of work add to a window.
fn window(units: &[u64]) -> Window {
    let n: u64 = units.iter().sum();
    let failure = |origin, method: &str, name: &str, occurrences| FailureStats {
        origin,
        method: method.into(),
        name: name.into(),
        message: "timeout".into(),
        occurrences,
        first_seen_ms: 1_795_383_626_000.0,
        last_seen_ms: 1_795_383_627_000.0,
    };
    let failures = match n {
        0 => Vec::new(),
        n => vec![
            failure(FailureOrigin::Request, "GET", "/item/[id]", 3 * n),
            failure(FailureOrigin::Transaction, "", "checkout", n),
            failure(FailureOrigin::Script, "", "default", n),
        ],
    };
    Window {
        duration_ms: n as f64 * 1_000.0,
        all: requests_of("", "", 30 * n),
        requests: vec![
            RequestStats {
                failures: 3 * n,
                ..requests_of("GET", "/item/[id]", 20 * n)
            },
            RequestStats {
                failures: 0,
                ..requests_of("POST", "/basket", 10 * n)
            },
            requests_of("GET", "/unused", 0),
        ],
        transactions: Vec::new(),
        failures,
        checks: Vec::new(),
        metrics: Vec::new(),
        iterations: IterationStats {
            finished: n,
            failed: 0,
            interrupted: 0,
            dropped: 0,
            duration: distribution(n),
            lag: distribution(n),
        },
    }
}

fn requests_of(method: &str, name: &str, n: u64) -> RequestStats {
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
            tls: distribution(0),
            waiting: distribution(n),
            receiving: distribution(n),
        },
        statuses: vec![(0, n / 10), (200, n - n / 10)],
        sent_bytes: 100 * n,
        received_bytes: 1_000 * n,
    }
}

fn distribution(count: u64) -> Distribution {
    let measured = if count == 0 { 0.0 } else { 1.0 };
    let percentiles = [(0.9, 20.5), (0.95, 30.0), (0.99, 40.0), (0.999, 50.0)];
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

fn threshold(passed: bool, value: Option<f64>) -> Threshold {
    Threshold {
        expression: "http_req_duration: p(95) < 500".into(),
        passed,
        value,
    }
}

fn shortage(resource: ResourceKind) -> ResourceWarning {
    ResourceWarning {
        resource,
        value: 190.0,
        limit: 200.0,
    }
}

fn system(cpu_percent: f64) -> SystemUsage {
    SystemUsage {
        cpu_percent,
        cores: 2,
        machine_cpu_percent: 80.0,
        machine_steal_percent: None,
        scheduler_lag_ms: 0.5,
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
