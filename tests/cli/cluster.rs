//! A run over several processes, with the real NATS server: the same result as in
//! one, and what becomes of it when a part of it dies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::broker::Broker;
use crate::support::command::{Outcome, Running, Squall, Summary, write};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// The buckets of a histogram in a summary.
fn buckets(histogram: &Value) -> BTreeMap<u64, u64> {
    let pairs = histogram.as_array().expect("a list of buckets");
    let pair = |pair: &Value| {
        let number = |at: usize| pair[at].as_u64().expect("a number");
        (number(0), number(1))
    };
    pairs.iter().map(pair).collect()
}

/// Fails unless the whole is, bucket for bucket, the sum of the workers'.
#[track_caller]
pub(crate) fn is_their_sum(summary: &Summary) {
    let mut sum = BTreeMap::new();
    let mut requests = 0;
    for worker in summary.rows("/workers") {
        for (top, count) in buckets(&worker["duration_histogram"]) {
            *sum.entry(top).or_insert(0) += count;
        }
        requests += worker["requests"].as_u64().expect("a count");
    }
    assert_eq!(sum, buckets(summary.at("/duration_histogram")));
    assert_eq!(requests, summary.count("/all/requests"));
}

/// The names of the events that recorders were told, with the worker they are about.
pub(crate) fn about_workers(outcome: &Outcome) -> Vec<(String, String)> {
    let events = outcome.read("events.ndjson");
    let of = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        ["worker-lost", "worker-joined"].iter().find_map(|kind| {
            let worker = event["kind"].get(kind)?.as_str()?;
            Some(((*kind).to_owned(), worker.to_owned()))
        })
    };
    events.lines().filter_map(of).collect()
}

/// A master that records its events in a file of its own.
pub(crate) fn recorded(master: Squall) -> Squall {
    let events = master.file("events.ndjson");
    master
        .flag("--events", events)
        .flag("--recorder", "none")
        .flag("--stats-interval", "500ms")
}

/// Workers of these names.
pub(crate) fn workers(broker: &Broker, names: &[&str]) -> Vec<Running> {
    names
        .iter()
        .map(|name| broker.worker(name).start())
        .collect()
}

/// `squall run` on a server, in one process or in several.
fn run(server: &Server, workers: Option<u32>) -> Squall {
    let squall = Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none");
    match workers {
        Some(workers) => squall.flag("--workers", workers.to_string()),
        None => squall,
    }
}

#[test]
fn four_workers_do_what_one_process_does() {
    let fixed = |workers| {
        let server = Server::start();
        let outcome = run(&server, workers)
            .flag("--vus", "10")
            .flag("--iterations", "403")
            .run()
            .exited(0);
        (server.total(), outcome)
    };
    let (alone, one) = fixed(None);
    let (together, four) = fixed(Some(4));
    assert_eq!((alone, together), (403, 403));
    for pointer in [
        "/iterations/finished",
        "/iterations/dropped",
        "/all/requests",
        "/all/failures",
        "/all/sent_bytes",
        "/all/received_bytes",
    ] {
        let (one, four) = (one.summary().count(pointer), four.summary().count(pointer));
        assert_eq!(one, four, "{pointer}");
    }
    let summary = four.summary();
    is_their_sum(&summary);
    let shares: Vec<_> = summary
        .rows("/workers")
        .iter()
        .map(|worker| {
            (
                worker["share"]["index"].clone(),
                worker["iterations"].clone(),
            )
        })
        .collect();
    let expected: Vec<(Value, Value)> = [(0, 100), (1, 101), (2, 101), (3, 101)]
        .map(|(index, iterations)| (index.into(), iterations.into()))
        .to_vec();
    assert_eq!(shares, expected);
    assert!(four.stderr.contains("Workers: 4"), "{}", four.story());
    assert!(one.summary().rows("/workers").is_empty());
}

#[test]
fn arrivals_of_all_workers_together_are_even() {
    let server = Server::start();
    let outcome = run(&server, Some(4))
        .flag("--rate", "100/s")
        .flag("--duration", "3s")
        .run()
        .exited(0);
    assert_eq!(outcome.summary().count("/iterations/finished"), 300);
    let arrivals = server.arrivals("/");
    assert_eq!(arrivals.len(), 300);
    // Each worker alone would send its own in the same places.
    let start = arrivals[0];
    for half in 1..6 {
        let until = start + Duration::from_millis(500 * half);
        let count = arrivals.iter().filter(|at| **at < until).count() as u64;
        assert!(
            count.abs_diff(50 * half) <= 15,
            "{count} after {half} halves of a second"
        );
    }
}

