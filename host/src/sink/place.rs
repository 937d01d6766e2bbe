//! One writer for all recorders that write to the same place.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Ledger, Sink, Stopped};
use crate::error::Problem;

/// How many bytes of lines a file takes at once.
pub(super) const AT_ONCE: usize = 64 << 10;

/// How many bytes of lines anything else takes at once: what a pipe takes in one
/// piece, whoever else writes to it.
pub(super) const AT_ONCE_IN_A_PIPE: usize = 4096;

/// How many of the first of these bytes, which end with a line, are whole lines and no
/// more than there is room for: one line at least.
pub(crate) fn fitting(lines: &[u8], room: usize) -> usize {
    match lines.get(..room) {
        Some(begun) => whole_lines(begun).max(first_line(lines).len()),
        None => lines.len(),
    }
}

/// The first line, with the line break at its end.
pub(super) fn first_line(lines: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', lines);
    end.map_or(lines, |end| &lines[..=end])
}

/// How many of these bytes come before the first line that is not whole.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    let end = memchr::memrchr(b'\n', bytes);
    end.map_or(0, |end| end + 1)
}

/// How many lines end in these bytes.
pub(crate) fn count_lines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// What lines are written to, by one recorder at a time.
pub(super) trait Target: Send {
    /// Makes it ready for the first line. Called once all sinks of the run are
    /// open: what is in the way of one of them harms none.
    fn begin(&mut self) -> Result<(), Problem> {
        Ok(())
    }

    /// Writes lines, each with the line break at its end. What it holds back or
    /// loses it tells the lines' owner.
    ///
    /// # Errors
    ///
    /// If one of them and all further ones cannot be written.
    fn write(&mut self, lines: &[u8], owner: &Arc<Ledger>) -> Result<(), Stopped>;

    /// How many bytes of lines it takes at once without harm.
    fn at_once(&self) -> usize {
        0
    }

    /// Writes what is held back, unless `owner` is abandoned meanwhile.
    fn drain(&mut self, _owner: &Ledger) {}

    /// Ends it, after the last line of the last recorder.
    fn close(&mut self, _owner: &Ledger) {}
}

/// A recorder's share in a place.
pub(super) struct Share {
    place: Arc<Place>,
    ledger: Arc<Ledger>,
    /// What is handed over: kept for its room.
    lines: Vec<u8>,
    at_once: usize,
    has_finished: bool,
}

struct Place {
    target: Mutex<Box<dyn Target>>,
    /// How many shares have not finished.
    users: AtomicUsize,
}

impl Share {
    /// The first share in `target`, which the user knows as `name`.
    pub(super) fn first(name: String, target: Box<dyn Target>) -> Self {
        let at_once = target.at_once();
        let place = Arc::new(Place {
            target: Mutex::new(target),
            users: AtomicUsize::new(0),
        });
        Self::new(place, name, at_once)
    }

    /// Another share in the same target.
    pub(super) fn another(&self) -> Self {
        let name = self.ledger.place().to_owned();
        Self::new(self.place.clone(), name, self.at_once)
    }

    fn new(place: Arc<Place>, name: String, at_once: usize) -> Self {
        place.users.fetch_add(1, Ordering::Relaxed);
        Self {
            place,
            ledger: Arc::new(Ledger::new(name)),
            lines: Vec::new(),
            at_once,
            has_finished: false,
        }
    }

    /// Makes its target ready for the first line.
    pub(super) fn begin(&self) -> Result<(), Problem> {
        let target = &self.place.target;
        let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
        target.begin()
    }

    /// Writes lines, each with the line break at its end.
    fn write_bytes(&self, lines: &[u8]) -> Result<(), Stopped> {
        self.ledger.at_work(true);
        let target = &self.place.target;
        let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
        let written = target.write(lines, &self.ledger);
        drop(target);
        self.ledger.at_work(false);
        written
    }

    /// Whether this is the last share to finish.
    fn leave(&mut self) -> bool {
        let was_in = !std::mem::replace(&mut self.has_finished, true);
        was_in && self.place.users.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Sink for Share {
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.write_lines(&[Cow::Borrowed(line)])
            .map_err(|stopped| stopped.error)
    }

    fn write_lines(&mut self, lines: &[Cow<'_, str>]) -> Result<(), Stopped> {
        self.lines.clear();
        for line in lines {
            self.lines.extend_from_slice(line.as_bytes());
            self.lines.push(b'\n');
        }
        let written = self.write_bytes(&self.lines);
        // What a rare long entry needed is given back.
        self.lines.shrink_to(AT_ONCE);
        written
    }

    fn write_text(&mut self, lines: &str) -> Result<(), Stopped> {
        self.write_bytes(lines.as_bytes())
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    fn finish(&mut self) {
        self.ledger.at_work(true);
        let is_last = self.leave();
        let target = &self.place.target;
        let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
        target.drain(&self.ledger);
        if is_last {
            target.close(&self.ledger);
        }
        drop(target);
        self.ledger.at_work(false);
    }

    fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what happens to it.
    struct Diary(Arc<Mutex<Vec<String>>>);

    impl Target for Diary {
        fn write(&mut self, line: &[u8], owner: &Arc<Ledger>) -> Result<(), Stopped> {
            assert!(owner.is_at_work());
            let line = String::from_utf8_lossy(line).into_owned();
            self.0.lock().expect("not poisoned").push(line);
            Ok(())
        }

        fn close(&mut self, _: &Ledger) {
            self.0.lock().expect("not poisoned").push("closed".into());
        }
    }

    #[test]
    fn lines_are_parted_only_between_them() {
        let lines = b"{}\n{\"a\":1}\n{}\n";
        for (room, expected) in [
            (0, 3),
            (3, 3),
            (10, 3),
            (11, 11),
            (13, 11),
            (14, 14),
            (99, 14),
        ] {
            assert_eq!(fitting(lines, room), expected, "in {room} bytes");
        }
        assert_eq!(fitting(b"", 0), 0);
    }

    #[test]
    fn a_text_of_lines_is_handed_on_as_it_is() {
        let diary = Arc::new(Mutex::new(Vec::new()));
        let mut share = Share::first("a".to_owned(), Box::new(Diary(diary.clone())));
        share.write_text("1\n2\n").expect("written");
        share.write_line("3").expect("written");
        assert!(!share.ledger().is_at_work());
        assert_eq!(*diary.lock().expect("not poisoned"), ["1\n2\n", "3\n"]);
    }

    #[test]
    fn the_last_of_several_recorders_closes_the_place() {
        let diary = Arc::new(Mutex::new(Vec::new()));
        let mut first = Share::first("a".to_owned(), Box::new(Diary(diary.clone())));
        let mut second = first.another();
        let third = first.another();
        first.write_line("1").expect("written");
        first.finish();
        second.write_line("2").expect("written");
        // Left out of the run: it never finishes.
        drop(third);
        second.finish();
        assert!(!second.ledger().is_at_work());
        drop((first, second));
        let diary = diary.lock().expect("not poisoned");
        assert_eq!(*diary, ["1\n", "2\n", "closed"]);
    }
}
