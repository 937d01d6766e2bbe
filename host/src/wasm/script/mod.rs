//! Scripts as components.
