//! Recorders as components.
//!
//! An adapter between the port in [`crate::recorder`] and a component of the
//! world `squall:recorder/recorder`. The recorder's thread drives it; the
//! generated types stay in here.

mod bindings;
mod convert;
mod instance;
mod measured;
mod output;

pub use instance::{LIMITS, WasmRecorder};
pub(crate) use output::Output;

use crate::wasm::component::Source;

/// The recorder `json`, which is part of the program.
pub const JSON: Source = Source::Embedded {
    name: "json",
    bytes: include_bytes!("../../../embedded/json.wasm"),
};

/// The recorder `locust`, which is part of the program.
pub const LOCUST: Source = Source::Embedded {
    name: "locust",
    bytes: include_bytes!("../../../embedded/locust.wasm"),
};
