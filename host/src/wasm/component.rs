//! What a component is, and why one cannot be run.
