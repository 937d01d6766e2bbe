//! What becomes of one recorder's lines after its sink took them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by a recorder's sink, which writes it, and by whoever waits for the
/// recorder, who reads it at the end, even if the sink is still at it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Where the lines go, as the user wrote it.
    place: String,
    /// Taken, and held back or lost.
    unwritten: AtomicU64,
    at_work: AtomicBool,
    abandoned: AtomicBool,
    cause: Mutex<Option<String>>,
}

impl Ledger {
    pub(super) fn new(place: String) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// Where the lines go, as the user wrote it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How many of the lines that the sink took it has not written: it lost
    /// them, or holds them back.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Why lines are lost or held back: the first cause there was.
    pub fn cause(&self) -> Option<String> {
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        cause.clone()
    }

    /// Whether the sink is at work on a line, or waits for its turn.
    pub fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }

    /// Tells the sink that nobody waits for it any more: it is to hold nothing
    /// back for this recorder.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(super) fn at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }

    /// Lines are held back.
    pub(super) fn hold(&self, lines: u64) {
        self.unwritten.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines that were held back are written.
    pub(super) fn release(&self, lines: u64) {
        self.unwritten.fetch_sub(lines, Ordering::Relaxed);
    }

    /// Says why lines are not written.
    pub(super) fn blame(&self, cause: &str) {
        self.cause
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| cause.to_owned());
    }

    /// Lines are lost.
    pub(super) fn lose(&self, lines: u64, cause: &str) {
        if lines > 0 {
            self.hold(lines);
            self.blame(cause);
        }
    }
}
