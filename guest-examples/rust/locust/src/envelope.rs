//! The wrapping that all log entries share: that of a Python logger, with the
//! telemetry inside.

use serde_json::{Map, Value, json};

use crate::line;
use crate::squall::recorder::events::{Event, RunInfo};
use crate::time::rfc3339;

/// The logger that locust-telemetry writes with. Nobody of that name is here, but
/// there may be filters that go by it.
const LOGGER: &str = "locust_telemetry.recorders.json.handlers";
/// How long a string may get, and how long the id of a run or of a node. No line
/// has so many strings that it could be longer than 8 KiB.
const STRING_LIMIT: usize = 1024;
const ID_LIMIT: usize = 128;

/// How severe an entry is, in Python's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Event,
    Metrics,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Metrics => "metrics",
        }
    }
}

/// What there is to say, without the wrapping.
#[derive(Debug)]
pub struct Entry {
    pub level: Level,
    pub kind: Kind,
    /// The entry's name, without the `locust.tl.` that all have in front.
    pub name: &'static str,
    /// An object whose members go to the end of the telemetry. Nulls are left
    /// out.
    pub fields: Value,
}

impl Entry {
    pub fn event(name: &'static str, fields: Value) -> Self {
        Self {
            level: Level::Info,
            kind: Kind::Event,
            name,
            fields,
        }
    }

    pub fn metrics(name: &'static str, fields: Value) -> Self {
        Self {
            kind: Kind::Metrics,
            ..Self::event(name, fields)
        }
    }

    pub fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }
}

/// The wrapping of one run's entries.
#[derive(Debug)]
pub struct Envelope {
    run_id: String,
    test_plan: String,
}

impl Envelope {
    pub fn new(run: &RunInfo) -> Self {
        Self {
            run_id: line::shortened(&run.run_id, ID_LIMIT),
            test_plan: run.test_plan.clone(),
        }
    }

    /// Writes an entry as one line, without the line's end.
    pub fn wrap(&self, event: &Event, entry: Entry) -> String {
        let Entry {
            level,
            kind,
            name,
            fields,
        } = entry;
        let name = format!("locust.tl.{name}");
        let kind = kind.name();
        let (source, source_id) = source(&event.node);
        let mut telemetry = json!({
            "telemetry_type": kind,
            "telemetry_name": name,
            "source": source,
            "source_id": line::shortened(source_id, ID_LIMIT),
            "run_id": self.run_id,
            "testplan": self.test_plan,
        });
        extend(&mut telemetry, fields);
        let mut entry = json!({
            "time": rfc3339(event.time_ms),
            "level": level.name(),
            "name": LOGGER,
            "message": format!("Recording telemetry {kind}: {name}"),
            "telemetry": telemetry,
        });
        shorten(&mut entry);
        let mut line = String::new();
        line::write(&entry, &mut line);
        line
    }
}

/// Adds the members of one object to another, but for its nulls.
pub fn extend(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    }
}

/// A number that measures: one with a fraction, and finite.
pub fn measured(number: f64) -> Value {
    json!(if number.is_finite() { number } else { 0.0 })
}

/// The class and the name of the node on which an event happened. Whoever is alone
/// in a run is its master.
fn source(node: &str) -> (&'static str, &str) {
    match node {
        "standalone" | "master" => ("MasterRunner", "master"),
        worker => ("WorkerRunner", worker),
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => *text = line::shortened(text, STRING_LIMIT),
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names and their values as an object, no more than a line has room for.
pub fn labels(tags: &[(String, String)]) -> Option<Map<String, Value>> {
    const MOST: usize = 16;
    const NAME_LIMIT: usize = 64;
    const VALUE_LIMIT: usize = 128;
    let short = |(name, value): &(String, String)| {
        (
            line::shortened(name, NAME_LIMIT),
            Value::from(line::shortened(value, VALUE_LIMIT)),
        )
    };
    (!tags.is_empty()).then(|| tags.iter().take(MOST).map(short).collect())
}
