//! The OpenTelemetry collector: `filelog` reads, `otlphttp` sends.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::consumer::{Consumer, program};
use crate::entries::{self, Entry, FILE, TORN, every_one_once};
use crate::otlp::{Receiver, Record};
use crate::support::guests::repository;

#[test]
fn the_opentelemetry_collector_passes_on_every_entry_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::start();
    let mut collector = Consumer::start(
        Command::new(program("otelcol"))
            .arg("--config")
            .arg(repository().join("deploy/logs/otelcol.yaml"))
            // The same messages, in the encoding that the receiver above reads.
            .args(["--config", "yaml:exporters::otlphttp::encoding: json"])
            .args(["--config", "yaml:exporters::otlphttp::compression: none"])
            .env("SQUALL_TELEMETRY", folder.path().join(FILE))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
        folder.path(),
    );
    collector.until("that it is ready", |collector| {
        collector.printed().contains("Everything is ready")
    });

    let entries = entries::rotated(folder.path());
    collector.until("that every entry arrives", |_| {
        receiver.records().len() >= entries.len()
    });
    entries::tear(folder.path());
    let is_torn = |record: &Record| record.body == TORN;
    collector.until("that the torn line arrives", |_| {
        receiver.records().iter().any(is_torn)
    });
    collector.stop();

    let (torn, records): (Vec<_>, Vec<_>) = receiver.records().into_iter().partition(is_torn);
    assert_eq!(torn.len(), 1);
    assert_eq!(torn[0].resource["service.name"], "squall");
    every_one_once(records.iter().map(seq), entries.len());
    let records: BTreeMap<u64, &Record> = records.iter().map(|r| (seq(r), r)).collect();
    for entry in &entries {
        same(records[&entry.seq()], entry);
    }
}

fn seq(record: &Record) -> u64 {
    let seq = record.attributes["seq"].as_f64();
    seq.unwrap_or_else(|| panic!("no number: {record:?}")) as u64
}

/// Fails unless the record says all that the entry says.
#[track_caller]
fn same(record: &Record, entry: &Entry) {
    let raw = &record.raw;
    let nanoseconds: i128 = raw["timeUnixNano"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a 64-bit number is text in OTLP's JSON");
    assert_eq!(nanoseconds, entry.nanoseconds(), "{raw:#}");
    assert_eq!(raw["severityNumber"], entry.json["severity_number"]);
    assert_eq!(raw["severityText"], entry.json["level"]);
    assert_eq!(record.body, entry.json["message"]);
    assert_eq!(
        record.resource,
        json!({
            "service.name": entry.text("service.name"),
            "service.version": entry.text("service.version"),
            "service.instance.id": entry.text("service.instance.id"),
            "host.name": entry.text("node.host"),
        })
    );

    // All else is an attribute, under the name that it had.
    let mut rest = entry.json.clone();
    let object = rest.as_object_mut().expect("an entry is an object");
    for moved in ["time", "level", "severity_number", "message", "service"] {
        object.remove(moved).expect("it is in every entry");
    }
    let node = object["node"].as_object_mut().expect("an object");
    node.remove("host").expect("it is in every entry");
    assert_eq!(record.attributes, with_floats(&rest));
}

/// The value as the collector has it, to which every number is a float.
fn with_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().expect("it fits")),
        Value::Array(items) => items.iter().map(with_floats).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(k, v)| (k.clone(), with_floats(v)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}
