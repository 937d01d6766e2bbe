//! The real binary against real servers, with real components.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod counts;
mod demo;
mod ending;
mod environment;
mod help;
mod inspect;
mod json;
mod misbehaving;
mod outage;
mod recorders;
mod refusals;
mod script;
mod streams;
mod thresholds;
