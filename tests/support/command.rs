//! The real binary as a child process, with nothing of this process's
//! environment that it would heed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::guests::repository;
use super::schemas::Judge;
use super::server::Server;

/// How long a run may take before it is killed and its test fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An invocation of `squall`, not yet started.
pub(crate) struct Squall {
    command: Command,
    folder: TempDir,
    timeout: Duration,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
}

impl Squall {
    /// `squall` with these arguments.
    pub(crate) fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        heed_nothing(&mut command);
        command.args(args);
        Self {
            command,
            folder: tempfile::tempdir().expect("a temporary folder"),
            timeout: TIMEOUT,
            stdin: Stdio::null(),
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
        }
    }

    /// `squall run SCRIPT`, with a summary file and a fixed seed.
    pub(crate) fn script(script: impl AsRef<OsStr>) -> Self {
        let squall = Self::new(["run".as_ref(), script.as_ref()]);
        let summary = squall.summary_file();
        squall.flag("--summary", summary).flag("--seed", "1")
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    /// Gives the script an environment variable: `--env NAME=VALUE`.
    pub(crate) fn script_env(self, name: &str, value: &str) -> Self {
        self.flag("--env", format!("{name}={value}"))
    }

    /// Sets a variable of squall's own environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same invocation with a terminal of its own for stdin and for the
    /// streams that `redirection`, in the shell's words, leaves on it. What
    /// appears on the terminal becomes the outcome's stdout.
    pub(crate) fn on_a_terminal(self, redirection: &str) -> Self {
        self.in_script(|line| format!("exec {line} {redirection}"))
    }

    /// The same invocation on a terminal whose modes are told before and after it,
    /// each in a line that begins with `modes: `.
    pub(crate) fn on_a_terminal_that_tells_its_modes(self) -> Self {
        // The shell outlives a ctrl-c.
        self.in_script(|line| {
            let tell = "echo modes: $(stty -g)";
            format!("trap : INT QUIT; {tell}; {line}; code=$?; {tell}; exit $code")
        })
    }

    /// Gives it a stdin for [`Running::types`].
    pub(crate) fn typing(mut self) -> Self {
        self.stdin = Stdio::piped();
        self
    }

    fn in_script(self, in_shell: impl FnOnce(&str) -> String) -> Self {
        let quoted = |text: &OsStr| format!("'{}'", text.to_str().expect("UTF-8"));
        let mut line = quoted(self.command.get_program());
        for arg in self.command.get_args() {
            line += " ";
            line += &quoted(arg);
        }
        let mut command = Command::new("script");
        heed_nothing(&mut command);
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .args(["--quiet", "--return", "--command"])
            .arg(in_shell(&line))
            .arg("/dev/null");
        Self { command, ..self }
    }

    /// The same invocation with room for so many open files and no more.
    pub(crate) fn with_open_files(self, limit: u32) -> Self {
        self.limited(&format!("ulimit -n {limit}"))
    }

    /// The same invocation with so many bytes of memory of its own that it can
    /// write to, all of its threads' stacks included, and no more.
    pub(crate) fn with_memory(self, limit: u64) -> Self {
        self.limited(&format!("ulimit -d {}", limit >> 10))
    }

    /// The same invocation in a network namespace.
    pub(crate) fn in_namespace(self, name: &str) -> Self {
        let mut command = Command::new("ip");
        heed_nothing(&mut command);
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .args(["netns", "exec", name])
            .arg(self.command.get_program())
            .args(self.command.get_args());
        Self { command, ..self }
    }

    /// The same invocation under a limit of the shell's.
    fn limited(self, limit: &str) -> Self {
        let mut command = Command::new("sh");
        heed_nothing(&mut command);
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .args(["-c", &format!(r#"{limit} && exec "$0" "$@""#)])
            .arg(self.command.get_program())
            .args(self.command.get_args());
        Self { command, ..self }
    }

    /// Gives it this as its stdout, which is then not in the outcome.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Gives it this as its stderr, which is then not in the outcome.
    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// Where this invocation writes its summary, if it was asked for one.
    fn summary_file(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    /// A file in a folder that lives as long as the invocation and its outcome.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        let summary = self.summary_file();
        let mut child = self
            .command
            .stdin(self.stdin)
            .stdout(self.stdout)
            .stderr(self.stderr)
            .spawn()
            .expect("the binary is built and can be started");
        let nothing = || thread::spawn(Vec::new);
        let stdout = child.stdout.take().map_or_else(nothing, read_aside);
        let stderr = child.stderr.take().map_or_else(nothing, read_aside);
        Running {
            described: format!("{:?}", self.command),
            summary,
            folder: Some(self.folder),
            started: Instant::now(),
            timeout: self.timeout,
            child,
            stdout,
            stderr,
        }
    }
}

/// Takes everything from the environment that squall reads, and gives it a cache
/// that all tests share.
pub(crate) fn heed_nothing(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUALL_") {
            command.env_remove(name);
        }
    }
    for name in [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "COLUMNS",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("squall-cache");
    command.env("SQUALL_CACHE_DIR", cache).env("TERM", "xterm");
}

fn read_aside(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .expect("a pipe reads to its end");
        bytes
    })
}

