//! Configuration files: several scenarios in one run, each with its own script,
//! load, server and tags.

use std::fs;
use std::path::PathBuf;

use crate::support::command::Squall;
use crate::support::guests::example;
use crate::support::server::Server;

/// `squall run` with a configuration file of this text.
fn configured(text: &str) -> Squall {
    let squall = Squall::new(["run", "--seed", "1"]);
    let (file, summary) = (squall.file("load.toml"), squall.file("summary.json"));
    fs::write(&file, text).expect("written");
    squall.flag("--config", file).flag("--summary", summary)
}

fn quoted(path: PathBuf) -> String {
    format!("{:?}", path.display().to_string())
}

#[test]
fn one_load_is_spread_over_scenarios_by_weight() {
    let (browsed, bought, audited) = (Server::start(), Server::start(), Server::start());
    let outcome = configured(&format!(
        r#"
script = {hello}
vus = 10
iterations = 200
tags = {{ team = "shop" }}
recorders = ["json,requests=all"]
stats-interval = "100ms"

[scenarios.browse]
weight = 80
base-url = "{browse}"
tags = {{ part = "browse" }}

[scenarios.buy]
weight = 20
base-url = "{buy}"

[scenarios.audit]
base-url = "{audit}"
vus = 1
iterations = 3
"#,
        hello = quoted(example("hello")),
        browse = browsed.url(""),
        buy = bought.url(""),
        audit = audited.url(""),
    ))
    .run()
    .exited(0);
    let counts = [&browsed, &bought, &audited].map(|server| server.count("/"));
    assert_eq!(counts, [160, 40, 3]);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/requests"), 203);
    assert_eq!(summary.count("/iterations/finished"), 203);
    let samples = outcome.entries("loadtest.request.sample");
    assert_eq!(samples.len(), 203);
    for sample in &samples {
        let browse = sample["guest"]["scenario"] == "browse";
        let expected: &[&str] = if browse {
            &["team=shop", "part=browse"]
        } else {
            &["team=shop"]
        };
        assert_eq!(sample["tags"], serde_json::json!(expected), "{sample}");
    }
    let plans = outcome.entries("loadtest.run.start");
    assert_eq!(plans[0]["run"]["plan"], "load");
}

#[test]
fn a_flag_wins_over_the_file_and_a_variable_too() {
    let server = Server::start();
    let text = format!(
        "script = {}\nbase-url = \"http://127.0.0.1:1\"\niterations = 500\n",
        quoted(example("hello"))
    );
    configured(&text)
        .flag("--base-url", server.url(""))
        .env("SQUALL_ITERATIONS", "7")
        .run()
        .exited(0);
    assert_eq!(server.count("/"), 7);
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_at_once_by_line() {
    let outcome = configured(
        "vus = 0\nbase-url = \"shop.test\"\nthreshold = \"checks: rat > 0.9\"\n[scenarios.a]\nscrpt = \"a.wasm\"\nrate = \"5\"\n",
    )
    .run()
    .exited(104);
    let found = outcome.stderr;
    for (line, part) in [
        (2, "`base-url`: expected an absolute"),
        (3, "`threshold`: expected"),
        (5, "`scrpt` is unknown"),
        (6, "`rate`: expected a rate with its unit, found `5`"),
        (4, "the scenario `a` has no script"),
    ] {
        let place = format!("load.toml:{line}: {part}");
        assert!(found.contains(&place), "no `{place}` in {found}");
    }
    assert!(found.contains("hint: did you mean `script`?"), "{found}");
    assert!(found.contains("hint: did you mean `5/s`?"), "{found}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Squall::new(["run", "--config", "/nowhere/load.toml"]);
    let text = missing.run().exited(104).stderr;
    assert!(text.contains("`/nowhere/load.toml`"), "{text}");
    let component = Squall::new(["run", "--config"]).arg(example("hello"));
    let text = component.run().exited(104).stderr;
    assert!(text.contains("it is no text in UTF-8"), "{text}");
    let endless = Squall::new(["run", "--config", "/dev/zero"]);
    let text = endless.run().exited(104).stderr;
    assert!(text.contains("it has more than 1.0 MiB"), "{text}");
}

#[test]
fn a_run_of_nothing_is_wrong_usage() {
    let text = Squall::new(["run"]).run().exited(2).stderr;
    assert!(text.contains("what to run is missing"), "{text}");
}

#[test]
fn inspect_shows_what_a_file_comes_to() {
    let squall = Squall::new(["inspect"]);
    let file = squall.file("load.toml");
    let hello = quoted(example("hello"));
    fs::write(
        &file,
        format!("script = {hello}\nvus = 8\nduration = \"5s\"\n[scenarios.a]\nweight = 3\n[scenarios.b]\nweight = 1\n"),
    )
    .expect("written");
    let outcome = squall.arg(file).run().exited(0);
    let plan = outcome.stdout;
    for part in ["\"name\": \"a\"", "\"vus\": 6", "\"vus\": 2"] {
        assert!(plan.contains(part), "no {part} in {plan}");
    }
}
