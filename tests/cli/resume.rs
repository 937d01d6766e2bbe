//! A master dies in the middle of a run whose workers may finish without it, and
//! another one takes the run over, or collects its result.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::broker::Broker;
use crate::cluster::{about_workers, is_their_sum, recorded, workers};
use crate::support::command::{Outcome, Running, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// A master whose workers finish without it.
fn finishing(master: Squall) -> Squall {
    recorded(master).flag("--orphan-timeout", "finish")
}

/// Kills a master: the id of its run, as it told it.
#[track_caller]
fn killed(master: Running) -> String {
    master.signal(Signal::KILL);
    run_of(&master.wait())
}

#[track_caller]
fn run_of(outcome: &Outcome) -> String {
    let told = outcome.flat_stderr();
    let id = told
        .split("--resume ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    id.unwrap_or_else(|| panic!("no run is told{}", outcome.story()))
        .to_owned()
}

/// Waits until a server gets nothing more.
fn until_quiet(server: &Server) {
    let start = Instant::now();
    let mut before = server.total();
    loop {
        std::thread::sleep(Duration::from_millis(1_500));
        let now = server.total();
        if now == before {
            return;
        }
        before = now;
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the load goes on: {now}"
        );
    }
}

#[test]
fn another_master_takes_a_run_over_and_nothing_is_lost() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = finishing(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "50/s")
        .flag("--duration", "20s")
        .flag("--threshold", "http_reqs: count == 1000")
        .flag("--threshold", "http_req_failed: rate < 0.01")
        .start();
    master.until(&server, "/", 100);
    let run = killed(master);
    let mut successor = broker.successor(&run).flag("--stats-interval", "500ms");
    // What is in the plan is not said again.
    let refused = successor.run().exited(104);
    assert!(
        refused
            .flat_stderr()
            .contains("`--stats-interval` cannot be said again"),
        "{}",
        refused.story()
    );
    successor = broker.successor(&run);
    let outcome = successor.run().exited(0);
    assert_eq!(about_workers(&outcome), []);
    let summary = outcome.summary();
    assert_eq!(summary.at("/run/id"), run.as_str());
    assert_eq!(summary.count("/all/requests"), 1_000);
    assert_eq!(server.total(), 1_000);
    is_their_sum(&summary);
    // It is the run that lasted so long, and not this master.
    let elapsed = summary.at("/duration_ms").as_f64().expect("a number");
    assert!((19_900.0..30_000.0).contains(&elapsed), "{elapsed}");
    assert!(outcome.stderr.contains("Workers: 2"), "{}", outcome.story());
    // The events of its recorders are those of a run.
    let events = outcome.read("events.ndjson");
    for event in ["run-started", "run-stopping", "run-finished"] {
        assert!(events.contains(event), "no `{event}`: {events}");
    }
}

#[test]
fn a_result_is_collected_after_the_end_with_its_exit_code() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = finishing(broker.master(&test_guest("behaviour"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "4")
        .flag("--iterations", "8000")
        .flag("--threshold", "iterations: count < 8000")
        .script_env("CASE", "requests-in-hooks")
        .start();
    master.until(&server, "/echo", 20);
    let run = killed(master);
    until_quiet(&server);
    // Whoever looks for workers meanwhile hears why there are none.
    let refused = broker
        .master(&example("hello"), 2)
        .flag("--wait", "15s")
        .run()
        .exited(104);
    let said = refused.flat_stderr();
    assert!(
        said.contains("2 more have a part in a run")
            && said.contains(&format!("squall master --resume {run}")),
        "{}",
        refused.story()
    );
    std::thread::sleep(Duration::from_secs(3));
    let outcome = broker.successor(&run).run().exited(99);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 8_000);
    assert_eq!(summary.count("/all/requests"), server.total());
    is_their_sum(&summary);
    for (name, requests) in [
        ("setup", 1),
        ("teardown", 1),
        ("on-start", 4),
        ("on-stop", 4),
    ] {
        let row = summary.row("/requests", name);
        assert_eq!(row["requests"], requests, "{name}");
    }
    // Not until it was collected.
    let elapsed = summary.at("/duration_ms").as_f64().expect("a number");
    let first = server.arrivals("/echo")[0].elapsed();
    assert!(
        elapsed < (first - Duration::from_secs(4)).as_secs_f64() * 1e3,
        "{elapsed}"
    );
    // They are free again.
    broker
        .master(&example("hello"), 2)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .flag("--iterations", "10")
        .run()
        .exited(0);
}

