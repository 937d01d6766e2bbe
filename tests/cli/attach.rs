//! Workers of a real Locust master, as PyPI has it: what the master's own books say
//! is what reached the server, whatever dies in between.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::locust_master::{LocustMaster, and_down, classes, program};
use crate::support::command::{Outcome, Running, Squall, write};
use crate::support::guests::{example, repository, test_guest};
use crate::support::server::Server;

/// What `squall locust-stub` writes.
fn stub(args: &[&str]) -> String {
    let outcome = Squall::new(["locust-stub"]).args(args).run().exited(0);
    outcome.stdout
}

/// Two scenarios with weights, in the words of a configuration file.
fn scenarios(server: &Server) -> String {
    format!(
        "base-url = \"{}\"\n[scenarios.browse]\nscript = \"{}\"\nweight = 3\n\
         [scenarios.read-it]\nscript = \"{}\"\nweight = 1\n",
        server.url(""),
        example("hello").display(),
        example("demo").display(),
    )
}

/// The rows of a table that the master wrote, each as its fields; no field has a
/// comma in it.
fn rows(table: &str) -> Vec<Vec<String>> {
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    table.lines().skip(1).map(fields).collect()
}

#[test]
fn the_totals_of_a_headless_locust_are_the_servers() {
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(20));
    let squall = Squall::new(["locust-stub"]);
    let config = write(squall.file("load.toml"), scenarios(&server).as_bytes());
    let outcome = squall.flag("--config", &config).run().exited(0);
    let mut master = LocustMaster::headless(&(outcome.stdout.clone() + &and_down(8, 4)), 2, &[]);
    let start = || {
        let worker = master.worker().flag("--config", &config);
        let summary = worker.file("summary.json");
        worker.env("SQUALL_SUMMARY", summary).start()
    };
    let workers: Vec<Running> = (0..2).map(|_| start()).collect();
    // There were failures, and that is what Locust makes of them.
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let ended: Vec<Outcome> = workers.into_iter().map(|it| it.wait().exited(0)).collect();
    let (requests, failures) = master.totals();
    assert_eq!(requests, server.total(), "{}", master.log());
    assert!(requests > 100, "{requests}");
    // Of each scenario as many as its weight says.
    assert!(server.count("/") > 0 && server.count("/fast") > 0);
    // What fails on both workers is one error to the master.
    let errors = rows(&master.file("totals_failures.csv"));
    let slow: Vec<_> = errors.iter().filter(|row| row[1] == "/slow").collect();
    assert_eq!(slow.len(), 1, "{errors:?}");
    assert_eq!(
        slow[0][2],
        "HTTPError('404 Client Error: Not Found for url: /slow')"
    );
    assert_eq!(slow[0][3], server.count("/slow").to_string());
    let occurred = |row: &Vec<String>| row[3].parse::<u64>().expect("a number");
    assert_eq!(errors.iter().map(occurred).sum::<u64>(), failures);
    for worker in ended {
        let all: Value = serde_json::from_str(&worker.read("summary.json")).expect("JSON");
        assert!(all["all"]["requests"].as_u64() > Some(0));
        assert!(
            worker.stderr.contains("a swarm begins"),
            "{}",
            worker.story()
        );
        assert!(
            worker.stderr.contains("Load generator"),
            "{}",
            worker.story()
        );
    }
}

