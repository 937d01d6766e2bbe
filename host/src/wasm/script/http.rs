//! `squall:script/http`: requests of a script's.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use wasmtime::component::Resource;

use super::bindings::http as wit;
use super::driver::{Job, Reply};
use super::state::State;
use crate::event::Interests;
use crate::http::{Answer, ErrorKind, Failure, Outgoing, Target};
use crate::measure::{RequestSample, Tag};
use crate::recorder::measured::{self, Place, Row, TagSet};
use crate::stats::{Marks, shard};
use crate::vu::RunContext;

/// The type of a response's handle.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Response {}

/// The type of a prepared request's handle.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum PreparedRequest {}

/// A request as the script described it, checked and ready to be sent.
pub(super) struct Draft {
    /// What to send, or why it cannot be.
    outgoing: Result<Outgoing, Failure>,
    terms: Terms,
}

/// How a request is reported and judged.
#[derive(Clone)]
pub(super) struct Terms {
    method: Arc<str>,
    name: Arc<str>,
    url: Arc<str>,
    expect: Option<Vec<u16>>,
    catch: bool,
    /// Rare, so it takes little room where there is none.
    tagged: Option<Arc<Tagged>>,
}

/// Tags of a request's own.
struct Tagged {
    tags: Vec<Tag>,
    marks: Marks,
}

impl Terms {
    /// Those of a request of which the script says nothing more.
    pub(super) fn plain(method: Arc<str>, name: Arc<str>, url: Arc<str>) -> Self {
        Self {
            method,
            name,
            url,
            expect: None,
            catch: false,
            tagged: None,
        }
    }

    fn tags(&self) -> &[Tag] {
        self.tagged.as_ref().map_or(&[], |tagged| &tagged.tags)
    }

    fn marks(&self) -> Marks {
        self.tagged
            .as_ref()
            .map_or(Marks::NONE, |tagged| tagged.marks)
    }
}

/// A request that is sent often.
pub(super) struct Prepared {
    parts: Result<Parts, Failure>,
    terms: Terms,
}

/// An [`Outgoing`] without the VU's default headers, which may change.
struct Parts {
    method: Method,
    target: Arc<Target>,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    max_redirects: u32,
    discard_body: bool,
}

impl Parts {
    fn outgoing(&self, defaults: &HeaderMap) -> Outgoing {
        Outgoing {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: merged(defaults, &self.headers),
            body: self.body.clone(),
            timeout: self.timeout,
            max_redirects: self.max_redirects,
            discard_body: self.discard_body,
        }
    }
}

/// The responses of an iteration, by handle. A handle's number is never used
/// twice, so one that is kept too long is recognised.
pub(super) struct Responses {
    /// The handle of the first one still here.
    first: u32,
    held: VecDeque<Option<Box<Exchange>>>,
    bytes: u64,
    max_bytes: u64,
}

/// A response and what is known of it.
struct Exchange {
    answer: Box<Answer>,
    terms: Terms,
    json: OnceCell<Option<Value>>,
    verdict: Verdict,
}

/// Whether a request counts as a success.
enum Verdict {
    /// It was reported as one, or with this failure.
    Reported(bool),
    /// The script has yet to say.
    Caught,
}

impl Responses {
    /// More responses than this are not held for one iteration; the oldest
    /// goes.
    const HELD: usize = 4096;

    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            first: 0,
            held: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    fn get(&self, handle: &Resource<Response>) -> wasmtime::Result<&Exchange> {
        let at = handle.rep().wrapping_sub(self.first) as usize;
        self.held
            .get(at)
            .and_then(Option::as_deref)
            .ok_or_else(gone)
    }

    fn get_mut(&mut self, handle: &Resource<Response>) -> wasmtime::Result<&mut Exchange> {
        let at = handle.rep().wrapping_sub(self.first) as usize;
        self.held
            .get_mut(at)
            .and_then(Option::as_deref_mut)
            .ok_or_else(gone)
    }

