//! What `squall demo` runs against: a small server on loopback.
//!
//! Sits at the edge, beside the command line: `cli` starts the server, points
//! the embedded script at it and stops it when the run is over. Nothing else
//! knows of it; to the run it is a server like any other, reached over a socket.

mod server;

pub use server::DemoServer;
