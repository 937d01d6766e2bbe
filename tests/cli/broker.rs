//! A real NATS server with a key for a master and one for workers.

use std::fs;
use std::net::{SocketAddr, TcpStream};
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
}

impl Broker {
    /// A server that knows two keys, each with the rights that the README gives it.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = port::listen();
        let address = listener.local_addr().expect("a bound socket has one");
        drop(listener);
        port::wait_until_refused(address);
        let key = |name: &str| {
            let key = KeyPair::new_user();
            let seed = key.seed().expect("it was made with one");
            fs::write(folder.path().join(name), seed).expect("the folder is ours");
            key.public_key()
        };
        let config = format!(
            r#"listen: "{address}"
authorization {{
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
        );
        fs::write(folder.path().join("server.conf"), config).expect("the folder is ours");
        let mut broker = Self {
            address,
            folder,
            child: None,
        };
        broker.start_again();
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn key(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("{role}.nk"))
    }

    fn file(&self, name: &str) -> PathBuf {
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
        let child = Command::new(program.unwrap_or(&"nats-server"))
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
        Squall::new(["worker", "--name", name, "--threads", "1"])
            .flag("--nats", self.url())
            .flag("--nats-nkey", self.key("worker"))
    }

    /// A master of a script, for so many workers.
    pub(crate) fn master(&self, script: &Path, workers: u32) -> Squall {
        let squall = Squall::new(["master".as_ref(), script.as_os_str()]);
        let summary = squall.file("summary.json");
        squall
            .flag("--summary", summary)
            .flag("--seed", "1")
            .flag("--nats", self.url())
            .flag("--nats-nkey", self.key("master"))
            .flag("--workers", workers.to_string())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