    fn remove(&mut self, handle: u32) -> Option<Box<Exchange>> {
        let at = handle.wrapping_sub(self.first) as usize;
        let exchange = self.held.get_mut(at)?.take()?;
        self.bytes -= exchange.answer.body.len() as u64;
        while let Some(None) = self.held.front() {
            self.held.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        Some(exchange)
    }

    /// Takes the oldest one, if there are more than may be held.
    fn overflow(&mut self) -> Option<Box<Exchange>> {
        let full = self.held.len() > Self::HELD || self.bytes > self.max_bytes;
        if full && self.held.len() > 1 {
            self.remove(self.first)
        } else {
            None
        }
    }

    fn push(&mut self, exchange: Box<Exchange>) -> Resource<Response> {
        let handle = self.first.wrapping_add(self.held.len() as u32);
        self.bytes += exchange.answer.body.len() as u64;
        self.held.push_back(Some(exchange));
        Resource::new_own(handle)
    }

    /// Takes all of them; their handles are no longer valid.
    fn drain(&mut self) -> VecDeque<Option<Box<Exchange>>> {
        self.first = self.first.wrapping_add(self.held.len() as u32);
        self.bytes = 0;
        std::mem::take(&mut self.held)
    }
}

fn gone() -> wasmtime::Error {
    wasmtime::Error::msg(
        "a response was used after its iteration had ended, or after 4,096 later ones",
    )
}

impl State {
    /// Reports the requests that the script was to judge and did not, by their
    /// status, and lets go of every response.
    pub(super) fn end_responses(&mut self) {
        if let Some(outlet) = &self.outlet {
            outlet.end_iteration();
        }
        if self.responses.held.is_empty() {
            return;
        }
        for mut exchange in self.responses.drain().into_iter().flatten() {
            self.settle(&mut exchange);
        }
    }

    /// Reports the requests that are under way as given up: the instance ends.
    pub(super) fn end_requests(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.end();
        }
    }

    fn settle(&self, exchange: &mut Exchange) {
        if let Verdict::Caught = exchange.verdict {
            let failure = by_status(&exchange.answer, &exchange.terms);
            self.report(exchange, failure.as_deref());
        }
    }

    async fn one(&mut self, draft: Draft) -> wasmtime::Result<Resource<Response>> {
        let Draft { outgoing, terms } = draft;
        let answer = match outgoing {
            Ok(outgoing) => match self.desk.ask(Job::Send(Box::new(outgoing))).await {
                Reply::Sent(answer) => answer,
                _ => unreachable!("the driver answers a request with a response"),
            },
            Err(failure) => Box::new(Answer::unsent(failure)),
        };
        Ok(self.hold(answer, terms))
    }

    /// Reports an answer and gives the script a handle on it.
    fn hold(&mut self, answer: Box<Answer>, terms: Terms) -> Resource<Response> {
        let mut exchange = Box::new(Exchange {
            answer,
            terms,
            json: OnceCell::new(),
            verdict: Verdict::Caught,
        });
        if !exchange.terms.catch {
            let failure = by_status(&exchange.answer, &exchange.terms);
            self.report(&mut exchange, failure.as_deref());
        }
        let handle = self.responses.push(exchange);
        while let Some(mut oldest) = self.responses.overflow() {
            self.settle(&mut oldest);
        }
        handle
    }

    /// Records a request: its times, and why it failed if it did.
    fn report(&self, exchange: &mut Exchange, failure: Option<&str>) {
        exchange.verdict = Verdict::Reported(failure.is_none());
        let Exchange { answer, terms, .. } = exchange;
        let marks = self.marks_with(terms.marks());
        record(
            &self.seat.run,
            answer,
            terms,
            failure,
            self.lag,
            marks,
            |row| (self.place(row), self.tag_set(row, terms.tags())),
        );
    }

    /// Checks a request and makes it ready to be sent. What is wrong with it
    /// is kept and reported as the request's failure.
    fn draft(
        &self,
        method: &Method,
        url: String,
        body: Option<wit::Body>,
        params: Option<wit::Params>,
    ) -> Draft {
        let (parts, terms) = self.parts(Ok(method.clone()), url, body, params);
        let outgoing = parts.map(|parts| {
            let headers = match self.default_headers.is_empty() {
                true => parts.headers,
                false => merged(&self.default_headers, &parts.headers),
            };
            Outgoing {
                method: parts.method,
                target: parts.target,
                headers,
                body: parts.body,
                timeout: parts.timeout,
                max_redirects: parts.max_redirects,
                discard_body: parts.discard_body,
            }
        });
        Draft { outgoing, terms }
    }

