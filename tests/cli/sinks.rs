//! Recorders with sinks of their own: where log entries go, and what becomes of
//! the run and of its telemetry when a sink fails.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::support::command::{Outcome, Squall, write};
use crate::support::guests::{example, test_guest};
use crate::support::port;
use crate::support::server::Server;

fn hello(server: &Server) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--stats-interval", "100ms")
}

/// Runs 20 iterations of `hello` with these recorders.
fn recorded(recorders: &[&str]) -> Outcome {
    let server = Server::start();
    let mut squall = hello(&server).flag("--iterations", "20");
    for recorder in recorders {
        squall = squall.flag("--recorder", recorder);
    }
    squall.run()
}

/// The spec of the recorder `brief` with these options.
fn brief(options: &str) -> String {
    format!("{},{options}", example("brief").display())
}

/// The spec of a recorder that writes entries as `mode` says.
fn harm(mode: &str, options: &str) -> String {
    format!(
        "{},mode={mode},{options}",
        test_guest("misrecord").display()
    )
}

/// A line as what it must be, a JSON object.
#[track_caller]
fn parse(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("not a JSON object: {line:?}"),
    }
}

fn seq(line: &Value) -> u64 {
    line["seq"].as_u64().expect("every line has one")
}

/// The rotated files of `name` in a folder, the oldest first, and the file
/// itself at the end.
fn files(folder: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is ours");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            let file = path.file_name().and_then(|name| name.to_str());
            file.is_some_and(|file| file.starts_with(&format!("{name}.")))
        })
        .collect();
    paths.sort();
    paths.push(folder.join(name));
    let text = |path| std::fs::read_to_string(path).expect("it is there");
    paths.iter().map(text).collect()
}

/// Fails unless the run itself came to its end, and its telemetry did not.
#[track_caller]
fn lost_telemetry_alone(outcome: &Outcome, cause: &str) {
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 20);
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert!(summary.count("/telemetry/entries_lost") > 0);
    let told = outcome.stderr.matches(cause).count();
    assert!(told > 0, "no `{cause}`{}", outcome.story());
    // In the summary once, and at most once as a diagnostic before it.
    assert!(told <= 2, "`{cause}` {told} times{}", outcome.story());
}

#[test]
fn each_recorder_writes_to_its_own_sink() {
    let server = Server::start();
    let squall = hello(&server).flag("--iterations", "20");
    let (json, brief_file) = (squall.file("json.ndjson"), squall.file("brief.ndjson"));
    let folder = json.parent().expect("it has one").to_owned();
    let listener = UnixListener::bind(squall.file("socket")).expect("bound");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let mut stream = listener.accept().expect("it connects").0;
        stream.read_to_string(&mut text).expect("orderly");
        text
    });
    let specs = [
        format!("json,sink=file:{}", json.display()),
        brief(&format!("sink=file:{}", brief_file.display())),
        format!("json,sink=unix:{}", folder.join("socket").display()),
        // Where `--telemetry` says, which is stdout.
        "json".to_owned(),
    ];
    let outcome = squall
        .env("SQUALL_RECORDERS", specs.join(","))
        .run()
        .exited(0);
    let (from_file, from_socket) = (
        outcome.read("json.ndjson"),
        reader.join().expect("no panic"),
    );
    for text in [&from_file, &from_socket, &outcome.stdout] {
        let lines: Vec<_> = text.lines().map(parse).collect();
        let numbers: Vec<_> = lines.iter().map(seq).collect();
        let expected: Vec<_> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{}", outcome.story());
        let last = lines.last().expect("there is one");
        assert_eq!(last["event_name"], "loadtest.run.end");
    }
    let briefs = outcome.read("brief.ndjson");
    let requests = briefs.lines().map(|line| parse(line)["sent"].as_u64());
    assert_eq!(
        requests.map(|count| count.expect("a count")).sum::<u64>(),
        20
    );
}

#[test]
fn recorders_of_one_file_share_it_line_by_line() {
    let server = Server::start();
    let squall = hello(&server).flag("--iterations", "500");
    let file = squall.file("all.ndjson");
    let sink = format!("sink=file:{}", file.display());
    let outcome = squall
        .flag("--telemetry", &file)
        .flag("--recorder", harm("none", &sink))
        .flag("--recorder", harm("none", &sink))
        .flag("--recorder", "json")
        .run()
        .exited(0);
    assert_eq!(outcome.stdout, "");
    let text = outcome.read("all.ndjson");
    let lines: Vec<_> = text.lines().map(parse).collect();
    let requests = lines.iter().filter(|line| line["event"] == "request");
    assert_eq!(requests.count(), 1000);
    let written = outcome.summary().count("/telemetry/entries_written");
    assert_eq!(written, lines.len() as u64);
}

