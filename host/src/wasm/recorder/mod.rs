//! Recorders as components.
