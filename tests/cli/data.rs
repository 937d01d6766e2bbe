//! Rows of files, dealt out to VUs: the server's log tells who got which.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::command::{Outcome, Squall, write};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// The feeder in this mode, with a file of rows and what follows it.
fn feeder(server: &Server, mode: &str, file: (&str, &str), more: &str) -> Squall {
    let squall = Squall::script(test_guest("feeder"))
        .flag("--base-url", server.url(""))
        .script_env("MODE", mode);
    let path = write(squall.file(file.0), file.1.as_bytes());
    squall.flag("--data", format!("rows={}{more}", path.display()))
}

/// `n=0` and so on, as CSV.
fn csv(rows: u32) -> String {
    (0..rows).fold("n\n".to_owned(), |mut text, row| {
        writeln!(text, "{row}").expect("into memory");
        text
    })
}

/// What the server's log has of each request: the VU, and what it sent.
fn sent(server: &Server) -> Vec<(u32, String)> {
    let paths = server.paths_below("/row/");
    let of = |path: String| {
        let (vu, what) = path["/row/".len()..].split_once('/').expect("two parts");
        (vu.parse().expect("a VU's number"), what.to_owned())
    };
    paths.into_iter().map(of).collect()
}

/// The numbers of the rows that were sent, sorted.
fn numbers(server: &Server) -> Vec<u32> {
    let number = |(_, what): (u32, String)| -> u32 {
        let number = what
            .strip_prefix("n_3d")
            .and_then(|what| what.strip_suffix("_3b"));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("sent {what}"))
    };
    let mut numbers: Vec<_> = sent(server).into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn warnings(outcome: &Outcome) -> String {
    outcome.summary().at("/warnings").to_string()
}

#[test]
fn unique_rows_are_unique_and_complete_over_all_vus_and_threads() {
    let server = Server::start();
    let outcome = feeder(&server, "next", ("rows.csv", &csv(2_000)), ",order=unique")
        .flag("--vus", "20")
        .flag("--threads", "4")
        .flag("--duration", "100s")
        .run()
        .exited(0);
    assert_eq!(numbers(&server), (0..2_000).collect::<Vec<_>>());
    let vus: BTreeSet<u32> = sent(&server).into_iter().map(|(vu, _)| vu).collect();
    assert!(vus.len() > 10, "{vus:?}");
    // Every VU came for one more row, and ended; none of that is a failure, nor
    // an iteration.
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 2_000);
    assert_eq!(summary.count("/iterations/dropped"), 0);
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(summary.failures(), []);
    let told = warnings(&outcome);
    assert!(
        told.contains("all 2000 rows of data `rows` are used up"),
        "{told}"
    );
    assert!(told.contains("20 VUs ended for want of one"), "{told}");
    assert!(
        outcome
            .flat_stderr()
            .contains("all 2000 rows of data `rows` are used up"),
        "{}",
        outcome.story()
    );
}

#[test]
fn unique_rows_are_exact_under_every_executor() {
    let executors: [&[&str]; 6] = [
        &["--vus", "7", "--duration", "100s"],
        &["--stage", "200ms:9", "--stage", "100s:9"],
        &[
            "--executor",
            "per-vu-iterations",
            "--vus",
            "6",
            "--iterations",
            "500",
        ],
        &["--vus", "6", "--iterations", "500"],
        &["--rate", "500/s", "--duration", "100s"],
        &[
            "--rate",
            "0/s",
            "--stage",
            "1s:900/s",
            "--stage",
            "100s:900/s",
        ],
    ];
    for flags in executors {
        let server = Server::start();
        let squall = feeder(&server, "next", ("rows.csv", &csv(300)), ",order=unique");
        let squall = squall.flag("--threads", "3");
        let squall = flags.iter().fold(squall, |squall, flag| squall.arg(flag));
        let outcome = squall.run().exited(0);
        assert_eq!(numbers(&server), (0..300).collect::<Vec<_>>(), "{flags:?}");
        let summary = outcome.summary();
        assert_eq!(summary.count("/iterations/finished"), 300, "{flags:?}");
        assert_eq!(summary.failures(), [], "{flags:?}");
        // What was asked for or due, and had no row, is dropped for that.
        let dropped = summary.count("/iterations/dropped");
        let expected = match flags {
            ["--executor", ..] => 2_700..2_701,
            ["--vus", _, "--iterations", ..] => 200..201,
            // As many as were due until the end was noticed.
            ["--rate", ..] => 1..1_000,
            _ => 0..1,
        };
        assert!(expected.contains(&dropped), "{dropped} {flags:?}");
        let reason = summary.count("/iterations/dropped_because/no_row");
        // A busy machine may owe arrivals at the end for other causes, too.
        let least = if flags[0] == "--rate" { 1 } else { dropped };
        assert!((least..=dropped).contains(&reason), "{reason} {flags:?}");
        assert!(outcome.elapsed.as_secs() < 50, "{flags:?}");
        // Which the report then says.
        let told = outcome.flat_stderr();
        let owes = told.contains("less was sent than planned");
        assert_eq!(owes, reason < dropped, "{told}");
    }
}

