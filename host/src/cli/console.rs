//! The terminal: the one way to stderr, which the live line, diagnostics and
//! messages share without tearing each other.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::Palette;
use crate::sink::{Streams, write_whole};

/// How wide a line may be if nothing tells.
const COLUMNS: usize = 100;

/// How long a message waits for log entries that stderr does not take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handle on stderr; clones share it. Every write is whole, and what is
/// written while a live line stands goes above it.
///
/// A message that finds stderr blocked by a log entry is left out after a while:
/// nobody reads it, and the program is to end all the same.
#[derive(Debug, Clone)]
pub(super) struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    terminal: bool,
    coloured: bool,
    /// The live line that now stands on the terminal; empty for none.
    live: Mutex<String>,
    /// Whether the live line tells what comes before the run.
    preparing: AtomicBool,
}

impl Console {
    /// Looks at stderr and the environment: colour only on a terminal that has
    /// some, and if `NO_COLOR` is unset or empty.
    pub(super) fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(Arc::new(Inner {
            terminal: terminal && !dumb,
            coloured: terminal && !dumb && !set("NO_COLOR"),
            live: Mutex::default(),
            preparing: AtomicBool::new(false),
        }))
    }

    /// Whether stderr is a terminal on which a line can be redrawn.
    pub(super) fn is_terminal(&self) -> bool {
        self.0.terminal
    }

    /// Whether colour is wanted.
    pub(super) fn is_coloured(&self) -> bool {
        self.0.coloured
    }

    /// The styles for reports.
    pub(super) fn palette(&self) -> Palette {
        if self.0.coloured {
            Palette::COLOURED
        } else {
            Palette::PLAIN
        }
    }

    /// How wide a line may be: the terminal's width, else `COLUMNS`, else 100.
    pub(super) fn columns(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let of_terminal = size.ok().map(|size| usize::from(size.ws_col));
        let told = || std::env::var("COLUMNS").ok()?.parse().ok();
        of_terminal
            .filter(|columns| *columns > 0)
            .or_else(told)
            .unwrap_or(COLUMNS)
    }

    /// Redraws the live line; an empty one takes it away. Does nothing if
    /// stderr is no terminal.
    pub(super) fn live(&self, line: &str) {
        if !self.0.terminal {
            return;
        }
        let Some(mut live) = self.try_lock() else {
            return;
        };
        if live.is_empty() && line.is_empty() {
            return;
        }
        line.clone_into(&mut live);
        put(format!("\r{line}\x1b[K").as_bytes());
    }

    /// Tells on the live line what keeps the run from beginning, until there is
    /// nothing more to tell.
    pub(super) fn prepare(&self, line: Option<&str>) {
        self.0.preparing.store(line.is_some(), Ordering::Relaxed);
        self.live(line.unwrap_or_default());
    }

    /// Whether the live line is taken by what comes before the run.
    pub(super) fn is_preparing(&self) -> bool {
        self.0.preparing.load(Ordering::Relaxed)
    }

    /// Writes text that ends in a line break, above the live line.
    pub(super) fn write(&self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    fn write_bytes(&self, bytes: &[u8]) {
        let Some(live) = self.try_lock() else { return };
        if live.is_empty() {
            put(bytes);
            return;
        }
        put(&[b"\r\x1b[K", bytes, live.as_bytes(), b"\x1b[K"].concat());
    }

    /// The process's streams for log entries. What shares the terminal with the
    /// live line, or stderr with messages, goes above the one and between the
    /// others.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub(super) fn streams(&self) -> io::Result<Streams> {
        // Not the library's own streams: they keep a part of a line back when a
        // full pipe takes the rest of it.
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let above = |stream| Above {
            console: self.clone(),
            stream,
        };
        Ok(Streams {
            stdout: if self.0.terminal && stdout.is_terminal() {
                Box::new(above(stdout))
            } else {
                Box::new(stdout)
            },
            stderr: Box::new(above(stderr)),
        })
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, String>> {
        let begin = Instant::now();
        loop {
            match self.0.live.try_lock() {
                Ok(live) => return Some(live),
                Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
                Err(TryLockError::WouldBlock) if begin.elapsed() > PATIENCE => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to stderr in one call, as far as the system takes it. If stderr is
/// gone there is nowhere to say so.
fn put(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(bytes);
    let _ = stderr.flush();
}

/// A stream of lines that go above the live line.
struct Above {
    console: Console,
    stream: File,
}

impl Write for Above {
    /// Writes all of it before anything else is written to the console.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let live = self.console.lock();
        if live.is_empty() {
            write_whole(&mut self.stream, bytes)?;
        } else {
            put(b"\r\x1b[K");
            write_whole(&mut self.stream, bytes)?;
            put(format!("{live}\x1b[K").as_bytes());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
