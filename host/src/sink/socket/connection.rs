//! One connection, from connecting to its orderly end.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown, sockopt};

use crate::plan::SinkSpec;

/// How long the other side may leave data without an answer, as a machine that
/// is gone does, or one whose program does not read.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(15);

/// How long the other side may take at the end to close the connection, which
/// says that it has read everything.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// How long after the other side has closed the connection it may be told that
/// what was sent since did not arrive.
const LATE_REFUSAL: Duration = Duration::from_millis(200);

/// How long a line takes to the other side, and its answer back, at the most.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// A connection that stands.
pub(super) struct Connection {
    socket: Kind,
    /// Whether the other side will send nothing more. It may still read.
    is_half_closed: bool,
    /// When it was last known to be open in both directions.
    was_open: Instant,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
    Datagram(UnixDatagram),
}

impl Connection {
    /// Connects, within `patience`.
    pub(super) fn open(spec: &SinkSpec, patience: Duration) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let target = spec.clone();
        // Neither the look-up of a name nor a Unix socket knows a time limit.
        thread::Builder::new()
            .name("sink-connect".to_owned())
            .spawn(move || {
                // Nobody waits for it any more if it comes too late.
                let _ = sender.send(connect(&target, patience));
            })?;
        let socket = receiver.recv_timeout(patience).map_err(|_| {
            let limit = crate::units::Pretty(patience);
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit}"))
        })??;
        Ok(Self {
            socket,
            is_half_closed: false,
            was_open: Instant::now(),
        })
    }

    /// Whether what was sent can be lost with the connection.
    pub(super) fn is_stream(&self) -> bool {
        !matches!(self.socket, Kind::Datagram(_))
    }

    /// Whether a line failed because it is longer than a datagram can be.
    pub(super) fn is_too_long(&self, error: &io::Error) -> bool {
        !self.is_stream() && error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error())
    }

    /// Writes a line, whole. Blocks while the other side does not read.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_stream() {
            self.hear()?;
        }
        match &mut self.socket {
            Kind::Tcp(stream) => stream.write_all(line),
            Kind::Unix(stream) => stream.write_all(line),
            Kind::Datagram(socket) => {
                // The end of the datagram is the end of the line.
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                socket.send(line).map(|_| ())
            }
        }
    }

    /// Takes in what the other side says, and throws it away.
    ///
    /// # Errors
    ///
    /// If the connection is broken.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; 512];
        while !self.is_half_closed {
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => self.is_half_closed = true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.was_open = Instant::now();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        // From here on, reading tells of nothing.
        Ok(sockopt::socket_error(&self.socket)??)
    }

    /// Before when whatever was written has been read, if that is known: the
    /// other side has closed the connection. Had it left anything that had come
    /// by then, it would have been reset instead.
    pub(super) fn was_read_before(&self) -> Option<Instant> {
        let known = self.is_half_closed && self.is_stream();
        known.then(|| self.was_open.checked_sub(ROUND_TRIP))?
    }

    /// Ends it: says that nothing more comes and waits until the other side has
    /// read it all.
    ///
    /// # Errors
    ///
    /// If it breaks before that.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if !self.is_stream() {
            return Ok(());
        }
        let was_half_closed = self.is_half_closed;
        shutdown(&self.socket, Shutdown::Write)?;
        let limit = if was_half_closed {
            LATE_REFUSAL
        } else {
            FAREWELL
        };
        let begin = Instant::now();
        while begin.elapsed() < limit {
            self.hear()?;
            if self.is_half_closed && !was_half_closed {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        if !was_half_closed {
            tracing::warn!(
                waited = %crate::units::Pretty(FAREWELL),
                "a receiver of log entries does not close the connection at the end: \
                 it may not have read the last of them",
            );
        }
        Ok(())
    }
}

fn connect(spec: &SinkSpec, patience: Duration) -> io::Result<Kind> {
    match spec {
        SinkSpec::Tcp { host, port } => connect_tcp(host, *port, patience).map(Kind::Tcp),
        SinkSpec::Unix(path) => connect_unix(path),
        SinkSpec::Stdout | SinkSpec::Stderr | SinkSpec::File(_) => {
            unreachable!("only sockets are connected")
        }
    }
}

fn connect_tcp(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                // A line is to arrive when it is written.
                stream.set_nodelay(true)?;
                let limit = u32::try_from(UNREACHABLE.as_millis()).unwrap_or(u32::MAX);
                sockopt::set_tcp_user_timeout(&stream, limit)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to a socket of whichever type it is.
fn connect_unix(path: &Path) -> io::Result<Kind> {
    match UnixStream::connect(path) {
        Err(error) if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(Kind::Datagram(socket))
        }
        result => result.map(Kind::Unix),
    }
}

impl AsFd for Kind {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Datagram(socket) => socket.as_fd(),
        }
    }
}
