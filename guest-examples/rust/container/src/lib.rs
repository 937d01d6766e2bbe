//! Adds a metric of its own: the memory of squall as a share of what its container may use.
//!
//! A component sees no files, so the limits come as options; a container finds them in its
//! cgroup, or in Kubernetes in variables of the downward API:
//!
//! ```sh
//! squall run shop.wasm --duration 1m --recorder json \
//!     --recorder "./container.wasm,memory-limit=$(cat /sys/fs/cgroup/memory.max)"
//! ```
//!
//! | option | |
//! |---|---|
//! | `memory-limit` | bytes, a size such as `512MiB` or `512Mi`, or `max` for none |
//! | `memory-request` | the same: what the container is sure to get |
//! | `warn-at` | the share of the limit from which on a line is a warning (0.9) |
//!
//! Every line has the same keys with the same types; without a limit there is no share.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use exports::squall::recorder::event_handler::Guest;
use squall::recorder::events::{Event, EventKind, Interests, RunInfo, SystemUsage};

wit_bindgen::generate!({ world: "recorder", path: "../../../wit/recorder" });

#[derive(Clone, Copy)]
struct Options {
    limit: Option<f64>,
    request: Option<f64>,
    warn_at: f64,
}

thread_local! {
    static OPTIONS: Cell<Options> = const {
        Cell::new(Options { limit: None, request: None, warn_at: 0.9 })
    };
}

struct Container;

export!(Container);

impl Guest for Container {
    fn start(run: RunInfo) -> Result<Interests, String> {
        OPTIONS.set(read(&run.options)?);
        Ok(Interests::SYSTEM)
    }

    fn handle(events: Vec<Event>) -> Vec<String> {
        let line = |event: &Event| match &event.kind {
            EventKind::System(usage) => Some(line(event, usage, OPTIONS.get())),
            _ => None,
        };
        events.iter().filter_map(line).collect()
    }

    fn finish() -> Vec<String> {
        Vec::new()
    }
}

fn line(event: &Event, usage: &SystemUsage, options: Options) -> String {
    let used = usage.memory_bytes as f64;
    let near = options
        .limit
        .is_some_and(|limit| used >= options.warn_at * limit);
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
    put("time", json!(event.time_ms));
    put("event", json!("container.memory"));
    put("severity", json!(if near { "warning" } else { "info" }));
    put("node", json!(event.node));
    put("memory_bytes", json!(usage.memory_bytes));
    for (name, bytes) in [("limit", options.limit), ("request", options.request)] {
        if let Some(bytes) = bytes {
            put(&format!("memory_{name}_bytes"), json!(bytes as u64));
            put(&format!("memory_{name}_share"), json!(used / bytes));
        }
    }
    Value::Object(line).to_string()
}

/// Reads the options; says all that is wrong with them.
fn read(options: &[(String, String)]) -> Result<Options, String> {
    let mut read = OPTIONS.get();
    let mut wrong = Vec::new();
    for (key, value) in options {
        let good = match key.as_str() {
            "memory-limit" => size(value).map(|limit| read.limit = limit),
            "memory-request" => size(value).map(|request| read.request = request),
            "warn-at" => share(value).map(|share| read.warn_at = share),
            _ => Err("there are `memory-limit`, `memory-request` and `warn-at`"),
        };
        if let Err(expected) = good {
            wrong.push(format!("`{key}={value}`: {expected}"));
        }
    }
    if wrong.is_empty() {
        Ok(read)
    } else {
        Err(wrong.join("; "))
    }
}

/// A size in bytes; `None` if there is no limit.
fn size(text: &str) -> Result<Option<f64>, &'static str> {
    const EXPECTED: &str = "expected bytes, a size such as `512MiB`, or `max`";
    const UNITS: [(&str, f64); 6] = [
        ("Ki", 1024.0),
        ("Mi", 1048576.0),
        ("Gi", 1073741824.0),
        ("K", 1e3),
        ("M", 1e6),
        ("G", 1e9),
    ];
    let text = text.trim();
    if text == "max" {
        return Ok(None);
    }
    let bare = text.strip_suffix('B').unwrap_or(text);
    let unit = UNITS.iter().find(|(unit, _)| bare.ends_with(unit));
    let (number, factor) = match unit {
        Some((unit, factor)) => (&bare[..bare.len() - unit.len()], *factor),
        None => (bare, 1.0),
    };
    let number: f64 = number.trim_end().parse().map_err(|_| EXPECTED)?;
    match number * factor {
        bytes if bytes >= 1.0 && bytes.is_finite() => Ok(Some(bytes)),
        _ => Err(EXPECTED),
    }
}

fn share(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as `0.9`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_cgroups_and_kubernetes_write_them() {
        for (text, bytes) in [
            ("536870912\n", 536870912.0),
            ("512MiB", 536870912.0),
            ("512Mi", 536870912.0),
            ("1.5G", 1.5e9),
            ("64 KB", 64e3),
        ] {
            assert_eq!(size(text), Ok(Some(bytes)), "{text}");
        }
        assert_eq!(size("max"), Ok(None));
        for text in ["", "much", "-1", "0", "inf", "NaN", "MiB", "5Ti"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_wrong_options_are_told_at_once() {
        let option = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let error = read(&[option("limit", "1"), option("warn-at", "90")]);
        let error = error.err().expect("both are wrong");
        assert!(
            error.contains("`limit=1`") && error.contains("`warn-at=90`"),
            "{error}"
        );
    }
}
