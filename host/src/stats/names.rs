//! The limit on distinct names, over all threads.
//!
//! A script that puts ids into names would fill memory with series. Beyond the
//! limit, new names are counted together under [`OTHER`](super::OTHER). All
//! shards of a run share one register, so that a name is known to all of them
//! or to none, and intervals add up to the total row by row.
//!
//! A shard asks once per name, at its first use; only past the limit does it
//! ask again for names it does not know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::tracking::Tracking;

/// What a name names. Each kind has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// Method and name of requests.
    Request,
    /// Transactions.
    Transaction,
    /// Checks.
    Check,
    /// The script's metrics.
    Metric,
    /// Distinct failures.
    Failure,
    /// Values of a tag that the run is grouped by; the limit is for each tag.
    TagValue,
}

impl NameKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Request,
        Self::Transaction,
        Self::Check,
        Self::Metric,
        Self::Failure,
        Self::TagValue,
    ];

    /// The kind in the plural, for a message.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Request => "request names",
            Self::Transaction => "transaction names",
            Self::Check => "check names",
            Self::Metric => "metric names",
            Self::Failure => "distinct failures",
            Self::TagValue => "values of a tag to group by",
        }
    }
}

/// The names of a run. Cloning it gives another handle on the same register.
#[derive(Debug, Clone)]
pub struct Names(Arc<Register>);

#[derive(Debug)]
struct Register {
    limit: usize,
    tracking: Arc<Tracking>,
    kinds: [Kind; NameKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Kind {
    known: RwLock<FxHashSet<Box<str>>>,
    refused: AtomicU64,
}

impl Names {
    /// A register that admits `limit` names of each kind.
    pub fn new(limit: usize) -> Self {
        Self::tracking(limit, Arc::default())
    }

    /// A register that admits `limit` names of each kind, and those that
    /// thresholds ask for in addition.
    pub fn tracking(limit: usize, tracking: Arc<Tracking>) -> Self {
        Self(Arc::new(Register {
            limit,
            tracking,
            kinds: Default::default(),
        }))
    }

    /// What thresholds are on.
    pub fn tracked(&self) -> &Arc<Tracking> {
        &self.0.tracking
    }

    /// Whether a threshold asks for a name.
    pub(super) fn is_asked_for(&self, kind: NameKind, name: &str) -> bool {
        self.0.tracking.names().any(|asked| asked == (kind, name))
    }

    /// Whether a name may have a series of its own. Takes a lock; a shard calls
    /// it only for a name it does not know.
    pub fn admit(&self, kind: NameKind, name: &str) -> bool {
        let register = &self.0.kinds[kind as usize];
        {
            let known = register
                .known
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if known.contains(name) {
                return true;
            }
            if known.len() >= self.0.limit {
                register.refused.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        let mut known = register
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have taken the last place in between.
        if known.contains(name) {
            return true;
        }
        if known.len() >= self.0.limit {
            register.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        known.insert(name.into());
        true
    }

    /// Counts the use of a name that was not admitted. Where it is not asked for
    /// at each use, whoever holds its place counts.
    pub(super) fn refuse(&self, kind: NameKind) {
        self.0.kinds[kind as usize]
            .refused
            .fetch_add(1, Ordering::Relaxed);
    }

    /// How many names each kind admits.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many uses of names of a kind were counted under `(other)`.
    pub fn refused(&self, kind: NameKind) -> u64 {
        self.0.kinds[kind as usize].refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_past_the_limit_are_refused_and_counted() {
        let names = Names::new(2);
        assert!(names.admit(NameKind::Request, "a"));
        assert!(names.admit(NameKind::Request, "b"));
        assert!(!names.admit(NameKind::Request, "c"));
        assert!(
            names.admit(NameKind::Request, "a"),
            "a known name stays known"
        );
        assert!(
            names.admit(NameKind::Check, "c"),
            "each kind has its own limit"
        );
        assert_eq!(names.refused(NameKind::Request), 1);
    }
}
