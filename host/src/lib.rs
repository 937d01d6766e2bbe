//! Squall runs load tests whose scripts and recorders are WebAssembly components.

pub mod demo;
