//! HTTP requests, sent and timed: the one place that names reqwest.
//!
//! A [`Factory`] holds what all VUs share (settings, name look-ups, TLS
//! roots); each VU has a [`Client`] of its own, with its own connections,
//! cookies and TLS sessions, as a browser has. Plain HTTP goes through
//! `plain`, which costs a fraction of what reqwest costs per request; TLS and
//! HTTP/2 through reqwest. A request that fails is an [`Answer`] like any
//! other.

mod alarm;
pub mod answer;
pub mod client;
mod connect;
mod cookies;
mod dns;
pub mod headers;
mod plain;
pub mod target;
mod tls;
mod wire;

pub use answer::{Answer, ErrorKind, Failure};
pub use client::{Client, Factory, Outgoing};
pub use headers::Headers;
pub use target::{Target, Targets};
