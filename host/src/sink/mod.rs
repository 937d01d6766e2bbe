//! Where log entries go, one line each.
//!
//! Below the recorders: each recorder's thread owns its sink and writes to it
//! what the recorder returned. A sink may block for as long as it likes; only
//! its recorder waits.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Problem};

/// Where log entries go.
pub trait Sink: Send {
    /// Writes one line, whole. `line` holds no line break; the sink ends it.
    /// May block.
    ///
    /// # Errors
    ///
    /// If the line was not, or not wholly, written. The sink is not used again.
    fn write_line(&mut self, line: &str) -> io::Result<()>;
}

/// Lines in a file, a pipe, or whatever else can be written to. The writer
/// should not buffer: each line is handed to it in one piece.
#[derive(Debug)]
pub struct Lines<W> {
    writer: W,
    line: Vec<u8>,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            line: Vec::new(),
        }
    }
}

impl Lines<File> {
    /// Writes to a new file, in place of what the file held before.
    ///
    /// # Errors
    ///
    /// If the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, Error> {
        File::create(path).map(Self::new).map_err(|error| {
            let problem = Problem::new(format!(
                "cannot write telemetry to `{}`: {error}",
                path.display()
            ));
            Error::File(match error.kind() {
                io::ErrorKind::NotFound => problem.hint("create the folder first"),
                _ => problem,
            })
        })
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(line.as_bytes());
        self.line.push(b'\n');
        let mut left = &*self.line;
        while !left.is_empty() {
            match self.writer.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The pipe is full, and whoever shares it with us has made it
                // non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }
}

/// A sink that several recorders write to, a line at a time.
///
/// One that blocks holds up the others: they share where the lines go.
impl<S: Sink> Sink for Arc<Mutex<S>> {
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_line(line)
    }
}

/// Nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn write_line(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_line_goes_out_in_one_piece() {
        let mut sink = Lines::new(Hesitant {
            taken: Vec::new(),
            calls: 0,
            at_once: 100,
        });
        sink.write_line("{}").expect("written");
        assert_eq!((&*sink.writer.taken, sink.writer.calls), (&b"{}\n"[..], 1));
    }

    #[test]
    fn a_full_pipe_is_waited_for() {
        let mut sink = Lines::new(Hesitant {
            taken: Vec::new(),
            calls: 0,
            at_once: 3,
        });
        sink.write_line("{\"a\":1}").expect("written");
        sink.write_line("{}").expect("written");
        assert_eq!(sink.writer.taken, b"{\"a\":1}\n{}\n");
    }

    #[test]
    fn a_file_begins_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.ndjson");
        for _ in 0..2 {
            let mut sink = Lines::create(&path).expect("created");
            sink.write_line("{\"a\":1}").expect("written");
            sink.write_line("{\"a\":2}").expect("written");
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n");
        let error = Lines::create(&dir.path().join("no/out.ndjson")).expect_err("refused");
        assert!(error.to_string().contains("create the folder"), "{error}");
    }
}
