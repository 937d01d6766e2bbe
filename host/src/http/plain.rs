//! Requests over plain HTTP/1.1, on connections that belong to one VU.
//!
//! This is the hot path. A request is written straight to the socket and its
//! response read straight from it, by the VU's own task: one task wakes, and
//! nothing is looked up, parsed or cloned that the target does not hold ready.
//! A general client spends more on passing requests and responses between
//! tasks, on maps of headers and on buffers than the kernel does on moving the
//! bytes. What goes over TLS, where all this is lost in the noise, goes through
//! reqwest (see [`client`](super::client)).

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::answer::{ErrorKind, Failure};
use super::connect::Opened;
use super::dns::Resolver;
use super::target::{Origin, Target};
use super::wire::{self, Reception};

/// How much is read from a socket at once, in bytes.
const READ: usize = 32 << 10;
/// A body up to this size goes out with the head, in one piece. In bytes.
const SMALL: usize = 4 << 10;

thread_local! {
    /// What a socket is read into: responses are taken apart before anything
    /// else is read, so a thread needs one.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
    /// What a request is written from.
    static OUTGOING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The idle connections of one VU. A VU has few origins, and more than one
/// connection to an origin only after a batch.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Lane>>,
}

/// One connection.
#[derive(Debug)]
struct Lane {
    origin: Arc<Origin>,
    stream: TcpStream,
}

/// A request as it goes out.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a Target,
    /// The script's headers.
    pub(super) headers: &'a HeaderMap,
    pub(super) cookies: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// What is known of an exchange beside the response itself.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The connection, if it had to be opened.
    pub(super) opened: Option<Opened>,
    /// Bytes of the requests, redirects included.
    pub(super) sent: u64,
    /// Bytes of the responses, as far as they came.
    pub(super) received: u64,
    /// When the head of the response was there.
    pub(super) head_at: Option<Instant>,
    /// When the response was complete.
    pub(super) done_at: Option<Instant>,
}

/// Why there is no response.
enum Broken {
    /// The connection was closed before it took anything of the request.
    Unused(Failure),
    /// It broke later.
    Failed(Failure),
}

impl Pool {
    /// Sends a request on an idle connection to its origin, or on a new one,
    /// and receives the response.
    ///
    /// # Errors
    ///
    /// If no connection can be opened, or it breaks before the response is
    /// complete, or the response is malformed. A request that an idle
    /// connection did not take, because the server has closed it meanwhile, is
    /// sent again on another.
    pub(super) async fn send(
        &self,
        origin: &Arc<Origin>,
        resolver: &Resolver,
        sending: &Sending<'_>,
        reception: &mut Reception,
        course: &mut Course,
    ) -> Result<(), Failure> {
        while let Some(mut lane) = self.take(origin) {
            match lane.exchange(sending, reception, course).await {
                Ok(reusable) => {
                    self.give_back(lane, reusable);
                    return Ok(());
                }
                Err(Broken::Unused(_)) => {}
                Err(Broken::Failed(failure)) => return Err(failure),
            }
        }
        // Boxed, as is everything large that few requests need: the hot path's
        // state stays small.
        let (mut lane, opened) = Box::pin(Lane::open(origin, resolver)).await?;
        course.opened = Some(opened);
        match lane.exchange(sending, reception, course).await {
            Ok(reusable) => {
                self.give_back(lane, reusable);
                Ok(())
            }
            Err(Broken::Unused(failure) | Broken::Failed(failure)) => Err(failure),
        }
    }