    fn draft_any(&self, request: wit::Request) -> Draft {
        let (parts, terms) = self.parts_any(request);
        let outgoing = parts.map(|parts| parts.outgoing(&self.default_headers));
        Draft { outgoing, terms }
    }

    fn parts_any(&self, request: wit::Request) -> (Result<Parts, Failure>, Terms) {
        let wit::Request {
            method,
            url,
            body,
            params,
        } = request;
        let parsed = Method::from_bytes(method.as_bytes()).map_err(|_| (method, ()));
        match parsed {
            Ok(method) => self.parts(Ok(method), url, body, params),
            Err((text, ())) => self.parts(Err(text), url, body, params),
        }
    }

    fn parts(
        &self,
        method: Result<Method, String>,
        url: String,
        body: Option<wit::Body>,
        params: Option<wit::Params>,
    ) -> (Result<Parts, Failure>, Terms) {
        let params = params.unwrap_or_default();
        let target = super::with_targets(&self.template.http, |targets| targets.resolve(&url));
        let mut terms = Terms {
            method: match &method {
                Ok(method) => method_name(method),
                Err(text) => text.as_str().into(),
            },
            name: match (&params.name, &target) {
                (Some(name), _) => name.as_str().into(),
                (None, Ok(target)) => target.name.clone(),
                (None, Err(_)) => url.as_str().into(),
            },
            url: Arc::default(),
            expect: params.expect_status,
            catch: params.catch_response.unwrap_or(false),
            tagged: params.tags.map(|tags| {
                let tag = |(name, value): (String, String)| (name.into(), value.into());
                let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
                Arc::new(Tagged {
                    marks: self.marks_of(&tags),
                    tags,
                })
            }),
        };
        // Only an event names the URL.
        if self.seat.run.feed.wants(Interests::REQUESTS) {
            terms.url = match &target {
                Ok(target) => target.text.clone(),
                Err(_) => url.into(),
            };
        }
        let parts = (|| {
            let method = method.map_err(|text| {
                Failure::new(
                    ErrorKind::InvalidRequest,
                    format!("malformed method `{text}`"),
                )
            })?;
            let mut headers = HeaderMap::new();
            for (name, value) in params.headers.into_iter().flatten() {
                let (name, value) = header(&name, &value)?;
                headers.append(name, value);
            }
            let body = encoded(body, &mut headers, &self.default_headers);
            Ok(Parts {
                method,
                target: target?,
                headers,
                body,
                timeout: params.timeout_ms.map_or(self.template.http.timeout, millis),
                max_redirects: params.max_redirects.unwrap_or(10),
                discard_body: params.discard_body.unwrap_or(false),
            })
        })();
        (parts, terms)
    }
}

