//! A NATS server of one's own: the installed `nats-server` as a child, with keys
//! made for it, for as long as a run lasts.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nkeys::KeyPair;

use super::nats::Access;
use super::subject::Subjects;
use crate::error::{Error, Problem};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// Runs the server for as long as somebody holds the other end of its input: a
/// process that is killed takes its server with it.
const TIED: &str = r#"
"$1" --config "$2" >"$3" 2>&1 </dev/null &
server=$!
trap 'kill $server' TERM
read -r _
kill $server 2>/dev/null
wait $server
"#;

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Server {
    /// Starts a server that listens at an address; port 0 takes one that is free.
    /// Blocks until it does.
    ///
    /// # Errors
    ///
    /// If it is not installed, or does not start.
    pub fn start(cluster: &str, listen: SocketAddr) -> Result<Self, Error> {
        let program = found_in_path("nats-server").ok_or_else(|| {
            Error::Cluster(
                Problem::new("there is no `nats-server` on this machine").hint(
                    "install it (Debian: `apt-get install nats-server`), or name a server that \
                     runs: `--nats nats://HOST:4222`",
                ),
            )
        })?;
        let folder = std::env::temp_dir().join(format!("squall-nats-{}", uuid::Uuid::now_v7()));
        let failed = |error: &dyn std::fmt::Display| {
            Error::Cluster(Problem::new(format!(
                "the NATS server cannot start: {error}"
            )))
        };
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| failed(&error))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", TIED, "sh"])
            .arg(program)
            .args([folder.join("server.conf"), folder.join("server.log")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let configured = configure(&folder, cluster, listen).and_then(|()| command.spawn());
        let child = configured.map_err(|error| {
            let _ = fs::remove_dir_all(&folder);
            failed(&error)
        })?;
        let mut server = Self {
            child,
            folder,
            url: String::new(),
        };
        let began = Instant::now();
        loop {
            if let Some(url) = server.listening() {
                server.url = url;
                return Ok(server);
            }
            let has_ended = matches!(server.child.try_wait(), Ok(Some(_)) | Err(_));
            if has_ended || began.elapsed() >= START || server.complains() {
                let log = fs::read_to_string(server.folder.join("server.log")).unwrap_or_default();
                let last = log.lines().rev().find(|line| !line.trim().is_empty());
                return Err(failed(&last.unwrap_or("it does not listen")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens, once it does.
    fn listening(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Ports {
            nats: Vec<String>,
        }
        let files = fs::read_dir(&self.folder).ok()?;
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let mut ports = paths.filter(|path| path.extension().is_some_and(|it| it == "ports"));
        let text = fs::read_to_string(ports.next()?).ok()?;
        let ports: Ports = serde_json::from_str(&text).ok()?;
        ports.nats.into_iter().next()
    }

    fn complains(&self) -> bool {
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        log.contains("[FTL]")
    }

    /// How a master gets in.
    pub fn master(&self) -> Access {
        self.access("master.nk")
    }

    /// How a worker gets in.
    pub fn worker(&self) -> Access {
        self.access("worker.nk")
    }

    fn access(&self, key: &str) -> Access {
        Access {
            url: self.url.clone(),
            nkey: Some(self.folder.join(key)),
            ..Access::default()
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without an end that writes, the script ends the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program of this machine; servers lie where an ordinary user does not look.
fn found_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Makes keys for a master and for workers, and writes what each may do.
fn configure(folder: &Path, cluster: &str, listen: SocketAddr) -> std::io::Result<()> {
    let mut users = Vec::new();
    let subjects = Subjects::new(cluster);
    let (workers_say, workers_hear) = subjects.of_workers();
    let (master_says, master_hears) = subjects.of_master();
    let rights = [
        ("master.nk", master_says, master_hears.to_vec()),
        ("worker.nk", workers_say, vec![workers_hear]),
    ];
    for (file, says, hears) in rights {
        let key = KeyPair::new_user();
        let seed = key.seed().map_err(std::io::Error::other)?;
        write(&folder.join(file), &format!("{seed}\n"))?;
        let permissions = serde_json::json!({
            "publish": { "allow": [says] },
            "subscribe": { "allow": hears },
        });
        users.push(serde_json::json!({
            "nkey": key.public_key(),
            "permissions": permissions,
        }));
    }
    let port = match listen.port() {
        0 => -1,
        port => i32::from(port),
    };
    // A server reads JSON as its own format.
    let config = serde_json::json!({
        "host": listen.ip().to_string(),
        "port": port,
        "server_name": "squall",
        "ports_file_dir": folder.display().to_string(),
        "authorization": { "users": users },
    });
    write(&folder.join("server.conf"), &format!("{config:#}\n"))
}

/// Writes a file that nobody else may read.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
