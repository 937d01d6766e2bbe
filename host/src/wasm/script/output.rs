//! What a guest prints: messages for the run's log, never text on our streams.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Origin;
use crate::measure::LogLevel;
use crate::vu::Seat;
use crate::wasm::output::{Print, Printer};

/// A line is cut at so many bytes.
const LINE: usize = 4096;
/// So many of the last lines on stderr are kept, to explain a trap.
const KEPT: usize = 120;

/// Both output streams of one instance.
#[derive(Debug, Clone)]
pub(super) struct GuestOutput(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seat: Seat,
    iteration: AtomicU32,
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Stderr>,
}

#[derive(Debug, Default)]
struct Stderr {
    line: Vec<u8>,
    last: VecDeque<String>,
}

impl GuestOutput {
    pub(super) fn new(seat: Seat) -> Self {
        Self(Arc::new(Shared {
            seat,
            iteration: AtomicU32::new(0),
            stdout: Mutex::default(),
            stderr: Mutex::default(),
        }))
    }

    pub(super) fn stdout(&self) -> Printer<Stream> {
        Printer(Stream {
            output: self.clone(),
            kind: Kind::Stdout,
        })
    }

    pub(super) fn stderr(&self) -> Printer<Stream> {
        Printer(Stream {
            output: self.clone(),
            kind: Kind::Stderr,
        })
    }

    pub(super) fn begin_iteration(&self, number: u32) {
        self.0.iteration.store(number, Ordering::Relaxed);
        let mut stderr = self.0.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        stderr.last.clear();
    }

    /// Logs lines that were not ended, and gives up what the guest last wrote
    /// to stderr in this iteration.
    pub(super) fn end(&self) -> Option<String> {
        let mut stdout = self.0.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        if !stdout.is_empty() {
            self.log(&std::mem::take(&mut *stdout));
        }
        drop(stdout);
        let mut stderr = self.0.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        if !stderr.line.is_empty() {
            let line = std::mem::take(&mut stderr.line);
            stderr.last.push_back(self.log(&line));
        }
        let last: Vec<String> = stderr.last.drain(..).collect();
        (!last.is_empty()).then(|| last.join("\n"))
    }

    fn write(&self, kind: Kind, bytes: &[u8]) {
        match kind {
            Kind::Stdout => {
                let mut line = self.0.stdout.lock().unwrap_or_else(PoisonError::into_inner);
                lines(&mut line, bytes, |line| {
                    self.log(line);
                });
            }
            Kind::Stderr => {
                let mut stderr = self.0.stderr.lock().unwrap_or_else(PoisonError::into_inner);
                let Stderr { line, last } = &mut *stderr;
                lines(line, bytes, |line| {
                    if last.len() == KEPT {
                        last.pop_front();
                    }
                    last.push_back(self.log(line));
                });
            }
        }
    }

    fn log(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let Shared {
            seat, iteration, ..
        } = &*self.0;
        let origin = Origin {
            scenario: seat.scenario.clone(),
            vu: seat.vu,
            iteration: iteration.load(Ordering::Relaxed),
        };
        if !text.is_empty() {
            seat.run.log(origin, LogLevel::Info, &text);
        }
        text
    }
}

/// Adds `bytes` to the unfinished line and calls `each` with every line that
/// they end.
fn lines(line: &mut Vec<u8>, bytes: &[u8], mut each: impl FnMut(&[u8])) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        let room = LINE.saturating_sub(line.len());
        line.extend_from_slice(&text[..text.len().min(room)]);
        if piece.len() > text.len() {
            each(line);
            line.clear();
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Stdout,
    Stderr,
}

/// One of the streams.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    output: GuestOutput,
    kind: Kind,
}

impl Print for Stream {
    fn print(&self, bytes: &[u8]) {
        self.output.write(self.kind, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut seen = Vec::new();
        let mut line = Vec::new();
        for piece in ["a", "b\nc", "\n\n", "d"] {
            lines(&mut line, piece.as_bytes(), |line| seen.push(line.to_vec()));
        }
        assert_eq!(seen, [b"ab".to_vec(), b"c".to_vec(), b"".to_vec()]);
        assert_eq!(line, b"d");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut line = Vec::new();
        lines(&mut line, &[b'x'; 3 * LINE], |_| {});
        assert_eq!(line.len(), LINE);
    }
}
