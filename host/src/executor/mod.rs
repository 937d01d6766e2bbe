//! How iterations are started: the arithmetic of the executors, and the task
//! that does what it says.
//!
//! A scenario is played by a [`Troupe`] on each thread. What it has to do at
//! which time follows from pure parts: a [`Profile`] (VUs or rate over time),
//! [`Arrivals`] (when the iterations of an open model are due) and a
//! [`Timeline`] (the scenario's clock). Closed models hand out tickets at a
//! `gate`, open ones at a `dock`.
//!
//! | executor | VUs | an iteration starts |
//! |---|---|---|
//! | `constant-vus` | a constant profile | when its VU is free, until the time is over |
//! | `ramping-vus` | the profile of the stages | the same |
//! | `per-vu-iterations` | a constant profile | when its VU is free, so often |
//! | `shared-iterations` | a constant profile | when any VU is free, so often in all |
//! | `constant-arrival-rate` | made when none is free (`backlog`) | when the integral of a constant profile says |
//! | `ramping-arrival-rate` | the same | when the integral of the stages' profile says |

mod alarm;
mod arrivals;
mod backlog;
mod dock;
mod gate;
mod profile;
mod timeline;
mod troupe;

#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use self::arrivals::Arrivals;
pub use self::profile::Profile;
pub use self::timeline::Timeline;
pub use self::troupe::{Company, Played, Troupe};

/// What a troupe is told while it plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Another course from a point in time on, the same for all troupes of the
    /// scenario. Best given a moment ahead, so that each hears of it in time.
    Steer {
        /// From when on.
        at: Instant,
        /// What.
        steer: Steer,
    },
    /// No more iterations.
    Stop,
    /// Drop what is under way.
    Cut,
}

/// A change of a scenario's course.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steer {
    /// So many VUs, or iterations a second, until the scenario's end.
    Target(f64),
    /// No iterations, and the scenario's clock stands still.
    Pause,
    /// Go on.
    Resume,
}
