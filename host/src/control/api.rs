//! The API: from a request to what the run is asked, and back to JSON.
//!
//! A request is checked in this order: that it was meant for this server (a page
//! in a browser whose name was made to point here was not), that it has the
//! token, that there is such a thing, and that its body is what it should be.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Token;
use crate::error::Problem;
use crate::event::{Load, LoadChange, LoadChangeKind, Stats, Steerer};
use crate::run::Phase;
use crate::run::control::{Action, Applied, Control, Difference, ScenarioStatus, Status};
use crate::stats::Distribution;
use crate::stats::thresholds::Verdict;
use crate::stats::window::{RequestStats, Window};
use crate::units::parse_rate;

/// How large a request's body may be.
const BODY_SIZE: usize = 4 * 1024;
/// How long the run may take to answer. It answers at once unless it is starting.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What the server knows.
pub(super) struct Api {
    control: Control,
    token: Token,
    by: Steerer,
}

/// Why a request is not granted.
struct Refusal {
    status: StatusCode,
    problem: Problem,
    allow: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, problem: Problem) -> Self {
        Self {
            status,
            problem,
            allow: None,
        }
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Status,
    Stats,
    Thresholds,
    Load,
    Pause,
    Resume,
    Stop,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/status" => Self::Status,
            "/v1/stats" => Self::Stats,
            "/v1/thresholds" => Self::Thresholds,
            "/v1/load" => Self::Load,
            "/v1/pause" => Self::Pause,
            "/v1/resume" => Self::Resume,
            "/v1/stop" => Self::Stop,
            _ => return None,
        })
    }

    fn method(self) -> &'static str {
        match self {
            Self::Status | Self::Stats | Self::Thresholds => "GET",
            Self::Load => "PATCH",
            Self::Pause | Self::Resume | Self::Stop => "POST",
        }
    }
}

/// The body of `PATCH /v1/load`: a scenario, and one of the two.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadBody {
    scenario: Option<String>,
    vus: Option<Value>,
    rate: Option<String>,
}

/// The body of `POST /v1/pause` and `/v1/resume`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    scenario: Option<String>,
}

/// The body of `POST /v1/stop`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopBody {
    #[serde(default)]
    now: bool,
}

impl Api {
    pub(super) fn new(control: Control, token: Token, address: SocketAddr) -> Self {
        Self {
            control,
            token,
            by: Steerer::Api(address.to_string().into()),
        }
    }