#[test]
fn hooks_run_once_for_all_workers() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b", "c"]);
    let outcome = broker
        .master(&test_guest("behaviour"), 3)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .flag("--vus", "6")
        .flag("--iterations", "30")
        .script_env("CASE", "lifecycle")
        .script_env("SETUP_DATA", "shared")
        .run()
        .exited(0);
    // Each iteration holds what `setup` returned against what it should be.
    assert_eq!(outcome.summary().count("/iterations/finished"), 30);
    assert_eq!(outcome.summary().count("/iterations/failed"), 0);
    let outcome = broker
        .master(&test_guest("behaviour"), 3)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .flag("--vus", "6")
        .flag("--iterations", "30")
        .script_env("CASE", "requests-in-hooks")
        .run()
        .exited(0);
    let summary = outcome.summary();
    for (name, requests) in [
        ("setup", 1),
        ("teardown", 1),
        ("on-start", 6),
        ("on-stop", 6),
    ] {
        assert_eq!(
            summary.row("/requests", name)["requests"],
            requests,
            "{name}"
        );
    }
}

#[test]
fn unique_rows_are_unique_over_all_workers() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b", "c"]);
    let master = broker
        .master(&test_guest("feeder"), 3)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .script_env("MODE", "next");
    let rows: String = (0..500).map(|row| format!("{row}\n")).collect();
    let path = write(master.file("rows.csv"), format!("n\n{rows}").as_bytes());
    let outcome = master
        .flag("--data", format!("rows={},order=unique", path.display()))
        .flag("--vus", "6")
        .flag("--duration", "100s")
        .run()
        .exited(0);
    let mut sent: Vec<_> = server
        .paths_below("/row/")
        .into_iter()
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    sent.sort();
    let before = sent.len();
    sent.dedup();
    assert_eq!((before, sent.len()), (500, 500));
    assert_eq!(outcome.summary().count("/iterations/finished"), 500);
}

#[test]
fn thresholds_and_orders_are_for_all_workers_together() {
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(5));
    let outcome = run(&server, Some(3))
        .flag("--vus", "3")
        .flag("--duration", "60s")
        .flag("--threshold", "http_reqs: count < 200 abort after 1s")
        .run()
        .exited(99);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "threshold");
    assert_eq!(summary.count("/all/requests"), server.total());
    is_their_sum(&summary);
}

#[test]
fn a_worker_plays_one_run_after_the_other_and_records_its_own_part() {
    let broker = Broker::start();
    let server = Server::start();
    let worker = broker.worker("only");
    let telemetry = worker.file("telemetry.ndjson");
    let worker = worker
        .flag("--recorder", "json")
        .flag("--telemetry", telemetry)
        .start();
    for _ in 0..2 {
        broker
            .master(&example("hello"), 1)
            .flag("--base-url", server.url(""))
            .flag("--recorder", "none")
            .flag("--iterations", "5")
            .run()
            .exited(0);
    }
    assert_eq!(server.total(), 10);
    worker.signal(Signal::TERM);
    let outcome = worker.wait().exited(0);
    let telemetry = outcome.read("telemetry.ndjson");
    let last: Value = telemetry
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|line: &Value| line["event_name"] == "loadtest.run.end")
        .unwrap_or_else(|| panic!("no end: {telemetry}"));
    assert_eq!(last["node"]["role"], "worker");
    assert_eq!(last["node"]["id"], "only");
    assert_eq!(last["test"]["totals"]["requests"], 5);
}

