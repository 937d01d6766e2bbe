//! WebAssembly: engines, components, and the two worlds that guests target.

pub mod cache;
pub mod component;
pub mod engine;
pub mod recorder;
pub mod script;
