//! The real binary against real servers, with real components.

#[path = "../support/mod.rs"]
mod support;
