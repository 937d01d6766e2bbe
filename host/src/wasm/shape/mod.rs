//! Shapes as components.
//!
//! An adapter between the port in [`crate::shape`] and a component of the world
//! `squall:shape/shape`. The shape's thread drives it; the generated types stay
//! in here.

mod bindings;
mod convert;
mod instance;

pub use instance::{LIMITS, WasmShape};