    /// Answers a request. Waits for its body, and for the run if it is an order.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.granted(request).await {
            Ok(value) => response(StatusCode::OK, &value),
            Err(refusal) => {
                let Problem { what, hint } = refusal.problem;
                let body = json!({"error": {"message": what, "hint": hint}});
                let mut response = response(refusal.status, &body);
                if let Some(allow) = refusal.allow {
                    let headers = response.headers_mut();
                    headers.insert(ALLOW, HeaderValue::from_static(allow));
                }
                if refusal.status == StatusCode::UNAUTHORIZED {
                    let headers = response.headers_mut();
                    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            }
        }
    }

    async fn granted(&self, request: Request<Incoming>) -> Result<Value, Refusal> {
        let (head, body) = request.into_parts();
        if !is_meant_for_us(&head.headers) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                Problem::new("the request is for another host")
                    .hint("call the control API by its IP address, or as `localhost`"),
            ));
        }
        let authorization = head.headers.get(AUTHORIZATION);
        if !authorization.is_some_and(|header| self.token.is_in(header.as_bytes())) {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                Problem::new("the token is missing or wrong")
                    .hint("send the header `Authorization: Bearer TOKEN`"),
            ));
        }
        let path = head.uri.path();
        let Some(route) = Route::of(path) else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                Problem::new(format!("there is no `{path}`")).hint(
                    "there are `/v1/status`, `/v1/stats`, `/v1/thresholds`, `/v1/load`, \
                     `/v1/pause`, `/v1/resume` and `/v1/stop`",
                ),
            ));
        };
        if head.method != Method::from_bytes(route.method().as_bytes()).expect("a method") {
            return Err(Refusal {
                allow: Some(route.method()),
                ..Refusal::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    Problem::new(format!("`{path}` takes {} only", route.method())),
                )
            });
        }
        let (scenario, action) = match route {
            Route::Status => return Ok(status(&self.status())),
            Route::Stats => return Ok(stats(&self.status())),
            Route::Thresholds => return Ok(thresholds(&self.status())),
            Route::Load => load(parse(&read(body).await?, LOAD_HINT)?)?,
            Route::Pause => {
                let PauseBody { scenario } = parse(&read(body).await?, PAUSE_HINT)?;
                (scenario, Action::Pause)
            }
            Route::Resume => {
                let PauseBody { scenario } = parse(&read(body).await?, PAUSE_HINT)?;
                (scenario, Action::Resume)
            }
            Route::Stop => match parse(&read(body).await?, STOP_HINT)? {
                StopBody { now: false } => (None, Action::Stop),
                StopBody { now: true } => (None, Action::StopNow),
            },
        };
        self.order(scenario, action).await
    }

    /// How the run stands. The conductor need not wait until it is told.
    fn status(&self) -> Arc<Status> {
        self.control.status.borrow().clone()
    }

    async fn order(&self, scenario: Option<String>, action: Action) -> Result<Value, Refusal> {
        let status = self.status();
        let is_stop = matches!(action, Action::Stop | Action::StopNow);
        match status.phase {
            // It can be ended before it has begun, in `setup`.
            Phase::Starting if !is_stop => {
                return Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Problem::new("the run has not started").hint("try again when it has"),
                ));
            }
            _ => unknown(scenario.as_deref(), &status)?,
        }
        let order = self.control.order(scenario, action, self.by.clone());
        match timeout(ANSWER_TIME, order).await {
            Ok(Ok(applied)) => Ok(self::applied(&applied)),
            // It has ended meanwhile, which is what was asked for.
            Ok(Err(_)) if is_stop => Ok(self::applied(&Applied::default())),
            Ok(Err(problem)) => Err(Refusal::new(StatusCode::CONFLICT, problem)),
            Err(_) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Problem::new("the run has not answered yet")
                    .hint("it does what it was told when it can: ask for the status"),
            )),
        }
    }
}

/// Refuses a scenario that the run has not.
fn unknown(scenario: Option<&str>, status: &Status) -> Result<(), Refusal> {
    let Some(name) = scenario else { return Ok(()) };
    let known = || status.scenarios.iter().map(|scenario| &*scenario.name);
    if known().any(|known| known == name) {
        return Ok(());
    }
    let names: Vec<_> = known().map(|name| format!("`{name}`")).collect();
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        Problem::new(format!("there is no scenario `{name}`"))
            .hint(format!("there are {}", names.join(", "))),
    ))
}

/// Whether the request names this server: by an address, or as what every
/// machine calls itself. A name could be anybody's.
fn is_meant_for_us(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Reads a body as far as it may be read.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Problem::new(format!("the body is larger than {BODY_SIZE} bytes")),
        )
    };
    // Whoever asks first whether it may send so much is told that it may not.
    if body.size_hint().lower() > BODY_SIZE as u64 {
        return Err(too_large());
    }
    match Limited::new(body, BODY_SIZE).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            Problem::new(format!("the body cannot be read: {error}")),
        )),
    }
}

const LOAD_HINT: &str =
    "such as `{\"vus\": 50}` or `{\"scenario\": \"browse\", \"rate\": \"100/s\"}`";
const PAUSE_HINT: &str = "none at all, or such as `{\"scenario\": \"browse\"}`";
const STOP_HINT: &str = "none at all, or `{\"now\": true}`";

/// Parses a body; none at all says nothing.
fn parse<T: DeserializeOwned + Default>(body: &[u8], hint: &str) -> Result<T, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            Problem::new(format!("the body is not as expected: {error}")).hint(hint),
        )
    })
}