#[test]
fn a_killed_worker_leaves_its_part_undone_and_the_result_incomplete() {
    let broker = Broker::start();
    let server = Server::start();
    let mut workers = workers(&broker, &["a", "b", "c"]);
    let mut master = recorded(broker.master(&example("hello"), 3))
        .flag("--base-url", server.url(""))
        .flag("--vus", "3")
        .flag("--duration", "8s")
        .start();
    master.until(&server, "/", 50);
    // Its child is killed when it is dropped.
    drop(workers.remove(1));
    let outcome = master.wait().exited(110);
    assert_eq!(
        about_workers(&outcome),
        [("worker-lost".to_owned(), "b".to_owned())]
    );
    let summary = outcome.summary();
    is_their_sum(&summary);
    assert_eq!(
        summary.row("/workers", "b")["lost"]["reason"],
        "it is silent"
    );
    assert!(summary.row("/workers", "a")["lost"].is_null());
    assert!(
        outcome.stderr.contains("of which 1 lost"),
        "{}",
        outcome.story()
    );
    assert!(summary.count("/all/requests") <= server.total());
}

#[test]
fn what_a_killed_worker_leaves_is_taken_over() {
    let broker = Broker::start();
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(20));
    let mut workers = workers(&broker, &["a", "b", "c"]);
    let mut master = recorded(broker.master(&example("hello"), 3))
        .flag("--base-url", server.url(""))
        .flag("--vus", "6")
        .flag("--iterations", "3000")
        .flag("--on-worker-loss", "rebalance")
        .start();
    master.until(&server, "/", 300);
    drop(workers.remove(0));
    let outcome = master.wait().exited(110);
    // What was under way when it was killed is done once more.
    assert!(server.total() >= 3_000, "{}", server.total());
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 3_000);
    is_their_sum(&summary);
}

#[test]
fn a_worker_that_comes_late_takes_over_what_a_lost_one_leaves() {
    let broker = Broker::start();
    let server = Server::start();
    let mut first = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "40/s")
        .flag("--duration", "20s")
        .flag("--on-worker-loss", "rebalance")
        .start();
    master.until(&server, "/", 20);
    let _late = broker.worker("late").start();
    master.until_written("events.ndjson", "worker-joined");
    drop(first.remove(0));
    let outcome = master.wait().exited(110);
    let summary = outcome.summary();
    let late = &summary.row("/workers", "late");
    assert!(late["share"].is_null(), "{late}");
    assert!(late["requests"].as_u64() > Some(100), "{late}");
    is_their_sum(&summary);
}

#[test]
fn a_lost_worker_ends_the_run_if_it_is_to() {
    let broker = Broker::start();
    let server = Server::start();
    let mut workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "100s")
        .flag("--on-worker-loss", "abort")
        .start();
    master.until(&server, "/", 20);
    drop(workers.remove(1));
    let outcome = master.wait().exited(110);
    assert!(
        outcome.flat_stderr().contains("the worker `b` was lost"),
        "{}",
        outcome.story()
    );
}

#[test]
fn a_worker_that_stood_still_is_lost_and_comes_back_with_everything() {
    let broker = Broker::start();
    let server = Server::start();
    let workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "50/s")
        .flag("--duration", "14s")
        .start();
    master.until(&server, "/", 50);
    workers[0].signal(Signal::STOP);
    master.until_written("events.ndjson", "worker-lost");
    std::thread::sleep(Duration::from_secs(2));
    workers[0].signal(Signal::CONT);
    let outcome = master.wait();
    let told = about_workers(&outcome);
    let a = |kind: &str| (kind.to_owned(), "a".to_owned());
    assert_eq!(
        told,
        [a("worker-lost"), a("worker-joined")],
        "{}",
        outcome.story()
    );
    let outcome = outcome.exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.row("/workers", "a")["returns"], 1);
    // Nothing that it sent is missing.
    assert_eq!(summary.count("/all/requests"), server.total());
    is_their_sum(&summary);
}

#[test]
fn a_broker_that_dies_and_comes_back_loses_nothing_and_nobody() {
    let mut broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "16s")
        .start();
    master.until(&server, "/", 50);
    broker.kill();
    // Longer than a worker may be silent.
    std::thread::sleep(Duration::from_secs(6));
    broker.start_again();
    let outcome = master.wait().exited(0);
    assert_eq!(about_workers(&outcome), []);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/requests"), server.total());
    is_their_sum(&summary);
}

