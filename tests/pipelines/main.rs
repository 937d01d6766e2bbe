//! What `deploy/logs` ships, run by the programs it is for.
//!
//! Each consumer runs with the shipped configuration, in which only paths and
//! ports are put in place, while the real binary writes a file that it rotates
//! in the middle of the run. What arrives is held against the files themselves:
//! `seq` and the run's id tell whether a line is lost or doubled.
//!
//! `ci/consumers` puts the programs in place. Where one is missing, its test fails.

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "the tests of the command line use more of what is shared"
)]
mod support;

mod consumer;
mod entries;
mod fields;
mod otelcol;
mod otlp;
mod syslog;
mod vrl;