fn load(body: LoadBody) -> Result<(Option<String>, Action), Refusal> {
    let bad = |problem| Refusal::new(StatusCode::BAD_REQUEST, problem);
    let action = match (body.vus, body.rate) {
        (Some(vus), None) => {
            match vus {
                Value::String(text) => vus_action(&text),
                // A sign in front of a number is no difference, but a mistake.
                other if other.is_u64() => vus_action(&other.to_string()),
                other => Err(no_vus(&other.to_string())),
            }
            .map_err(bad)?
        }
        (None, Some(rate)) => rate_action(&rate).map_err(bad)?,
        _ => {
            let problem = Problem::new("the body needs `vus` or `rate`, and not both");
            return Err(bad(problem.hint(LOAD_HINT)));
        }
    };
    Ok((body.scenario, action))
}

/// `50`, or as a difference `+5` or `-5`.
fn vus_action(text: &str) -> Result<Action, Problem> {
    let wrong = || no_vus(text);
    let (sign, digits) = signed(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let vus: u32 = digits.parse().map_err(|_| wrong())?;
    Ok(match sign {
        None => Action::Set(Load::Vus(vus)),
        Some(sign) => Action::Add(Difference::Vus(sign as i64 * i64::from(vus))),
    })
}

fn no_vus(found: &str) -> Problem {
    Problem::new(format!("`vus`: expected a number of VUs, found `{found}`"))
        .hint("such as `50`, or to change it by some `\"+5\"` or `\"-5\"`")
}

/// `100/s`, or as a difference `+10/s` or `-10/s`.
fn rate_action(text: &str) -> Result<Action, Problem> {
    let (sign, rate) = signed(text);
    let rate = parse_rate(rate).map_err(|error| {
        Problem::new(format!("`rate`: {error}, found `{text}`"))
            .hint("to change it by some, put a sign before it: `+10/s` or `-10/s`")
    })?;
    Ok(match sign {
        None => Action::Set(Load::Rate(rate.per_s())),
        Some(sign) => Action::Add(Difference::Rate(sign * rate.per_s())),
    })
}

fn signed(text: &str) -> (Option<f64>, &str) {
    let text = text.trim();
    match text.split_at_checked(1) {
        Some(("+", rest)) => (Some(1.0), rest),
        Some(("-", rest)) => (Some(-1.0), rest),
        _ => (None, text),
    }
}

fn status(status: &Status) -> Value {
    let scenarios = status.scenarios.iter().map(|scenario| {
        let ScenarioStatus {
            name,
            executor,
            vus,
            max_vus,
            target,
            steerable,
            paused,
        } = scenario;
        json!({
            "name": &**name,
            "executor": executor,
            "vus": vus,
            "max_vus": max_vus,
            "target": load_json(*target),
            "steerable": steerable,
            "paused": paused,
        })
    });
    json!({
        "run_id": &*status.run_id,
        "test_plan": &*status.test_plan,
        "phase": match status.phase {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
            Phase::Finishing => "finishing",
        },
        "elapsed_ms": ms(status.elapsed),
        "planned_ms": status.planned.map(ms),
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}

fn stats(status: &Status) -> Value {
    let none = Stats::default();
    let stats = status.stats.as_deref().unwrap_or(&none);
    json!({
        "elapsed_ms": ms(status.elapsed),
        "vus": stats.vus,
        "total": window(&stats.total),
        "interval": window(&stats.interval),
    })
}

fn window(window: &Window) -> Value {
    json!({
        "duration_ms": ms(window.duration),
        "all": requests(&window.all),
        "requests": window.requests.iter().map(requests).collect::<Vec<_>>(),
        "iterations": {
            "finished": window.iterations.finished,
            "failed": window.iterations.failed,
            "interrupted": window.iterations.interrupted,
            "dropped": window.iterations.dropped,
        },
    })
}

fn requests(stats: &RequestStats) -> Value {
    let Distribution {
        median, quantiles, ..
    } = stats.duration;
    let [_, p95, p99, _] = quantiles;
    json!({
        "method": &*stats.method,
        "name": &*stats.name,
        "requests": stats.requests,
        "failures": stats.failures,
        "requests_per_s": round(stats.requests_per_s),
        "p50_ms": round(median),
        "p95_ms": round(p95),
        "p99_ms": round(p99),
    })
}

fn thresholds(status: &Status) -> Value {
    let of = |verdict: &Verdict| {
        json!({
            "expression": verdict.expression,
            "passed": verdict.passed,
            "value": verdict.value,
        })
    };
    json!({"thresholds": status.thresholds.iter().map(of).collect::<Vec<_>>()})
}

fn applied(applied: &Applied) -> Value {
    let change = |change: &LoadChange| {
        json!({
            "scenario": &*change.scenario,
            "action": match change.kind {
                LoadChangeKind::Target => "target",
                LoadChangeKind::Paused => "paused",
                LoadChangeKind::Resumed => "resumed",
            },
            "from": load_json(change.from),
            "to": load_json(change.to),
        })
    };
    json!({"changes": applied.changes.iter().map(change).collect::<Vec<_>>()})
}

fn load_json(load: Load) -> Value {
    match load {
        Load::Vus(vus) => json!({"vus": vus}),
        Load::Rate(per_s) => json!({"rate_per_s": round(per_s)}),
    }
}

fn ms(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1e3)
}

/// Three digits after the point are more than is measured.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_server() {
        let is_meant = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().expect("a header"));
            is_meant_for_us(&headers)
        };
        for host in [
            "127.0.0.1:80",
            "localhost",
            "LOCALHOST:8080",
            "[::1]:9",
            "10.0.0.1",
        ] {
            assert!(is_meant(host), "{host}");
        }
        for host in [
            "",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a b",
        ] {
            assert!(!is_meant(host), "{host}");
        }
        assert!(!is_meant_for_us(&HeaderMap::new()));
    }

    #[test]
    fn a_number_is_a_target_and_with_a_sign_a_difference() {
        assert_eq!(vus_action("50"), Ok(Action::Set(Load::Vus(50))));
        assert_eq!(vus_action("+5"), Ok(Action::Add(Difference::Vus(5))));
        assert_eq!(vus_action("-5"), Ok(Action::Add(Difference::Vus(-5))));
        assert_eq!(rate_action("600/m"), Ok(Action::Set(Load::Rate(10.0))));
        assert_eq!(rate_action("-3/s"), Ok(Action::Add(Difference::Rate(-3.0))));
        for bad in ["", "+", "1.5", "--5", "50/s", "9999999999", "null", "many"] {
            assert!(vus_action(bad).is_err(), "{bad}");
        }
        for bad in ["", "+", "50", "-/s", "+-5/s", "fast"] {
            assert!(rate_action(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_says_what_it_should_and_nothing_else() {
        let body = |text: &str| parse::<LoadBody>(text.as_bytes(), LOAD_HINT).and_then(load);
        let set = |text| body(text).map_err(|refusal| refusal.status);
        let fifty = Action::Set(Load::Vus(50));
        assert_eq!(set(r#"{"vus": 50}"#), Ok((None, fifty)));
        assert_eq!(
            set(r#"{"scenario": "browse", "vus": "50"}"#),
            Ok((Some("browse".to_owned()), fifty))
        );
        for bad in [
            "",
            "{}",
            "[]",
            "50",
            r#"{"vus": 50, "rate": "1/s"}"#,
            r#"{"vus": -5}"#,
            r#"{"vus": 1.5}"#,
            r#"{"vus": 50, "more": 1}"#,
            r#"{"rate": 50}"#,
            r#"{"vus": 50"#,
        ] {
            assert_eq!(set(bad), Err(StatusCode::BAD_REQUEST), "{bad}");
        }
    }
}
