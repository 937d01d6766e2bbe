//! What a threshold can be on: the metrics, their kinds, and the tags that tell
//! a part of a metric from the rest.

use std::sync::Arc;

use crate::measure::Tag;

/// A metric that a threshold can be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// One that the host measures.
    BuiltIn(BuiltIn),
    /// One of the script's, by its name. Its kind is known from its first use.
    Own(Arc<str>),
}

/// A metric that the host measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// `http_reqs`
    HttpReqs,
    /// `http_req_duration`
    HttpReqDuration,
    /// `http_req_duration_from_due`
    HttpReqDurationFromDue,
    /// `http_req_connecting`
    HttpReqConnecting,
    /// `http_req_tls_handshaking`
    HttpReqTlsHandshaking,
    /// `http_req_waiting`
    HttpReqWaiting,
    /// `http_req_receiving`
    HttpReqReceiving,
    /// `http_req_failed`
    HttpReqFailed,
    /// `transaction_duration`
    TransactionDuration,
    /// `transaction_failed`
    TransactionFailed,
    /// `iterations`
    Iterations,
    /// `iteration_duration`
    IterationDuration,
    /// `iteration_lag`
    IterationLag,
    /// `dropped_iterations`
    DroppedIterations,
    /// `checks`
    Checks,
    /// `data_sent`
    DataSent,
    /// `data_received`
    DataReceived,
    /// `vus`
    Vus,
    /// `vus_max`
    VusMax,
}

/// The kind of a metric: which aggregates it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `count`, `rate` (a second).
    Counter,
    /// `rate` (the share of hits).
    Rate,
    /// `p(N)`, `min`, `max`, `avg`, `med`, `count`.
    Trend,
    /// `value` (the latest), `min`, `max`.
    Gauge,
}

/// What one value of a metric is a measurement of. It decides which tags the
/// value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A request.
    Request,
    /// A transaction.
    Transaction,
    /// An iteration.
    Iteration,
    /// A check.
    Check,
    /// The run's VUs.
    Vus,
    /// A value that the script added.
    Value,
}

impl Shape {
    /// Every aggregate of the kind, as users write them.
    pub fn aggregates(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["count", "rate"],
            Self::Rate => &["rate"],
            Self::Trend => &["p(N)", "min", "max", "avg", "med", "count"],
            Self::Gauge => &["value", "min", "max"],
        }
    }

    /// The name of the kind, with its article.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Counter => "a counter",
            Self::Rate => "a rate",
            Self::Trend => "a trend",
            Self::Gauge => "a gauge",
        }
    }
}

impl BuiltIn {
    /// Every metric with its name, its kind, and what it measures.
    pub const ALL: [(Self, &str, Shape, Subject); 19] = {
        use Shape::{Counter, Gauge, Rate, Trend};
        use Subject::{Check, Iteration, Request, Transaction, Vus};
        [
            (Self::HttpReqs, "http_reqs", Counter, Request),
            (Self::HttpReqDuration, "http_req_duration", Trend, Request),
            (
                Self::HttpReqDurationFromDue,
                "http_req_duration_from_due",
                Trend,
                Request,
            ),
            (
                Self::HttpReqConnecting,
                "http_req_connecting",
                Trend,
                Request,
            ),
            (
                Self::HttpReqTlsHandshaking,
                "http_req_tls_handshaking",
                Trend,
                Request,
            ),
            (Self::HttpReqWaiting, "http_req_waiting", Trend, Request),
            (Self::HttpReqReceiving, "http_req_receiving", Trend, Request),
            (Self::HttpReqFailed, "http_req_failed", Rate, Request),
            (
                Self::TransactionDuration,
                "transaction_duration",
                Trend,
                Transaction,
            ),
            (
                Self::TransactionFailed,
                "transaction_failed",
                Rate,
                Transaction,
            ),
            (Self::Iterations, "iterations", Counter, Iteration),
            (
                Self::IterationDuration,
                "iteration_duration",
                Trend,
                Iteration,
            ),
            (Self::IterationLag, "iteration_lag", Trend, Iteration),
            (
                Self::DroppedIterations,
                "dropped_iterations",
                Counter,
                Iteration,
            ),
            (Self::Checks, "checks", Rate, Check),
            (Self::DataSent, "data_sent", Counter, Request),
            (Self::DataReceived, "data_received", Counter, Request),
            (Self::Vus, "vus", Gauge, Vus),
            (Self::VusMax, "vus_max", Gauge, Vus),
        ]
    };

