//! Squall: load tests with WebAssembly scripts, recorders and shapes.
//!
//! The program is a thin binary over this library. ARCHITECTURE.md draws the
//! flow; the modules below stand in its order, from the bottom to the top.

pub mod error;
pub mod units;

pub mod event;
pub mod measure;
pub mod plan;
pub mod stats;

pub mod recorder;
pub mod shape;
pub mod sink;
pub mod vu;

pub mod data;
pub mod http;
pub mod system;
pub mod wasm;

pub mod cluster;
pub mod executor;
pub mod run;

pub mod assemble;
pub mod bindings;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod report;
