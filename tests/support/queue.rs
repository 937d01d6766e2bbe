//! A server of known capacity: so many workers, each of which takes a fixed time
//! for a request, and one queue in front of them.
//!
//! It only sleeps, so it costs next to nothing. When a worker is free follows
//! from arithmetic and not from when a timer fired: a late timer delays one
//! response, and takes nothing from the capacity.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// The server, until it is dropped.
pub(crate) struct Queue {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _runtime: tokio::runtime::Runtime,
}

/// How it serves.
#[derive(Clone, Copy)]
struct Service {
    /// How long a worker takes.
    time: Duration,
    /// Who would have to wait for longer is told so at once, with status 503.
    patience: Duration,
}

struct Seen {
    /// When each worker is free.
    free: BinaryHeap<Reverse<Instant>>,
    requests: u64,
    /// How late the latest response was sent.
    latest: Duration,
    /// How many connections there were, after each that came or went.
    connections: Vec<usize>,
}

impl Queue {
    /// Starts a server with so many workers that take so long for a request.
    pub(crate) fn start(workers: usize, time: Duration) -> Self {
        Self::that_refuses(workers, time, Duration::MAX)
    }

    /// The same, which refuses requests that would wait for longer than that.
    pub(crate) fn that_refuses(workers: usize, time: Duration, patience: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let now = Instant::now();
        let seen = Arc::new(Mutex::new(Seen {
            free: (0..workers).map(|_| Reverse(now)).collect(),
            requests: 0,
            latest: Duration::ZERO,
            connections: vec![0],
        }));
        let theirs = seen.clone();
        runtime.spawn(async move {
            let service = Service { time, patience };
            while let Ok((connection, _)) = listener.accept().await {
                let seen = theirs.clone();
                count(&seen, 1);
                tokio::spawn(async move {
                    serve(connection, &seen, service).await;
                    count(&seen, -1);
                });
            }
        });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> u64 {
        lock(&self.seen).requests
    }

    /// How long the machine held up the response that it held up the longest.
    pub(crate) fn latest(&self) -> Duration {
        lock(&self.seen).latest
    }

    /// The numbers of connections at which it began to rise or to fall, and the
    /// last one.
    pub(crate) fn turns(&self) -> Vec<usize> {
        let seen = lock(&self.seen);
        let all = &seen.connections;
        let mut turns: Vec<usize> = all
            .windows(3)
            .filter(|three| (three[0] < three[1]) != (three[1] < three[2]))
            .map(|three| three[1])
            .collect();
        turns.extend(all.last());
        turns
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics")
}

fn count(seen: &Mutex<Seen>, change: isize) {
    let connections = &mut lock(seen).connections;
    let now = connections.last().expect("it begins with one");
    connections.push(now.strict_add_signed(change));
}

impl Seen {
    /// When a request that comes now is done; `None` if it is refused.
    fn admit(&mut self, service: Service) -> Option<Instant> {
        self.requests += 1;
        let now = Instant::now();
        let mut worker = self.free.peek_mut().expect("there is a worker");
        let begins = worker.0.max(now);
        if begins - now > service.patience {
            return None;
        }
        worker.0 = begins + service.time;
        Some(worker.0)
    }
}

/// Serves a connection until it is closed.
async fn serve(mut connection: TcpStream, seen: &Mutex<Seen>, service: Service) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            match connection.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => head.extend_from_slice(&buffer[..count]),
            }
        }
        head.clear();
        let done = lock(seen).admit(service);
        let response: &[u8] = match done {
            Some(done) => {
                sleep_until(done).await;
                let seen = &mut lock(seen);
                seen.latest = seen.latest.max(done.elapsed());
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            }
            None => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno",
        };
        if connection.write_all(response).await.is_err() {
            return;
        }
    }
}