#[test]
fn a_broker_that_stays_away_ends_the_run() {
    let mut broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "100s")
        .flag("--graceful-stop", "1s")
        .flag("--orphan-timeout", "3s")
        .start();
    master.until(&server, "/", 50);
    broker.kill();
    let outcome = master.wait().exited(110);
    let said = outcome.flat_stderr();
    assert!(
        said.contains("every worker was lost") && said.contains("Workers: 2, of which 2 lost"),
        "{}",
        outcome.story()
    );
}

#[test]
fn a_broker_that_stands_still_makes_nobody_lost() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "16s")
        .start();
    master.until(&server, "/", 50);
    broker.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(6));
    broker.signal(Signal::CONT);
    let outcome = master.wait().exited(0);
    assert_eq!(about_workers(&outcome), []);
    assert_eq!(outcome.summary().count("/all/requests"), server.total());
}

#[test]
fn without_their_master_workers_stop_and_are_free_again() {
    let broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = broker
        .master(&example("hello"), 2)
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "100s")
        .flag("--orphan-timeout", "2s")
        .start();
    master.until(&server, "/", 20);
    // It is killed.
    drop(master);
    let start = Instant::now();
    let mut before = server.total();
    loop {
        std::thread::sleep(Duration::from_millis(1500));
        let now = server.total();
        if now == before {
            break;
        }
        before = now;
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the load goes on: {now}"
        );
    }
    broker
        .master(&example("hello"), 2)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .flag("--vus", "2")
        .flag("--iterations", "10")
        .run()
        .exited(0);
}

#[test]
fn an_interrupted_master_ends_its_workers_gracefully() {
    let server = Server::start();
    let mut master = run(&server, Some(2))
        .flag("--vus", "2")
        .flag("--duration", "100s")
        .start();
    master.until(&server, "/", 20);
    master.signal(Signal::INT);
    let outcome = master.wait().exited(105);
    assert_eq!(outcome.summary().count("/all/requests"), server.total());
}

#[test]
fn a_failing_setup_ends_the_run_before_its_start() {
    let server = Server::start();
    let outcome = Squall::script(test_guest("behaviour"))
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .script_env("CASE", "setup-err")
        .flag("--workers", "2")
        .flag("--vus", "2")
        .run()
        .exited(107);
    assert!(
        outcome.stderr.contains("`setup` failed"),
        "{}",
        outcome.story()
    );
}

#[test]
fn a_worker_keeps_to_its_own_targets() {
    let broker = Broker::start();
    let server = Server::start();
    let _worker = broker
        .worker("a")
        .flag("--allow-host", "shop.example")
        .start();
    let outcome = broker
        .master(&example("hello"), 1)
        .flag("--base-url", server.url(""))
        .run()
        .exited(104);
    let said = outcome.flat_stderr();
    assert!(
        said.contains("this worker does not allow load against `127.0.0.1`")
            && said.contains("it allows shop.example"),
        "{}",
        outcome.story()
    );
    assert_eq!(server.total(), 0);
}

#[test]
fn too_few_workers_are_told_with_what_to_do() {
    let broker = Broker::start();
    let _worker = broker.worker("a").start();
    let outcome = broker
        .master(&example("hello"), 2)
        .flag("--wait", "3s")
        .run()
        .exited(104);
    let said = outcome.flat_stderr();
    assert!(
        said.contains("1 of 2 workers are there after 3s") && said.contains("squall worker --nats"),
        "{}",
        outcome.story()
    );
}

#[test]
fn the_server_refuses_who_has_no_key_or_the_wrong_one() {
    let broker = Broker::start();
    let outcome = Squall::new(["worker"])
        .flag("--nats", broker.url())
        .run()
        .exited(104);
    let said = outcome.flat_stderr();
    assert!(
        said.contains("authorization violation"),
        "{}",
        outcome.story()
    );
    // A worker's key is no master's.
    let outcome = Squall::new(["master".as_ref(), example("hello").as_os_str()])
        .flag("--workers", "1")
        .flag("--nats", broker.url())
        .flag("--nats-nkey", broker.key("worker"))
        .run()
        .exited(104);
    let said = outcome.flat_stderr();
    assert!(
        said.contains("Permissions Violation"),
        "{}",
        outcome.story()
    );
}

