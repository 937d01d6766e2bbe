//! What a recorder or a shape prints: lines in the host's own diagnostics, never raw text
//! on its streams.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::wasm::output::Print;

/// How long a line may get before it is broken, in bytes.
const LINE: usize = 4096;

/// How many lines of an instance are told; one that prints without end would
/// fill the host's diagnostics with nothing else.
const TOLD: usize = 1_000;

/// How many of the last lines are kept, to explain a failure.
const KEPT: usize = 4;

/// What a guest prints, on either stream. Cloning it gives another handle on
/// the same output.
#[derive(Debug, Clone)]
pub(crate) struct Output(Arc<Mutex<Printed>>);

#[derive(Debug)]
struct Printed {
    /// What kind of guest it is, and its name.
    kind: &'static str,
    name: String,
    /// The line that is not ended yet.
    line: Vec<u8>,
    /// How many lines there were.
    lines: usize,
    last: VecDeque<String>,
}

impl Output {
    pub(super) fn new(recorder: &str) -> Self {
        Self::of("recorder", recorder)
    }

    /// The output of a guest of some kind.
    pub(crate) fn of(kind: &'static str, name: &str) -> Self {
        Self(Arc::new(Mutex::new(Printed {
            kind,
            name: name.to_owned(),
            line: Vec::new(),
            lines: 0,
            last: VecDeque::new(),
        })))
    }

    /// The last lines since the last time, in one, for the message of a
    /// failure.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut printed = self.lock();
        printed.end_line();
        let last = std::mem::take(&mut printed.last);
        last.into_iter().reduce(|mut words, line| {
            words.push_str(if words.ends_with(':') { " " } else { "; " });
            words.push_str(&line);
            words
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Print for Output {
    fn print(&self, bytes: &[u8]) {
        let mut printed = self.lock();
        for byte in bytes {
            if *byte == b'\n' {
                printed.end_line();
                continue;
            }
            printed.line.push(*byte);
            if printed.line.len() == LINE {
                printed.end_line();
            }
        }
    }
}

impl Printed {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        // Rust's advice after each panic is of no use here.
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE") {
            return;
        }
        self.lines = self.lines.saturating_add(1);
        let (kind, name) = (self.kind, &self.name);
        if self.lines <= TOLD {
            tracing::info!(name, line, "a {kind} printed");
        } else if self.lines == TOLD + 1 {
            tracing::info!(
                name,
                "a {kind} printed {TOLD} lines; what more it prints is not told",
            );
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_until_they_are_asked_for() {
        let output = Output::new("r");
        output.print(b"1\n2\n3\n\n4\n5 in two ");
        output.print(b"parts");
        assert_eq!(
            output.last_words().as_deref(),
            Some("2; 3; 4; 5 in two parts")
        );
        assert_eq!(output.last_words(), None);
        output.print(b"panicked at lib.rs:1:\noh no\n");
        assert_eq!(
            output.last_words().as_deref(),
            Some("panicked at lib.rs:1: oh no")
        );
    }

    #[test]
    fn a_line_without_an_end_is_broken() {
        let output = Output::new("r");
        output.print(&vec![b'x'; 2 * LINE + 1]);
        let words = output.last_words().expect("printed");
        assert_eq!(words.split("; ").count(), 3);
    }
}
