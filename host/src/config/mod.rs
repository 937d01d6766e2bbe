//! From what the user said to a valid plan.
//!
//! What was said comes in layers, the strongest first: the command line, the
//! environment, the configuration file, the scripts' own options, defaults. Each layer is an
//! [`Options`]: texts, with where each stands. Merged, they are [`resolve`]d in
//! one pass that parses every text and collects every mistake, so that the user
//! hears of all of them at once.
//!
//! Pure: the caller brings the environment and what is known of the machine.

mod data;
mod environment;
mod file;
mod load;
mod options;
mod recorders;
mod resolve;
mod said;
mod script;
mod shape;
mod values;

pub use file::{File, FileScenario};
pub use options::{Arity, Given, Key, Options, Place};
pub use resolve::{Resolved, Settings, Surroundings, Telemetry, resolve, resolve_all};
pub use said::Said;
