//! Results split by scenario and by the values of tags: `--group-by`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::command::{Squall, Summary};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// `squall run` with a configuration file of this text.
fn configured(text: &str) -> Squall {
    let squall = Squall::new(["run", "--seed", "1"]);
    let (file, summary) = (squall.file("load.toml"), squall.file("summary.json"));
    fs::write(&file, text).expect("written");
    squall.flag("--config", file).flag("--summary", summary)
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// A case of the guest `behaviour` against a server.
fn behaviour(case: &str, server: &Server) -> Squall {
    Squall::script(test_guest("behaviour"))
        .script_env("CASE", case)
        .flag("--base-url", server.url(""))
}

/// The values of a tag that the summary has, each with its requests and failures.
#[track_caller]
fn values(summary: &Summary, tag: &str) -> Vec<(String, u64, u64)> {
    let groups = summary.rows("/groups");
    let group = groups.iter().find(|group| group["tag"] == tag);
    let group = group.unwrap_or_else(|| panic!("no group `{tag}` in {groups:#?}"));
    let rows = group["values"].as_array().expect("a list of rows");
    let count = |row: &Value, key: &str| row[key].as_u64().expect("a count");
    rows.iter()
        .map(|row| {
            let value = row["value"].as_str().expect("a text").to_owned();
            (value, count(row, "requests"), count(row, "failures"))
        })
        .collect()
}

fn row(value: &str, requests: u64, failures: u64) -> (String, u64, u64) {
    (value.to_owned(), requests, failures)
}

/// Two scenarios with tags, each with a server of its own, so that what the servers
/// counted is what the groups must say; and one that comes too late.
#[test]
fn scenarios_and_tags_have_the_figures_that_their_servers_counted() {
    let (browsed, bought) = (Server::start(), Server::start());
    browsed.break_front_page(true);
    let outcome = configured(&format!(
        r#"
tags = {{ part = "catalogue", team = "shop" }}
group-by = ["part", "team"]
thresholds = [
    "http_req_duration{{part:checkout}}: count == 40, p(95) < 60000",
    "http_req_duration{{part:checkout}}: p(95) < 0.000001",
    "http_req_failed{{part:catalogue}}: rate == 1",
    "http_req_failed{{part:checkout,scenario:buy}}: rate == 0",
]

[scenarios.browse]
script = {hello}
base-url = "{browse}"
rate = "600/s"
duration = "100ms"

[scenarios.buy]
script = {behaviour}
env = {{ CASE = "set-tag" }}
base-url = "{buy}"
tags = {{ part = "checkout" }}
vus = 2
iterations = 10

[scenarios.crowded]
script = {hello}
base-url = "{browse}"
rate = "100/s"
duration = "100ms"
max-vus = 1
"#,
        hello = quoted(&example("hello")),
        behaviour = quoted(&test_guest("behaviour")),
        browse = browsed.url(""),
        buy = bought.url(""),
    ))
    .run()
    .exited(99);
    let summary = outcome.summary();
    assert_eq!(bought.total(), 40);
    let front = browsed.count("/");
    let [browse, buy, crowded] = &values(&summary, "scenario")[..] else {
        panic!("{:?}", values(&summary, "scenario"));
    };
    assert_eq!((&*browse.0, &*crowded.0), ("browse", "crowded"));
    assert_eq!(*buy, row("buy", 40, 0));
    assert_eq!(browse.1 + crowded.1, front);
    assert_eq!(browse.2 + crowded.2, front);
    assert_eq!(
        values(&summary, "part"),
        [row("catalogue", front, front), row("checkout", 40, 0)]
    );
    assert_eq!(
        values(&summary, "team"),
        [row("shop", front + 40, front)],
        "a scenario's tags come over those of the run"
    );
    // Only what came at a rate was due.
    let due = |at: usize| summary.count(&format!("/groups/0/values/{at}/from_due/count"));
    assert_eq!((due(0), due(1), due(2)), (browse.1, 0, crowded.1));

    let count =
        |at: usize, key: &str| summary.count(&format!("/groups/0/values/{at}/iterations/{key}"));
    assert_eq!(count(1, "finished"), 10);
    assert_eq!(count(0, "finished") + count(0, "dropped"), 60);
    assert_eq!(count(2, "finished") + count(2, "dropped"), 10);
    for key in ["finished", "failed", "dropped", "interrupted"] {
        let sum: u64 = (0..3).map(|at| count(at, key)).sum();
        assert_eq!(sum, summary.count(&format!("/iterations/{key}")), "{key}");
    }

    // A filter on a scenario's tag sees the same.
    let thresholds = summary.rows("/thresholds").iter();
    let passed: Vec<_> = thresholds.map(|row| row["passed"] == true).collect();
    assert_eq!(
        passed,
        [true, true, false, true, true],
        "{}",
        outcome.story()
    );
    for title in [
        "Requests by scenario",
        "Requests by part",
        "Requests by team",
        "Iterations by scenario",
    ] {
        assert!(outcome.stderr.contains(title), "{}", outcome.story());
    }
}

#[test]
fn a_scripts_tags_are_told_apart_and_so_is_what_has_none() {
    let server = Server::start();
    // A list in a variable, of which one is in there twice.
    let outcome = behaviour("set-tag", &server)
        .flag("--vus", "3")
        .flag("--iterations", "30")
        .env("SQUALL_GROUP_BY", "step, scenario,step")
        .run()
        .exited(0);
    let summary = outcome.summary();
    let of = |path: &str| server.count(path);
    let without = of("/echo/before") + of("/echo/after");
    assert_eq!(
        values(&summary, "step"),
        [
            row("last", of("/echo/last"), 0),
            row("search", of("/echo/during"), 0),
            row("(none)", without, 0),
        ]
    );
    assert_eq!(values(&summary, "scenario"), [row("default", 120, 0)]);
    assert_eq!(summary.rows("/groups").len(), 2);
    assert!(outcome.stderr.contains("(none)"), "{}", outcome.story());

    // A request's own tag goes before that of its iteration.
    let server = Server::start();
    let outcome = behaviour("filters", &server)
        .flag("--iterations", "10")
        .flag("--group-by", "step")
        .run()
        .exited(0);
    assert_eq!(
        values(&outcome.summary(), "step"),
        [
            row("buy", 10, 0),
            row("search", 10, 0),
            row("(none)", 30, 10)
        ]
    );
}

#[test]
fn values_beyond_the_limit_share_a_row_and_are_told() {
    let server = Server::start();
    let outcome = behaviour("set-tag", &server)
        .flag("--iterations", "10")
        .flag("--group-by", "step,scenario")
        .flag("--names", "1")
        .run()
        .exited(0);
    let summary = outcome.summary();
    // Which comes first is seen first.
    assert_eq!(
        values(&summary, "step"),
        [
            row("search", 10, 0),
            row("(none)", 20, 0),
            row("(other)", 10, 0)
        ]
    );
    assert_eq!(values(&summary, "scenario"), [row("default", 40, 0)]);
    let flat = outcome.flat_stderr();
    let told = "more than 1 values of a tag to group by: 10 uses of the others are counted \
                together as `(other)`";
    assert!(flat.contains(told), "{}", outcome.story());
}

#[test]
fn a_tag_that_no_request_has_is_told() {
    let server = Server::start();
    let outcome = behaviour("set-tag", &server)
        .flag("--iterations", "5")
        .flag("--group-by", "stepp")
        .run()
        .exited(0);
    assert_eq!(values(&outcome.summary(), "stepp"), [row("(none)", 20, 0)]);
    let flat = outcome.flat_stderr();
    assert!(
        flat.contains("no request had the tag `stepp`"),
        "{}",
        outcome.story()
    );
}

#[test]
fn one_scenario_is_not_split_unless_asked() {
    let server = Server::start();
    let outcome = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .run()
        .exited(0);
    assert!(outcome.summary().rows("/groups").is_empty());
    assert!(!outcome.stderr.contains(" by scenario"));
}

#[test]
fn what_cannot_be_grouped_by_is_refused_all_of_it() {
    let outcome = Squall::script(example("hello"))
        .flag("--group-by", "")
        .flag("--group-by", "part=checkout")
        .flag("--group-by", "a{b")
        .flag("--group-by", "method")
        .flag("--group-by", "a,b,scenario,c,d,e")
        .run()
        .exited(104);
    for part in [
        "`--group-by`: expected the name of a tag, found ``",
        "hint: such as `part`, or `scenario`",
        "found `part=checkout`",
        "hint: the name alone, for its values are found while the run goes on: `part`",
        "found `a{b`",
        "found `method`",
        "by method and name in any case",
        "`--group-by`: 5 tags, and a run can be grouped by 4 beside `scenario`",
        "hint: leave out those that you can do without",
    ] {
        let story = outcome.story();
        assert!(outcome.stderr.contains(part), "no `{part}`{story}");
    }
    let file =
        configured("group-by = 5\n[scenarios.a]\ngroup-by = \"part\"\nscript = \"a.wasm\"\n");
    let stderr = file.run().exited(104).stderr;
    let place = "load.toml:3: `group-by` holds for the whole run";
    assert!(stderr.contains(place), "{stderr}");
}
