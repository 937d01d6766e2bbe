//! The real binary against real servers, with real components.

#[path = "../support/mod.rs"]
mod support;

mod authors;
mod cache;
mod counts;
mod demo;
mod ending;
mod environment;
mod events;
mod help;
mod inspect;
mod isolation;
mod json;
mod locust;
mod misbehaving;
mod outage;
mod recorders;
mod refusals;
mod script;
mod sinks;
mod streams;
mod thresholds;
