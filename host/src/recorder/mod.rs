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
