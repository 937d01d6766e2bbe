//! A real Locust master, from PyPI, with its web UI or without.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::Squall;
use crate::support::guests::repository;
use crate::support::port;

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(90);

/// A program of the environment into which `ci/locust` installs Locust.
pub(crate) fn program(name: &str) -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(folder).expect("the target folder can be written");
        let lock = fs::File::create(folder.join("locust.lock")).expect("as above");
        lock.lock().expect("the file system has locks");
        let status = Command::new(repository().join("ci/locust")).status();
        assert!(status.expect("it is there").success(), "`ci/locust` failed");
    });
    repository().join("target/tools/locust/bin").join(name)
}

/// A locustfile with a class of these names each, whose users do nothing: workers
/// play them.
pub(crate) fn classes(names: &[&str]) -> String {
    let class =
        |name: &&str| format!("class {name}(User):\n    def on_start(self): raise StopUser()\n");
    let classes: String = names.iter().map(class).collect();
    format!("from locust import User\nfrom locust.exception import StopUser\n{classes}")
}

/// Ends a test at zero users, some seconds after so many: until then everything that
/// was measured has come in.
pub(crate) fn and_down(users: u32, seconds: u32) -> String {
    format!(
        r#"
from locust import LoadTestShape


class Down(LoadTestShape):
    def tick(self):
        if self.get_run_time() < {seconds}:
            return ({users}, 100)
        if self.get_run_time() < {seconds} + 5:
            return (0, 100)
        return None
"#
    )
}

/// A master. It is killed when dropped.
pub(crate) struct LocustMaster {
    address: SocketAddr,
    web: Option<SocketAddr>,
    folder: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

impl LocustMaster {
    /// A master with its web UI.
    pub(crate) fn with_web_ui(locustfile: &str) -> Self {
        let web = port::refusing();
        let args = [
            "--web-host",
            "127.0.0.1",
            "--web-port",
            &web.port().to_string(),
        ];
        let mut master = Self::new(locustfile, &args);
        master.web = Some(web);
        master.start_again();
        master.until("the web UI is up", |master| {
            master.get("/stats/requests").is_some()
        });
        master
    }

    /// One that begins by itself once so many workers are there, and writes its
    /// totals.
    pub(crate) fn headless(locustfile: &str, workers: u32, args: &[&str]) -> Self {
        let workers = workers.to_string();
        let mut all = vec!["--headless", "--expect-workers", &*workers];
        all.extend(args);
        let mut master = Self::new(locustfile, &all);
        for (flag, file) in [("--json-file", "totals"), ("--csv", "totals")] {
            let file = master.folder.path().join(file);
            master.args.push(flag.to_owned());
            master.args.push(file.to_str().expect("UTF-8").to_owned());
        }
        master.start_again();
        master
    }

    fn new(locustfile: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("locustfile.py"), locustfile).expect("the folder is ours");
        Self {
            address: port::refusing(),
            web: None,
            folder,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            child: None,
        }
    }

    /// Starts it, or one like it where it was.
    pub(crate) fn start_again(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the folder is ours");
        let child = Command::new(program("locust"))
            .args(["--master", "--master-bind-host", "127.0.0.1"])
            .args(["--master-bind-port", &self.address.port().to_string()])
            .args(&self.args)
            .current_dir(self.folder.path())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("as above"))
            .stderr(log)
            .spawn()
            .expect("Locust is installed");
        self.child = Some(child);
    }

    /// A worker of it.
    pub(crate) fn worker(&self) -> Squall {
        Squall::new(["worker", "--locust-master"]).arg(self.address.to_string())
    }

    /// A worker of Locust's own, with the same locustfile.
    pub(crate) fn python_worker(&self) -> PythonWorker {
        let child = Command::new(program("locust"))
            .args(["--worker", "--master-host", "127.0.0.1"])
            .args(["--master-port", &self.address.port().to_string()])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        PythonWorker(child.expect("Locust is installed"))
    }

    /// Where workers reach it.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A file that it wrote.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("`{name}`: {error}\n{}", self.log());
        })
    }

    /// What it wrote at its end, summed up: requests, and failures.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let entries: Value = serde_json::from_str(&self.file("totals.json")).expect("JSON");
        let entries = entries.as_array().expect("a list").iter();
        let number = |entry: &Value, key: &str| entry[key].as_u64().expect("a number");
        entries.fold((0, 0), |(requests, failures), entry| {
            (
                requests + number(entry, "num_requests"),
                failures + number(entry, "num_failures"),
            )
        })
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("it is our child");
            assert!(
                start.elapsed() < LONG && ended.is_none(),
                "not so: {what} ({ended:?})\n{}\n{:?}",
                self.log(),
                self.web.and_then(|_| self.get("/stats/requests"))
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it has ended: its exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        let child = self.child.as_mut().expect("it was started");
        loop {
            if let Some(status) = child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(start.elapsed() < LONG, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it was started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a positive id");
        kill_process(pid, signal).expect("the child is not yet waited for");
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it was started");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
        port::wait_until_refused(self.address);
    }

    /// The web UI's answer, if it is JSON.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (_, body) = self.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"))?;
        serde_json::from_str(&body).ok()
    }

    /// Has it ask for so many users, as somebody at its web UI would.
    #[track_caller]
    pub(crate) fn swarm(&self, users: u32, host: &str) {
        self.press(
            "/swarm",
            &format!("user_count={users}&spawn_rate=100&host={host}"),
        );
    }

    /// Has it end the test.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.press("/stop", "");
    }

    #[track_caller]
    fn press(&self, path: &str, form: &str) {
        let request = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let (head, body) = self.ask(&request).expect("it answers");
        assert!(
            head.contains(" 200 ") && body.contains("true"),
            "{head}\n{body}"
        );
    }

    fn ask(&self, request: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(self.web.expect("it has a web UI")).ok()?;
        stream.set_read_timeout(Some(LONG)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }

    /// Requests and failures, as the web UI shows them.
    pub(crate) fn shown(&self) -> (u64, u64) {
        let stats = self.get("/stats/requests").unwrap_or_default();
        let rows = stats["stats"].as_array().cloned().unwrap_or_default();
        let total = rows.iter().find(|row| row["name"] == "Aggregated");
        let number = |key: &str| total.and_then(|it| it[key].as_u64()).unwrap_or_default();
        (number("num_requests"), number("num_failures"))
    }

    /// How many users there are, and in which state the test is.
    pub(crate) fn users(&self) -> (u64, String) {
        let stats = self.get("/stats/requests").unwrap_or_default();
        (
            stats["user_count"].as_u64().unwrap_or_default(),
            stats["state"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// The states of its workers.
    pub(crate) fn workers(&self) -> Vec<String> {
        let stats = self.get("/stats/requests").unwrap_or_default();
        let workers = stats["workers"].as_array().cloned().unwrap_or_default();
        let state = |worker: &Value| worker["state"].as_str().unwrap_or_default().to_owned();
        workers.iter().map(state).collect()
    }
}

impl Drop for LocustMaster {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A worker that is Locust's own. It is killed when dropped.
pub(crate) struct PythonWorker(Child);

impl Drop for PythonWorker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