/// A running `squall`. It is killed when dropped.
pub(crate) struct Running {
    described: String,
    summary: PathBuf,
    folder: Option<TempDir>,
    started: Instant,
    timeout: Duration,
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as ctrl-c sends `Signal::INT`.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a positive id");
        kill_process(pid, signal).expect("the child is not yet waited for");
    }

    /// Types this, on the terminal if there is one; see [`Squall::typing`].
    pub(crate) fn types(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("it was given one");
        stdin.write_all(keys.as_bytes()).expect("it listens");
    }

    /// What the process holds in memory, in bytes. `None` once it has ended.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1_024)
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits until a file of the invocation's own, see `Squall::file`, has a line
    /// that holds `text`.
    #[track_caller]
    pub(crate) fn until_written(&mut self, name: &str, text: &str) {
        let folder = self.folder.as_ref().expect("it came with the invocation");
        let file = folder.path().join(name);
        let start = Instant::now();
        loop {
            let written = fs::read_to_string(&file).unwrap_or_default();
            if written.lines().any(|line| line.contains(text)) {
                return;
            }
            assert!(self.is_running(), "it ended without `{text}`: {written}");
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no `{text}` came within a minute: {written}",
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a file of the invocation's own, see `Squall::file`, holds so far.
    pub(crate) fn read(&self, name: &str) -> String {
        let folder = self.folder.as_ref().expect("it came with the invocation");
        fs::read_to_string(folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until the server saw `count` requests for `path` in all.
    #[track_caller]
    pub(crate) fn until(&mut self, server: &Server, path: &str, count: u64) {
        let start = Instant::now();
        while server.count(path) < count {
            let seen = server.count(path);
            assert!(
                self.is_running(),
                "it ended after {seen} of {count} requests for `{path}`",
            );
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "only {seen} of {count} requests for `{path}` came within a minute",
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end; kills it and fails if that takes too long.
    pub(crate) fn wait(mut self) -> Outcome {
        let mut late = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if self.started.elapsed() > self.timeout && !late {
                late = true;
                // It may end by itself just now.
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(2));
        };
        let elapsed = self.started.elapsed();
        let text = |thread: JoinHandle<Vec<u8>>| {
            let bytes = thread.join().expect("reading does not panic");
            String::from_utf8(bytes).expect("squall writes UTF-8")
        };
        let outcome = Outcome {
            stdout: text(std::mem::replace(&mut self.stdout, thread::spawn(Vec::new))),
            stderr: text(std::mem::replace(&mut self.stderr, thread::spawn(Vec::new))),
            summary: fs::read_to_string(&self.summary).ok(),
            code: status.code(),
            signal: status.signal(),
            elapsed,
            folder: self.folder.take(),
            described: std::mem::take(&mut self.described),
        };
        assert!(!late, "killed after {:?}{}", self.timeout, outcome.story());
        judge(&outcome.stdout, &outcome);
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of an invocation.
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) elapsed: Duration,
    summary: Option<String>,
    folder: Option<TempDir>,
    described: String,
}

impl Outcome {
    /// Fails with everything that was printed unless it exited with `code`.
    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "exit code {:?} (signal {:?}) in place of {code}{}",
            self.code,
            self.signal,
            self.story(),
        );
        self
    }

    /// What was printed to stderr, with no line broken.
    pub(crate) fn flat_stderr(&self) -> String {
        let words: Vec<_> = self.stderr.split_whitespace().collect();
        words.join(" ")
    }

    /// The lines of stdout, each of which must be a JSON object.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => value,
            _ => panic!("not a JSON object on stdout: {line:?}{}", self.story()),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The text of a file of the invocation's own, see `Squall::file`.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let folder = self.folder.as_ref().expect("it came with the invocation");
        let text = fs::read_to_string(folder.path().join(name));
        let text = text.unwrap_or_else(|error| panic!("`{name}`: {error}{}", self.story()));
        judge(&text, self);
        text
    }

    /// The log entries of one kind, such as `loadtest.run.end`.
    #[track_caller]
    pub(crate) fn entries(&self, event_name: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["event_name"] == event_name);
        lines
    }

    /// The `--summary` file.
    #[track_caller]
    pub(crate) fn summary(&self) -> Summary {
        let Some(text) = &self.summary else {
            panic!("no summary file{}", self.story())
        };
        Summary::parse(text).unwrap_or_else(|| panic!("no JSON: {text}{}", self.story()))
    }

    /// The command and what it printed, for the message of a failing test.
    pub(crate) fn story(&self) -> String {
        let tail = |text: &str| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!(
            "\n--- {}\n--- stdout (its end)\n{}\n--- stderr (its end)\n{}\n---",
            self.described,
            tail(&self.stdout),
            tail(&self.stderr),
        )
    }
}

