//! The example `recorder`: a line for each interval.

use serde_json::Value;

use super::language::{Language, PATIENCE};
use crate::support::command::Squall;
use crate::support::server::Server;

/// Fed with recorded runs it writes what the one in Rust writes; in a run of its
/// own, beside the recorder `json`, it counts what the server counted.
pub(crate) fn recorder(language: Language) {
    let recorder = language.example("recorder");
    assert_eq!(replayed(language), replayed(Language::Rust));

    let server = Server::start();
    let outcome = Squall::script(Language::Rust.example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", "200")
        .flag("--stats-interval", "100ms")
        .flag("--recorder", "json")
        .flag("--recorder", &recorder)
        .timeout(PATIENCE)
        .run()
        .exited(0);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
    let lines = outcome.lines();
    let own: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("schema_version").is_none())
        .collect();
    let sum = |key: &str| -> u64 {
        let of = |line: &&Value| line[key].as_u64().expect("a count");
        own.iter().map(of).sum()
    };
    assert_eq!((sum("sent"), sum("failed")), (200, 0), "{own:?}");
    assert_eq!(server.total(), 200);
}

/// The log entries that `squall recorder test` gets of a language's recorder, and
/// finds nothing wrong with.
fn replayed(language: Language) -> Vec<Value> {
    let recorder = language.example("recorder");
    let outcome = Squall::new(["recorder".as_ref(), "test".as_ref(), recorder.as_os_str()])
        .timeout(PATIENCE)
        .run()
        .exited(0);
    let good = "good: every entry arrives, 0 warnings";
    assert!(outcome.stderr.contains(good), "{}", outcome.story());
    let mut lines = outcome.lines();
    assert!(lines.len() > 4, "{}", outcome.story());
    for line in &mut lines {
        // Not all write as many digits.
        let time_ms = line["time"].as_f64().expect("a point in time");
        line["time"] = Value::from(time_ms.round());
    }
    lines
}
