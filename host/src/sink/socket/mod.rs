//! Lines over a Unix or TCP socket.
//!
//! | the connection | a line | then |
//! |---|---|---|
//! | stands | is written, whole, as fast as the other side reads | it is remembered for [`MEMORY`] |
//! | breaks | | the line under way, and those that are remembered, are held back again |
//! | is down | is held back | it is made again, at growing distances |
//! | is down, and [`BOUND`] is reached | is held back | the oldest is lost and counted |
//!
//! What was handed to a connection shortly before it broke may have been read or
//! not: nobody can tell. It is sent again, so that every line arrives at least
//! once, and some may arrive twice; few if the other side closed the connection
//! in good order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::place::Target;
use super::{Ledger, Stopped};
use crate::error::Problem;
use crate::plan::SinkSpec;

mod connection;

use connection::{Connection, UNREACHABLE};

/// How long a line is remembered after it was handed to the connection. Longer
/// than a connection can stand without an answer from the other side.
const MEMORY: Duration = Duration::from_secs(20);
const _: () = assert!(MEMORY.as_millis() > UNREACHABLE.as_millis());

/// How many bytes are held back and remembered, over all recorders.
const BOUND: usize = 8 << 20;

/// What a line costs beside its bytes.
const OVERHEAD: usize = 64;

/// How long connecting may take at the start, and later, when a recorder waits.
const PATIENCE_AT_START: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before connecting again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A connection that is made again when it breaks.
pub(super) struct Socket {
    spec: SinkSpec,
    connection: Option<Connection>,
    /// Handed to the connection, the oldest first.
    sent: VecDeque<(Instant, Line)>,
    /// Not handed to it yet.
    held: VecDeque<Line>,
    /// What both hold, with [`OVERHEAD`].
    bytes: usize,
    bound: usize,
    /// When to connect again, and how long to wait if that fails.
    retry_at: Instant,
    wait: Duration,
    /// Why the connection is down, in words.
    cause: String,
    /// Whether it was told that lines are lost.
    is_dropping: bool,
}

struct Line {
    text: Box<[u8]>,
    owner: Arc<Ledger>,
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

impl Socket {
    /// Connects. Nobody who listens is a mistake that is better told before the
    /// run than after it.
    pub(super) fn open(spec: SinkSpec) -> Result<Self, Problem> {
        let connection = Connection::open(&spec, PATIENCE_AT_START).map_err(|error| {
            Problem::new(format!("cannot connect the sink `{spec}`: {error}")).hint(
                "start what receives the log entries first, or write them to a file: `sink=file:PATH`",
            )
        })?;
        Ok(Self {
            spec,
            connection: Some(connection),
            sent: VecDeque::new(),
            held: VecDeque::new(),
            bytes: 0,
            bound: BOUND,
            retry_at: Instant::now(),
            wait: FIRST_WAIT,
            cause: String::new(),
            is_dropping: false,
        })
    }

    fn take(&mut self, line: &[u8], owner: &Arc<Ledger>) {
        let line = Line {
            text: line.into(),
            owner: owner.clone(),
        };
        owner.hold(1);
        self.bytes += line.cost();
        self.held.push_back(line);
        self.pump();
        self.trim();
    }

    /// Writes what is held back, as far as it goes without waiting for a new
    /// connection.
    fn pump(&mut self) {
        self.forget(Instant::now().checked_sub(MEMORY));
        while !self.held.is_empty() && self.connect_if_due() {
            let (Some(connection), Some(line)) = (&mut self.connection, self.held.front()) else {
                return;
            };
            match connection.write(&line.text) {
                Ok(()) => self.written(),
                // The line itself cannot be sent, whatever the connection.
                Err(error) if connection.is_too_long(&error) => {
                    let cause = format!("`{}`: {error}", self.spec);
                    self.lose_oldest(&cause);
                }
                Err(error) => self.lost(&error),
            }
        }
    }