/// Records a request in the thread's shard and, if somebody asked for it, as an
/// event, of which `told` says where it was made and under which tags.
pub(super) fn record(
    run: &RunContext,
    answer: &Answer,
    terms: &Terms,
    failure: Option<&str>,
    lag: Option<Duration>,
    marks: Marks,
    told: impl FnOnce(&mut Row<'_>) -> (Place, TagSet),
) {
    let sample = RequestSample {
        failed: failure.is_some(),
        from_due: lag.map(|lag| answer.sample.duration + lag),
        ..answer.sample
    };
    shard::with(|shard| {
        let id = shard.request_id(&terms.method, &terms.name);
        shard.request(id, &sample, marks);
        if let Some(message) = failure {
            shard.request_failure(id, message, run.clock().now_ms());
        }
    });
    if run.feed.admits(Interests::REQUESTS) {
        run.measure(answer.started + sample.duration, |row| {
            let (place, tags) = told(row);
            let request = measured::Request {
                place,
                method: row.shared(&terms.method),
                name: row.shared(&terms.name),
                url: row.shared(&terms.url),
                started_at_ms: run.clock().wall_ms(answer.started),
                first_byte: answer.first_byte.map(Into::into),
                failure: failure.map(|failure| row.text(failure)),
                tags,
                figures: (&sample).into(),
            };
            row.request(request)
        });
    }
}

/// Why a request counts as a failure, if it does, as long as the script has
/// not said otherwise.
pub(super) fn by_status(answer: &Answer, terms: &Terms) -> Option<String> {
    if let Some(failure) = &answer.failure {
        return Some(failure.message.clone());
    }
    let status = answer.sample.status;
    let expected = match &terms.expect {
        Some(expected) => expected.contains(&status),
        None => (200..400).contains(&status),
    };
    (!expected).then(|| format!("status {status}"))
}

pub(super) fn method_name(method: &Method) -> Arc<str> {
    thread_local! {
        static NAMES: [(Method, Arc<str>); 7] = [
            Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD,
            Method::PATCH, Method::OPTIONS,
        ].map(|method| { let name = method.as_str().into(); (method, name) });
    }
    NAMES.with(|names| {
        names
            .iter()
            .find(|(known, _)| known == method)
            .map_or_else(|| method.as_str().into(), |(_, name)| name.clone())
    })
}

/// A time from a script, which may be any number.
pub(super) fn millis(millis: f64) -> Duration {
    // Longer than a run can take, and short enough to add to a point in time.
    const LONGEST: f64 = 366.0 * 86_400.0;
    // A comparison with NaN is false: it counts as 0.
    if millis > 0.0 {
        Duration::from_secs_f64((millis / 1e3).min(LONGEST))
    } else {
        Duration::ZERO
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let malformed = || {
        Failure::new(
            ErrorKind::InvalidRequest,
            format!("malformed header `{name}`"),
        )
    };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
    // Text beyond ASCII goes over the wire as its UTF-8 bytes.
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed())?;
    Ok((parsed, value))
}

/// The VU's default headers, each unless the request has its own.
fn merged(defaults: &HeaderMap, own: &HeaderMap) -> HeaderMap {
    let mut headers = own.clone();
    for (name, value) in defaults {
        if !own.contains_key(name) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// The bytes of a body. Sets its content type unless a header already does.
fn encoded(body: Option<wit::Body>, headers: &mut HeaderMap, defaults: &HeaderMap) -> Bytes {
    let (bytes, content_type) = match body {
        None => return Bytes::new(),
        Some(wit::Body::Bytes(bytes)) => return bytes.into(),
        Some(wit::Body::Text(text)) => (text, "text/plain; charset=utf-8"),
        Some(wit::Body::Json(text)) => (text, "application/json"),
        Some(wit::Body::Form(fields)) => {
            let encoded = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            (encoded, "application/x-www-form-urlencoded")
        }
    };
    if !headers.contains_key(CONTENT_TYPE) && !defaults.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    bytes.into()
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for wit::Params {
    fn default() -> Self {
        Self {
            name: None,
            headers: None,
            tags: None,
            timeout_ms: None,
            max_redirects: None,
            expect_status: None,
            catch_response: None,
            discard_body: None,
        }
    }
}

type Handle = wasmtime::Result<Resource<Response>>;

impl wit::Host for State {
    async fn get(&mut self, url: String, params: Option<wit::Params>) -> Handle {
        self.one(self.draft(&Method::GET, url, None, params)).await
    }

    async fn head(&mut self, url: String, params: Option<wit::Params>) -> Handle {
        self.one(self.draft(&Method::HEAD, url, None, params)).await
    }

    async fn delete(&mut self, url: String, params: Option<wit::Params>) -> Handle {
        self.one(self.draft(&Method::DELETE, url, None, params))
            .await
    }

    async fn post(
        &mut self,
        url: String,
        body: Option<wit::Body>,
        params: Option<wit::Params>,
    ) -> Handle {
        self.one(self.draft(&Method::POST, url, body, params)).await
    }

    async fn put(
        &mut self,
        url: String,
        body: Option<wit::Body>,
        params: Option<wit::Params>,
    ) -> Handle {
        self.one(self.draft(&Method::PUT, url, body, params)).await
    }

    async fn patch(
        &mut self,
        url: String,
        body: Option<wit::Body>,
        params: Option<wit::Params>,
    ) -> Handle {
        self.one(self.draft(&Method::PATCH, url, body, params))
            .await
    }

    async fn send(&mut self, request: wit::Request) -> Handle {
        self.one(self.draft_any(request)).await
    }

    async fn batch(
        &mut self,
        requests: Vec<wit::Request>,
    ) -> wasmtime::Result<Vec<Resource<Response>>> {
        let mut to_send = Vec::with_capacity(requests.len());
        // What was sent has its answer among those of the batch, in order.
        let drafts: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let Draft { outgoing, terms } = self.draft_any(request);
                (outgoing.map(|outgoing| to_send.push(outgoing)), terms)
            })
            .collect();
        let mut answers = match self.desk.ask(Job::Batch(to_send)).await {
            Reply::Batch(answers) => answers.into_iter(),
            _ => unreachable!("the driver answers a batch with responses"),
        };
        Ok(drafts
            .into_iter()
            .map(|(sent, terms)| {
                let answer = match sent {
                    Ok(()) => answers
                        .next()
                        .expect("a batch has an answer to each request"),
                    Err(failure) => Answer::unsent(failure),
                };
                self.hold(Box::new(answer), terms)
            })
            .collect())
    }

    fn set_header(&mut self, name: String, value: Option<String>) -> wasmtime::Result<()> {
        let parsed = header(&name, value.as_deref().unwrap_or_default());
        match (parsed, value) {
            (Ok((name, value)), Some(_)) => {
                self.default_headers.insert(name, value);
            }
            (Ok((name, _)), None) => {
                self.default_headers.remove(name);
            }
            (Err(failure), _) => self.warn(&format!("set-header: {}", failure.message)),
        }
        Ok(())
    }
}

impl wit::HostPreparedRequest for State {
    fn new(&mut self, request: wit::Request) -> wasmtime::Result<Resource<PreparedRequest>> {
        let (parts, terms) = self.parts_any(request);
        let prepared = Some(Prepared { parts, terms });
        let at = match self.prepared.iter().position(Option::is_none) {
            Some(free) => {
                self.prepared[free] = prepared;
                free
            }
            None => {
                self.prepared.push(prepared);
                self.prepared.len() - 1
            }
        };
        Ok(Resource::new_own(u32::try_from(at)?))
    }

    async fn send(&mut self, handle: Resource<PreparedRequest>) -> Handle {
        let prepared = self
            .prepared
            .get(handle.rep() as usize)
            .and_then(Option::as_ref)
            .ok_or_else(|| {
                wasmtime::Error::msg("a prepared request was used after it was dropped")
            })?;
        let draft = Draft {
            outgoing: match &prepared.parts {
                Ok(parts) => Ok(parts.outgoing(&self.default_headers)),
                Err(failure) => Err(failure.clone()),
            },
            terms: prepared.terms.clone(),
        };
        self.one(draft).await
    }

    fn drop(&mut self, handle: Resource<PreparedRequest>) -> wasmtime::Result<()> {
        if let Some(place) = self.prepared.get_mut(handle.rep() as usize) {
            *place = None;
        }
        Ok(())
    }
}

impl wit::HostResponse for State {
    fn status(&mut self, handle: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.responses.get(&handle)?.answer.sample.status)
    }

    fn ok(&mut self, handle: Resource<Response>) -> wasmtime::Result<bool> {
        let exchange = self.responses.get(&handle)?;
        Ok(match exchange.verdict {
            Verdict::Reported(ok) => ok,
            Verdict::Caught => by_status(&exchange.answer, &exchange.terms).is_none(),
        })
    }

    fn error(&mut self, handle: Resource<Response>) -> wasmtime::Result<Option<wit::Error>> {
        let failure = self.responses.get(&handle)?.answer.failure.as_ref();
        Ok(failure.map(|failure| wit::Error {
            kind: match failure.kind {
                ErrorKind::InvalidRequest => wit::ErrorKind::InvalidRequest,
                ErrorKind::Dns => wit::ErrorKind::Dns,
                ErrorKind::Connect => wit::ErrorKind::Connect,
                ErrorKind::Tls => wit::ErrorKind::Tls,
                ErrorKind::Timeout => wit::ErrorKind::Timeout,
                ErrorKind::Closed => wit::ErrorKind::Closed,
                ErrorKind::TooManyRedirects => wit::ErrorKind::TooManyRedirects,
                ErrorKind::Other => wit::ErrorKind::Other,
            },
            message: failure.message.clone(),
        }))
    }

    fn url(&mut self, handle: Resource<Response>) -> wasmtime::Result<String> {
        let exchange = self.responses.get(&handle)?;
        let target = exchange.answer.target.as_ref();
        Ok(target
            .map(|target| target.url.as_str().to_owned())
            .unwrap_or_default())
    }

    fn header(
        &mut self,
        handle: Resource<Response>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let value = self.responses.get(&handle)?.answer.headers.get(&name);
        Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    fn headers(&mut self, handle: Resource<Response>) -> wasmtime::Result<Vec<(String, String)>> {
        let headers = &self.responses.get(&handle)?.answer.headers;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(headers
            .iter()
            .map(|(name, value)| (text(name).to_ascii_lowercase(), text(value)))
            .collect())
    }

    fn body(&mut self, handle: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.responses.get(&handle)?.answer.body.to_vec())
    }

    fn text(&mut self, handle: Resource<Response>) -> wasmtime::Result<String> {
        let body = &self.responses.get(&handle)?.answer.body;
        Ok(String::from_utf8_lossy(body).into_owned())
    }

    fn json(
        &mut self,
        handle: Resource<Response>,
        pointer: String,
    ) -> wasmtime::Result<Option<String>> {
        let exchange = self.responses.get(&handle)?;
        let parsed = exchange
            .json
            .get_or_init(|| serde_json::from_slice(&exchange.answer.body).ok());
        let value = parsed.as_ref().and_then(|json| json.pointer(&pointer));
        Ok(value.map(Value::to_string))
    }

    fn duration_ms(&mut self, handle: Resource<Response>) -> wasmtime::Result<f64> {
        Ok(self
            .responses
            .get(&handle)?
            .answer
            .sample
            .duration
            .as_secs_f64()
            * 1e3)
    }

    fn first_byte_ms(&mut self, handle: Resource<Response>) -> wasmtime::Result<f64> {
        let first_byte = self.responses.get(&handle)?.answer.first_byte;
        Ok(first_byte.unwrap_or_default().as_secs_f64() * 1e3)
    }

    fn success(&mut self, handle: Resource<Response>) -> wasmtime::Result<()> {
        self.judge(&handle, None)
    }

    fn failure(&mut self, handle: Resource<Response>, message: String) -> wasmtime::Result<()> {
        self.judge(&handle, Some(&message))
    }

    fn drop(&mut self, handle: Resource<Response>) -> wasmtime::Result<()> {
        if let Some(mut exchange) = self.responses.remove(handle.rep()) {
            self.settle(&mut exchange);
        }
        Ok(())
    }
}

impl State {
    /// Reports a caught request as the script judged it.
    fn judge(
        &mut self,
        handle: &Resource<Response>,
        failure: Option<&str>,
    ) -> wasmtime::Result<()> {
        let exchange = self.responses.get_mut(handle)?;
        match exchange.verdict {
            Verdict::Caught => {
                let mut exchange = self
                    .responses
                    .lend(handle)
                    .expect("it was there a moment ago");
                self.report(&mut exchange, failure);
                self.responses.give_back(handle, exchange);
            }
            Verdict::Reported(_) if exchange.terms.catch => {
                self.warn("a response was judged twice: the first verdict counts");
            }
            Verdict::Reported(_) => {
                self.warn("a response was judged without `catch-response`: nothing changes");
            }
        }
        Ok(())
    }
}

impl Responses {
    /// Takes a response out for a moment.
    fn lend(&mut self, handle: &Resource<Response>) -> Option<Box<Exchange>> {
        self.held
            .get_mut(handle.rep().wrapping_sub(self.first) as usize)?
            .take()
    }

    fn give_back(&mut self, handle: &Resource<Response>, exchange: Box<Exchange>) {
        let at = handle.rep().wrapping_sub(self.first) as usize;
        if let Some(place) = self.held.get_mut(at) {
            *place = Some(exchange);
        }
    }
}
