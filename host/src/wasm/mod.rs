//! WebAssembly: engines, components, and the three worlds that guests target.

pub mod cache;
pub mod component;
mod confined;
pub mod engine;
mod output;
pub mod recorder;
pub mod script;
pub mod shape;

pub use confined::Limits;
