//! A run: from a plan to its outcome.
