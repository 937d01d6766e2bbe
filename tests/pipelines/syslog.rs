//! The daemons of syslog: rsyslog and syslog-ng, which write to a file here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::consumer::{Consumer, program, shipped};
use crate::entries::{self, Entry, TORN, every_one_once};
use crate::support::command::write;

/// The configuration's file for entries, in the consumer's folder.
const OUTPUT: &str = "telemetry.log";

#[test]
fn rsyslog_passes_on_every_entry_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let pid = folder.join("rsyslogd.pid");
    let mut command = Command::new(program("rsyslogd"));
    command
        .args(["-n".as_ref(), "-i".as_ref(), pid.as_os_str()])
        .arg("-f")
        .arg(configuration("rsyslog.conf", folder));
    passes_on(Consumer::start(&mut command, folder), &pid, folder, "Z");
}

#[test]
fn syslog_ng_passes_on_every_entry_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let pid = folder.join("syslog-ng.pid");
    let mut command = Command::new(program("syslog-ng"));
    command
        .args(["-F", "--no-caps"])
        .arg("-f")
        .arg(configuration("syslog-ng.conf", folder));
    for (flag, file) in [
        ("-p", "syslog-ng.pid"),
        ("-R", "persist"),
        ("-c", "control"),
    ] {
        command.arg(flag).arg(folder.join(file));
    }
    passes_on(
        Consumer::start(&mut command, folder),
        &pid,
        folder,
        "+00:00",
    );
}

/// The shipped configuration with its folders put in place.
fn configuration(name: &str, folder: &Path) -> PathBuf {
    let place = folder.to_str().expect("UTF-8");
    let text = shipped(name)
        .replace("/var/log/squall", place)
        .replace("/var/lib/rsyslog", place);
    write(folder.join(name), text.as_bytes())
}

/// Runs the load, and holds what the daemon wrote against it. `zone` is how the
/// daemon writes that a time is in UTC.
fn passes_on(mut daemon: Consumer, pid: &Path, folder: &Path, zone: &str) {
    daemon.until("that it is ready", |_| pid.is_file());
    let entries = entries::rotated(folder);
    let written = || fs::read_to_string(folder.join(OUTPUT)).unwrap_or_default();
    daemon.until("that every entry arrives", |_| {
        written().lines().count() >= entries.len()
    });
    entries::tear(folder);
    daemon.until("that the torn line arrives", |_| {
        written().ends_with(&format!("{TORN}\n"))
    });
    daemon.stop();

    let written = written();
    let (torn, messages): (Vec<_>, Vec<_>) = written
        .lines()
        .map(Message::parse)
        .partition(|message| message.text == TORN);
    assert_eq!(torn.len(), 1);
    assert_eq!(
        (torn[0].priority, torn[0].program),
        (priority("error"), "squall")
    );

    let received: Vec<Entry> = messages.iter().map(|m| Entry::new(m.text)).collect();
    every_one_once(received.iter().map(Entry::seq), entries.len());
    for (message, received) in messages.iter().zip(&received) {
        let sent = &entries[received.seq() as usize - 1];
        // Byte for byte, and so with the nanoseconds that the header has no room for.
        assert_eq!(message.text, sent.line);
        let microseconds = &sent.text("time")[..26];
        assert_eq!(message.time, format!("{microseconds}{zone}"));
        assert_eq!(message.priority, priority(sent.text("level")));
        assert_eq!(message.host, sent.text("node.host"));
        assert_eq!(message.program, "squall");
        assert_eq!(message.process, sent.json["node"]["pid"].to_string());
        assert_eq!(message.name, sent.text("event_name"));
    }
}

/// The priority of a level: of the facility local0, and the severity's number.
fn priority(level: &str) -> u32 {
    let severity = match level {
        "error" => 3,
        "warn" => 4,
        "info" => 6,
        "debug" => 7,
        other => panic!("a level `{other}`"),
    };
    16 * 8 + severity
}

/// A message of RFC 5424 without structured data.
struct Message<'a> {
    priority: u32,
    time: &'a str,
    host: &'a str,
    program: &'a str,
    process: &'a str,
    name: &'a str,
    text: &'a str,
}

impl<'a> Message<'a> {
    #[track_caller]
    fn parse(line: &'a str) -> Self {
        let parts: Vec<&str> = line.splitn(8, ' ').collect();
        let [priority, time, host, program, process, name, "-", text] = parts[..] else {
            panic!("no message of RFC 5424: {line}");
        };
        let priority = priority
            .strip_prefix('<')
            .and_then(|p| p.strip_suffix(">1"));
        let priority = priority.and_then(|p| p.parse().ok());
        Self {
            priority: priority.unwrap_or_else(|| panic!("no priority: {line}")),
            time,
            host,
            program,
            process,
            name,
            text,
        }
    }
}
