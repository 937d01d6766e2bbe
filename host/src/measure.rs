//! What a VU measured: the values that go from a script's imports into the
//! shard of the VU's thread, and from there into statistics and events.
//!
//! Synchronous and without I/O. Everything here is made once per request or
//! iteration, so it holds no more than what is recorded.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) mod json;

/// A tag: a name and a value that mark everything reported with them.
pub type Tag = (Arc<str>, Arc<str>);

/// One HTTP request as the client measured it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct RequestSample {
    /// From the start of the request to the last byte of its body, redirects
    /// included.
    #[serde(rename = "duration_ms", with = "json")]
    pub duration: Duration,
    /// In an open model, the time from when the iteration was due, instead of
    /// from the start of the request: `duration` and the iteration's lag.
    #[serde(
        default,
        rename = "from_due_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub from_due: Option<Duration>,
    /// Where the time went.
    #[serde(default)]
    pub phases: Phases,
    /// The status, or 0 if no response arrived.
    pub status: u16,
    /// Whether the request counts as a failure.
    pub failed: bool,
    /// Bytes of the request: line, headers and body, as far as the client
    /// knows them.
    pub sent_bytes: u64,
    /// Bytes of the response: line, headers and body, as far as the client
    /// knows them.
    pub received_bytes: u64,
}

/// The parts of a request's time. A part that did not happen is absent: a
/// request on an open connection has neither `connecting` nor `tls`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Looking up the name and opening the connection, without TLS.
    #[serde(
        rename = "connecting_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub connecting: Option<Duration>,
    /// The TLS handshake.
    #[serde(
        rename = "tls_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub tls: Option<Duration>,
    /// From the start, or from the connection being ready, to the end of the
    /// response's headers.
    #[serde(
        rename = "waiting_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub waiting: Option<Duration>,
    /// From the end of the headers to the last byte of the body.
    #[serde(
        rename = "receiving_ms",
        with = "json",
        skip_serializing_if = "Option::is_none"
    )]
    pub receiving: Option<Duration>,
}

/// How an iteration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IterationEnd {
    /// The script returned without an error.
    Passed,
    /// The script returned an error, threw, or trapped.
    Failed,
    /// The run ended before the iteration did.
    Interrupted,
}

/// Why an iteration that was due did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// Every VU was busy, and there may be no more of them.
    NoFreeVu,
    /// The VU that was to run it could not start.
    VuFailed,
    /// The run, or its scenario, ended first.
    RunEnded,
    /// The rows of data that its script needs were used up.
    NoRow,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::NoFreeVu, Self::VuFailed, Self::RunEnded, Self::NoRow];

    /// The reason in words, after "dropped:".
    pub fn words(self) -> &'static str {
        match self {
            Self::NoFreeVu => "no free VU",
            Self::VuFailed => "the VU could not start",
            Self::RunEnded => "the run ended first",
            Self::NoRow => "no row of data was left",
        }
    }
}

/// A failure of the script's own: an error it returned, an exception, a trap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptError {
    /// What went wrong, in the script's own words where it has any.
    #[serde(with = "json")]
    pub message: Arc<str>,
    /// The script's functions that led there, innermost first, a line each.
    #[serde(default, with = "json")]
    pub stack: Option<Arc<str>>,
}

impl ScriptError {
    /// Makes an error without a stack.
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self {
            message: message.into(),
            stack: None,
        }
    }
}

/// How a metric's values add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// A sum.
    Counter,
    /// The latest value.
    Gauge,
    /// The share of hits.
    Rate,
    /// A distribution.
    Trend,
}

/// What a failure is a failure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureOrigin {
    /// An HTTP request.
    Request,
    /// A transaction of the script's.
    Transaction,
    /// The script itself.
    Script,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever writes the script.
    Debug,
    /// Worth knowing; also what a script prints.
    Info,
    /// Something is off.
    Warn,
    /// Something failed.
    Error,
}
