//! Whole lines, from events to text.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::recorder::Recorder;
use crate::squall::recorder::events::*;

#[test]
fn a_run_becomes_the_expected_lines() {
    let lines = record(run_info(), &whole_run()).join("\n") + "\n";
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
    for line in record(run_info(), &events) {
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
    assert!(types.len() > 100, "{types:?}");
    let depth = types.keys().map(|path| path.matches('/').count()).max();
    assert_eq!(depth, Some(4), "{types:?}");
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

#[test]
fn no_line_is_longer_than_8_kib() {
    let long = "\u{1}\"é\n".repeat(10_000);
    let tags = (0..100)
        .map(|n| (format!("{n}{long}"), long.clone()))
        .collect();
    let plan: BTreeMap<String, Vec<String>> = (0..200)
        .map(|n| (format!("scenario-{n}"), vec!["x".repeat(90); 3]))
        .collect();
    let run = RunInfo {
        run_id: long.clone(),
        test_plan: long.clone(),
        hostname: long.clone(),
        host_version: long.clone(),
        scenarios: vec![long.clone(); 100],
        tags,
        plan: serde_json::to_string_pretty(&plan).expect("a map of strings is JSON"),
        ..run_info()
    };
    let events = [
        event(EventKind::RunStarted),
        event(EventKind::WorkerLost(long.clone())),
        event(EventKind::ScriptError(ScriptError {
            scenario: long.clone(),
            vu: 1,
            iteration: 2,
            message: long.clone(),
            stack: Some(long.clone()),
        })),
        Event {
            node: long.clone(),
            ..event(EventKind::RunStopping(StopReason::Other(long)))
        },
    ];
    let lines = record(run, &events);
    assert_eq!(lines.len(), events.len());
    for line in lines {
        assert!(line.len() <= 8 * 1024, "{} bytes: {line}", line.len());
        let line = parse(&line);
        assert_eq!(line["truncated"], true);
        assert!(
            line["run"]["labels"]
                .as_object()
                .is_some_and(|labels| labels.len() <= 16)
        );
    }
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
fn events_that_were_not_asked_for_give_no_line() {
    let other = OtherEvent {
        name: "new".into(),
        payload: "{}".into(),
    };
    let sample = Sample {
        metric: "queue".into(),
        kind: MetricKind::Gauge,
        value: 1.0,
        tags: Vec::new(),
    };
    let events = [
        event(EventKind::Other(other)),
        event(EventKind::Sample(sample)),
    ];
    assert_eq!(record(run_info(), &events), Vec::<String>::new());
}

#[test]
fn an_option_is_a_mistake() {
    let run = RunInfo {
        options: vec![("profile".into(), "ecs".into())],
        ..run_info()
    };
    let error = Recorder::new(run).err();
    assert_eq!(
        error.as_deref(),
        Some("unknown option `profile`\nhint: the json recorder has no options")
    );
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
    events
        .iter()
        .flat_map(|event| recorder.handle(event))
        .collect()
}

fn parse(line: &str) -> Value {
    assert!(!line.contains('\n'), "more than one line: {line}");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn visit(path: &str, value: &Value, seen: &mut impl FnMut(&str, &Value)) {
    seen(path, value);
    // The plan's keys are the host's.
    if let Value::Object(members) = value
        && path != "/test/config"
    {
        for (key, value) in members {
            visit(&format!("{path}/{key}"), value, seen);
        }
    }
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
        EventKind::ThresholdChanged(threshold(true, None)),
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
        EventKind::EventsDropped(12),
        EventKind::WorkerLost("worker-1".into()),
        EventKind::Stats(stats(&[2])),
        EventKind::RunStopping(StopReason::Completed),
        EventKind::RunFinished(summary()),
    ];
    kinds.into_iter().map(event).collect()
}

fn summary() -> RunSummary {
    RunSummary {
        passed: true,
        exit_code: 0,
        reason: StopReason::Completed,
        stats: stats(&[2]),
        thresholds: vec![threshold(true, Some(312.25)), threshold(false, None)],
        events_dropped: 12,
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        time_ms: 1_795_383_628_123.456,
        elapsed_ms: 4_000.5,
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
            tls: distribution(0),
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
