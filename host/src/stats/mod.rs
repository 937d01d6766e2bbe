//! Statistics: what VUs measured, counted and distributed.
//!
//! A [`shard`] belongs to one thread and is written without a lock. Every
//! stats interval each shard gives up a [`Snapshot`] of what came since the
//! last one; snapshots merge without loss, so the sum of the intervals is the
//! total, over threads as over machines. A [`Window`] is a snapshot in
//! numbers: what events, summary and thresholds read.
//!
//! Synchronous and without I/O.

pub mod groups;
pub mod histogram;
pub mod names;
pub mod shard;
pub mod snapshot;
pub mod tally;
pub mod thresholds;
pub mod tracking;
pub mod window;
mod wire;

pub use groups::Grouping;
pub use histogram::{Distribution, Histogram};
pub use names::Names;
pub use shard::Shard;
pub use snapshot::Snapshot;
pub use tally::Tally;
pub use tracking::{Marks, Tracking};
pub use window::Window;

/// The name under which everything past a limit on names is counted.
pub const OTHER: &str = "(other)";