    fn give_back(&self, lane: Lane, reusable: bool) {
        if reusable {
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
        let origin = origin.clone();
        Ok((Self { origin, stream }, opened))
    }

    /// Sends a request and receives its response. Whether the connection can
    /// take another one.
    async fn exchange(
        &mut self,
        sending: &Sending<'_>,
        reception: &mut Reception,
        course: &mut Course,
    ) -> Result<bool, Broken> {
        let mut unsent = None;
        std::future::poll_fn(|cx| {
            let unsent = match &mut unsent {
                Some(unsent) => unsent,
                None => {
                    self.is_open(cx).map_err(Broken::Unused)?;
                    unsent.insert(self.begin(cx, sending, course)?)
                }
            };
            self.go_on(cx, unsent, reception, course)
                .map_err(Broken::Failed)
        })
        .await?;
        let all_sent = unsent.is_some_and(|unsent| unsent.is_done());
        Ok(all_sent && reception.is_reusable() && !says_close(sending.headers))
    }

    /// Fails if the server has closed the connection, or has sent something
    /// that nobody asked for.
    fn is_open(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let mut bytes = [0];
        let mut buffer = ReadBuf::new(&mut bytes);
        // Asks the system only if there is news.
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(closed("before a response")),
            Poll::Ready(Ok(())) => Err(closed("by an unexpected message")),
            Poll::Ready(Err(error)) => Err(Failure::closed(&error)),
        }
    }

    /// Sends what goes out at once, which is nearly always all.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        sending: &Sending<'_>,
        course: &mut Course,
    ) -> Result<Unsent, Broken> {
        OUTGOING.with_borrow_mut(|out| {
            out.clear();
            let body = &sending.body;
            wire::write_head(
                out,
                sending.method,
                sending.target,
                sending.headers,
                sending.cookies.as_ref(),
                body.len(),
            );
            let bytes = (out.len() + body.len()) as u64;
            let mut unsent = Unsent::default();
            if body.len() <= SMALL {
                out.extend_from_slice(body);
            } else {
                unsent.body = body.clone();
            }
            match Pin::new(&mut self.stream).poll_write(cx, out) {
                Poll::Ready(Ok(written)) if written == out.len() => {}
                Poll::Ready(Ok(written)) => unsent.head = Bytes::copy_from_slice(&out[written..]),
                Poll::Pending => unsent.head = Bytes::copy_from_slice(out),
                Poll::Ready(Err(error)) => return Err(Broken::Unused(Failure::closed(&error))),
            }
            course.sent += bytes;
            Ok(unsent)
        })
    }

    /// Goes on sending and receiving, until the response is complete.
    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        unsent: &mut Unsent,
        reception: &mut Reception,
        course: &mut Course,
    ) -> Poll<Result<(), Failure>> {
        unsent.go_on(cx, &mut self.stream);
        INCOMING.with_borrow_mut(|incoming| {
            loop {
                let mut buffer = ReadBuf::new(incoming);
                let received = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
                let bytes = buffer.filled();
                course.received += bytes.len() as u64;
                let taken = match (received, unsent.failed.take()) {
                    (Ok(()), _) if !bytes.is_empty() => reception.feed(bytes),
                    (Ok(()), None) => reception.closed(),
                    // Why the request could not be sent tells more than that
                    // no response came.
                    (Ok(()) | Err(_), Some(error)) if reception.is_untouched() => {
                        Err(Failure::closed(&error))
                    }
                    (Ok(()), Some(_)) => reception.closed(),
                    (Err(error), _) => Err(Failure::closed(&error)),
                };
                let now = Instant::now();
                if reception.has_head() {
                    course.head_at.get_or_insert(now);
                }
                taken?;
                if reception.is_done() {
                    course.done_at = Some(now);
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}

/// What of a request did not go out at once.
#[derive(Debug, Default)]
struct Unsent {
    head: Bytes,
    body: Bytes,
    /// Why the rest cannot be sent. The server may have answered before.
    failed: Option<io::Error>,
}

impl Unsent {
    fn is_done(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    fn go_on(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) {
        while !self.is_done() && self.failed.is_none() {
            let next = match self.head.is_empty() {
                true => &mut self.body,
                false => &mut self.head,
            };
            match Pin::new(&mut *stream).poll_write(cx, next) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.failed = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => next.advance(written),
                Poll::Ready(Err(error)) => self.failed = Some(error),
            }
        }
    }
}

/// Whether the script asked for the connection to be closed.
fn says_close(headers: &HeaderMap) -> bool {
    !headers.is_empty()
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn closed(how: &str) -> Failure {
    Failure::new(ErrorKind::Closed, format!("connection closed early: {how}"))
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
