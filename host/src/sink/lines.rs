//! Lines in a pipe, on a terminal, or whatever else can be written to.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::place::{AT_ONCE_IN_A_PIPE, Target, count_lines};
use super::{Ledger, Stopped};

/// Writes lines to what should not buffer: each is handed to it in one piece,
/// and short ones together.
#[derive(Debug)]
pub struct Lines<W> {
    writer: W,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<W: Write + Send> Target for Lines<W> {
    fn write(&mut self, lines: &[u8], _: &Arc<Ledger>) -> Result<(), Stopped> {
        let mut written = 0;
        write_on(&mut self.writer, lines, &mut written)
            .and_then(|()| self.writer.flush())
            .map_err(|error| Stopped {
                written: count_lines(&lines[..written]),
                error,
            })
    }

    fn at_once(&self) -> usize {
        AT_ONCE_IN_A_PIPE
    }
}

/// Writes all of `bytes` and waits where `write_all` gives up: on a full pipe
/// that whoever shares it has made non-blocking.
///
/// # Errors
///
/// If the writer fails, or takes nothing.
pub fn write_whole(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    write_on(writer, bytes, &mut written)
}

/// As [`write_whole`], and says how much was written even if it fails.
pub(super) fn write_on(
    writer: &mut impl Write,
    bytes: &[u8],
    written: &mut usize,
) -> io::Result<()> {
    while *written < bytes.len() {
        match writer.write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Takes at most some bytes at once, and is not ready every other time.
    struct Hesitant {
        taken: Vec<u8>,
        calls: usize,
        at_once: usize,
    }

    impl Write for Hesitant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(2) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.at_once);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hesitant(at_once: usize) -> Lines<Hesitant> {
        Lines::new(Hesitant {
            taken: Vec::new(),
            calls: 0,
            at_once,
        })
    }

    #[test]
    fn a_line_goes_out_in_one_piece() {
        let mut lines = hesitant(100);
        lines.write(b"{}\n", &Arc::default()).expect("written");
        assert_eq!(
            (&*lines.writer.taken, lines.writer.calls),
            (&b"{}\n"[..], 1)
        );
    }

    #[test]
    fn a_writer_that_is_not_ready_is_waited_for() {
        let mut lines = hesitant(3);
        for line in ["{\"a\":1}\n", "{}\n"] {
            lines
                .write(line.as_bytes(), &Arc::default())
                .expect("written");
        }
        assert_eq!(lines.writer.taken, b"{\"a\":1}\n{}\n");
    }

    #[test]
    fn what_was_written_before_a_failure_is_told_in_whole_lines() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(self.0);
                self.0 -= count;
                match count {
                    0 => Err(io::ErrorKind::BrokenPipe.into()),
                    count => Ok(count),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (room, whole) in [(0, 0), (2, 0), (3, 1), (8, 2)] {
            let stopped = Lines::new(Full(room)).write(b"{}\n{}\n{}\n", &Arc::default());
            let stopped = stopped.expect_err("it has no room");
            assert_eq!(stopped.written, whole, "{room} bytes");
            assert_eq!(stopped.error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn a_full_pipe_is_waited_for() {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("possible");
        let line = [vec![b'x'; 1 << 20], vec![b'\n']].concat();
        let expected = line.clone();
        let writing = thread::spawn(move || Lines::new(near).write(&line, &Arc::default()));
        let mut read = Vec::new();
        far.read_to_end(&mut read).expect("it is closed in the end");
        assert!(read == expected, "{} bytes came", read.len());
        writing.join().expect("no panic").expect("written");
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error() {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        drop(far);
        let error = Lines::new(near).write(b"{}\n", &Arc::default());
        assert_eq!(
            error.expect_err("nobody reads").error.kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