#[test]
fn a_rotated_file_loses_no_line_and_keeps_what_was_there() {
    let server = Server::start();
    let squall = hello(&server).flag("--iterations", "500");
    let file = squall.file("all.ndjson");
    write(file.clone(), b"{\"before\":\"the run\"}\n");
    let spec = format!("sink=file:{},rotate-size=1KiB", file.display());
    let outcome = squall
        .flag("--recorder", harm("none", &spec))
        .run()
        .exited(0);
    let files = files(file.parent().expect("it has one"), "all.ndjson");
    assert!(files.len() > 10, "{} files{}", files.len(), outcome.story());
    assert_eq!(files[0], "{\"before\":\"the run\"}\n");
    assert!(
        files
            .iter()
            .all(|text| text.len() <= 1024 && text.ends_with('\n'))
    );
    let lines: Vec<_> = files[1..].iter().flat_map(|text| text.lines()).collect();
    let written = outcome.summary().count("/telemetry/entries_written");
    assert_eq!(written, lines.len() as u64);
    assert_eq!(parse(lines[0])["event"], "run-started");
    assert_eq!(parse(lines[lines.len() - 1])["events"], written - 1);
}

#[test]
fn only_the_newest_rotated_files_are_kept() {
    let server = Server::start();
    let squall = hello(&server).flag("--iterations", "500");
    let file = squall.file("all.ndjson");
    let other = squall.file("all.ndjson.mine");
    write(other, b"mine");
    let spec = format!("sink=file:{},rotate-size=1KiB,keep=3", file.display());
    // Its folder goes with it.
    let _outcome = squall
        .flag("--recorder", harm("none", &spec))
        .run()
        .exited(0);
    let files = files(file.parent().expect("it has one"), "all.ndjson");
    // The one that is written to, three before it, and somebody else's.
    assert_eq!(files.len(), 5);
    assert_eq!(files[3], "mine");
}

/// Reads lines from whoever connects, until a connection has ended.
fn take_lines(listener: TcpListener) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("it connects");
        let lines = BufReader::new(stream).lines();
        lines.map(|line| line.expect("orderly")).collect()
    })
}

#[test]
fn a_reader_that_dies_and_comes_back_misses_nothing() {
    let server = Server::start();
    let listener = port::listen();
    let address = listener.local_addr().expect("bound");
    let squall = hello(&server).flag("--duration", "5s");
    let file = squall.file("all.ndjson");
    let mut running = squall
        .flag("--recorder", "json")
        .flag(
            "--recorder",
            format!("json,sink=file:{},rotate-size=4KiB", file.display()),
        )
        .flag("--recorder", format!("json,sink=tcp:{address}"))
        .start();
    let mut first = BufReader::new(listener.accept().expect("it connects").0);
    let mut received = BTreeSet::new();
    for _ in 0..5 {
        let mut line = String::new();
        first.read_line(&mut line).expect("readable");
        received.insert(seq(&parse(&line)));
    }
    drop((first, listener));
    let reached = server.count("/");
    running.until(&server, "/", reached + 20);
    let reader = take_lines(TcpListener::bind(address).expect("the port is ours"));
    let outcome = running.wait().exited(0);
    let again = reader.join().expect("no panic");
    received.extend(again.iter().map(|line| seq(&parse(line))));

    let written = outcome.lines().iter().map(seq).max().expect("a line");
    let expected: BTreeSet<_> = (1..=written).collect();
    assert_eq!(outcome.lines().len() as u64, written);
    assert_eq!(received, expected, "{}", outcome.story());
    assert_eq!(outcome.summary().count("/telemetry/entries_lost"), 0);
    assert!(
        outcome.stderr.contains("the connection is lost"),
        "{}",
        outcome.story()
    );

    let files = files(file.parent().expect("it has one"), "all.ndjson");
    assert!(files.len() > 1, "{}", outcome.story());
    let lines = files.iter().flat_map(|text| text.lines()).map(parse);
    assert!(lines.map(|line| seq(&line)).eq(expected));
}

