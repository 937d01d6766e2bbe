//! The real binary against real servers, with real components.

#[path = "../support/mod.rs"]
mod support;

mod arrivals;
mod authors;
mod broker;
mod cache;
mod cluster;
mod control;
mod counts;
mod data;
mod demo;
mod ending;
mod environment;
mod events;
mod groups;
mod help;
mod inspect;
mod isolation;
mod json;
mod locust;
mod misbehaving;
mod namespaces;
mod outage;
mod recorders;
mod refusals;
mod resume;
mod scenarios;
mod script;
mod shapes;
mod sinks;
mod streams;
mod thresholds;
mod tls;
