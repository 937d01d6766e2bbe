//! How iterations are started.
