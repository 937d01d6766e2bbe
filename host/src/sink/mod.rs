//! Where log entries go, one line each.
