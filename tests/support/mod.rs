//! What the tests of the real binary stand on: a real server, a real nginx,
//! real components, and the binary itself as a child process.

pub(crate) mod command;
pub(crate) mod guests;
pub(crate) mod nginx;
pub(crate) mod port;
pub(crate) mod queue;
#[path = "../../guest-examples/rust/json/src/schemas.rs"]
pub(crate) mod schemas;
pub(crate) mod script;
pub(crate) mod server;
