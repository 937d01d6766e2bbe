//! Requests over plain HTTP/1.1, on connections that belong to one VU.
//!
//! This is the hot path: the VU's own task polls the connection along with the
//! request, so that a request wakes one task and not two, and nothing is
//! looked up, parsed or cloned that the target does not hold ready. hyper
//! speaks the protocol. What goes over TLS, where all this is lost in the
//! noise, goes through reqwest (see [`client`](super::client)).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::{ErrorKind, Failure};
use super::connect::Opened;
use super::dns::Resolver;
use super::target::Origin;

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// The idle connections of one VU. A VU has few origins, and more than one
/// connection to an origin only after a batch.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Lane>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Lane {
    origin: Arc<Origin>,
    sender: SendRequest<Full<Bytes>>,
    /// Gone once the connection has ended.
    connection: Option<Pin<Box<Connection>>>,
}

/// A response whose body is still to be read, from the lane it came on.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) lane: Lane,
    /// The connection, if it had to be opened.
    pub(super) opened: Option<Opened>,
}

impl Pool {
    /// Sends a request on an idle connection to its origin, or on a new one,
    /// and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// If no connection can be opened, or it breaks before the head is there.
    /// A request that an idle connection did not take, because the server has
    /// closed it meanwhile, is sent again on another.
    pub(super) async fn send(
        &self,
        origin: &Arc<Origin>,
        resolver: &Resolver,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answered, Failure> {
        while let Some(mut lane) = self.take(origin) {
            if !lane.is_ready().await {
                continue;
            }
            match lane.try_send(request).await {
                Ok(response) => {
                    return Ok(Answered {
                        response,
                        lane,
                        opened: None,
                    });
                }
                Err((_, Some(unsent))) => request = unsent,
                Err((failure, None)) => return Err(failure),
            }
        }
        let (mut lane, opened) = Box::pin(Lane::open(origin, resolver)).await?;
        match lane.try_send(request).await {
            Ok(response) => Ok(Answered {
                response,
                lane,
                opened: Some(opened),
            }),
            Err((failure, _)) => Err(failure),
        }
    }

    /// Takes back a connection whose response was read to its end.
    pub(super) fn give_back(&self, lane: Lane) {
        if lane.connection.is_some() {
            self.lock().push(lane);
        }
    }

    fn take(&self, origin: &Arc<Origin>) -> Option<Lane> {
        let mut idle = self.lock();
        let at = idle
            .iter()
            .rposition(|lane| Arc::ptr_eq(&lane.origin, origin) || lane.origin == *origin)?;
        Some(idle.swap_remove(at))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    async fn open(origin: &Arc<Origin>, resolver: &Resolver) -> Result<(Self, Opened), Failure> {
        let started = Instant::now();
        let stream = connect(origin, resolver).await?;
        let now = Instant::now();
        let opened = Opened {
            connecting: now - started,
            tls: None,
            at: now,
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let connection = Some(Box::pin(connection));
        Ok((
            Self {
                origin: origin.clone(),
                sender,
                connection,
            },
            opened,
        ))
    }

    /// Whether the connection can take a request: not if the server has closed
    /// it.
    async fn is_ready(&mut self) -> bool {
        let Self {
            sender, connection, ..
        } = self;
        // An idle connection notices that it was closed when it is polled.
        with(connection, sender.ready()).await.is_ok() && connection.is_some()
    }

    /// Sends a request. An error comes with the request if none of it was
    /// sent.
    async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (Failure, Option<Request<Full<Bytes>>>)> {
        let sent = self.sender.try_send_request(request);
        with(&mut self.connection, sent).await.map_err(|mut error| {
            let unsent = error.take_message();
            (broken(error.error()), unsent)
        })
    }

    /// The next piece of a body, or `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection breaks before the body's end.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        use http_body_util::BodyExt;
        loop {
            return match with(&mut self.connection, body.frame()).await {
                None => Ok(None),
                Some(Err(error)) => Err(broken(&error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => Ok(Some(piece)),
                    // Trailers.
                    Err(_) => continue,
                },
            };
        }
    }
}

/// Waits for something that a connection brings about, keeping the connection
/// going meanwhile.
async fn with<T>(
    connection: &mut Option<Pin<Box<Connection>>>,
    wanted: impl Future<Output = T>,
) -> T {
    let mut wanted = pin!(wanted);
    std::future::poll_fn(|cx| {
        if let Some(going) = connection {
            // What ends a connection reaches whoever waits for it as an error
            // of its own.
            if going.as_mut().poll(cx).is_ready() {
                *connection = None;
            }
        }
        wanted.as_mut().poll(cx)
    })
    .await
}

async fn connect(origin: &Origin, resolver: &Resolver) -> Result<TcpStream, Failure> {
    let addresses = match origin.address {
        Some(address) => vec![address],
        None => resolver
            .lookup(&origin.host)
            .await
            .map_err(|error| Failure::new(ErrorKind::Dns, error.to_string()))?
            .into_iter()
            .map(|ip| SocketAddr::new(ip, origin.port))
            .collect(),
    };
    let mut failed = None;
    for address in addresses {
        let connected = TcpStream::connect(address).await;
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let failed = failed.unwrap_or_else(|| io::Error::other("the host has no address"));
    Err(Failure::connect(&origin.host, origin.port, &failed))
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::from_hyper(error)
}
