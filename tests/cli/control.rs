//! A run that is steered while it goes on: over HTTP, by `squall ctl`, and by the
//! keys of its terminal.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::{Outcome, Running, Squall};
use crate::support::guests::{example, test_guest};
use crate::support::server::Server;

/// How long the tests wait for what is to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder in which runs and `squall ctl` find each other.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// An invocation that listens and leaves its notice here.
    fn run(&self, script: impl AsRef<Path>, server: &Server) -> Squall {
        Squall::script(script.as_ref())
            .env("XDG_RUNTIME_DIR", self.0.path())
            .flag("--base-url", server.url(""))
            .flag("--control", "127.0.0.1:0")
    }

    fn hello(&self, server: &Server) -> Squall {
        self.run(example("hello"), server)
    }

    fn ctl(&self, args: &str) -> Squall {
        Squall::new(["ctl"].into_iter().chain(args.split_whitespace()))
            .env("XDG_RUNTIME_DIR", self.0.path())
    }

    fn notices(&self) -> Vec<fs::DirEntry> {
        let entries = fs::read_dir(self.0.path().join("squall"));
        entries.into_iter().flatten().flatten().collect()
    }

    /// The run that listens; waits for it.
    #[track_caller]
    fn listener(&self) -> Listener {
        let mut found = None;
        until("a notice", || {
            let texts = self.notices();
            let texts = texts.iter().filter_map(|entry| fs::read(entry.path()).ok());
            found = texts
                .filter_map(|text| serde_json::from_slice::<Value>(&text).ok())
                .next();
            found.is_some()
        });
        let found = found.expect("waited for");
        let text = |key: &str| found[key].as_str().expect("a text").to_owned();
        Listener {
            pid: found["pid"].as_i64().expect("a number"),
            address: text("address").parse().expect("an address"),
            token: found["token"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// The run that listens; waits until its iterations start.
    #[track_caller]
    fn listener_that_runs(&self) -> Listener {
        let listener = self.listener();
        until("a run", || listener.get("status")["phase"] == "running");
        listener
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "no {what} within a minute");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A run that listens.
#[derive(Clone)]
struct Listener {
    pid: i64,
    address: SocketAddr,
    token: String,
}

impl Listener {
    /// Sends bytes as they are: the status and the body of what comes back.
    #[track_caller]
    fn send(&self, request: &[u8]) -> (u16, Value, String) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {answer:?}"));
        let body = serde_json::from_str(body).unwrap_or_default();
        (status, body, head.to_owned())
    }

    #[track_caller]
    fn call(&self, method: &str, what: &str, body: &str) -> (u16, Value) {
        let request = format!(
            "{method} /v1/{what} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        let (status, body, _) = self.send(request.as_bytes());
        (status, body)
    }

    #[track_caller]
    fn get(&self, what: &str) -> Value {
        let (status, body) = self.call("GET", what, "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Does it, and tells what it changed.
    #[track_caller]
    fn order(&self, method: &str, what: &str, body: &str) -> Value {
        let (status, answer) = self.call(method, what, body);
        assert_eq!(status, 200, "{answer}");
        answer["changes"].clone()
    }

    #[track_caller]
    fn load(&self, body: &str) -> Value {
        self.order("PATCH", "load", body)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it runs");
    }
}

/// The entries of what changed, as `(action, before, after, by)`.
fn changes(outcome: &Outcome) -> Vec<(String, f64, f64, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let number = |value: &Value| value.as_f64().expect("a number");
    let entries = outcome.entries("loadtest.load.changed");
    let load = entries.iter().map(|entry| &entry["load"]);
    load.map(|load| {
        let (action, by) = (text(&load["action"]), text(&load["by"]));
        (action, number(&load["before"]), number(&load["after"]), by)
    })
    .collect()
}

/// Fails unless the server has seen nothing new for a while, once what was under
/// way has ended.
#[track_caller]
fn stands_still(server: &Server) -> u64 {
    thread::sleep(Duration::from_millis(500));
    let before = server.count("/");
    thread::sleep(Duration::from_millis(700));
    assert_eq!(server.count("/"), before);
    before
}

#[test]
fn vus_come_and_go_as_they_are_told() {
    let (server, desk) = (Server::start(), Desk::new());
    server.slow_front_page(Duration::from_millis(20));
    let mut running = desk
        .hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 10);
    let listener = desk.listener_that_runs();
    assert_eq!(
        listener.load(r#"{"vus": 6}"#),
        json!([{"scenario": "default", "action": "target", "from": {"vus": 2}, "to": {"vus": 6}}])
    );
    until("6 VUs", || server.open_connections() == 6);
    until("status of 6 VUs", || {
        listener.get("status")["scenarios"][0]["vus"] == 6
    });
    // What is so already is no change.
    assert_eq!(listener.load(r#"{"vus": "6"}"#), json!([]));
    listener.load(r#"{"scenario": "default", "vus": "-5"}"#);
    until("1 VU", || server.open_connections() == 1);
    until("stats", || {
        listener.get("stats")["total"]["all"]["requests"] != 0
    });
    let status = listener.get("status");
    assert_eq!(status["test_plan"], "hello");
    assert_eq!(status["scenarios"][0]["target"], json!({"vus": 1}));
    assert_eq!(listener.order("POST", "stop", ""), json!([]));
    let outcome = running.wait().exited(105);
    let by = || "control_api".to_owned();
    let expected = [
        ("target".to_owned(), 2.0, 6.0, by()),
        ("target".to_owned(), 6.0, 1.0, by()),
    ];
    assert_eq!(changes(&outcome), expected);
    let summary = outcome.summary();
    assert_eq!(summary.at("/reason/kind"), "interrupted");
    assert_eq!(summary.rows("/load_changes").len(), 2);
    assert_eq!(summary.at("/load_changes/0/to"), &json!({"vus": 6}));
    assert_eq!(summary.count("/iterations/interrupted"), 0);
    let told = outcome.flat_stderr();
    assert!(told.contains("changed by hand: "), "{}", outcome.story());
    assert!(
        told.contains("default: 2 VUs → 6 VUs"),
        "{}",
        outcome.story()
    );
    assert!(desk.notices().is_empty(), "the notice outlives its run");
}

#[test]
fn no_vu_at_all_is_a_target_like_others() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--threads", "2")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener_that_runs();
    listener.load(r#"{"vus": 0}"#);
    until("no VU", || server.open_connections() == 0);
    let still = stands_still(&server);
    assert_eq!(listener.get("status")["phase"], "running");
    // Also those of a thread that has had none.
    listener.load(r#"{"vus": 4}"#);
    until("4 VUs", || server.open_connections() == 4);
    running.until(&server, "/", still + 10);
    listener.order("POST", "stop", "");
    running.wait().exited(105);
}

#[test]
fn a_run_that_no_vu_can_start_waits_for_nobody() {
    let (server, desk) = (Server::start(), Desk::new());
    let outcome = desk
        .run(test_guest("behaviour"), &server)
        .script_env("CASE", "start-err")
        .flag("--vus", "1")
        .flag("--threads", "2")
        .flag("--duration", "10m")
        .run();
    outcome.exited(107);
}

#[test]
fn a_rate_is_another_one_when_it_is_told_so() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--rate", "1/s")
        .flag("--duration", "10m")
        .flag("--recorder", "locust")
        .start();
    let listener = desk.listener_that_runs();
    assert_eq!(
        listener.load(r#"{"rate": "300/s"}"#)[0]["to"],
        json!({"rate_per_s": 300.0})
    );
    // At 1/s this would take longer than anybody waits.
    running.until(&server, "/", 600);
    listener.load(r#"{"rate": "-290/s"}"#);
    let target = &listener.get("status")["scenarios"][0]["target"];
    assert_eq!(target, &json!({"rate_per_s": 10.0}));
    let (status, body) = listener.call("PATCH", "load", r#"{"vus": 5}"#);
    assert_eq!(status, 409);
    assert!(
        body["error"]["message"]
            .as_str()
            .expect("why")
            .contains("a rate, not VUs")
    );
    listener.order("POST", "stop", r#"{"now": true}"#);
    let outcome = running.wait().exited(105);
    let lines = outcome.lines();
    let name = "locust.tl.event.load.changed";
    let told = lines
        .iter()
        .filter(|line| line["telemetry"]["telemetry_name"] == name);
    assert_eq!(told.count(), 2, "{}", outcome.story());
}

#[test]
fn while_it_is_paused_nothing_reaches_the_server() {
    let (server, desk) = (Server::start(), Desk::new());
    for load in [["--vus", "3"], ["--rate", "200/s"]] {
        let seen = server.count("/");
        let mut running = desk
            .hello(&server)
            .args(load)
            .flag("--duration", "10m")
            .start();
        running.until(&server, "/", seen + 10);
        let listener = desk.listener_that_runs();
        assert_eq!(listener.order("POST", "pause", "")[0]["action"], "paused");
        assert_eq!(listener.order("POST", "pause", "{}"), json!([]));
        let still = stands_still(&server);
        assert_eq!(listener.get("status")["scenarios"][0]["paused"], true);
        let resumed = listener.order("POST", "resume", r#"{"scenario": "default"}"#);
        assert_eq!(resumed[0]["action"], "resumed");
        assert_eq!(listener.order("POST", "resume", ""), json!([]));
        running.until(&server, "/", still + 10);
        // It can be stopped while it is paused.
        listener.order("POST", "pause", "");
        listener.order("POST", "stop", "");
        let outcome = running.wait().exited(105);
        let actions = changes(&outcome);
        let actions: Vec<_> = actions.iter().map(|(action, ..)| &action[..]).collect();
        assert_eq!(actions, ["paused", "resumed", "paused"]);
    }
}

#[test]
fn a_pause_takes_nothing_of_the_runs_time() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--duration", "3s")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener_that_runs();
    listener.order("POST", "pause", "");
    thread::sleep(Duration::from_secs(4));
    assert_eq!(listener.get("status")["phase"], "running");
    let still = server.count("/");
    listener.order("POST", "resume", "");
    running.until(&server, "/", still + 1);
    let outcome = running.wait().exited(0);
    assert_eq!(outcome.summary().at("/reason/kind"), "completed");
}

#[test]
fn what_asks_badly_is_refused_with_its_reason() {
    let (server, desk) = (Server::start(), Desk::new());
    let squall = desk
        .hello(&server)
        .flag("--executor", "per-vu-iterations")
        .flag("--vus", "2")
        .flag("--iterations", "1000000")
        .flag("--log", "trace");
    let events = squall.file("events.ndjson");
    let mut running = squall.flag("--events", events).start();
    running.until(&server, "/", 1);
    let listener = desk.listener_that_runs();
    let (host, token) = (listener.address.to_string(), listener.token.clone());
    let head = |first: &str, host: &str, token: &str, more: &str| {
        format!("{first} HTTP/1.1\r\nhost: {host}\r\nauthorization: {token}\r\n{more}\r\n")
    };
    let bearer = format!("Bearer {token}");
    let wrong = format!("Bearer {}", "0".repeat(token.len()));
    let status = "GET /v1/status";
    for (request, code, about) in [
        (
            format!("{status} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            401,
            "token",
        ),
        (head(status, &host, &wrong, ""), 401, "token"),
        (head(status, &host, "", ""), 401, "token"),
        (
            head(status, &host, &bearer[..bearer.len() - 1], ""),
            401,
            "token",
        ),
        (
            head(status, &host, &format!("Basic {token}"), ""),
            401,
            "token",
        ),
        // A page in a browser whose name was made to point here.
        (
            head(status, "evil.example", &bearer, ""),
            421,
            "another host",
        ),
        (head("GET /", &host, &bearer, ""), 404, "no `/`"),
        (head("GET /v1/stop", &host, &bearer, ""), 405, "POST only"),
        (head("POST /v1/load", &host, &bearer, ""), 405, "PATCH only"),
    ] {
        let (found, body, head) = listener.send(request.as_bytes());
        assert_eq!(found, code, "{request:?}: {body}");
        let message = body["error"]["message"].as_str().expect("a reason");
        assert!(message.contains(about), "{message}");
        assert_eq!(code == 405, head.contains("\r\nallow: "), "{head}");
    }
    for (body, code, about) in [
        ("", 400, "`vus` or `rate`"),
        ("{", 400, "not as expected"),
        ("\u{0}\u{1}", 400, "not as expected"),
        (r#"{"vus": 5, "rate": "1/s"}"#, 400, "not both"),
        (r#"{"vus": 5, "vuss": 5}"#, 400, "unknown field `vuss`"),
        (r#"{"vus": -5}"#, 400, "expected a number of VUs"),
        (r#"{"vus": 99999999999}"#, 400, "expected a number of VUs"),
        (r#"{"rate": "fast"}"#, 400, "`rate`: expected"),
        (
            r#"{"scenario": "other", "vus": 5}"#,
            404,
            "no scenario `other`",
        ),
        (r#"{"vus": 5}"#, 409, "runs 2000000 iterations"),
        (r#"{"vus": "+1"}"#, 409, "runs 2000000 iterations"),
        (
            &format!(r#"{{"vus": {}}}"#, "1".repeat(5_000)),
            413,
            "larger than 4096",
        ),
    ] {
        let (found, answer) = listener.call("PATCH", "load", body);
        assert_eq!(found, code, "{body:?}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a reason");
        assert!(message.contains(about), "{message}");
        let has_hint = answer["error"]["hint"].is_string();
        assert!(has_hint || code == 413, "no hint: {answer}");
    }
    // Without a length, and far more than is ever read.
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400)).repeat(64);
    let chunks = head(
        "PATCH /v1/load",
        &host,
        &bearer,
        "transfer-encoding: chunked\r\n",
    );
    let (found, ..) = listener.send(format!("{chunks}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!(found, 413);
    // What is no HTTP, or a head without end, is answered or closed.
    for junk in [
        b"\x16\x03\x01\x02\x00nonsense\r\n\r\n".to_vec(),
        head(
            status,
            &host,
            &bearer,
            &format!("x: {}\r\n", "y".repeat(100_000)),
        )
        .into_bytes(),
    ] {
        let mut stream = TcpStream::connect(listener.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        // It need not read all of it.
        let _ = stream.write_all(&junk);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            Ok(_) => assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                "{answer:?}"
            ),
        }
    }
    let still = server.count("/");
    running.until(&server, "/", still + 10);
    listener.order("POST", "stop", "");
    let outcome = running.wait().exited(105);
    assert_eq!(changes(&outcome), []);
    assert_eq!(outcome.summary().rows("/load_changes"), [] as [Value; 0]);
    let told = [
        &outcome.stdout,
        &outcome.stderr,
        &outcome.read("events.ndjson"),
        &outcome.read("summary.json"),
    ]
    .map(|text| text.contains(&token));
    assert_eq!(told, [false; 4], "the token was told");
}

#[test]
fn clients_that_are_slow_hold_neither_the_run_nor_its_end() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "3s")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener();
    // More than are served at once: half a head, half a body, nothing at all.
    let half_a_body = format!(
        "PATCH /v1/load HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-length: 100\r\n\r\n{{",
        listener.address, listener.token
    );
    let kinds = ["GET /v1/status HTTP/1.1\r\nhost: ", &half_a_body, ""];
    let slow: Vec<TcpStream> = kinds
        .iter()
        .cycle()
        .take(60)
        .map(|beginning| {
            let mut stream = TcpStream::connect(listener.address).expect("it listens");
            stream.write_all(beginning.as_bytes()).expect("it is taken");
            stream
        })
        .collect();
    let seen = server.count("/");
    running.until(&server, "/", seen + 10);
    let outcome = running.wait().exited(0);
    assert!(
        outcome.elapsed < Duration::from_secs(20),
        "{}",
        outcome.story()
    );
    assert_eq!(outcome.summary().at("/reason/kind"), "completed");
    drop(slow);
}

#[test]
fn slow_clients_are_sent_away_so_that_others_are_heard() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener_that_runs();
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(listener.address).expect("it listens"))
        .collect();
    assert_eq!(listener.get("status")["phase"], "running");
    for stream in slow {
        // Their time is over, or would be.
        let _ = stream.shutdown(Shutdown::Both);
    }
    listener.order("POST", "stop", "");
    running.wait().exited(105);
}

#[test]
fn of_several_clients_at_once_each_is_heard() {
    let (server, desk) = (Server::start(), Desk::new());
    server.slow_front_page(Duration::from_millis(20));
    let mut running = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--threads", "2")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener_that_runs();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    listener.load(r#"{"vus": "+1"}"#);
                }
            });
        }
    });
    let target = listener.get("status")["scenarios"][0]["target"].clone();
    assert_eq!(target, json!({"vus": 41}));
    until("41 VUs", || server.open_connections() == 41);
    listener.order("POST", "stop", "");
    let outcome = running.wait().exited(105);
    let steps: Vec<_> = changes(&outcome)
        .into_iter()
        .map(|(_, before, after, _)| (before, after))
        .collect();
    let expected: Vec<_> = (1..41).map(f64::from).map(|vus| (vus, vus + 1.0)).collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_run_can_be_stopped_in_its_setup() {
    let (server, desk) = (Server::start(), Desk::new());
    server.slow_front_page(Duration::from_secs(100));
    let mut running = desk
        .run(example("shop"), &server)
        .flag("--vus", "1")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener();
    assert_eq!(listener.get("status")["phase"], "starting");
    let (status, body) = listener.call("PATCH", "load", r#"{"vus": 5}"#);
    assert_eq!(status, 503, "{body}");
    listener.order("POST", "stop", "");
    let outcome = running.wait().exited(105);
    assert_eq!(outcome.summary().count("/iterations/finished"), 0);
}

#[test]
fn what_comes_to_its_end_takes_no_other_target() {
    let (server, desk) = (Server::start(), Desk::new());
    server.slow_front_page(Duration::from_secs(100));
    let mut running = desk
        .hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "10m")
        .start();
    running.until(&server, "/", 2);
    let listener = desk.listener_that_runs();
    listener.order("POST", "stop", "");
    listener.order("POST", "stop", "");
    until("a stop", || listener.get("status")["phase"] == "stopping");
    for (method, what, body) in [
        ("PATCH", "load", r#"{"vus": 5}"#),
        ("POST", "pause", ""),
        ("POST", "resume", ""),
    ] {
        let (status, body) = listener.call(method, what, body);
        assert_eq!(status, 409, "{body}");
        assert!(
            body["error"]["message"]
                .as_str()
                .expect("why")
                .contains("comes to its end")
        );
    }
    // To say it once more is not to say it louder, but this is.
    listener.order("POST", "stop", r#"{"now": true}"#);
    let outcome = running.wait().exited(105);
    assert_eq!(outcome.summary().count("/iterations/interrupted"), 2);
}

#[test]
fn ctl_looks_and_steers() {
    let (server, desk) = (Server::start(), Desk::new());
    let nobody = desk.ctl("status").run().exited(104);
    assert!(
        nobody.stderr.contains("no run of yours listens"),
        "{}",
        nobody.story()
    );
    let mut running = desk
        .hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "10m")
        .flag("--stats-interval", "200ms")
        .flag("--threshold", "http_req_failed: rate < 0.01")
        .start();
    running.until(&server, "/", 10);
    let listener = desk.listener_that_runs();
    let [notice] = &desk.notices()[..] else {
        panic!("one run has one notice")
    };
    let mode = notice.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let says = |args: &str, text: &str| {
        let outcome = desk.ctl(args).run().exited(0);
        assert!(
            outcome.stdout.contains(text),
            "no {text:?}{}",
            outcome.story()
        );
        assert!(!outcome.stdout.contains(&listener.token));
    };
    until("both VUs", || {
        listener.get("status")["scenarios"][0]["vus"] == 2
    });
    says("status", "default  constant-vus  2 VUs");
    says("vus +3", "default: 2 VUs → 5 VUs");
    says("vus 5", "nothing to change");
    says("vus -1 --scenario default", "default: 5 VUs → 4 VUs");
    says("pause", "default: paused");
    says("status", "paused");
    says("resume", "default: resumed, 4 VUs");
    until("stats", || {
        !listener.get("stats")["total"]["requests"]
            .as_array()
            .expect("a list")
            .is_empty()
    });
    says("stats", "GET /");
    until("verdicts", || {
        listener.get("thresholds")["thresholds"][0]["passed"] == true
    });
    says("thresholds", "✓  http_req_failed: rate < 0.01");
    says(
        &format!("status --json --at {}", listener.address),
        "\"phase\": \"running\"",
    );
    for (args, code, text) in [
        ("rate 5/s", 104, "has VUs, not a rate"),
        ("vus many", 104, "expected a number of VUs"),
        ("vus 500", 104, "may have 100 VUs at the most"),
        ("pause --scenario other", 104, "there are `default`"),
        ("stop --scenario default", 2, "--scenario"),
        ("status --at 127.0.0.1", 104, "--at"),
        ("vus", 2, "NUMBER"),
    ] {
        let outcome = desk.ctl(args).run().exited(code);
        assert!(
            outcome.stderr.contains(text),
            "no {text:?}{}",
            outcome.story()
        );
        assert_eq!(outcome.stdout, "");
    }
    // Another user has neither the notice nor, without it, the token.
    let elsewhere = Desk::new();
    let at = format!("status --at {}", listener.address);
    let unknown = elsewhere.ctl(&at).run().exited(104);
    assert!(
        unknown.stderr.contains("is not known here"),
        "{}",
        unknown.story()
    );
    let with = |token: &str| elsewhere.ctl(&at).env("SQUALL_CONTROL_TOKEN", token).run();
    let wrong = with("0123456789abcdef").exited(104);
    assert!(
        wrong.stderr.contains("does not take this token"),
        "{}",
        wrong.story()
    );
    let short = with("secret").exited(104);
    assert!(
        !short.flat_stderr().contains("secret "),
        "{}",
        short.story()
    );
    with(&listener.token).exited(0);

    let second = desk.hello(&server).flag("--duration", "10m").start();
    until("a second run", || desk.notices().len() == 2);
    let several = desk.ctl("stop").run().exited(104);
    assert!(
        several.stderr.contains("2 runs listen"),
        "{}",
        several.story()
    );
    for notice in desk.notices() {
        let text = fs::read(notice.path()).expect("it is there");
        let notice: Value = serde_json::from_slice(&text).expect("JSON");
        let at = notice["address"].as_str().expect("an address").to_owned();
        let stop = desk.ctl(&format!("stop --at {at}")).run().exited(0);
        assert!(stop.stdout.contains("stopping"), "{}", stop.story());
    }
    running.wait().exited(105);
    second.wait().exited(105);
}

#[test]
fn a_chosen_token_is_kept_nowhere() {
    let (server, desk) = (Server::start(), Desk::new());
    let token = "a-token-of-my-own-choice";
    let mut running = desk
        .hello(&server)
        .flag("--duration", "10m")
        .env("SQUALL_CONTROL_TOKEN", token)
        .start();
    running.until(&server, "/", 1);
    let listener = desk.listener();
    assert_eq!(listener.token, "");
    desk.ctl("status").run().exited(104);
    let with = desk.ctl("stop").env("SQUALL_CONTROL_TOKEN", token);
    with.run().exited(0);
    let outcome = running.wait().exited(105);
    assert!(!outcome.stderr.contains(token) && !outcome.stdout.contains(token));
}

#[test]
fn other_machines_are_let_in_only_if_asked_to() {
    let (server, desk) = (Server::start(), Desk::new());
    let run = |address: &str| {
        Squall::script(example("hello"))
            .env("XDG_RUNTIME_DIR", desk.0.path())
            .flag("--base-url", server.url(""))
            .flag("--control", address)
    };
    let refused = run("0.0.0.0:0").run().exited(104);
    assert!(
        refused.stderr.contains("--control-remote"),
        "{}",
        refused.story()
    );
    let warned = run("0.0.0.0:0").arg("--control-remote").run().exited(0);
    assert!(
        warned.stderr.contains("not encrypted"),
        "{}",
        warned.story()
    );
    for (address, hint) in [("6789", "127.0.0.1:6789"), ("localhost", "127.0.0.1:0")] {
        let wrong = run(address).run().exited(104);
        assert!(wrong.stderr.contains(hint), "{}", wrong.story());
    }
    let taken = run(&server.url("")["http://".len()..]).run().exited(104);
    assert!(
        taken.stderr.contains("cannot listen at"),
        "{}",
        taken.story()
    );
    let guessed = run("127.0.0.1:0").env("SQUALL_CONTROL_TOKEN", "guess-me");
    let guessed = guessed.run().exited(104);
    assert!(
        guessed.stderr.contains("at least 16"),
        "{}",
        guessed.story()
    );
    assert!(!guessed.stderr.contains("guess-me"), "{}", guessed.story());
}

/// The terminal of a run: whether its keys come one by one.
struct Terminal(File);

impl Terminal {
    fn of(listener: &Listener) -> Self {
        let path = format!("/proc/{}/fd/0", listener.pid);
        Self(File::open(path).expect("its stdin is a terminal"))
    }

    fn is_changed(&self) -> bool {
        let modes = tcgetattr(&self.0)
            .expect("a terminal has modes")
            .local_modes;
        let canonical = modes.contains(LocalModes::ICANON);
        assert_eq!(canonical, modes.contains(LocalModes::ECHO));
        !canonical
    }
}

/// A run on a terminal, once its keys are heard.
fn on_a_terminal(squall: Squall, desk: &Desk) -> (Running, Listener, Terminal) {
    let running = squall.typing().on_a_terminal_that_tells_its_modes().start();
    let listener = desk.listener_that_runs();
    let terminal = Terminal::of(&listener);
    until("raw terminal", || terminal.is_changed());
    (running, listener, terminal)
}

/// Fails unless the terminal is at the end as it was at the beginning.
#[track_caller]
fn is_as_it_was(outcome: &Outcome) {
    let modes: Vec<_> = outcome
        .stdout
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("modes: "))
        .collect();
    assert_eq!(modes.len(), 2, "{}", outcome.story());
    assert_eq!(modes[0], modes[1], "{}", outcome.story());
}

#[test]
fn keys_steer_a_run_on_its_terminal() {
    let (server, desk) = (Server::start(), Desk::new());
    let squall = desk
        .hello(&server)
        .flag("--vus", "2")
        .flag("--duration", "10m");
    let telemetry = squall.file("telemetry.ndjson");
    let (mut running, listener, _) = on_a_terminal(squall.flag("--telemetry", telemetry), &desk);
    let scenario = || listener.get("status")["scenarios"][0].clone();
    running.types("+");
    until("third VU", || scenario()["target"] == json!({"vus": 3}));
    running.types("--");
    until("fewer", || scenario()["target"] == json!({"vus": 1}));
    running.types("p");
    until("pause", || scenario()["paused"] == true);
    stands_still(&server);
    running.types("p");
    until("resumption", || scenario()["paused"] == false);
    // Neither means anything.
    running.types("xs\x1b[A");
    running.types("?q");
    let outcome = running.wait().exited(105);
    is_as_it_was(&outcome);
    let shown = &outcome.stdout;
    assert_eq!(shown.matches("keys: + more load").count(), 2, "{shown}");
    assert!(shown.contains("default: 2 VUs → 3 VUs"), "{shown}");
    assert!(shown.contains("default: paused"), "{shown}");
    let telemetry = outcome.read("telemetry.ndjson");
    let changes = telemetry
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|entry| entry["event_name"] == "loadtest.load.changed");
    let by: Vec<_> = changes.map(|entry| entry["load"]["by"].clone()).collect();
    assert_eq!(by, vec![json!("terminal"); 5]);
}

#[test]
fn the_terminal_is_put_back_however_the_run_ends() {
    let (server, desk) = (Server::start(), Desk::new());
    let squall = || {
        desk.hello(&server)
            .flag("--vus", "1")
            .flag("--duration", "10m")
            .flag("--recorder", "none")
    };
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT] {
        let (running, listener, _) = on_a_terminal(squall(), &desk);
        listener.signal(signal);
        is_as_it_was(&running.wait().exited(105));
    }
    // By ctrl-c, which the terminal still makes a signal of, and by itself.
    let (mut running, ..) = on_a_terminal(squall(), &desk);
    running.types("\x03");
    is_as_it_was(&running.wait().exited(105));
    let short = desk.hello(&server).flag("--duration", "2s");
    let (running, ..) = on_a_terminal(short.flag("--recorder", "none"), &desk);
    is_as_it_was(&running.wait().exited(0));
}

#[test]
fn a_stopped_run_leaves_the_terminal_as_it_was_and_takes_it_again() {
    let (server, desk) = (Server::start(), Desk::new());
    let squall = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--duration", "10m");
    let (mut running, listener, terminal) = on_a_terminal(squall.flag("--recorder", "none"), &desk);
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", listener.pid));
        let stat = stat.expect("it runs");
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(1));
        state.expect("a state").to_owned()
    };
    running.types("\x1a");
    until("stop", || state() == "T");
    assert!(!terminal.is_changed());
    listener.signal(Signal::CONT);
    until("raw terminal", || terminal.is_changed());
    running.types("q");
    is_as_it_was(&running.wait().exited(105));
}

#[test]
fn without_a_terminal_there_are_no_keys() {
    let (server, desk) = (Server::start(), Desk::new());
    let mut running = desk
        .hello(&server)
        .flag("--vus", "1")
        .flag("--duration", "10m")
        .typing()
        .start();
    running.until(&server, "/", 1);
    running.types("q+p");
    let listener = desk.listener_that_runs();
    let seen = server.count("/");
    running.until(&server, "/", seen + 50);
    listener.order("POST", "stop", "");
    let outcome = running.wait().exited(105);
    assert_eq!(changes(&outcome), []);
    assert!(!outcome.stderr.contains("keys:"), "{}", outcome.story());
    // Quiet ones have none either.
    let squall = desk.hello(&server).arg("--quiet").flag("--duration", "10m");
    let mut running = squall.typing().on_a_terminal("").start();
    let listener = desk.listener_that_runs();
    assert!(!Terminal::of(&listener).is_changed());
    running.types("q\n");
    let seen = server.count("/");
    running.until(&server, "/", seen + 50);
    listener.signal(Signal::TERM);
    running.wait().exited(105);
}

#[test]
fn scenarios_are_steered_one_by_one_or_all_together() {
    let (server, desk) = (Server::start(), Desk::new());
    let squall = Squall::new(["run"]);
    let file = squall.file("load.toml");
    let toml = format!(
        "script = {hello:?}\nbase-url = {url:?}\n\
         [scenarios.browse]\nvus = 10\nduration = \"10m\"\n\
         [scenarios.buy]\nrate = \"5/s\"\nduration = \"10m\"\n\
         [scenarios.count]\nscript = {idle:?}\nvus = 1\niterations = 1000000\nduration = \"10m\"\n\
         [scenarios.brief]\nvus = 1\nduration = \"1s\"\n",
        hello = example("hello"),
        idle = test_guest("idle"),
        url = server.url(""),
    );
    fs::write(&file, toml).expect("the folder is ours");
    let running = squall
        .flag("--config", file)
        .flag("--control", "127.0.0.1:0")
        .env("XDG_RUNTIME_DIR", desk.0.path())
        .start();
    let listener = desk.listener_that_runs();
    let as_it_is = r#"{"scenario": "brief", "vus": 1}"#;
    until("the brief one's end", || {
        listener.call("PATCH", "load", as_it_is).0 == 409
    });
    let refused = |body: &str, why: &str| {
        let (status, answer) = listener.call("PATCH", "load", body);
        assert_eq!(status, 409, "{answer}");
        let message = answer["error"]["message"].as_str().expect("a reason");
        assert!(message.contains(why), "{message}");
    };
    refused(r#"{"vus": 5}"#, "which scenario");
    refused(r#"{"scenario": "brief", "vus": 5}"#, "`brief` is over");
    refused(
        r#"{"scenario": "count", "vus": "+5"}"#,
        "runs 1000000 iterations",
    );
    listener.load(r#"{"scenario": "buy", "rate": "20/s"}"#);
    // Whatever has VUs and can have more.
    let more = listener.load(r#"{"vus": "+5"}"#);
    assert_eq!(more.as_array().map(Vec::len), Some(1));
    assert_eq!(more[0]["to"], json!({"vus": 15}));
    let paused = listener.order("POST", "pause", "");
    let names: Vec<_> = paused
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| &change["scenario"])
        .collect();
    assert_eq!(names, ["browse", "buy", "count"]);
    stands_still(&server);
    let resumed = listener.order("POST", "resume", r#"{"scenario": "buy"}"#);
    assert_eq!(resumed[0]["to"], json!({"rate_per_s": 20.0}));
    until("one that goes on", || {
        let status = listener.get("status");
        let paused = |name: &str| {
            let scenarios = status["scenarios"].as_array().expect("a list").iter();
            let mut named = scenarios.filter(|scenario| scenario["name"] == name);
            named.next().expect("it is there")["paused"].clone()
        };
        paused("browse") == true && paused("buy") == false
    });
    listener.order("POST", "stop", r#"{"now": true}"#);
    running.wait().exited(105);
}
