//! Squall: load tests with WebAssembly scripts and recorders.
//!
//! The program is a thin binary over this library. ARCHITECTURE.md draws the
//! flow; the modules below stand in its order, from the bottom to the top.

pub mod error;
pub mod units;

pub mod event;
pub mod measure;
pub mod plan;
pub mod stats;
