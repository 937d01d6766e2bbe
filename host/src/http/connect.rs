//! Timing of new connections over TLS.
//!
//! reqwest opens connections inside its pool. A layer around its connector
//! times each of them, and the VU's [`ConnectLog`] hands the times to the
//! request that waited for it. When the TLS handshake begins is told by the
//! session store, which rustls asks just before it says hello (see
//! [`tls`](super::tls)).

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tower_layer::Layer;
use tower_service::Service;

thread_local! {
    /// When a TLS handshake began during the current poll of a connector.
    static HANDSHAKE_BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Notes that the connection now being polled begins its TLS handshake.
pub(super) fn handshake_begins() {
    HANDSHAKE_BEGAN.set(Some(Instant::now()));
}

/// A connection that was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    pub(super) connecting: Duration,
    pub(super) tls: Option<Duration>,
    pub(super) at: Instant,
}

/// The connections that one VU opened and no request has accounted for yet.
#[derive(Debug, Default, Clone)]
pub(super) struct ConnectLog(Arc<Mutex<Vec<Opened>>>);

impl ConnectLog {
    /// The oldest connection opened since `started`, which is then accounted
    /// for. Older ones are forgotten: their requests gave up.
    pub(super) fn take_since(&self, started: Instant) -> Option<Opened> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_empty() {
            return None;
        }
        opened.retain(|opened| opened.at >= started);
        (!opened.is_empty()).then(|| opened.remove(0))
    }

    fn push(&self, connection: Opened) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }
}

impl<S> Layer<S> for ConnectLog {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed {
            inner,
            log: self.clone(),
        }
    }
}

/// A connector that is timed.
#[derive(Debug, Clone)]
pub(super) struct Timed<S> {
    inner: S,
    log: ConnectLog,
}

impl<S, Destination> Service<Destination> for Timed<S>
where
    S: Service<Destination>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, destination: Destination) -> Self::Future {
        let started = Instant::now();
        let log = self.log.clone();
        let connecting = self.inner.call(destination);
        Box::pin(async move {
            let mut handshake = None;
            let mut connecting = pin!(connecting);
            let connected = std::future::poll_fn(|cx| {
                HANDSHAKE_BEGAN.set(None);
                let polled = connecting.as_mut().poll(cx);
                handshake = handshake.or(HANDSHAKE_BEGAN.take());
                polled
            })
            .await?;
            let now = Instant::now();
            log.push(Opened {
                connecting: handshake.unwrap_or(now) - started,
                tls: handshake.map(|began| now - began),
                at: now,
            });
            Ok(connected)
        })
    }
}