#[test]
fn the_server_lets_no_worker_command_and_nobody_read_results() {
    let broker = Broker::start();
    let seed = std::fs::read_to_string(broker.key("worker")).expect("it is there");
    let (complain, complaints) = std::sync::mpsc::channel();
    let mut told: Vec<String> = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine has room");
    runtime.block_on(async {
        let client = async_nats::ConnectOptions::with_nkey(seed)
            .event_callback(move |event| {
                let complain = complain.clone();
                async move { _ = complain.send(event.to_string()) }
            })
            .connect(broker.url())
            .await
            .expect("a worker's key lets it in");
        let publish = |subject: &'static str| client.publish(subject, "stop".into());
        publish("squall.default.m.run.x").await.expect("it is sent");
        publish("squall.default.m.all").await.expect("it is sent");
        let _results = client
            .subscribe("squall.default.w.*")
            .await
            .expect("it is sent");
        client.flush().await.expect("the server answers");
        // Its complaints come beside its answers.
        let start = Instant::now();
        while told.len() < 3 && start.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let complaints = complaints.try_iter();
            told.extend(complaints.filter(|it: &String| it.to_lowercase().contains("violation")));
        }
    });
    for refused in [
        "Publish to \"squall.default.m.run.x\"",
        "Publish to \"squall.default.m.all\"",
        "Subscription to \"squall.default.w.*\"",
    ] {
        let is_refused = |told: &String| {
            told.to_lowercase().contains("permissions violation")
                && told.to_lowercase().contains(&refused.to_lowercase())
        };
        assert!(told.iter().any(is_refused), "`{refused}`: {told:#?}");
    }
}

/// What somebody says to a master who speaks its protocol and is no squall: the frame
/// and the envelope of a message.
fn said(body: &Value) -> Vec<u8> {
    let mut message = vec![0; 11];
    message.extend([0, 0, 0, 0, 1]);
    let envelope = serde_json::json!({ "v": 1, "body": body });
    message.extend(rmp_serde::to_vec_named(&envelope).expect("plain data"));
    message
}

#[test]
fn a_worker_of_another_version_is_refused_in_plain_words() {
    let broker = Broker::start();
    let seed = std::fs::read_to_string(broker.key("worker")).expect("it is there");
    let master = broker
        .master(&example("hello"), 1)
        .flag("--wait", "4s")
        .start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine has room");
    let answers = runtime.block_on(async {
        let client = async_nats::ConnectOptions::with_nkey(seed)
            .connect(broker.url())
            .await
            .expect("a worker's key lets it in");
        let mut answers = Vec::new();
        let own = env!("CARGO_PKG_VERSION");
        for (id, version, wit) in [
            ("older", "0.0.1", "squall:script@0.1.0"),
            ("other", own, "squall:script@9.9.9"),
        ] {
            let mut heard = client
                .subscribe(format!("squall.default.m.one.{id}"))
                .await
                .expect("it may");
            let hello = said(&serde_json::json!({ "hello": {
                "v": 1, "id": id, "name": id, "host_version": version, "wit": [wit],
                "cores": 1, "run": null,
            } }));
            let answer = loop {
                let subject = format!("squall.default.w.{id}");
                let sent = client.publish(subject, hello.clone().into()).await;
                sent.expect("it is sent");
                let next = futures_util::StreamExt::next(&mut heard);
                if let Ok(answer) = tokio::time::timeout(Duration::from_millis(200), next).await {
                    break answer.expect("the subscription goes on");
                }
            };
            answers.push(String::from_utf8_lossy(&answer.payload).into_owned());
        }
        answers
    });
    let outcome = master.wait().exited(104);
    let told = outcome.flat_stderr();
    for (number, refused) in [
        "it is squall 0.0.1, and the master is squall",
        "it runs scripts for squall:script@9.9.9, and the master for squall:script@",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(told.contains(refused), "{}", outcome.story());
        assert!(answers[number].contains(refused), "{answers:?}");
    }
    assert!(
        told.contains("0 of 1 workers are there after 4s, and 2 more cannot take part"),
        "{}",
        outcome.story()
    );
}

