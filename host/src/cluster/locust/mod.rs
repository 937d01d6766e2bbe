//! A run whose load a real Locust master gives: squall is one of its workers.
//!
//! ```text
//!  Locust master ══ ZeroMQ ══ worker ─ targets ─► conductor ─ Fleet ─ Post ─ run::Worker
//!                                    ◄── News ───────────────────┘
//! ```
//!
//! The master says how many users of which class there are to be, and shows the
//! result. A scenario is a user class of the same name, a VU a user. Every swarm is
//! a run in this process, whole and with its recorders and its summary; the master
//! steers it as somebody at the terminal would, and what its worker tells its
//! conductor is told on.
//!
//! `message` is the protocol, `link` the connection, `ledger` what was measured and
//! has not been reported, in Locust's figures. `worker` keeps it all together, and
//! `swarm` is one run of it. `stub` writes the locustfile that the master needs.
//!
//! The protocol has no version, no encryption and no authentication. It is that of
//! Locust 2.47, and the tests run against it.

mod fetch;
mod ledger;
mod link;
mod message;
mod python;
pub mod stub;
mod swarm;
pub mod worker;