    /// The first line that was held back is written.
    fn written(&mut self) {
        let Some(line) = self.held.pop_front() else {
            return;
        };
        line.owner.release(1);
        self.is_dropping = false;
        self.wait = FIRST_WAIT;
        if self.connection.as_ref().is_some_and(Connection::is_stream) {
            self.sent.push_back((Instant::now(), line));
        } else {
            // A datagram that was taken is in the hands of its receiver.
            self.bytes -= line.cost();
        }
        while self.bytes > self.bound && !self.sent.is_empty() {
            self.forget_oldest();
        }
    }

    /// Forgets lines that were sent before this: they have been read.
    fn forget(&mut self, before: Option<Instant>) {
        while let (Some((sent, _)), Some(before)) = (self.sent.front(), before)
            && *sent < before
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, line)) = self.sent.pop_front() {
            self.bytes -= line.cost();
        }
    }

    /// The connection is down. What may not have been read is held back again.
    fn lost(&mut self, error: &io::Error) {
        let was_read_before = self.connection.take().and_then(|it| it.was_read_before());
        self.forget(was_read_before);
        self.cause = format!("`{}`: {error}", self.spec);
        for (_, line) in self.sent.drain(..).rev() {
            line.owner.hold(1);
            self.held.push_front(line);
        }
        tracing::warn!(
            sink = %self.spec, %error,
            "the connection is lost; log entries are held back until it stands again",
        );
        self.wait_again();
    }

    fn wait_again(&mut self) {
        self.retry_at = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }

    /// Whether the connection stands; makes it again if it is time to.
    fn connect_if_due(&mut self) -> bool {
        if self.connection.is_some() {
            return true;
        }
        if Instant::now() < self.retry_at {
            return false;
        }
        match Connection::open(&self.spec, PATIENCE) {
            Ok(connection) => {
                let held = self.held.len();
                tracing::warn!(sink = %self.spec, held, "the connection stands again");
                self.connection = Some(connection);
                true
            }
            Err(error) => {
                tracing::debug!(sink = %self.spec, %error, "the connection cannot be made");
                self.cause = format!("`{}`: {error}", self.spec);
                self.wait_again();
                false
            }
        }
    }

    /// Loses what is beyond the bound, the oldest first: the totals come last.
    fn trim(&mut self) {
        while self.bytes > self.bound && self.held.len() > 1 {
            if !self.is_dropping {
                self.is_dropping = true;
                tracing::warn!(
                    sink = %self.spec,
                    "too many log entries are held back: the oldest are lost and counted",
                );
            }
            let cause = self.cause.clone();
            self.lose_oldest(&cause);
        }
    }

    /// It stays counted as not written.
    fn lose_oldest(&mut self, cause: &str) {
        if let Some(line) = self.held.pop_front() {
            self.bytes -= line.cost();
            line.owner.blame(cause);
        }
    }

    /// Waits until everything is written, or the owner is abandoned. Whoever
    /// abandons it finds the cause in the ledger.
    fn drain_for(&mut self, owner: &Ledger) -> bool {
        loop {
            self.pump();
            if self.held.is_empty() {
                return true;
            }
            for line in &self.held {
                line.owner.blame(&self.cause);
            }
            if owner.is_abandoned() {
                return false;
            }
            let left = self.retry_at.saturating_duration_since(Instant::now());
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

impl Target for Socket {
    fn write(&mut self, lines: &[u8], owner: &Arc<Ledger>) -> Result<(), Stopped> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.take(line, owner);
        }
        Ok(())
    }

    fn drain(&mut self, owner: &Ledger) {
        self.drain_for(owner);
    }

    fn close(&mut self, owner: &Ledger) {
        while self.drain_for(owner) {
            match self.connection.as_mut().map(Connection::close) {
                Some(Err(error)) => self.lost(&error),
                Some(Ok(())) | None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A socket at a path that the other side can leave and come back to.
    struct Fixture {
        folder: TempDir,
        socket: Socket,
        ledger: Arc<Ledger>,
    }

    fn path(folder: &TempDir) -> PathBuf {
        folder.path().join("socket")
    }

    /// Connects to a listener, which is returned beside it.
    fn fixture() -> (Fixture, UnixListener) {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(path(&folder)).expect("bound");
        let fixture = Fixture {
            socket: Socket::open(SinkSpec::Unix(path(&folder))).expect("connected"),
            folder,
            ledger: Arc::default(),
        };
        (fixture, listener)
    }

    impl Fixture {
        fn write(&mut self, line: &str) {
            write(&mut self.socket, line, &self.ledger);
        }

        /// The other side goes away, with all its connections.
        fn hang_up(&self, listener: UnixListener, connections: Vec<UnixStream>) {
            drop((listener, connections));
            std::fs::remove_file(path(&self.folder)).expect("there");
        }

        fn listen_again(&self) -> UnixListener {
            UnixListener::bind(path(&self.folder)).expect("bound")
        }
    }

    fn write(socket: &mut Socket, line: &str, ledger: &Arc<Ledger>) {
        let line = format!("{line}\n");
        socket
            .write(line.as_bytes(), ledger)
            .expect("it never gives up");
    }

    fn tcp(listener: &TcpListener) -> SinkSpec {
        let address = listener.local_addr().expect("bound");
        SinkSpec::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }

    fn accept(listener: &UnixListener) -> UnixStream {
        listener.accept().expect("somebody connects").0
    }

    /// Reads to the end on a thread of its own.
    fn read_aside(mut stream: impl io::Read + Send + 'static) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("orderly");
            text
        })
    }

    /// Reads all that the next one who connects writes, aside.
    fn read_next(listener: UnixListener) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut text = String::new();
            let mut stream = accept(&listener);
            stream.read_to_string(&mut text).expect("readable");
            text
        })
    }

    fn numbers(of: impl Iterator<Item = u32>) -> String {
        of.map(|number| format!("{number}\n")).collect()
    }

    #[test]
    fn every_line_arrives_before_the_socket_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let unix = UnixListener::bind(path(&folder)).expect("bound");
        let tcp_listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        for is_tcp in [true, false] {
            let spec = if is_tcp {
                tcp(&tcp_listener)
            } else {
                SinkSpec::Unix(path(&folder))
            };
            let mut socket = Socket::open(spec).expect("connected");
            let reader = if is_tcp {
                read_aside(tcp_listener.accept().expect("it connects").0)
            } else {
                read_aside(accept(&unix))
            };
            let ledger: Arc<Ledger> = Arc::default();
            for number in 0..20_000 {
                write(&mut socket, &number.to_string(), &ledger);
            }
            socket.close(&ledger);
            assert_eq!(ledger.unwritten(), 0);
            assert_eq!(reader.join().expect("no panic"), numbers(0..20_000));
        }
    }

    #[test]
    fn a_line_is_a_datagram_where_the_socket_is_of_that_type() {
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = UnixDatagram::bind(path(&folder)).expect("bound");
        let mut socket = Socket::open(SinkSpec::Unix(path(&folder))).expect("connected");
        let ledger: Arc<Ledger> = Arc::default();
        write(&mut socket, "1", &ledger);
        // No datagram is that long.
        write(&mut socket, &"x".repeat(8 << 20), &ledger);
        write(&mut socket, "2", &ledger);
        let mut buffer = [0; 16];
        for expected in [&b"1"[..], b"2"] {
            let length = receiver.recv(&mut buffer).expect("it is there");
            assert_eq!(&buffer[..length], expected);
        }
        assert_eq!(ledger.unwritten(), 1);
        assert!(ledger.cause().expect("there is one").contains("too long"));
        // The receiver goes and comes back.
        drop(receiver);
        std::fs::remove_file(path(&folder)).expect("there");
        write(&mut socket, "3", &ledger);
        assert_eq!(ledger.unwritten(), 2);
        let receiver = UnixDatagram::bind(path(&folder)).expect("bound");
        socket.close(&ledger);
        let length = receiver.recv(&mut buffer).expect("it is there");
        assert_eq!((&buffer[..length], ledger.unwritten()), (&b"3"[..], 1));
    }

    #[test]
    fn nobody_who_listens_is_a_mistake_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        // Nothing listens on the first port.
        let tcp = SinkSpec::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 1,
        };
        for spec in [tcp, SinkSpec::Unix(path(&folder))] {
            let name = format!("`{spec}`");
            let Err(problem) = Socket::open(spec) else {
                panic!("{name} is connected");
            };
            assert!(problem.what.contains(&name), "{problem}");
            assert!(problem.hint.is_some());
        }
    }

    #[test]
    fn a_reader_that_dies_and_comes_back_misses_nothing() {
        let (mut fixture, listener) = fixture();
        let mut first = BufReader::new(accept(&listener));
        let mut seen = BTreeSet::new();
        for number in 0..10u32 {
            fixture.write(&number.to_string());
        }
        for _ in 0..4 {
            let mut line = String::new();
            first.read_line(&mut line).expect("readable");
            seen.insert(line);
        }
        fixture.hang_up(listener, vec![first.into_inner()]);
        for number in 10..20 {
            fixture.write(&number.to_string());
        }
        // What the first reader had not read may be lost, and is not known.
        assert!(fixture.ledger.unwritten() >= 10);
        let listener = fixture.listen_again();
        let reader = read_next(listener);
        fixture.socket.close(&fixture.ledger);
        assert_eq!(fixture.ledger.unwritten(), 0);
        let again = reader.join().expect("no panic");
        let order: Vec<u32> = again
            .lines()
            .map(|line| line.parse().expect("a whole line"))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        seen.extend(again.lines().map(|line| format!("{line}\n")));
        let expected: BTreeSet<_> = (0..20).map(|number| format!("{number}\n")).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_a_reader_surely_has_read_is_not_sent_again() {
        let (mut fixture, listener) = fixture();
        let mut first = BufReader::new(accept(&listener));
        for line in ["1", "2", "3"] {
            fixture.write(line);
            first.read_line(&mut String::new()).expect("readable");
        }
        let earlier = Instant::now().checked_sub(MEMORY / 2);
        for (sent, _) in &mut fixture.socket.sent {
            *sent = earlier.expect("the machine runs for longer");
        }
        drop(first);
        fixture.write("4");
        assert_eq!(fixture.ledger.unwritten(), 1);
        let reader = read_next(listener);
        fixture.socket.close(&fixture.ledger);
        assert_eq!(reader.join().expect("no panic"), "4\n");
    }

    #[test]
    fn a_line_that_was_half_written_is_written_again_whole() {
        let (mut fixture, listener) = fixture();
        let mut first = accept(&listener);
        let long = "x".repeat(4 << 20);
        let expected = format!("{long}\nlast\n");
        let reader = thread::spawn(move || {
            first.read_exact(&mut [0; 1000]).expect("readable");
            drop(first);
            let mut text = String::new();
            accept(&listener)
                .read_to_string(&mut text)
                .expect("readable");
            text
        });
        fixture.write(&long);
        fixture.write("last");
        fixture.socket.close(&fixture.ledger);
        assert!(reader.join().expect("no panic") == expected);
        assert_eq!(fixture.ledger.unwritten(), 0);
    }

    #[test]
    fn beyond_the_bound_the_oldest_lines_are_lost_and_counted() {
        let (mut fixture, listener) = fixture();
        let connection = accept(&listener);
        fixture.hang_up(listener, vec![connection]);
        // A digit and a line break.
        fixture.socket.bound = 3 * (2 + OVERHEAD);
        for number in 0..9 {
            fixture.write(&number.to_string());
        }
        assert_eq!(fixture.socket.held.len(), 3);
        assert_eq!(fixture.ledger.unwritten(), 9);
        let listener = fixture.listen_again();
        let reader = read_next(listener);
        fixture.socket.close(&fixture.ledger);
        assert_eq!(reader.join().expect("no panic"), "6\n7\n8\n");
        assert_eq!(fixture.ledger.unwritten(), 6);
        let cause = fixture.ledger.cause().expect("there is one");
        assert!(cause.starts_with("`unix:"), "{cause}");
    }

    #[test]
    fn what_is_remembered_is_bounded_too() {
        let (mut fixture, listener) = fixture();
        let reader = read_aside(accept(&listener));
        fixture.socket.bound = 10 * (2 + OVERHEAD);
        for number in 0..1000 {
            fixture.write(&(number % 10).to_string());
            assert!(fixture.socket.sent.len() <= 10);
        }
        assert_eq!(fixture.ledger.unwritten(), 0);
        // And forgotten in time.
        let later = Instant::now() + MEMORY;
        fixture.socket.forget(later.checked_sub(MEMORY));
        assert_eq!((fixture.socket.sent.len(), fixture.socket.bytes), (0, 0));
        fixture.socket.close(&fixture.ledger);
        assert_eq!(reader.join().expect("no panic").lines().count(), 1000);
    }

    #[test]
    fn whoever_waits_no_longer_finds_the_cause() {
        let (mut fixture, listener) = fixture();
        let connection = accept(&listener);
        fixture.hang_up(listener, vec![connection]);
        fixture.write("1");
        fixture.ledger.abandon();
        fixture.socket.close(&fixture.ledger);
        assert_eq!(fixture.ledger.unwritten(), 1);
        assert!(fixture.ledger.cause().is_some());
    }

    #[test]
    fn a_reader_that_leaves_without_having_read_is_not_the_last_word() {
        let (mut fixture, listener) = fixture();
        let first = accept(&listener);
        fixture.write("1");
        fixture.write("2");
        drop(first);
        let reader = read_next(listener);
        fixture.socket.close(&fixture.ledger);
        assert_eq!(reader.join().expect("no panic"), "1\n2\n");
        assert_eq!(fixture.ledger.unwritten(), 0);
    }

    #[test]
    fn a_reader_that_leaves_before_the_last_line_is_not_the_last_word() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut socket = Socket::open(tcp(&listener)).expect("connected");
        let ledger: Arc<Ledger> = Arc::default();
        let mut first = BufReader::new(listener.accept().expect("it connects").0);
        write(&mut socket, "1", &ledger);
        first.read_line(&mut String::new()).expect("readable");
        // It has read everything, and goes; this side may not know it yet.
        drop(first);
        write(&mut socket, "2", &ledger);
        let reader = thread::spawn(move || {
            let mut text = String::new();
            let mut second = listener.accept().expect("it connects again").0;
            second.read_to_string(&mut text).expect("readable");
            text
        });
        socket.close(&ledger);
        assert_eq!(reader.join().expect("no panic"), "1\n2\n");
        assert_eq!(ledger.unwritten(), 0);
    }

    #[test]
    fn a_reader_that_will_say_nothing_more_still_gets_everything() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut socket = Socket::open(tcp(&listener)).expect("connected");
        let mut reader = listener.accept().expect("it connects").0;
        reader.write_all(b"hello, who are you?\n").expect("written");
        reader.shutdown(Shutdown::Write).expect("it can");
        let ledger: Arc<Ledger> = Arc::default();
        let reader = read_aside(reader);
        for number in 0..100 {
            write(&mut socket, &number.to_string(), &ledger);
        }
        socket.close(&ledger);
        assert_eq!(reader.join().expect("no panic"), numbers(0..100));
        assert_eq!(ledger.unwritten(), 0);
    }

    #[test]
    fn two_recorders_lines_are_counted_apart() {
        let (mut fixture, listener) = fixture();
        let connection = accept(&listener);
        fixture.hang_up(listener, vec![connection]);
        let other: Arc<Ledger> = Arc::default();
        fixture.write("1");
        fixture.write("2");
        write(&mut fixture.socket, "3", &other);
        assert_eq!((fixture.ledger.unwritten(), other.unwritten()), (2, 1));
    }
}