#[test]
fn who_died_without_a_master_is_told_by_the_next() {
    let broker = Broker::start();
    let server = Server::start();
    let mut workers = workers(&broker, &["a", "b"]);
    let mut master = finishing(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "50/s")
        .flag("--duration", "8s")
        .start();
    master.until(&server, "/", 50);
    let run = killed(master);
    drop(workers.remove(1));
    let outcome = broker
        .successor(&run)
        .flag("--wait", "5s")
        .run()
        .exited(110);
    assert_eq!(
        about_workers(&outcome),
        [("worker-lost".to_owned(), "b".to_owned())]
    );
    let summary = outcome.summary();
    let lost = &summary.row("/workers", "b")["lost"];
    assert_eq!(
        lost["reason"],
        "it was not there when the run was taken over"
    );
    assert!(lost["told_until_ms"].is_null(), "{lost}");
    let a = &summary.row("/workers", "a");
    assert_eq!((&a["requests"], a["lost"].is_null()), (&200.into(), true));
    assert!(
        outcome
            .flat_stderr()
            .contains("nothing of what it did is counted"),
        "{}",
        outcome.story()
    );
}

#[test]
fn a_run_that_has_a_master_is_not_taken_over() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a"]);
    let mut master = finishing(broker.master(&example("hello"), 1))
        .flag("--base-url", server.url(""))
        .flag("--rate", "20/s")
        .flag("--duration", "100s")
        .start();
    master.until(&server, "/", 20);
    let events = master.read("events.ndjson");
    let run = run_in(&events);
    let refused = broker.successor(&run).run().exited(104);
    assert!(
        refused
            .flat_stderr()
            .contains("has a master: it is not lost"),
        "{}",
        refused.story()
    );
    master.signal(Signal::INT);
    let outcome = master.wait().exited(105);
    assert_eq!(outcome.summary().count("/all/requests"), server.total());
    let nobody = broker
        .successor(&run)
        .flag("--wait", "2s")
        .run()
        .exited(104);
    assert!(
        nobody
            .flat_stderr()
            .contains("no worker has a part of the run"),
        "{}",
        nobody.story()
    );
}

/// The id of the run in a record of events.
fn run_in(events: &str) -> String {
    let first = events.lines().next().expect("a first line");
    let start: serde_json::Value = serde_json::from_str(first).expect("JSON");
    let id = start.pointer("/run/run_id").and_then(|id| id.as_str());
    id.unwrap_or_else(|| panic!("no run in {first}")).to_owned()
}

#[test]
fn a_master_that_only_stood_still_gives_way() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = finishing(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "50/s")
        .flag("--duration", "20s")
        .start();
    master.until(&server, "/", 50);
    let run = run_in(&master.read("events.ndjson"));
    master.signal(Signal::STOP);
    let mut successor = broker.successor(&run).start();
    successor.until_written("events.ndjson", "run-started");
    master.signal(Signal::CONT);
    let replaced = master.wait().exited(110);
    assert!(
        replaced
            .flat_stderr()
            .contains("another master has taken the run over"),
        "{}",
        replaced.story()
    );
    let outcome = successor.wait().exited(0);
    let summary = outcome.summary();
    assert_eq!(
        (summary.count("/all/requests"), server.total()),
        (1_000, 1_000)
    );
    is_their_sum(&summary);
}

#[test]
fn what_cannot_be_finished_without_a_master_is_refused() {
    let outcome = Squall::new(["master".as_ref(), example("hello").as_os_str()])
        .flag("--workers", "1")
        .flag("--nats", "spawn")
        .flag("--orphan-timeout", "finish")
        .run()
        .exited(104);
    assert!(
        outcome
            .flat_stderr()
            .contains("needs a NATS server that outlives the master"),
        "{}",
        outcome.story()
    );
}
