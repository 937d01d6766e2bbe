//! The port of recorders: what a recorder is, and the queue in front of it.
use crate::event::{Event, Interests};
/// x
#[derive(Debug, Clone)]
pub struct Feed;
impl Feed {
    /// x
    pub fn none() -> Self {
        Self
    }
    /// x
    pub fn wants(&self, _: Interests) -> bool {
        false
    }
    /// x
    pub fn publish(&self, _: Event) {}
}
/// x
#[derive(Debug, Clone)]
pub struct RecorderOutcome {
    /// x
    pub name: String,
    /// x
    pub entries_written: u64,
    /// x
    pub entries_invalid: u64,
    /// x
    pub entries_lost: u64,
    /// x
    pub events_dropped: u64,
    /// x
    pub failure: Option<String>,
}
