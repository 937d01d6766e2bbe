//! Several languages in one run.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::language::{Language, PATIENCE};
use crate::support::command::Squall;
use crate::support::server::Server;

/// Scripts in six languages against one server. Each has as many iterations as no
/// other, and so says by itself what was counted for it.
#[test]
fn scenarios_in_all_languages_run_side_by_side_and_are_counted_apart() {
    let server = Server::start();
    let squall = Squall::new(["run", "--seed", "1", "--quiet"]);
    let (file, summary) = (squall.file("load.toml"), squall.file("summary.json"));
    let mut text = format!("base-url = \"{}\"\nvus = 3\n", server.url(""));
    let iterations = |language: Language| 100 + 10 * language as u64;
    for language in Language::ALL {
        let script = language.example("hello").display().to_string();
        let _ = write!(
            text,
            "\n[scenarios.{}]\nscript = {script:?}\niterations = {}\n",
            language.flag(),
            iterations(language),
        );
    }
    fs::write(&file, text).expect("the folder is ours");
    let outcome = squall
        .flag("--config", file)
        .flag("--summary", summary)
        .timeout(PATIENCE)
        .run()
        .exited(0);

    let summary = outcome.summary();
    let groups = summary.rows("/groups");
    let scenarios = groups.iter().find(|group| group["tag"] == "scenario");
    let scenarios = scenarios.expect("there are several")["values"].as_array();
    let scenarios = scenarios.expect("a list");
    let count = |row: &Value, key: &str| row[key].as_u64().expect("a count");
    for language in Language::ALL {
        let row = scenarios
            .iter()
            .find(|row| row["value"] == language.flag())
            .unwrap_or_else(|| panic!("{language} is not in {scenarios:#?}"));
        assert_eq!(count(row, "requests"), iterations(language), "{language}");
        assert_eq!(count(row, "failures"), 0, "{language}");
    }
    let all: u64 = Language::ALL.into_iter().map(iterations).sum();
    assert_eq!(server.count("/"), all);
    assert_eq!(server.total(), all);
    assert_eq!(summary.count("/all/requests"), all);
    assert_eq!(summary.count("/iterations/finished"), all);
    let check = summary.row("/checks", "the front page is there");
    assert_eq!((count(check, "passes"), count(check, "failures")), (all, 0));
}
