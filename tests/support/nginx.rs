//! Debian's nginx as the server whose log nobody of ours writes.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::port;

/// A running nginx that answers everything with `hello, world` and logs one line
/// per request. It is killed when dropped.
pub(crate) struct Nginx {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Nginx {
    /// Starts nginx; it takes connections by the time this returns.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Freed just before nginx takes it; nobody is given a port of that range.
        let address = port::refusing();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(address)).expect("the folder is ours");

        let child = Command::new(program())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx can be started");
        let mut nginx = Self {
            folder,
            address,
            child,
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = nginx.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(10),
                "nginx does not listen on {address}: {}",
                nginx.file("error.log"),
            );
            thread::sleep(Duration::from_millis(5));
        }
        nginx
    }

    /// The URL of its root.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lets nginx finish its work, and returns the lines of its access log.
    pub(crate) fn access_log(mut self) -> Vec<String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a positive id");
        kill_process(pid, Signal::QUIT).expect("the child is not yet waited for");
        let start = Instant::now();
        while self.child.try_wait().expect("it is our child").is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "nginx stays");
            thread::sleep(Duration::from_millis(5));
        }
        self.file("access.log").lines().map(str::to_owned).collect()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where nginx is: Debian puts it where an ordinary user's `PATH` does not lead.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("nginx"))
        .find(|file| file.is_file())
        .expect("nginx is not installed: `ci/test` installs it, or `apt-get install nginx`")
}

fn configuration(address: SocketAddr) -> String {
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log access.log;
    # The line of a request is written before its connection can be seen to close.
    lingering_close off;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {address} backlog=4096;
        default_type text/plain;
        location / {{ return 200 \"hello, world\\n\"; }}
    }}
}}
"
    )
}

/// nginx is what the counts are held against, so it is tried without squall too.
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn nginx_logs_one_line_for_each_request() {
        let nginx = Nginx::start();
        let mut stream = TcpStream::connect(nginx.address).expect("it listens");
        let request = "GET /a HTTP/1.1\r\nhost: test\r\n\r\n";
        let last = "GET /b HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream
            .write_all(format!("{request}{request}{last}").as_bytes())
            .expect("it reads");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("text");
        assert_eq!(answers.matches("hello, world\n").count(), 3);
        let log = nginx.access_log();
        assert_eq!(log.len(), 3);
        assert!(log[2].contains("GET /b"));
    }
}
