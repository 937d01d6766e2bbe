//! The real binary against real servers, with real components.

#[path = "../support/mod.rs"]
mod support;

mod arrivals;
mod attach;
mod authors;
mod bindings;
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
mod locust_master;
mod misbehaving;
mod namespaces;
mod new;
mod outage;
mod plain;
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