    /// k6's metrics that are not measured here, each with what is.
    pub(super) const ABSENT: [(&str, &str); 4] = [
        ("http_req_blocked", "`http_req_connecting`"),
        (
            "http_req_looking_up",
            "`http_req_connecting`, which includes it",
        ),
        ("http_req_sending", "`http_req_waiting`, which includes it"),
        ("group_duration", "`transaction_duration{name:…}`"),
    ];

    fn row(self) -> (Self, &'static str, Shape, Subject) {
        *Self::ALL
            .iter()
            .find(|(metric, ..)| *metric == self)
            .expect("every metric is in the list of all")
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let row = Self::ALL.iter().find(|(_, known, ..)| *known == name);
        row.map(|(metric, ..)| *metric)
    }

    /// Every metric's name.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(_, name, ..)| *name)
    }

    /// The kind of the metric.
    pub fn shape(self) -> Shape {
        self.row().2
    }

    /// What it measures.
    pub fn subject(self) -> Subject {
        self.row().3
    }
}

impl Metric {
    /// The kind of the metric, if it is known before the run.
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Self::BuiltIn(metric) => Some(metric.shape()),
            Self::Own(_) => None,
        }
    }

    /// What one of its values measures.
    pub fn subject(&self) -> Subject {
        match self {
            Self::BuiltIn(metric) => metric.subject(),
            Self::Own(_) => Subject::Value,
        }
    }
}

impl Subject {
    /// The host's own tags on a measurement of this. The script's and the
    /// user's come in addition, except on VUs.
    pub fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Request => &[
                "name",
                "method",
                "status",
                "expected_response",
                "group",
                "scenario",
            ],
            Self::Transaction => &["name", "scenario"],
            Self::Iteration => &["scenario"],
            Self::Check => &["check", "group", "scenario"],
            Self::Value => &["group", "scenario"],
            Self::Vus => &[],
        }
    }

    /// Every tag that is the host's on some measurement.
    pub(super) const OWN_TAGS: [&str; 7] = [
        "name",
        "method",
        "status",
        "expected_response",
        "check",
        "group",
        "scenario",
    ];
}

/// Which measurements of a metric count: those for which all of it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The name of the request or the transaction.
    pub name: Option<Arc<str>>,
    /// The request's method, in upper case.
    pub method: Option<Arc<str>>,
    /// The name of the check.
    pub check: Option<Arc<str>>,
    /// The request's status.
    pub status: Option<Statuses>,
    /// Whether the request was a success.
    pub expected_response: Option<bool>,
    /// A transaction that is running.
    pub group: Option<Arc<str>>,
    /// The scenario.
    pub scenario: Option<Arc<str>>,
    /// Tags of the script's and the user's.
    pub tags: Vec<Tag>,
}

/// Statuses next to each other. 0 stands for no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Statuses {
    /// Reads `200` or `5xx`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.to_ascii_lowercase().strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|class| (1..=9).contains(class))?;
            return Some(Self {
                first: class * 100,
                last: class * 100 + 99,
            });
        }
        let status = text.parse().ok().filter(|status| *status < 1000)?;
        Some(Self {
            first: status,
            last: status,
        })
    }

    /// Whether a status is one of them.
    pub fn contain(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl Filter {
    /// Whether every measurement counts.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks for nothing but a name that statistics are kept by.
    pub fn is_by_name(&self) -> bool {
        let rest = Self {
            name: None,
            check: None,
            // Past the limit on names, a row has no method.
            method: self.method.clone().filter(|_| self.name.is_none()),
            ..self.clone()
        };
        rest.is_empty()
    }

    /// Whether it asks for something that may be misspelt: a part that has no
    /// measurements is then more likely than not a mistake.
    pub fn is_by_words(&self) -> bool {
        let rest = Self {
            method: None,
            status: None,
            expected_response: None,
            ..self.clone()
        };
        !rest.is_empty()
    }

    /// Whether a request of this method and name may count.
    pub fn takes_request(&self, method: &str, name: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && self.takes_name(name)
    }

    /// Whether something of this name may count.
    pub fn takes_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
    }

    /// Whether a check of this name may count.
    pub fn takes_check(&self, name: &str) -> bool {
        self.check.as_deref().is_none_or(|wanted| wanted == name)
    }
}
