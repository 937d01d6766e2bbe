//! Master, workers and NATS server on machines of their own, as far as the network
//! goes: each in a network namespace with addresses of its own. A link is taken down
//! in the middle of a run.
//!
//! ```text
//!  control: server ─ master ─ worker a ─ worker b     198.19.N.0/24
//!  load:    the target ─ worker a ─ worker b           198.18.N.0/24
//! ```
//!
//! The namespaces are made by the test itself, which takes root.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::broker::Broker;
use crate::cluster::{about_workers, is_their_sum, recorded};
use crate::support::command::Running;
use crate::support::guests::example;
use crate::support::server::Server;

/// The networks of one test. They are gone when it is dropped.
struct Networks {
    /// Tells them from those of other tests and other processes.
    number: u8,
    namespaces: Vec<String>,
}

/// Runs `ip`.
#[track_caller]
fn ip(args: &str) {
    let output = Command::new("ip")
        .args(args.split(' '))
        .output()
        .expect("`ip` is installed: `ci/test` sees to it");
    assert!(
        output.status.success(),
        "this test makes network namespaces, and may not here: run it as root, or in a container \
         with CAP_NET_ADMIN and CAP_SYS_ADMIN\n`ip {args}`: {}",
        String::from_utf8_lossy(&output.stderr),
    );
}

impl Networks {
    /// Two networks, and nobody in them but this process, which has the first address
    /// of each.
    fn new() -> Self {
        static TURN: AtomicU8 = AtomicU8::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let number = (process::id() as u8).wrapping_mul(4).wrapping_add(turn);
        let networks = Self {
            number,
            namespaces: Vec::new(),
        };
        for (kind, address) in [("c", networks.control(1)), ("l", networks.load(1))] {
            let bridge = networks.device(kind, 0);
            ip(&format!("link add {bridge} type bridge"));
            ip(&format!("address add {address}/24 dev {bridge}"));
            ip(&format!("link set {bridge} up"));
        }
        networks
    }

    fn control(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, self.number, host).into()
    }

    fn load(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 18, self.number, host).into()
    }

    fn device(&self, kind: &str, host: u8) -> String {
        format!("sq{}{kind}{host}", self.number)
    }

    /// A machine with an address in each network: the name of its namespace.
    fn machine(&mut self, name: &str) -> String {
        let namespace = format!("squall-{}-{name}", self.number);
        ip(&format!("netns add {namespace}"));
        self.namespaces.push(namespace.clone());
        let host = self.namespaces.len() as u8 + 1;
        for (kind, address) in [("c", self.control(host)), ("l", self.load(host))] {
            let (bridge, device) = (self.device(kind, 0), self.device(kind, host));
            let link = format!("{kind}0");
            ip(&format!(
                "link add {device} type veth peer name {link} netns {namespace}"
            ));
            ip(&format!("link set {device} master {bridge} up"));
            ip(&format!(
                "-n {namespace} address add {address}/24 dev {link}"
            ));
            ip(&format!("-n {namespace} link set {link} up"));
        }
        ip(&format!("-n {namespace} link set lo up"));
        namespace
    }

    /// Takes a machine off the network of control, or puts it back.
    fn link(&self, namespace: &str, state: &str) {
        ip(&format!("-n {namespace} link set c0 {state}"));
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        let gone = |args: &[&str]| {
            // What is not there need not go.
            let _ = Command::new("ip").args(args).output();
        };
        for namespace in &self.namespaces {
            gone(&["netns", "del", namespace]);
        }
        for kind in ["c", "l"] {
            gone(&["link", "del", &self.device(kind, 0)]);
        }
    }
}

/// A run of two workers, each on a machine of its own.
struct Cut {
    master: Running,
    workers: Vec<Running>,
    /// The machine of worker `b`.
    b: String,
    server: Server,
    _broker: Broker,
    // The last, when everybody in it is gone.
    networks: Networks,
}

/// Starts a run of so long, and cuts worker `b` off in the middle of it.
fn cut(duration: &str) -> Cut {
    let mut networks = Networks::new();
    let at_broker = networks.machine("nats");
    let broker = Broker::in_namespace(&at_broker, networks.control(2));
    let at_master = networks.machine("master");
    let machines = ["a", "b"].map(|name| (name, networks.machine(name)));
    let server = Server::start_at(networks.load(1));
    let workers = machines
        .iter()
        .map(|(name, machine)| broker.worker(name).in_namespace(machine).start())
        .collect();
    let mut master = recorded(broker.master(&example("hello"), 2))
        .flag("--base-url", server.url(""))
        .flag("--rate", "50/s")
        .flag("--duration", duration)
        .flag("--orphan-timeout", "60s")
        .in_namespace(&at_master)
        .start();
    master.until(&server, "/", 50);
    let [_, (_, b)] = machines;
    networks.link(&b, "down");
    master.until_written("events.ndjson", "worker-lost");
    Cut {
        master,
        workers,
        b,
        server,
        _broker: broker,
        networks,
    }
}

#[test]
fn a_worker_that_was_cut_off_comes_back_with_everything() {
    let mut cut = cut("40s");
    // It goes on meanwhile.
    std::thread::sleep(Duration::from_secs(2));
    cut.networks.link(&cut.b, "up");
    cut.master.until_written("events.ndjson", "worker-joined");
    let outcome = cut.master.wait().exited(0);
    let b = |kind: &str| (kind.to_owned(), "b".to_owned());
    assert_eq!(
        about_workers(&outcome),
        [b("worker-lost"), b("worker-joined")]
    );
    let summary = outcome.summary();
    let row = summary.row("/workers", "b");
    assert_eq!((&row["returns"], row["lost"].is_null()), (&1.into(), true));
    assert!(
        outcome
            .flat_stderr()
            .contains("was lost once, and came back"),
        "{}",
        outcome.story()
    );
    assert_eq!(summary.count("/all/requests"), cut.server.total());
    assert_eq!(summary.count("/all/requests"), 2_000);
    is_their_sum(&summary);
    drop(cut.workers);
}

#[test]
fn a_worker_that_stays_cut_off_leaves_an_incomplete_result() {
    let cut = cut("10s");
    let outcome = cut.master.wait().exited(110);
    assert_eq!(
        about_workers(&outcome),
        [("worker-lost".to_owned(), "b".to_owned())]
    );
    let summary = outcome.summary();
    let lost = &summary.row("/workers", "b")["lost"];
    assert_eq!(lost["reason"], "it is silent");
    assert!(lost["told_until_ms"].is_number(), "{lost}");
    assert!(summary.row("/workers", "a")["lost"].is_null());
    assert!(
        outcome.stderr.contains("of which 1 lost"),
        "{}",
        outcome.story()
    );
    // It made its load all the same, and nobody knows what came of it.
    assert!(summary.count("/all/requests") < cut.server.total());
    is_their_sum(&summary);
    drop(cut.workers);
}
