//! The server: a thread of its own with a small runtime, so that whoever calls
//! never waits for a VU, nor a VU for them.
//!
//! A connection serves one request and lives for a bounded time; there are few at
//! once, and more wait with the system until one is free.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Token;
use super::api::Api;
use crate::run::control::Control;

/// How many connections are served at once.
const CONNECTIONS: usize = 32;
/// How long one may take, from its acceptance to the end of the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How long a request's head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How large a request's head may be. It is the least that hyper takes.
const HEAD_SIZE: usize = 8 * 1024;
/// How long the end of the run waits for answers that are under way.
const LAST_ANSWERS: Duration = Duration::from_millis(250);
/// How long a client may take to hear that it need not send the rest, and how
/// much of it is thrown away meanwhile. To close on it would take the answer
/// from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_SIZE: u64 = 1 << 20;
/// How long to wait before accepting again when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A control API, served until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropped to ask the thread to end.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds an address, of which port 0 is any, and serves it. Takes connections
    /// by the time this returns.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound, or the machine gives no thread.
    pub fn start(address: SocketAddr, token: Token, control: Control) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let api = Arc::new(Api::new(control, token, address));
        let (stop, stop_asked) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("squall-control".to_owned())
            .spawn(move || runtime.block_on(serve(listener, api, stop_asked)))?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported, and is no reason for another one here.
            let _ = thread.join();
        }
    }
}

/// Accepts connections until `stop_asked` closes, then ends them all.
async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    mut stop_asked: oneshot::Receiver<Infallible>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = room.clone().acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        tokio::select! {
            _ = &mut stop_asked => break,
            // Only an empty set gives `None`, which switches this branch off.
            Some(_) = connections.join_next() => {}
            accepted = accepted => match accepted {
                Ok((stream, place)) => {
                    let api = api.clone();
                    connections.spawn(async move {
                        let _place = place;
                        // Whether the client stayed for the answer is its affair.
                        let _ = timeout(CONNECTION_TIME, attend(stream, &api)).await;
                    });
                }
                // Out of file descriptors: those of ended connections come back.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    // Who said stop is told that it was heard.
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_ANSWERS, all).await;
    connections.shutdown().await;
}

/// Answers one request, and closes so that the client gets the answer.
async fn attend(mut stream: TcpStream, api: &Api) {
    let service = service_fn(|request| async move {
        let answer = api.answer(request).await;
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(&mut stream), service);
    // What went wrong the client knows, or is the reason why it is gone.
    let _ = connection.await;
    let mut rest = stream.take(LINGER_SIZE);
    let _ = timeout(LINGER, copy(&mut rest, &mut sink())).await;
}
