//! The wrapping that all log entries share: when, how severe, what, and on which
//! run and node.

use serde_json::{Map, Value, json};

use crate::squall::recorder::events::{Event, LogLevel, Role, RunInfo};
use crate::tidy::{shorten, tidy};
use crate::time::rfc3339;

/// A number that grows with the set of events and keys.
const SCHEMA_VERSION: &str = "1.0";
/// Log drivers split longer lines, or drop them.
const LINE_LIMIT: usize = 8 * 1024;
/// How long a string may get, and how long once the line got too long.
const STRING_LIMITS: [usize; 2] = [1024, 128];
/// How many labels a run may have, and how long their names and values may get.
const LABELS: usize = 16;
const LABEL_NAME_LIMIT: usize = 64;
const LABEL_VALUE_LIMIT: usize = 256;

/// How severe an entry is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// The number that OpenTelemetry gives to the level.
    fn severity_number(self) -> u8 {
        match self {
            Level::Debug => 5,
            Level::Info => 9,
            Level::Warn => 13,
            Level::Error => 17,
        }
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warn => Level::Warn,
            LogLevel::Error => Level::Error,
        }
    }
}

/// What there is to say about an event, without the wrapping.
#[derive(Debug)]
pub struct Entry {
    pub level: Level,
    /// The event's name, without the `loadtest.` that all have in front.
    pub name: &'static str,
    /// A sentence for a person.
    pub message: String,
    /// An object whose members go to the end of the line. May hold nulls and
    /// empty strings: they are left out.
    pub payload: Value,
}

/// The wrapping of one run's entries.
#[derive(Debug)]
pub struct Envelope {
    service: Value,
    run: Value,
    role: Role,
    node: String,
    host: String,
    process_id: u32,
    /// The number of the last entry.
    seq: u64,
}

impl Envelope {
    pub fn new(run: &RunInfo) -> Self {
        Self {
            service: json!({
                "name": "squall",
                "version": run.host_version,
                "instance": { "id": run.node },
            }),
            run: json!({ "id": run.run_id, "plan": run.test_plan, "labels": labels(&run.tags) }),
            role: run.role,
            node: run.node.clone(),
            host: run.hostname.clone(),
            process_id: run.process_id,
            seq: 0,
        }
    }

    /// Writes an entry as one line, without the line's end.
    pub fn wrap(&mut self, event: &Event, entry: Entry) -> String {
        self.seq += 1;
        let mut line = String::new();
        for limit in STRING_LIMITS {
            line = self.line(event, &entry, limit).to_string();
            if line.len() <= LINE_LIMIT {
                return line;
            }
        }

        // Shorter strings were not enough: leave out the largest parts.
        let mut entry = entry;
        while line.len() > LINE_LIMIT && drop_largest(&mut entry.payload) {
            let mut shorter = self.line(event, &entry, STRING_LIMITS[1]);
            shorter["truncated"] = json!(true);
            line = shorter.to_string();
        }
        line
    }

    fn line(&self, event: &Event, entry: &Entry, limit: usize) -> Value {
        let mut line = json!({
            "time": rfc3339(event.time_ms),
            "level": entry.level.name(),
            "severity_number": entry.level.severity_number(),
            "event_name": format!("loadtest.{}", entry.name),
            "message": entry.message,
            "schema_version": SCHEMA_VERSION,
            "service": self.service,
            "run": self.run,
            "node": self.node(event),
            "seq": self.seq,
        });
        if let (Value::Object(line), Value::Object(payload)) = (&mut line, &entry.payload) {
            line.extend(payload.clone());
        }
        let mut truncated = false;
        let mut line = tidy(line, limit, &mut truncated).expect("a line has its time");
        if truncated {
            line["truncated"] = json!(true);
        }
        line
    }

    /// The node on which the event happened, which need not be this one.
    fn node(&self, event: &Event) -> Value {
        if event.node == self.node {
            json!({
                "role": role_name(self.role),
                "id": self.node,
                "host": self.host,
                "pid": self.process_id,
            })
        } else {
            let role = match event.node.as_str() {
                "standalone" => Role::Standalone,
                "master" => Role::Master,
                _ => Role::Worker,
            };
            json!({ "role": role_name(role), "id": event.node })
        }
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Standalone => "standalone",
        Role::Master => "master",
        Role::Worker => "worker",
    }
}

/// The run's tags: the only keys in a line that a user makes up.
fn labels(tags: &[(String, String)]) -> Map<String, Value> {
    let mut labels = Map::new();
    for (name, value) in tags {
        if labels.len() == LABELS {
            break;
        }
        if !name.is_empty() {
            let name = shorten(name.clone(), LABEL_NAME_LIMIT, &mut false);
            let value = shorten(value.clone(), LABEL_VALUE_LIMIT, &mut false);
            labels.insert(name, Value::String(value));
        }
    }
    labels
}

/// Takes the largest member out of the largest object of a payload. False if
/// there is nothing left to take out.
fn drop_largest(payload: &mut Value) -> bool {
    let largest = |members: &Map<String, Value>| {
        members
            .iter()
            .max_by_key(|(_, value)| value.to_string().len())
            .map(|(key, _)| key.clone())
    };
    let Some(members) = payload.as_object_mut() else {
        return false;
    };
    let Some(key) = largest(members) else {
        return false;
    };
    let inner = members.get_mut(&key).and_then(Value::as_object_mut);
    match inner.and_then(|inner| Some((largest(inner)?, inner))) {
        Some((key, inner)) => inner.shift_remove(&key),
        None => members.shift_remove(&key),
    };
    true
}