/// The README's scenarios, with rows of data for those who buy.
const SHOP: &str = r#"
script = "{feeder}"
base-url = "{server}"
stages = ["500ms:20", "5s:20", "500ms:0"]
thresholds = [
  "http_req_failed: rate < 0.01",
  "http_req_duration{scenario:buy}: p(95) < 2000",
  "http_reqs{name:row}: count == 120",
  "checks: rate > 0.99",
]

[data.orders]
file = "orders.csv"
order = "unique"
at-end = "stop-vu"

[scenarios.browse]
weight = 80
env = { MODE = "front", PAUSE_MS = 20 }

[scenarios.buy]
weight = 20
env = { MODE = "next", SOURCE = "orders", PAUSE_MS = 60 }
"#;

#[test]
fn a_file_of_scenarios_gives_each_row_to_one_buyer() {
    let server = Server::start();
    let squall = Squall::new(["run", "--seed", "1", "--threads", "2"]);
    write(squall.file("orders.csv"), csv(120).as_bytes());
    let shop = SHOP
        .replace("{server}", &server.url(""))
        .replace("{feeder}", &test_guest("feeder").display().to_string());
    let load = write(squall.file("load.toml"), shop.as_bytes());
    let summary = squall.file("summary.json");
    let outcome = squall
        .flag("--config", load)
        .flag("--summary", summary)
        .run()
        .exited(0);
    // The server's log: each row once, and none missing.
    assert_eq!(numbers(&server), (0..120).collect::<Vec<_>>());
    // One VU in five buys: the last four of them. One alone has no time for all:
    // it pauses for 60 ms each time.
    let buyers: BTreeSet<u32> = sent(&server).into_iter().map(|(vu, _)| vu).collect();
    assert!(
        buyers.len() > 1 && buyers.is_subset(&(17..=20).collect()),
        "{buyers:?}"
    );
    let summary = outcome.summary();
    let browsed = server.count("/");
    assert!(browsed > 0);
    assert_eq!(summary.count("/all/requests"), browsed + 120);
    assert_eq!(summary.count("/iterations/finished"), browsed + 120);
    assert_eq!(summary.failures(), []);
    let verdicts = summary
        .at("/thresholds")
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(verdicts.len(), 4);
    assert!(
        verdicts.iter().all(|verdict| verdict["passed"] == true),
        "{verdicts:?}"
    );
    assert!(warnings(&outcome).contains("all 120 rows of data `orders` are used up"));
    assert_eq!(summary.at("/reason/kind"), "completed");
    // Those who browse went on to the end of the ramp.
    assert!(outcome.elapsed.as_millis() > 5_900, "{:?}", outcome.elapsed);
}

#[test]
fn a_flag_replaces_the_source_of_its_name_in_the_file() {
    let server = Server::start();
    let squall = Squall::new(["run"]).arg(test_guest("feeder"));
    write(squall.file("many.csv"), csv(50).as_bytes());
    let few = write(squall.file("few.ndjson"), b"{\"n\":7}\n");
    let text = "[data]\nrows = \"absent.csv\"\nothers = \"many.csv\"\n";
    let load = write(squall.file("load.toml"), text.as_bytes());
    squall
        .flag("--config", load)
        .flag("--base-url", server.url(""))
        .script_env("MODE", "next")
        .flag("--data", format!("rows={}", few.display()))
        .run()
        .exited(0);
    assert_eq!(numbers(&server), [7]);
}

