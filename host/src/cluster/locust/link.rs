//! The connection to a Locust master: a ZeroMQ socket that is made anew whenever it
//! breaks.
//!
//! | the link is | until |
//! |---|---|
//! | down | it is time to try again |
//! | connecting | the master is there, or it is given up for now |
//! | up | the connection breaks, or it is dropped |

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket as _, SocketEvent, SocketOptions,
    SocketRecv as _, SocketSend as _, ZmqMessage,
};

use super::message::FromMaster;

/// How long to try to connect; also how soon to try again.
const CONNECT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

/// What comes over a link.
#[derive(Debug)]
pub(super) enum Event {
    /// It is up.
    Up,
    /// It is down, and is made anew.
    Down,
    /// The master says something.
    Said(FromMaster),
}

/// A connection to a master.
pub(super) struct Link {
    endpoint: String,
    /// The worker's id, by which the master knows its connection.
    id: String,
    state: State,
}

enum State {
    Down { again: Instant },
    Connecting(Pin<Box<dyn Future<Output = Option<Socket>>>>),
    Up(Box<Socket>),
}

struct Socket {
    sending: DealerSendHalf,
    receiving: DealerRecvHalf,
    events: futures_util::stream::BoxStream<'static, SocketEvent>,
}

impl Link {
    /// A link to the master at `HOST:PORT`, which is down.
    pub(super) fn new(master: &str, id: &str) -> Self {
        Self {
            endpoint: format!("tcp://{master}"),
            id: id.to_owned(),
            state: State::Down {
                again: Instant::now(),
            },
        }
    }

    /// Whether it is up.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// The next event. Can be dropped at any time.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::Down { again } => {
                    sleep_until(*again).await;
                    let connecting = connect(self.endpoint.clone(), self.id.clone());
                    self.state = State::Connecting(Box::pin(connecting));
                }
                State::Connecting(connecting) => match connecting.await {
                    Some(socket) => {
                        self.state = State::Up(Box::new(socket));
                        return Event::Up;
                    }
                    None => self.state = down(),
                },
                State::Up(socket) => match socket.next().await {
                    Some(message) => {
                        if let Some(said) = message.get(0).and_then(|it| FromMaster::read(it)) {
                            return Event::Said(said);
                        }
                    }
                    None => {
                        self.state = down();
                        return Event::Down;
                    }
                },
            }
        }
    }

    /// Sends a message: whether the socket has taken it. A link that does not take
    /// one is down, which [`next`](Self::next) does not tell.
    pub(super) async fn send(&mut self, message: Bytes) -> bool {
        let State::Up(socket) = &mut self.state else {
            return false;
        };
        match socket.sending.send(ZmqMessage::from(message)).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "the socket does not take a message");
                self.state = down();
                false
            }
        }
    }

    /// Makes the connection anew, at once. The old one has to go first: a master
    /// knows one connection of an id.
    pub(super) fn reset(&mut self) {
        self.state = State::Down {
            again: Instant::now(),
        };
    }
}

fn down() -> State {
    State::Down {
        again: Instant::now() + AGAIN,
    }
}

async fn connect(endpoint: String, id: String) -> Option<Socket> {
    let mut options = SocketOptions::default();
    let identity = PeerIdentity::try_from(id.as_bytes()).ok()?;
    options.peer_identity(identity);
    let mut socket = DealerSocket::with_options(options);
    let events = socket.monitor().boxed();
    match timeout(CONNECT, socket.connect(&endpoint)).await {
        Ok(Ok(())) => {
            let (sending, receiving) = socket.split();
            Some(Socket {
                sending,
                receiving,
                events,
            })
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, endpoint, "the master cannot be reached");
            None
        }
        Err(_) => None,
    }
}

impl Socket {
    /// The next message; `None` if the connection is gone.
    async fn next(&mut self) -> Option<ZmqMessage> {
        loop {
            tokio::select! {
                message = self.receiving.recv() => return message.ok(),
                event = self.events.next() => match event {
                    Some(SocketEvent::Disconnected(_) | SocketEvent::Closed) | None => return None,
                    Some(_) => {}
                },
            }
        }
    }
}