#[test]
fn the_load_of_all_workers_is_steered_while_it_goes_on() {
    let broker = Broker::start();
    let server = Server::start();
    server.slow_front_page(Duration::from_millis(10));
    let _workers = workers(&broker, &["a", "b", "c"]);
    // Where the master and `squall ctl` find each other.
    let desk = tempfile::tempdir().expect("a temporary folder");
    let mut master = recorded(broker.master(&example("hello"), 3))
        .flag("--base-url", server.url(""))
        .flag("--vus", "3")
        .flag("--max-vus", "60")
        .flag("--duration", "100s")
        .flag("--control", "127.0.0.1:0")
        .env("XDG_RUNTIME_DIR", desk.path())
        .start();
    master.until(&server, "/", 30);
    let order = |order: &str| {
        let outcome = Squall::new(["ctl"].into_iter().chain(order.split(' ')))
            .env("XDG_RUNTIME_DIR", desk.path())
            .run()
            .exited(0);
        outcome.stdout
    };
    assert!(order("vus 30").contains("3 VUs → 30 VUs"));
    master.until_written("events.ndjson", "load-changed");
    let start = Instant::now();
    loop {
        let status: Value = serde_json::from_str(&order("status --json")).expect("JSON");
        if status["scenarios"][0]["vus"] == 30 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{status:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    order("stop");
    let outcome = master.wait().exited(105);
    let summary = outcome.summary();
    assert_eq!(summary.count("/all/requests"), server.total());
    is_their_sum(&summary);
    // Each has its part of what was asked for.
    for worker in summary.rows("/workers") {
        assert!(worker["requests"].as_u64() > Some(0), "{worker}");
    }
}

#[test]
fn many_workers_fetch_their_data_a_few_at_a_time() {
    const WORKERS: u32 = 20;
    let broker = Broker::start();
    let server = Server::start();
    // Each has a cache of its own: nothing is there yet.
    let caches = tempfile::tempdir().expect("a temporary folder");
    let workers: Vec<_> = (1..=WORKERS)
        .map(|number| {
            let name = format!("w{number:02}");
            let cache = caches.path().join(&name);
            broker.worker(&name).env("SQUALL_CACHE_DIR", cache).start()
        })
        .collect();
    let master = broker
        .master(&test_guest("feeder"), WORKERS)
        .flag("--base-url", server.url(""))
        .flag("--recorder", "none")
        .script_env("MODE", "next");
    let before = broker.peak_bytes();
    // Of 8 MiB, for each of them.
    let row = "x".repeat(8 << 10);
    let rows: String = (0..1_024)
        .map(|number| format!("{number},{row}\n"))
        .collect();
    let path = write(
        master.file("rows.csv"),
        format!("n,filler\n{rows}").as_bytes(),
    );
    let outcome = master
        .flag("--data", format!("rows={},order=unique", path.display()))
        .flag("--vus", WORKERS.to_string())
        .flag("--duration", "100s")
        .flag("--wait", "110s")
        .run()
        .exited(0);
    let summary = outcome.summary();
    assert_eq!(summary.rows("/workers").len(), WORKERS as usize);
    assert_eq!(summary.count("/iterations/finished"), 1_024);
    is_their_sum(&summary);
    let after = broker.peak_bytes();
    // All at once would be 160 MiB, in messages to twenty slow readers.
    assert!(
        after - before < 48 << 20,
        "the server took {} MiB",
        (after - before) >> 20
    );
    drop(workers);
}

#[test]
fn a_broker_that_dies_at_once_says_what_is_not_counted() {
    let mut broker = Broker::start();
    let server = Server::start();
    let _workers = workers(&broker, &["a", "b"]);
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--duration", "100s")
        .flag("--graceful-stop", "1s")
        .flag("--orphan-timeout", "2s")
        .start();
    master.until(&server, "/", 1);
    broker.kill();
    let outcome = master.wait().exited(110);
    let summary = outcome.summary();
    assert!(summary.count("/all/requests") < server.total());
    for worker in summary.rows("/workers") {
        let told = &worker["lost"]["told_until_ms"];
        let is_soon = told.is_null() || told.as_f64() < Some(5_000.0);
        assert!(is_soon, "{worker}");
    }
    let said = outcome.flat_stderr();
    assert!(
        said.contains("the NATS server does not answer")
            && (said.contains("nothing of what it did is counted")
                || said.contains("is not counted")),
        "{}",
        outcome.story()
    );
}
