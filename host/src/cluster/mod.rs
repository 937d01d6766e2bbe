//! A run over many machines: the link between a master and its workers that
//! goes over a NATS server.
//!
//! ```text
//!  conductor ─ Fleet ─ master ══ NATS server ══ worker ─ Post ─ run::Worker
//! ```
//!
//! Both sides dial out to the server, so that neither has to be reachable. The
//! server connects, authenticates and fans out; what a load test is, it does not
//! know. `message` is what is said, `subject` who may say it where, `wire` how it
//! becomes messages of a size that the server takes, `nats` the connection.
//! `master` makes a [`Fleet`](crate::run::link::Fleet) of the workers that are
//! there, and `worker` plays what it is given. `artefact` brings scripts and data
//! to where they are needed, and `server` starts a NATS server of one's own.
//!
//! `locust` is the link to a master that is not squall's: a real Locust.

pub mod artefact;
pub mod locust;
pub mod master;
pub mod message;
pub mod nats;
pub mod server;
mod subject;
mod tally;
mod wire;
pub mod worker;
