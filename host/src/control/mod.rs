//! The control API: a run that is going on, looked at and steered over HTTP.
//!
//! `squall run --control ADDR` has a [`Server`] on a thread of its own, which
//! knows the run only by its [`Control`](crate::run::control::Control); `squall
//! ctl` calls it. A [`Token`] says who may, and a [`Notice`] tells those who may
//! read this user's files where the run listens.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/status` | how far the run is, and each scenario with its target |
//! | `GET /v1/stats` | totals, and the last stats interval |
//! | `GET /v1/thresholds` | how each stands |
//! | `PATCH /v1/load` | another target: `{"scenario": "browse", "vus": 50}`, `{"rate": "100/s"}` |
//! | `POST /v1/pause`, `/v1/resume` | a scenario, or all |
//! | `POST /v1/stop` | the run; `{"now": true}` cuts iterations under way |

mod api;
mod client;
mod notice;
mod server;
mod token;

pub use self::client::{Answer, call};
pub use self::notice::{Listening, Notice, listening};
pub use self::server::Server;
pub use self::token::Token;