#[test]
fn the_web_ui_steers_one_swarm_after_the_other() {
    let server = Server::start();
    let script = example("demo");
    let path = script.to_str().expect("UTF-8");
    let mut master = LocustMaster::with_web_ui(&stub(&[path]));
    let worker = master.worker().arg(&script);
    let telemetry = worker.file("telemetry.ndjson");
    let worker = worker
        .flag("--recorder", "json")
        .flag("--telemetry", &telemetry)
        .start();
    master.until("the worker is ready", |it| it.workers() == ["ready"]);
    let mut before = 0;
    for users in [2, 4] {
        // The base URL is the master's to say.
        master.swarm(users, &server.url(""));
        master.until("all users are there", |it| it.users().0 == u64::from(users));
        master.swarm(users + 3, &server.url(""));
        master.until("there are more", |it| it.users().0 == u64::from(users) + 3);
        master.until("the master has figures", |it| it.shown().0 > 20);
        master.stop();
        master.until("it has stopped", |it| {
            it.users() == (0, "stopped".to_owned()) && it.workers() == ["ready"]
        });
        let seen = server.total() - before;
        before += seen;
        master.until("the totals are the server's", |it| it.shown().0 == seen);
    }
    master.signal(Signal::TERM);
    master.wait();
    let ended = worker.wait().exited(0);
    let summaries = ended.stderr.matches("Load generator").count();
    assert_eq!(summaries, 2, "{}", ended.story());
    // The recorder is that of a worker, and knows who steered.
    let lines = ended.read("telemetry.ndjson");
    assert!(lines.contains(r#""role":"worker""#), "{lines}");
    assert!(lines.contains("Locust master at 127.0.0.1"), "{lines}");
}

#[test]
fn a_master_that_comes_back_gets_its_workers_back() {
    let server = Server::start();
    let script = example("demo");
    let path = script.to_str().expect("UTF-8");
    let locustfile = stub(&[path]) + &and_down(3, 5);
    let mut master = LocustMaster::headless(&locustfile, 1, &[]);
    let worker = master
        .worker()
        .arg(&script)
        .flag("--base-url", server.url(""));
    let summary = worker.file("summary.json");
    let mut worker = worker.env("SQUALL_SUMMARY", summary).start();
    worker.until(&server, "/fast", 10);
    master.kill();
    let first = server.total();
    master.start_again();
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let ended = worker.wait().exited(0);
    assert!(server.total() > first);
    assert!(
        ended
            .stderr
            .contains("does not know this worker: its users end"),
        "{}",
        ended.story()
    );
    // The new master has what was done for it, and nothing else.
    let summary: Value = serde_json::from_str(&ended.read("summary.json")).expect("JSON");
    assert_eq!(Some(master.totals().0), summary["all"]["requests"].as_u64());
}

#[test]
fn one_master_has_workers_of_both_kinds() {
    let server = Server::start();
    let locustfile = format!(
        "from locust import HttpUser, constant, task\n\
         class default(HttpUser):\n    \
         host = \"{}\"\n    wait_time = constant(0.02)\n    \
         @task\n    def slow(self): self.client.get(\"/slow\")\n    \
         @task\n    def fast(self): self.client.get(\"/fast\")\n{}",
        server.url(""),
        and_down(6, 4)
    );
    let mut master = LocustMaster::headless(&locustfile, 2, &["--stop-timeout", "30"]);
    let _python = master.python_worker();
    let worker = master
        .worker()
        .arg(example("demo"))
        .flag("--base-url", server.url(""))
        .start();
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    worker.wait().exited(0);
    assert_eq!(master.totals().0, server.total(), "{}", master.log());
    // Only squall's script asks for it.
    assert!(server.count("/flaky") > 0);
    // The same failure of both is one error.
    let errors = rows(&master.file("totals_failures.csv"));
    let slow: Vec<_> = errors.iter().filter(|row| row[1] == "/slow").collect();
    assert_eq!(slow.len(), 1, "{errors:?}");
    assert_eq!(slow[0][3], server.count("/slow").to_string());
}

#[test]
fn a_worker_that_stood_still_is_taken_back() {
    let server = Server::start();
    let script = example("demo");
    let path = script.to_str().expect("UTF-8");
    let mut master = LocustMaster::with_web_ui(&stub(&[path]));
    let start = || {
        let worker = master.worker().arg(&script);
        worker.flag("--base-url", server.url("")).start()
    };
    let workers = [start(), start()];
    master.until("both are ready", |it| it.workers().len() == 2);
    master.swarm(6, "");
    master.until("all users are there", |it| it.users().0 == 6);
    workers[0].signal(Signal::STOP);
    master.until("one is missing", |it| {
        it.workers().contains(&"missing".to_owned())
    });
    workers[0].signal(Signal::CONT);
    master.until("it is back, and so are its users", |it| {
        it.workers() == ["running", "running"] && it.users().0 == 6
    });
    master.stop();
    master.until("it has stopped", |it| it.workers() == ["ready", "ready"]);
    master.until("nothing is lost", |it| it.shown().0 == server.total());
    master.signal(Signal::TERM);
    master.wait();
    for worker in workers {
        worker.wait().exited(0);
    }
}

#[test]
fn locust_telemetry_records_what_squalls_workers_do() {
    let server = Server::start();
    let script = example("demo");
    let path = script.to_str().expect("UTF-8");
    let locustfile = stub(&[path])
        + "\nfrom locust_telemetry import entrypoint\nentrypoint.initialize()\n"
        + &and_down(3, 3);
    let with = ["--testplan", "both", "--enable-telemetry-recorder", "json"];
    let mut master = LocustMaster::headless(&locustfile, 1, &with);
    let worker = master
        .worker()
        .arg(&script)
        .flag("--base-url", server.url(""));
    let telemetry = worker.file("telemetry.ndjson");
    let worker = worker
        .flag("--recorder", "locust")
        .flag("--telemetry", &telemetry)
        .start();
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let ended = worker.wait().exited(0);
    let log = master.log();
    let lines = log
        .lines()
        .filter_map(|it| serde_json::from_str::<Value>(it).ok());
    let told: Vec<Value> = lines.map(|it| it["telemetry"].clone()).collect();
    let endpoint = |name: &str, status: &str| {
        let is_it = |it: &&Value| it["name"] == name && it["status"] == status;
        told.iter()
            .find(is_it)
            .cloned()
            .unwrap_or_else(|| panic!("no {name}: {log}"))
    };
    assert_eq!(
        endpoint("/fast", "success")["num_requests"],
        server.count("/fast")
    );
    assert_eq!(
        endpoint("/slow", "error")["occurrences"],
        server.count("/slow")
    );
    // What the worker records is of the same run.
    let run = told
        .iter()
        .find_map(|it| it["run_id"].as_str())
        .expect("a run has an id");
    let own = ended.read("telemetry.ndjson");
    assert!(own.contains(run), "no {run}: {own}");
}

#[test]
fn the_masters_locustfile_brings_the_script() {
    let server = Server::start();
    let squall = Squall::new(["locust-stub"]);
    let bytes = fs::read(example("demo")).expect("it was built");
    let script = write(squall.file("reader.wasm"), &bytes);
    let file = format!(
        "base-url = \"{}\"\n[scenarios.reader]\nscript = \"{}\"\n",
        server.url(""),
        script.display()
    );
    let config = write(squall.file("load.toml"), file.as_bytes());
    let outcome = squall
        .flag("--config", &config)
        .arg("--embed-script")
        .run()
        .exited(0);
    // All of it is in the locustfile.
    fs::remove_file(&script).expect("it is ours");
    let mut master = LocustMaster::headless(&(outcome.stdout.clone() + &and_down(4, 3)), 2, &[]);
    let start = || {
        let worker = master.worker();
        let cache = worker.file("cache");
        worker.flag("--cache-dir", cache).start()
    };
    let workers = [start(), start()];
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    for worker in workers {
        let ended = worker.wait().exited(0);
        assert!(ended.stderr.contains("brought `load`"), "{}", ended.story());
    }
    assert_eq!(master.totals().0, server.total(), "{}", master.log());
}

#[test]
fn a_script_that_was_changed_is_not_handed_out() {
    let squall = Squall::new(["locust-stub"]);
    let bytes = fs::read(example("hello")).expect("it was built");
    let script = write(squall.file("hello.wasm"), &bytes);
    let outcome = squall.arg(&script).run().exited(0);
    fs::write(&script, b"something else").expect("it is ours");
    let master = LocustMaster::headless(&outcome.stdout, 1, &[]);
    let worker = master.worker();
    let cache = worker.file("cache");
    let ended = worker.flag("--cache-dir", cache).run().exited(104);
    assert!(
        ended.stderr.contains("cannot read `hello.wasm` any more"),
        "{}",
        ended.story()
    );
    assert!(
        master.log().contains("a file has changed"),
        "{}",
        master.log()
    );
}

#[test]
fn a_class_that_no_scenario_plays_is_told_to_both_sides() {
    let server = Server::start();
    let locustfile = classes(&["other"]) + &and_down(2, 3);
    let mut master = LocustMaster::headless(&locustfile, 1, &[]);
    let worker = master
        .worker()
        .arg(example("demo"))
        .flag("--base-url", server.url(""))
        .start();
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let ended = worker.wait().exited(0);
    let text = "users of the class `other`, and this worker has no scenario of that name";
    assert!(ended.stderr.contains(text), "{}", ended.story());
    let told = master.file("totals_exceptions.csv");
    assert!(told.contains(text), "{told}");
    assert_eq!(server.total(), 0);
}

#[test]
fn what_a_locust_master_cannot_give_is_refused() {
    let squall = Squall::new(["worker", "--locust-master", "127.0.0.1:1"]);
    let file = format!(
        "[scenarios.audit]\nscript = \"{}\"\nrate = \"2/s\"\nduration = \"5s\"\n",
        example("hello").display()
    );
    let config = write(squall.file("load.toml"), file.as_bytes());
    let ended = squall.flag("--config", &config).run().exited(104);
    let text = "the scenario `audit` starts iterations at a rate, and a Locust master can only say \
                how many users there are to be";
    assert!(ended.flat_stderr().contains(text), "{}", ended.story());
    let outcome = Squall::new(["locust-stub"]).flag("--config", &config).run();
    assert_eq!(outcome.code, Some(104));
    let outcome = Squall::new(["worker", "--locust-master", "nowhere"]).run();
    assert!(
        outcome
            .exited(104)
            .stderr
            .contains("expected a host and a port")
    );
}

#[test]
fn clear_text_is_said_loudly_and_a_failing_script_is_an_exception() {
    let script = test_guest("behaviour");
    let locustfile = classes(&["default"]) + &and_down(1, 3);
    let mut master = LocustMaster::headless(&locustfile, 1, &[]);
    let port = master.port().to_string();
    // The same machine, by an address that is not loopback's.
    let worker = Squall::new(["worker", "--locust-master"])
        .arg(format!("0.0.0.0:{port}"))
        .arg(&script)
        .flag("--env", "CASE=err")
        .start();
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let ended = worker.wait().exited(0);
    let said = ended.flat_stderr();
    for word in [
        "no authentication and no encryption",
        "loopback",
        "VPN",
        "NetworkPolicy",
    ] {
        assert!(said.contains(word), "{word}: {}", ended.story());
    }
    let told = master.file("totals_exceptions.csv");
    assert!(told.contains("the script says no"), "{told}");
}

#[test]
fn a_worker_that_its_user_ends_leaves_nothing_untold() {
    let server = Server::start();
    let script = example("demo");
    let path = script.to_str().expect("UTF-8");
    let mut master = LocustMaster::headless(&stub(&[path]), 1, &["-u", "3"]);
    let mut worker = master
        .worker()
        .arg(&script)
        .flag("--base-url", server.url(""))
        .start();
    worker.until(&server, "/fast", 10);
    worker.signal(Signal::INT);
    worker.wait().exited(105);
    // It was the last one, and without any a headless Locust ends.
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    assert_eq!(master.totals().0, server.total(), "{}", master.log());
}

#[test]
fn a_script_that_ends_the_run_ends_the_worker() {
    let mut master = LocustMaster::headless(&classes(&["default"]), 1, &[]);
    let worker = master
        .worker()
        .arg(test_guest("behaviour"))
        .flag("--env", "CASE=abort-run");
    let ended = worker.run().exited(108);
    assert_eq!(master.wait(), Some(1), "{}", master.log());
    let told = master.file("totals_exceptions.csv");
    assert!(
        told.contains("the script aborted it: the shop is on fire"),
        "{told}"
    );
    assert!(ended.stderr.contains("ABORTED"), "{}", ended.story());
}

#[test]
fn locusts_own_code_reads_a_report() {
    let golden = repository().join("host/src/cluster/locust/golden/stats.msgpack");
    let script = r#"
import sys
from locust.event import Events
from locust.rpc import Message
from locust.stats import RequestStats, StatsError, setup_distributed_stats_event_listeners

with open(sys.argv[1], "rb") as file:
    message = Message.unserialize(file.read())
assert message.type == "stats", message.type
stats = RequestStats()
events = Events()
setup_distributed_stats_event_listeners(events, stats)
for _ in range(2):
    events.worker_report.fire(client_id=message.node_id, data=message.data)
for (name, method), entry in sorted(stats.entries.items()):
    print(method, name, entry.num_requests, entry.num_failures, entry.min_response_time,
          entry.get_response_time_percentile(0.5), entry.total_content_length)
for key, error in stats.errors.items():
    assert key == StatsError.create_key(error.method, error.name, error.error), error
    print(error.to_name(), error.occurrences)
print(stats.total.num_requests, stats.total.num_failures, message.data["user_count"])
"#;
    let output = Command::new(program("python"))
        .args(["-c", script])
        .arg(&golden)
        .output()
        .expect("it is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        said,
        "GET /a 4 2 3.0 150 400\nGET /b 2 0 3432.0 3400 200\n\
         GET /a: HTTPError('500 Server Error: Internal Server Error for url: /a') 2\n6 2 2\n",
        "{errors}"
    );
}
