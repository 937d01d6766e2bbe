//! What came of a request.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dns::LookupFailed;
use super::headers::Headers;
use super::target::Target;
use crate::measure::RequestSample;

/// What came of a request: a response, or why there is none.
#[derive(Debug)]
pub struct Answer {
    /// When the request was started.
    pub started: Instant,
    /// What was measured. Whether it counts as a failure is for the caller to
    /// say.
    pub sample: RequestSample,
    /// From the start to the end of the response's headers, if they came.
    pub first_byte: Option<Duration>,
    /// What answered, redirects followed. Absent if none was requested.
    pub target: Option<Arc<Target>>,
    /// The response's headers.
    pub headers: Headers,
    /// The body, unless it was to be discarded.
    pub body: Bytes,
    /// Why no complete response arrived.
    pub failure: Option<Failure>,
}

impl Answer {
    /// The answer to a request that was never sent.
    pub fn unsent(failure: Failure) -> Self {
        Self {
            started: Instant::now(),
            sample: RequestSample::default(),
            first_byte: None,
            target: None,
            headers: Headers::default(),
            body: Bytes::new(),
            failure: Some(failure),
        }
    }
}

/// Why no complete response arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// In words that are the same for the same failure, so that they group.
    pub message: String,
}

/// The kinds of failure, those of `squall:script/http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The URL, a header or the method is malformed. Nothing was sent.
    InvalidRequest,
    /// The name could not be looked up.
    Dns,
    /// No connection.
    Connect,
    /// No secure connection.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection broke before the response was complete.
    Closed,
    /// A redirect beyond the limit.
    TooManyRedirects,
    /// Anything else.
    Other,
}

impl Failure {
    /// A failure in words.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A connection that could not be opened.
    pub(super) fn connect(host: &str, port: u16, error: &io::Error) -> Self {
        let cause = os_message(error);
        Self::new(
            ErrorKind::Connect,
            format!("cannot connect to {host}:{port}: {cause}"),
        )
    }

    /// A connection that broke.
    pub(super) fn closed(error: &io::Error) -> Self {
        let cause = os_message(error);
        Self::new(
            ErrorKind::Closed,
            format!("connection closed early: {cause}"),
        )
    }

    /// Sorts one of reqwest's errors into ours.
    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        let mut root: &(dyn StdError + 'static) = error;
        let mut kind = None;
        loop {
            if root.is::<LookupFailed>() {
                kind = Some(ErrorKind::Dns);
                break;
            }
            if root.is::<rustls::Error>() {
                kind = Some(ErrorKind::Tls);
                break;
            }
            let inner = root
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .map(|inner| inner as &(dyn StdError + 'static));
            match inner.or_else(|| root.source()) {
                Some(source) => root = source,
                None => break,
            }
        }
        let kind = kind.unwrap_or_else(|| {
            if error.is_timeout() {
                ErrorKind::Timeout
            } else if error.is_connect() {
                ErrorKind::Connect
            } else if error.is_builder() {
                ErrorKind::InvalidRequest
            } else if error.is_request() || error.is_body() || error.is_decode() {
                ErrorKind::Closed
            } else {
                ErrorKind::Other
            }
        });
        let cause = match root.downcast_ref::<io::Error>() {
            Some(error) => os_message(error),
            None => root.to_string(),
        };
        let message = match kind {
            ErrorKind::Dns => cause,
            ErrorKind::Connect => format!("cannot connect: {cause}"),
            ErrorKind::Tls => format!("no secure connection: {cause}"),
            ErrorKind::Closed => format!("connection closed early: {cause}"),
            _ => cause,
        };
        Self { kind, message }
    }
}

/// An operating system's error in its own words, without its number.
fn os_message(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
