//! A real NATS server with a key for a master and one for workers.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nkeys::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::command::Squall;
use crate::support::port;

/// A server on a port of its own. It is killed when dropped.
pub(crate) struct Broker {
    address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
    /// The network namespace that it is in.
    namespace: Option<String>,
    /// What it is said to clients instead of `nats://`.
    scheme: &'static str,
}

/// A configuration in which a master and workers have a key each, with the rights
/// that the README gives them.
pub(crate) fn with_nkeys(folder: &Path) -> String {
    let key = |name: &str| {
        let key = KeyPair::new_user();
        let seed = key.seed().expect("it was made with one");
        fs::write(folder.join(name), seed).expect("the folder is ours");
        key.public_key()
    };
    format!(
        r#"authorization {{
  users = [
    {{ nkey: {}, permissions: {{
      publish: "squall.*.m.>",
      subscribe: ["squall.*.w.>", "squall.*.m.run.>"]
    }} }},
    {{ nkey: {}, permissions: {{ publish: "squall.*.w.>", subscribe: "squall.*.m.>" }} }}
  ]
}}
"#,
        key("master.nk"),
        key("worker.nk"),
    )
}

impl Broker {
    /// A server that knows two keys, each with the rights that the README gives it.
    pub(crate) fn start() -> Self {
        Self::configured("nats", with_nkeys)
    }

    /// A server with what its configuration says beside where it listens.
    pub(crate) fn configured(scheme: &'static str, config: impl FnOnce(&Path) -> String) -> Self {
        Self::at(port::refusing(), None, scheme, config)
    }

    /// A server in a network namespace, at an address that is known there.
    pub(crate) fn in_namespace(name: &str, address: IpAddr) -> Self {
        let address = SocketAddr::new(address, 4222);
        Self::at(address, Some(name.to_owned()), "nats", with_nkeys)
    }

    fn at(
        address: SocketAddr,
        namespace: Option<String>,
        scheme: &'static str,
        config: impl FnOnce(&Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!("listen: \"{address}\"\n{}", config(folder.path()));
        fs::write(folder.path().join("server.conf"), config).expect("the folder is ours");
        let mut broker = Self {
            address,
            folder,
            child: None,
            namespace,
            scheme,
        };
        broker.start_again();
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn key(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("{role}.nk"))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, after [`Broker::kill`].
    pub(crate) fn start_again(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.file("server.log"))
            .expect("the folder is ours");
        let program = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
        let program = program.iter().find(|program| Path::new(program).exists());
        let program = program.unwrap_or(&"nats-server");
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
            None => Command::new(program),
        };
        let child = command
            .arg("--config")
            .arg(self.file("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`nats-server` is installed: `ci/test` sees to it");
        self.child = Some(child);
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the NATS server does not listen: {}",
                fs::read_to_string(self.file("server.log")).unwrap_or_default(),
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, without a word to whoever is connected.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It is our child, and not waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a positive id"), signal).expect("it is not waited for");
    }

    /// A worker of this name.
    pub(crate) fn worker(&self, name: &str) -> Squall {
        self.worker_without_key(name)
            .flag("--nats-nkey", self.key("worker"))
    }

    pub(crate) fn worker_without_key(&self, name: &str) -> Squall {
        Squall::new(["worker", "--name", name, "--threads", "1"]).flag("--nats", self.url())
    }

    /// A master that takes a run over.
    pub(crate) fn successor(&self, run: &str) -> Squall {
        let squall = Squall::new(["master", "--resume", run, "--recorder", "none"]);
        let (summary, events) = (squall.file("summary.json"), squall.file("events.ndjson"));
        squall
            .flag("--summary", summary)
            .flag("--events", events)
            .flag("--nats", self.url())
            .flag("--nats-nkey", self.key("master"))
    }

    /// What the server itself holds in memory at the most so far, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: Option<u64> = kilobytes.and_then(|it| it.parse().ok());
        kilobytes.expect("a number of kilobytes") * 1_024
    }

    /// A master of a script, for so many workers.
    pub(crate) fn master(&self, script: &Path, workers: u32) -> Squall {
        self.master_without_key(script, workers)
            .flag("--nats-nkey", self.key("master"))
    }

    pub(crate) fn master_without_key(&self, script: &Path, workers: u32) -> Squall {
        let squall = Squall::new(["master".as_ref(), script.as_os_str()]);
        let summary = squall.file("summary.json");
        squall
            .flag("--summary", summary)
            .flag("--seed", "1")
            .flag("--nats", self.url())
            .flag("--workers", workers.to_string())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
