//! A plain reqwest loop: what a request costs when nothing is done but to send
//! it and to read its answer.
//!
//! `reqwest-loop URL CONNECTIONS SECONDS [shared]` keeps that many loops going on
//! one thread. Each has a client and so a connection of its own, as squall's
//! virtual users have; with `shared` all use one client and its pool.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(load) = Load::parse(&arguments) else {
        eprintln!("usage: reqwest-loop URL CONNECTIONS SECONDS [shared]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("descriptors are left");
    let done = LocalSet::new().block_on(&runtime, load.run());
    println!("{} requests, {} failed", done.requests, done.failed);
    ExitCode::SUCCESS
}

/// What to send, and for how long.
struct Load {
    url: String,
    connections: usize,
    duration: Duration,
    shared: bool,
}

/// What came of it.
struct Done {
    requests: u64,
    failed: u64,
}

impl Load {
    fn parse(arguments: &[String]) -> Option<Self> {
        let (required, shared) = match arguments {
            [required @ .., last] if last == "shared" => (required, true),
            _ => (arguments, false),
        };
        let [url, connections, seconds] = required else {
            return None;
        };
        Some(Self {
            url: url.clone(),
            connections: connections.parse().ok()?,
            duration: Duration::from_secs_f64(seconds.parse().ok()?),
            shared,
        })
    }

    async fn run(self) -> Done {
        let end = Instant::now() + self.duration;
        let requests = Rc::new(Cell::new(0));
        let failed = Rc::new(Cell::new(0));
        let shared = client();
        let mut loops = Vec::new();
        for _ in 0..self.connections {
            let client = if self.shared {
                shared.clone()
            } else {
                client()
            };
            let url = self.url.clone();
            let (requests, failed) = (Rc::clone(&requests), Rc::clone(&failed));
            loops.push(tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    requests.set(requests.get() + 1);
                    if send(&client, &url).await.is_err() {
                        failed.set(failed.get() + 1);
                        // A server that refuses is not asked in a tight loop.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }));
        }
        for each in loops {
            each.await.expect("no loop panics");
        }
        Done {
            requests: requests.get(),
            failed: failed.get(),
        }
    }
}

fn client() -> Client {
    Client::builder()
        .pool_max_idle_per_host(usize::MAX)
        .tcp_nodelay(true)
        .build()
        .expect("nothing in it can fail")
}

async fn send(client: &Client, url: &str) -> reqwest::Result<()> {
    let response = client.get(url).send().await?.error_for_status()?;
    response.bytes().await?;
    Ok(())
}
