//! Vector: its own engine runs the program that turns lines into events.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::consumer::program;
use crate::entries::{self, TORN};
use crate::support::guests::repository;

/// What `squall.vrl` makes of each of the lines.
fn remap(lines: &[&str]) -> Vec<Value> {
    let mut child = Command::new(program("vrl-python"))
        .arg(repository().join("tests/pipelines/remap.py"))
        .arg(repository().join("deploy/logs/squall.vrl"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is installed and can be started");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut stdin = child.stdin.take().expect("it is piped");
    let feed = thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it is our child");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    feed.join()
        .expect("writing does not panic")
        .expect("it reads all lines");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let events = text.lines().map(serde_json::from_str);
    events.collect::<Result<_, _>>().expect("JSON lines")
}

#[test]
fn vrl_keeps_every_field_and_adds_labels_and_metadata() {
    let entries = entries::some("json");
    let lines: Vec<&str> = entries.iter().map(|entry| entry.line.as_str()).collect();
    let events = remap(&lines);
    assert_eq!(events.len(), entries.len());
    for (mut event, entry) in events.into_iter().zip(&entries) {
        let object = event.as_object_mut().expect("an event is an object");
        let nanoseconds = object.remove("nanoseconds").expect("remap.py adds it");
        assert_eq!(
            nanoseconds.as_i64().map(i128::from),
            Some(entry.nanoseconds())
        );
        object.remove("timestamp").expect("the program sets it");
        let loki = object.remove("loki").expect("the program sets it");
        assert_eq!(event, entry.json);

        assert_eq!(
            loki["labels"],
            json!({
                "service_name": "squall",
                "event_name": entry.text("event_name"),
                "level": entry.text("level"),
                "node_role": entry.text("node.role"),
            })
        );
        let mut metadata = json!({
            "run_id": entry.text("run.id"),
            "run_plan": entry.text("run.plan"),
        });
        if let Some(route) = entry.at("http.route") {
            metadata["http_route"] = route.clone();
        }
        assert_eq!(loki["structured_metadata"], metadata);
    }
}

#[test]
fn vrl_makes_an_error_of_what_is_no_entry() {
    let lines = [TORN, "[1]", "text", ""];
    for (event, line) in remap(&lines).into_iter().zip(lines) {
        assert_eq!(event["message"], line);
        assert_eq!(
            event["loki"]["labels"],
            json!({"service_name": "squall", "event_name": "unparsed", "level": "error"})
        );
        assert!(event["nanoseconds"].is_i64(), "{event}");
    }
}
