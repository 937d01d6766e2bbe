//! The profiles: the same entries in other wrappings.

use serde_json::{Map, Value};

use super::{event, everything, judge, parse, record, run_info, whole_run, with_options};
use crate::squall::recorder::events::{EventKind, RunInfo, StopReason};

fn lines_of(profile: &str) -> Vec<String> {
    let mut run = everything();
    run.options.push(("profile".into(), profile.into()));
    record(run, &whole_run())
}

/// Takes a member out.
fn take(line: &mut Map<String, Value>, key: &str) -> Value {
    line.shift_remove(key)
        .unwrap_or_else(|| panic!("no {key} in {line:?}"))
}

/// Gives a line of a profile the names of `native`.
fn to_native(profile: &str, line: &Value) -> Value {
    let mut rest = line.as_object().expect("a line is an object").clone();
    let line = &mut rest;
    let mut native = Map::new();
    let mut put = |key: &str, value: Value| {
        native.insert(key.to_owned(), value);
    };
    match profile {
        "ecs" => {
            put("time", take(line, "@timestamp"));
            put("level", take(line, "log.level"));
            assert_eq!(take(line, "ecs.version"), "8.11.0");
            let Value::Object(mut event) = take(line, "event") else {
                panic!("an event is an object");
            };
            put("event_name", take(&mut event, "action"));
            put("severity_number", take(&mut event, "severity"));
            put("seq", take(&mut event, "sequence"));
            let Value::Object(mut service) = take(line, "service") else {
                panic!("a service is an object");
            };
            let node = take(&mut service, "node");
            service.insert("instance".into(), serde_json::json!({ "id": node["name"] }));
            put("service", service.into());
            let host = take(line, "host");
            line["node"]["host"] = host["name"].clone();
            line["run"]["labels"] = take(line, "labels");
        }
        "datadog" => {
            put("time", take(line, "timestamp"));
            put("level", take(line, "status"));
            assert_eq!(take(line, "ddsource"), "squall");
            let service = serde_json::json!({
                "name": take(line, "service"),
                "version": take(line, "version"),
                "instance": { "id": line["node"]["id"] },
            });
            put("service", service);
            let host = take(line, "host");
            line["node"]["host"] = host;
        }
        "gcp" => {
            let level = take(line, "severity");
            let level = match level.as_str().expect("a severity is a text") {
                "DEBUG" => "debug",
                "INFO" => "info",
                "WARNING" => "warn",
                "ERROR" => "error",
                other => panic!("{other}"),
            };
            put("level", level.into());
            line["run"]["labels"] = take(line, "logging.googleapis.com/labels");
        }
        other => panic!("{other}"),
    }
    native.append(&mut rest);
    Value::Object(native)
}

#[test]
fn a_profile_says_the_same_under_other_names() {
    let native = lines_of("native");
    let judge = judge();
    for (profile, first) in [
        ("ecs", r#"{"@timestamp":"2026-"#),
        ("datadog", r#"{"timestamp":"2026-"#),
        ("gcp", r#"{"time":"2026-"#),
    ] {
        let lines = lines_of(profile);
        assert_eq!(lines.len(), native.len());
        for (line, native) in lines.iter().zip(&native) {
            assert!(line.starts_with(first), "{line}");
            let line = parse(line);
            judge
                .check(&line)
                .unwrap_or_else(|mistake| panic!("{mistake}"));
            // Maps are equal whatever the order of their keys.
            assert_eq!(to_native(profile, &line), parse(native), "{profile}");
        }
    }
}

#[test]
fn no_key_comes_twice() {
    for profile in ["native", "ecs", "datadog", "gcp"] {
        for line in lines_of(profile) {
            // A parsed object keeps one of each, so it is shorter if there were two.
            assert_eq!(parse(&line).to_string().len(), line.len(), "{line}");
        }
    }
}

#[test]
fn each_profile_begins_as_expected() {
    let started = event(EventKind::RunStopping(StopReason::Interrupted));
    for (profile, expected) in [
        (
            "native",
            r#"{"time":"2026-11-22T21:40:28.123456055Z","level":"warn","severity_number":13,"event_name":"loadtest.run.stop_requested","message":"the run is stopping, interrupted","schema_version":"1.0","service":{"name":"squall","version":"0.1.0","instance":{"id":"standalone"}},"run":{"id":"01936d5e-7d4b-7000-8000-000000000001","plan":"checkout","labels":{"app.team":"shop"}},"node":{"role":"standalone","id":"standalone","host":"machine","pid":4242},"seq":1,"stop":{"reason":"interrupted"}}"#,
        ),
        (
            "ecs",
            r#"{"@timestamp":"2026-11-22T21:40:28.123456055Z","log.level":"warn","event":{"action":"loadtest.run.stop_requested","dataset":"squall.telemetry","severity":13,"sequence":1},"message":"the run is stopping, interrupted","ecs.version":"8.11.0","schema_version":"1.0","service":{"name":"squall","version":"0.1.0","node":{"name":"standalone"}},"host":{"name":"machine"},"labels":{"app_team":"shop"},"run":{"id":"01936d5e-7d4b-7000-8000-000000000001","plan":"checkout"},"node":{"role":"standalone","id":"standalone","pid":4242},"stop":{"reason":"interrupted"}}"#,
        ),
        (
            "datadog",
            r#"{"timestamp":"2026-11-22T21:40:28.123456055Z","status":"warn","severity_number":13,"event_name":"loadtest.run.stop_requested","message":"the run is stopping, interrupted","schema_version":"1.0","service":"squall","version":"0.1.0","host":"machine","ddsource":"squall","run":{"id":"01936d5e-7d4b-7000-8000-000000000001","plan":"checkout","labels":{"app.team":"shop"}},"node":{"role":"standalone","id":"standalone","pid":4242},"seq":1,"stop":{"reason":"interrupted"}}"#,
        ),
        (
            "gcp",
            r#"{"time":"2026-11-22T21:40:28.123456055Z","severity":"WARNING","severity_number":13,"event_name":"loadtest.run.stop_requested","message":"the run is stopping, interrupted","schema_version":"1.0","service":{"name":"squall","version":"0.1.0","instance":{"id":"standalone"}},"run":{"id":"01936d5e-7d4b-7000-8000-000000000001","plan":"checkout"},"logging.googleapis.com/labels":{"app.team":"shop"},"node":{"role":"standalone","id":"standalone","host":"machine","pid":4242},"seq":1,"stop":{"reason":"interrupted"}}"#,
        ),
    ] {
        let run = RunInfo {
            tags: vec![("app.team".into(), "shop".into())],
            ..with_options(run_info(), &[("profile", profile)])
        };
        assert_eq!(record(run, std::slice::from_ref(&started)), [expected]);
    }
}