#[test]
fn a_reader_that_never_comes_back_does_not_hold_up_the_end() {
    let server = Server::start();
    let listener = port::listen();
    let address = listener.local_addr().expect("bound");
    let mut running = hello(&server)
        .flag("--duration", "2s")
        .flag("--recorder", "json")
        .flag("--recorder", format!("json,sink=tcp:{address}"))
        .start();
    let first: TcpStream = listener.accept().expect("it connects").0;
    let mut first = BufReader::new(first);
    first.read_line(&mut String::new()).expect("readable");
    drop((first, listener));
    let reached = server.count("/");
    running.until(&server, "/", reached + 1);
    let outcome = running.wait().exited(110);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
    let summary = outcome.summary();
    let recorders = summary.rows("/telemetry/recorders");
    assert_eq!(recorders[0]["entries_lost"], 0);
    let entries = |key: &str| recorders[1][key].as_u64().expect("a count");
    assert!(entries("entries_lost") > 0);
    let all = entries("entries_lost") + entries("entries_written");
    assert_eq!(all, outcome.lines().len() as u64, "{}", outcome.story());
    let cause = recorders[1]["entries_lost_because"].as_str();
    let cause = cause.expect("there is one");
    assert!(cause.contains(&format!("tcp:{address}")), "{cause}");
    assert!(outcome.stderr.contains("within 10s"), "{}", outcome.story());
}

#[test]
fn a_socket_that_nobody_listens_on_ends_the_run_before_it_starts() {
    let server = Server::start();
    let refusing = port::refusing();
    let outcome = hello(&server)
        .flag("--recorder", format!("json,sink=tcp:{refusing}"))
        .flag("--recorder", "json,sink=file:no/such/folder/a.ndjson")
        .run()
        .exited(104);
    for part in [
        "2 mistakes",
        &format!("cannot connect the sink `tcp:{refusing}`"),
        "cannot write telemetry to `no/such/folder/a.ndjson`",
        "hint: create the folder first",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.story());
    }
    assert_eq!(server.total(), 0);
}

#[test]
fn a_peer_that_does_not_read_does_not_hold_up_the_end() {
    let server = Server::start();
    let listener = port::listen();
    let address = listener.local_addr().expect("bound");
    // A mebibyte for each batch, soon more than the kernel keeps for anybody.
    let outcome = hello(&server)
        .flag("--duration", "3s")
        .flag("--recorder", "json")
        .flag("--recorder", harm("big", &format!("sink=tcp:{address}")))
        .run();
    drop(listener);
    let summary = outcome.summary();
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
    let (code, lost) = (outcome.code, summary.count("/telemetry/entries_lost"));
    assert_eq!((code, lost > 0), (Some(110), true), "{}", outcome.story());
}

/// A pipe that is full, and that nobody reads.
struct Blocked {
    _unread: PipeReader,
    end: PipeWriter,
}

impl Blocked {
    fn new() -> Self {
        let (unread, end) = std::io::pipe().expect("a pipe");
        let mut filler = end.try_clone().expect("a descriptor is left");
        // Whatever room there is, this takes it, until the pipe is closed.
        thread::spawn(move || while filler.write_all(&[b'\n'; 4096]).is_ok() {});
        Self {
            _unread: unread,
            end,
        }
    }

    fn end(&self) -> PipeWriter {
        self.end.try_clone().expect("a descriptor is left")
    }
}

#[test]
fn a_blocked_stderr_does_not_hold_up_the_end() {
    let server = Server::start();
    let blocked = Blocked::new();
    let outcome = hello(&server)
        .flag("--iterations", "3000")
        .flag("--recorder", "json,sink=stderr")
        .flag("--recorder", "json")
        .stderr(blocked.end())
        .run()
        .exited(110);
    drop(blocked);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 3000);
    let recorders = summary.rows("/telemetry/recorders");
    let failure = recorders[0]["failure"].as_str();
    assert!(
        failure.is_some_and(|failure| failure.contains("`stderr` did not take")),
        "{}",
        outcome.story()
    );
    assert_eq!(recorders[1]["entries_lost"], 0);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
}

