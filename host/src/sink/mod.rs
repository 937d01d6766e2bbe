//! Where log entries go, one line each.
//!
//! Below the recorders: each recorder's thread owns its [`Sink`] and writes to
//! it what the recorder returned. A sink may block for as long as it likes; only
//! its recorder waits. Recorders that name the same place share one writer, a
//! line at a time, and wait for each other.
//!
//! | sink | what goes wrong | then |
//! |---|---|---|
//! | stdout, stderr | the pipe is full | it is waited for |
//! | | the reader is gone | the recorder is left out of the rest of the run |
//! | file | the disk is full | the line is lost, the next is tried |
//! | | it cannot be renamed, or made anew | lines go on into the old one |
//! | | it is deleted | its lines are lost, and it is made anew |
//! | socket | the connection breaks | lines are held back, and sent when it stands again |
//! | | too many are held back | the oldest are lost |
//! | | the other side does not read | it is waited for |
//!
//! Every lost line is counted in the [`Ledger`] of the recorder it came from,
//! with the first cause.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

mod file;
mod ledger;
mod lines;
mod open;
mod place;
mod rotated;
mod socket;

pub use ledger::Ledger;
pub use lines::{Lines, write_whole};
pub use open::{Streams, open};
pub(crate) use place::{count_lines, fitting};

/// Where the log entries of one recorder go.
pub trait Sink: Send {
    /// Takes one line, whole. `line` holds no line break; the sink ends it.
    /// May block. What is lost after it was taken is told by the [`Ledger`].
    ///
    /// # Errors
    ///
    /// If the line was not, or not wholly, written, and no further one can be.
    /// The sink is not used again.
    fn write_line(&mut self, line: &str) -> io::Result<()>;

    /// Takes several lines, as if each were handed to
    /// [`write_line`](Self::write_line). May block.
    ///
    /// # Errors
    ///
    /// If one of them was not, or not wholly, written, and no further one can
    /// be. The sink is not used again.
    fn write_lines(&mut self, lines: &[Cow<'_, str>]) -> Result<(), Stopped> {
        for (written, line) in lines.iter().enumerate() {
            self.write_line(line)
                .map_err(|error| Stopped { written, error })?;
        }
        Ok(())
    }

    /// Takes lines as they are to be written, each with the line break at its end, as
    /// if each were handed to [`write_line`](Self::write_line). May block.
    ///
    /// # Errors
    ///
    /// As of [`write_lines`](Self::write_lines).
    fn write_text(&mut self, lines: &str) -> Result<(), Stopped> {
        let lines: Vec<_> = lines.lines().map(Cow::Borrowed).collect();
        self.write_lines(&lines)
    }

    /// How many bytes are best handed over at once. While they are being
    /// written, none of their lines counts as written.
    fn at_once(&self) -> usize {
        0
    }

    /// Writes what was held back, after the last line. Blocks until that is
    /// done, or the ledger is abandoned.
    fn finish(&mut self) {}

    /// What becomes of the lines that were taken.
    fn ledger(&self) -> Arc<Ledger> {
        Arc::default()
    }
}

/// Why no further lines can be written.
#[derive(Debug)]
pub struct Stopped {
    /// How many of the lines that were handed over are written, all at the
    /// beginning.
    pub written: usize,
    /// What is in the way.
    pub error: io::Error,
}

/// Nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn write_line(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
