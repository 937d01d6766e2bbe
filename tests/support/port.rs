//! Ports for servers that have to come back on the port they had.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

/// Below the range from which the kernel takes ports for outgoing connections:
/// while a server is down, no client can be given its port, and none can connect
/// to itself on it.
const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

static TURN: AtomicU16 = AtomicU16::new(0);

/// Listens on a port of 127.0.0.1 that nobody else has.
pub(crate) fn listen() -> TcpListener {
    // Test processes that run side by side begin in different places.
    let start = process::id().wrapping_mul(7_919) % u32::from(COUNT);
    let start = u16::try_from(start).expect("a remainder of a u16");
    for _ in 0..COUNT {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + turn) % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
    panic!("no port of 127.0.0.1 from {FIRST} on is free");
}

/// An address of 127.0.0.1 at which nobody listens.
pub(crate) fn refusing() -> SocketAddr {
    let listener = listen();
    let address = listener.local_addr().expect("a bound socket has one");
    drop(listener);
    wait_until_refused(address);
    address
}

/// Waits until a closed listener is closed for good: a process that another test
/// forks in the same moment holds it open until it executes its program.
pub(crate) fn wait_until_refused(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "somebody still listens on {address}",
        );
        thread::sleep(Duration::from_millis(1));
    }
}