#[test]
fn a_blocked_stdout_does_not_change_the_load() {
    let server = Server::start();
    let blocked = Blocked::new();
    let squall = hello(&server)
        .flag("--iterations", "3000")
        .flag("--recorder", "json");
    let file = squall.file("brief.ndjson");
    let outcome = squall
        .flag(
            "--recorder",
            brief(&format!("sink=file:{}", file.display())),
        )
        .stdout(blocked.end())
        .run()
        .exited(110);
    drop(blocked);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/finished"), 3000);
    assert_eq!(server.count("/"), 3000);
    let recorders = summary.rows("/telemetry/recorders");
    assert!(recorders[0]["entries_lost"].as_u64() > Some(0));
    assert_eq!(recorders[1]["entries_lost"], 0);
    for part in [
        "`stdout` did not take the rest of its log entries within 10s",
        "of the recorder `json` could not be written",
    ] {
        assert!(outcome.flat_stderr().contains(part), "{}", outcome.story());
    }
    let text = outcome.read("brief.ndjson");
    let requests = text.lines().filter_map(|line| parse(line)["sent"].as_u64());
    assert_eq!(requests.sum::<u64>(), 3000);
}

#[test]
fn a_full_disk_is_told_and_counted_and_the_run_goes_on() {
    let outcome = recorded(&["json", "json,sink=file:/dev/full"]).exited(110);
    lost_telemetry_alone(&outcome, "No space left on device");
    let summary = outcome.summary();
    let recorders = summary.rows("/telemetry/recorders");
    let written = recorders[0]["entries_written"].as_u64().expect("a count");
    // Every one was tried, since the disk may have had room again.
    assert_eq!(recorders[1]["entries_lost"], written);
    assert_eq!(recorders[1]["entries_written"], 0);
    assert_eq!(recorders[1]["failure"], Value::Null);
    assert_eq!(outcome.entries("loadtest.run.end").len(), 1);
}

#[test]
fn a_folder_that_vanishes_is_told_and_counted_and_the_run_goes_on() {
    let server = Server::start();
    let squall = hello(&server).flag("--duration", "3s");
    let folder = squall.file("logs");
    std::fs::create_dir(&folder).expect("the folder around it is ours");
    let file = folder.join("json.ndjson");
    let mut running = squall
        .flag("--recorder", format!("json,sink=file:{}", file.display()))
        .start();
    running.until(&server, "/", 20);
    std::fs::remove_dir_all(&folder).expect("it is ours");
    let outcome = running.wait().exited(110);
    let summary = outcome.summary();
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(summary.count("/telemetry/entries_written"), 0);
    assert!(
        outcome.flat_stderr().contains("was deleted"),
        "{}",
        outcome.story()
    );
}

#[test]
fn log_entries_stand_between_the_messages_on_stderr() {
    let outcome = recorded(&["json,sink=stderr"]).exited(0);
    assert_eq!(outcome.stdout, "");
    let entries: Vec<_> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("event_name"))
        .map(parse)
        .collect();
    let written = outcome.summary().count("/telemetry/entries_written");
    assert_eq!(entries.len() as u64, written, "{}", outcome.story());
    assert!(outcome.stderr.contains("the front page is there"));
}

#[test]
fn on_a_terminal_log_entries_stand_above_the_live_line() {
    for sink in ["stderr", "stdout"] {
        let server = Server::start();
        let outcome = hello(&server)
            .flag("--duration", "2s")
            .flag("--recorder", format!("json,sink={sink}"))
            .on_a_terminal("")
            .run()
            .exited(0);
        // What was on the line before is taken away first.
        let entries = outcome.stdout.split('\n').filter_map(|line| {
            let shown = line.rsplit("\x1b[K").next().unwrap_or_default();
            line.contains("event_name").then(|| parse(shown.trim()))
        });
        let written = outcome.summary().count("/telemetry/entries_written");
        assert_eq!(entries.count() as u64, written, "{}", outcome.story());
        assert!(outcome.stdout.contains('\r'), "{}", outcome.story());
    }
}

#[test]
fn all_mistakes_in_sinks_come_at_once() {
    let outcome = recorded(&[
        "json,sink=flie:a.ndjson",
        "json,rotate-size=1MiB",
        "json,sink=tcp:logs",
        "json,sink=file:summary.json,keep=0,rotate-size=0B",
    ])
    .exited(104);
    for part in [
        "5 mistakes",
        "did you mean `file:a.ndjson`?",
        "add `sink=file:PATH`",
        "such as `tcp:logs:9000`",
        "expected a whole number from 1, found `keep=0`",
        "expected a size of at least `1KiB`, found `rotate-size=0B`",
    ] {
        assert!(outcome.stderr.contains(part), "{part}{}", outcome.story());
    }
}