/// Fails unless every line that the `json` recorder wrote is what its schema
/// says, whatever the test is about. Other recorders' lines pass, and so does
/// what was cut off with its process.
#[track_caller]
fn judge(text: &str, outcome: &Outcome) {
    static JUDGE: OnceLock<Judge> = OnceLock::new();
    let schemas = || Judge::read(&repository().join("guest-examples/rust/json/schema"));
    let written = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line.get("schema_version").is_some() && line.get("message").is_some());
    for line in written {
        if let Err(mistake) = JUDGE.get_or_init(schemas).check(&line) {
            panic!("{mistake}{}", outcome.story());
        }
    }
}

/// The `--summary` file's JSON.
pub(crate) struct Summary(Value);

impl Summary {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// The value at a JSON pointer, such as `/reason/kind`.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        let found = self.0.pointer(pointer);
        found.unwrap_or_else(|| panic!("no `{pointer}` in the summary: {:#}", self.0))
    }

    /// The whole number at a JSON pointer.
    #[track_caller]
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let value = self.at(pointer);
        value
            .as_u64()
            .unwrap_or_else(|| panic!("`{pointer}` is {value}, not a count"))
    }

    /// The row of a list whose `name` is this.
    #[track_caller]
    pub(crate) fn row(&self, list: &str, name: &str) -> &Value {
        let rows = self.rows(list);
        let found = rows.iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("no `{name}` in `{list}` of the summary: {rows:#?}"))
    }

    /// All rows of a list.
    #[track_caller]
    pub(crate) fn rows(&self, list: &str) -> &[Value] {
        self.at(list).as_array().expect("a list of rows")
    }

    /// The messages of the failures, with how often each occurred.
    #[track_caller]
    pub(crate) fn failures(&self) -> Vec<(String, u64)> {
        let of = |row: &Value| {
            let message = row["message"].as_str().expect("a message").to_owned();
            (message, row["occurrences"].as_u64().expect("a count"))
        };
        self.rows("/failures").iter().map(of).collect()
    }
}

/// Writes a file and returns where it is.
pub(crate) fn write(file: PathBuf, bytes: &[u8]) -> PathBuf {
    let mut opened = File::create(&file).expect("the folder is ours");
    opened.write_all(bytes).expect("there is room");
    file
}