#[test]
fn the_example_logs_in_with_each_account_once() {
    let server = Server::start();
    let squall = Squall::script(example("logins"));
    let users = (0..60).fold("name,password\n".to_owned(), |text, user| {
        text + &format!("user-{user},\"p,{user}\"\n")
    });
    let users = write(squall.file("users.csv"), users.as_bytes());
    let outcome = squall
        .flag("--base-url", server.url(""))
        .flag("--data", format!("users={},order=unique", users.display()))
        .flag("--vus", "5")
        .flag("--duration", "100s")
        .flag("--threshold", "checks: rate == 1")
        .run()
        .exited(0);
    assert_eq!(server.count("/login"), 60);
    assert_eq!(outcome.summary().count("/iterations/finished"), 60);
}

#[test]
fn a_file_that_is_changed_ends_the_run_and_says_so() {
    let server = Server::start();
    let row = "x".repeat(2_000);
    let text = (0..2_000).fold("n\n".to_owned(), |text, number| {
        text + &format!("{number}{row}\n")
    });
    // In place, with the same length: only its time tells.
    let other = text.replace('x', "y");
    for change in [&other[..], "n\n1\n"] {
        let squall = feeder(&server, "heedless", ("rows.csv", &text), ",order=unique");
        let path = squall.file("rows.csv");
        let before = server.count_below("/row/");
        let mut run = squall
            .flag("--rate", "100/s")
            .flag("--duration", "100s")
            .start();
        while server.count_below("/row/") < before + 5 {
            assert!(run.is_running(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::fs::write(&path, change).expect("it is ours");
        let outcome = run.wait().exited(110);
        let told = outcome.flat_stderr();
        for part in [
            "INCOMPLETE",
            "cannot read row",
            "of data `rows`: it was changed after the run began to read it",
        ] {
            assert!(told.contains(part), "no `{part}`{}", outcome.story());
        }
        assert_eq!(outcome.summary().at("/passed"), false);
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_is_read_to_its_end() {
    let server = Server::start();
    let squall = feeder(
        &server,
        "next",
        ("rows.csv", &csv(9_000)),
        ",order=unique,at-end=end-run",
    );
    let path = squall.file("rows.csv");
    let mut run = squall.flag("--vus", "2").flag("--duration", "100s").start();
    while server.count_below("/row/") < 5 {
        assert!(run.is_running(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::fs::remove_file(&path).expect("it is there");
    write(path, b"n\n1\n");
    run.wait().exited(0);
    assert_eq!(numbers(&server), (0..9_000).collect::<Vec<_>>());
}

#[test]
fn sequential_rows_begin_anew_for_all_vus_together() {
    let server = Server::start();
    let outcome = feeder(
        &server,
        "json",
        ("rows.ndjson", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"),
        "",
    )
    .flag("--vus", "4")
    .flag("--iterations", "30")
    .run()
    .exited(0);
    for number in 1..=3 {
        let sent = sent(&server);
        let word = format!("_7b_22n_22_3a{number}_7d");
        assert_eq!(
            sent.iter().filter(|(_, what)| *what == word).count(),
            10,
            "{sent:?}"
        );
    }
    assert!(!warnings(&outcome).contains("used up"));
}

#[test]
fn random_rows_repeat_with_the_seed() {
    let run = || {
        let server = Server::start();
        feeder(&server, "next", ("rows.csv", &csv(1_000)), ",order=random")
            .flag("--vus", "1")
            .flag("--iterations", "50")
            .run()
            .exited(0);
        numbers(&server)
    };
    let first = run();
    assert_eq!(first, run());
    assert!(
        first.iter().collect::<BTreeSet<_>>().len() > 40,
        "{first:?}"
    );
}

#[test]
fn a_vu_without_a_row_ends_however_its_script_takes_it() {
    for (mode, finished) in [("next", 5), ("panic", 5), ("heedless", 8)] {
        let server = Server::start();
        let outcome = feeder(&server, mode, ("rows.csv", &csv(5)), ",at-end=stop-vu")
            .flag("--vus", "3")
            .flag("--duration", "100s")
            .flag("--telemetry", "-")
            .run()
            .exited(0);
        let summary = outcome.summary();
        assert_eq!(summary.count("/iterations/finished"), finished, "{mode}");
        assert_eq!(summary.count("/iterations/failed"), 0, "{mode}");
        assert_eq!(summary.failures(), [], "{mode}");
        let requests = if mode == "heedless" { 8 } else { 5 };
        assert_eq!(server.count_below("/row/"), requests, "{mode}");
        // `on-stop` runs where there is an instance left to run it in.
        let logged = outcome.entries("loadtest.guest.log");
        let is_stop = |entry: &Value| entry["message"].to_string().contains("stop of VU");
        let stops = logged.iter().filter(|entry| is_stop(entry)).count();
        assert_eq!(
            stops,
            if mode == "panic" { 0 } else { 3 },
            "{}",
            outcome.story()
        );
    }
}

#[test]
fn a_script_can_go_through_all_rows_in_one_iteration() {
    let server = Server::start();
    let outcome = feeder(&server, "all", ("rows.csv", &csv(50_000)), ",order=unique")
        .flag("--vus", "3")
        .flag("--threads", "2")
        .flag("--duration", "100s")
        .run()
        .exited(0);
    let of = |(_, rows): (u32, String)| -> u64 { rows.parse().expect("a number") };
    assert_eq!(sent(&server).into_iter().map(of).sum::<u64>(), 50_000);
    assert_eq!(outcome.summary().count("/iterations/finished"), 3);
    assert!(warnings(&outcome).contains("3 VUs ended for want of one"));
}

#[test]
fn a_vu_that_gets_no_row_at_its_start_plays_no_iteration() {
    let server = Server::start();
    let outcome = feeder(&server, "start", ("rows.csv", &csv(2)), ",order=unique")
        .flag("--vus", "5")
        .flag("--duration", "1s")
        .run()
        .exited(0);
    let (rows, iterations): (Vec<_>, Vec<_>) = sent(&server)
        .into_iter()
        .partition(|(_, what)| what != "iteration");
    assert_eq!(rows.len(), 2, "{rows:?}");
    let with_a_row: BTreeSet<u32> = rows.into_iter().map(|(vu, _)| vu).collect();
    let playing: BTreeSet<u32> = iterations.into_iter().map(|(vu, _)| vu).collect();
    assert_eq!(playing, with_a_row);
    assert_eq!(outcome.summary().failures(), []);
    assert!(warnings(&outcome).contains("3 VUs ended for want of one"));
}

#[test]
fn the_end_of_the_rows_can_end_the_run_and_is_no_failure() {
    let server = Server::start();
    let outcome = feeder(
        &server,
        "next",
        ("rows.csv", &csv(100)),
        ",order=unique,at-end=end-run",
    )
    .flag("--vus", "5")
    .flag("--duration", "100s")
    .flag("--telemetry", "-")
    .run()
    .exited(0);
    assert_eq!(numbers(&server), (0..100).collect::<Vec<_>>());
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "other");
    let why = "all 100 rows of data `rows` are used up";
    assert_eq!(summary.at("/reason/detail"), why);
    assert_eq!(summary.at("/passed"), true);
    assert_eq!(summary.count("/iterations/failed"), 0);
    let asked = outcome.entries("loadtest.run.stop_requested");
    assert_eq!(asked.len(), 1, "{}", outcome.story());
    assert!(asked[0].to_string().contains(why), "{asked:?}");
}

#[test]
fn fields_are_what_the_file_says() {
    let server = Server::start();
    let text = "\u{feff}name,note\r\nAnna,\"two\nlines, \"\"quoted\"\"\"\r\nBo,\r\n";
    feeder(&server, "next", ("rows.csv", text), ",order=unique")
        .flag("--iterations", "2")
        .run()
        .exited(0);
    let expected = "name_3dAnna_3bnote_3dtwo_alines_2c_20_22quoted_22_3b";
    let sent = sent(&server);
    assert!(sent.contains(&(1, expected.to_owned())), "{sent:?}");
    assert!(
        sent.contains(&(1, "name_3dBo_3bnote_3d_3b".to_owned())),
        "{sent:?}"
    );
}

#[test]
fn rows_can_be_had_by_their_number() {
    let server = Server::start();
    feeder(
        &server,
        "index",
        ("rows.json", r#"[{"a":"x"}, {"a":{"b":1}}]"#),
        "",
    )
    .run()
    .exited(0);
    let of: BTreeSet<_> = sent(&server).into_iter().map(|(_, what)| what).collect();
    let expected = ["2_3aa_3d_7b_22b_22_3a1_7d_3b", "_7b_22a_22_3a_22x_22_7d"];
    assert_eq!(of, expected.map(str::to_owned).into());
}

#[test]
fn every_mistake_in_the_files_is_told_before_the_run() {
    let server = Server::start();
    let squall = feeder(&server, "next", ("rows.csv", "a,b\n1,2\n1,2,3\n"), "");
    let lines = write(squall.file("lines.ndjson"), b"{}\n{\"a\":}\n");
    let empty = write(squall.file("empty.csv"), b"");
    let telemetry = write(squall.file("before.ndjson"), b"from before\n");
    let outcome = squall
        .flag("--data", format!("lines={}", lines.display()))
        .flag("--data", format!("empty={}", empty.display()))
        .flag("--data", "absent=absent.csv")
        .flag("--data", "pipe=/dev/null,format=csv")
        .flag("--telemetry", &telemetry)
        .run()
        .exited(104);
    let told = outcome.flat_stderr();
    for mistake in [
        "line 3 has 3 fields, and the header 2",
        "rows.csv",
        "line 2 is no valid JSON",
        "is empty",
        "cannot read `absent.csv`",
        "`/dev/null` is no regular file",
        "5 mistakes",
    ] {
        assert!(told.contains(mistake), "no `{mistake}`{}", outcome.story());
    }
    assert_eq!(server.total(), 0);
    assert_eq!(
        std::fs::read(telemetry).expect("it is there"),
        b"from before\n"
    );
}

#[test]
fn a_source_that_there_is_not_is_told_with_those_there_are() {
    let server = Server::start();
    let outcome = feeder(&server, "next", ("rows.csv", &csv(1)), "")
        .script_env("OPEN_IN_SETUP", "users")
        .run()
        .exited(107);
    assert!(
        outcome
            .flat_stderr()
            .contains("no data `users`: the run has `rows`"),
        "{}",
        outcome.story()
    );
    let without = Squall::script(test_guest("feeder"))
        .script_env("OPEN_IN_SETUP", "users")
        .run()
        .exited(107);
    assert!(
        without.flat_stderr().contains("add `--data users=FILE`"),
        "{}",
        without.story()
    );
    assert_eq!(server.total(), 0);
}

#[test]
fn a_file_takes_no_memory_however_large_it_is() {
    let server = Server::start();
    let run = |rows: u32| {
        let squall = Squall::script(test_guest("feeder"));
        let path: PathBuf = squall.file("rows.csv");
        let mut file = BufWriter::new(File::create(&path).expect("the folder is ours"));
        let filler = "x".repeat(970);
        file.write_all(b"n,filler\n").expect("there is room");
        for row in 0..rows {
            writeln!(file, "{row:020},{filler}").expect("there is room");
        }
        drop(file.into_inner().expect("there is room"));
        squall
            .flag("--base-url", server.url(""))
            .flag("--data", format!("rows={},order=random", path.display()))
            .script_env("MODE", "next")
            .flag("--vus", "10")
            .flag("--threads", "2")
            .flag("--iterations", "1000")
    };
    let memory = |squall: Squall| {
        let before = server.count_below("/row/");
        let outcome = squall.run().exited(0);
        assert_eq!(server.count_below("/row/"), before + 1_000);
        outcome.summary().count("/health/memory_max_bytes")
    };
    // Whoever comes first compiles the script.
    memory(run(10));
    let small = memory(run(10));
    // 300 MB, and no room for them at any time, before the run or in it.
    let large = memory(run(300_000).with_memory(200 << 20));
    // What is kept of a file, and as much again for what a chunk takes to read.
    assert!(large < small + (24 << 20), "{small} {large}");
}
