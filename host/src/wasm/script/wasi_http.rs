//! `wasi:http`: the requests of a script's ordinary HTTP client.
//!
//! A language's own client (`fetch`, or what a crate brings) knows nothing of
//! squall. Its requests are sent by the same client of the VU's as those of
//! `squall:script/http`, under the same rules, and are reported the same way.
//! wasmtime-wasi-http has the interfaces' handles and streams; here is what
//! becomes of a request once it leaves the guest.
//!
//! Both bodies are held whole: a request is sent when its body is finished, and
//! a response is measured when its last byte is here, however the script reads
//! it, or if it never does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body_util::{BodyExt, Full};
use rustc_hash::FxHashMap;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::http::{Terms, by_status, method_name, record};
use super::state::State;
use crate::event::Interests;
use crate::http::{Answer, Client, ErrorKind, Failure, Outgoing};
use crate::measure::Tag;
use crate::plan::HttpPlan;
use crate::stats::Marks;
use crate::units::{Bytes as Size, Pretty};
use crate::vu::Seat;

/// How much of a body a script can write before it sends the request, in pieces
/// of so many bytes.
const PIECES: usize = 16;
const PIECE: usize = 64 << 10;

/// What becomes of one instance's requests. Made at the first of them.
pub(super) struct Outlet {
    context: WasiHttpCtx,
    sender: Sender,
}

/// Sends requests, and knows which of them have not been reported.
struct Sender {
    seat: Seat,
    http: Arc<HttpPlan>,
    client: Arc<Client>,
    ledger: Arc<Ledger>,
    /// Where in the run the script is now.
    scene: Scene,
    /// No request and no response may have a longer body, in bytes, and so long
    /// may the responses be that the script holds.
    max_body: u64,
}

/// Where in a run a request was sent: what is reported with it.
#[derive(Clone)]
struct Scene {
    iteration: u32,
    lag: Option<Duration>,
    marks: Marks,
    /// Only of use, and only there, if somebody asked for single requests.
    tags: Vec<Tag>,
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let wanted = self.seat.run.feed.wants(Interests::REQUESTS);
        let scene = Scene {
            iteration: self.iteration,
            lag: self.lag,
            marks: self.marks(),
            tags: if wanted {
                self.tags_with(&[])
            } else {
                Vec::new()
            },
        };
        let outlet = match &mut self.outlet {
            Some(outlet) => {
                outlet.sender.scene = scene;
                outlet
            }
            none => none.insert(Box::new(Outlet {
                context: WasiHttpCtx::new(),
                sender: Sender {
                    seat: self.seat.clone(),
                    http: self.template.http.clone(),
                    client: self.client.clone(),
                    ledger: Arc::default(),
                    scene,
                    max_body: self.seat.run.plan.limits.vu_memory,
                },
            })),
        };
        WasiHttpCtxView {
            ctx: &mut outlet.context,
            hooks: &mut outlet.sender,
            table: &mut self.table,
        }
    }
}

impl Outlet {
    /// Reports the requests that the script gave up before they were answered.
    pub(super) fn end_iteration(&self) {
        self.report(|entry| entry.given_up_after.is_some());
    }

    /// Reports all that is under way as given up, since the instance ends.
    pub(super) fn end(&self) {
        self.report(|_| true);
    }

    fn report(&self, which: impl Fn(&Entry) -> bool) {
        for entry in self.sender.ledger.take(which) {
            let mut answer = Answer::unsent(Failure::new(
                ErrorKind::Other,
                "the script gave the request up before it was answered",
            ));
            answer.started = entry.started;
            answer.sample.duration = entry
                .given_up_after
                .unwrap_or_else(|| entry.started.elapsed());
            entry.report(&self.sender.seat, &answer, None);
        }
    }
}

impl WasiHttpHooks for Sender {
    fn set_host_header(&mut self) -> bool {
        // The client does, as the version of HTTP wants it.
        false
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        PIECES
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let target = super::with_targets(&self.http, |targets| targets.resolve(&url));
        let (name, url) = match &target {
            Ok(target) => (target.name.clone(), target.url.as_str().into()),
            Err(_) => (url.as_str().into(), url.as_str().into()),
        };
        let terms = Terms::plain(method_name(&head.method), name, url);
        let ticket = Ticket::new(&self.ledger, terms, self.scene.clone());
        let mut headers = head.headers;
        // How long the request is the client says itself.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        let timeout = options
            .and_then(|options| options.first_byte_timeout)
            .map_or(self.http.timeout, |timeout| timeout.min(self.http.timeout));
        let (client, seat, max_body) = (self.client.clone(), self.seat.clone(), self.max_body);
        Box::new(async move {
            let sent = async {
                let target = target?;
                let body = tokio::time::timeout(timeout, whole(body, max_body))
                    .await
                    .map_err(|_| unfinished(timeout))??;
                Ok(client
                    .send(Outgoing {
                        method: head.method,
                        target,
                        headers,
                        body,
                        timeout,
                        // A client that follows redirects asks for each.
                        max_redirects: 0,
                        discard_body: false,
                    })
                    .await)
            };
            let answer = sent.await.unwrap_or_else(Answer::unsent);
            ticket.answered(&seat, answer, max_body)
        })
    }
}

/// What the guest gets: a response, and nothing that goes on behind it.
type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

fn unfinished(timeout: Duration) -> Failure {
    Failure::new(
        ErrorKind::Timeout,
        format!(
            "the script did not finish the request's body within {}",
            Pretty(timeout)
        ),
    )
}

/// A request's body, once the script has finished it.
async fn whole(mut body: WasiBody, max_body: u64) -> Result<Bytes, Failure> {
    let invalid = |message| Failure::new(ErrorKind::InvalidRequest, message);
    let mut only = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            invalid("the script dropped the request's body before it was finished".to_owned())
        })?;
        let Ok(piece) = frame.into_data() else {
            // Trailers, which HTTP/1.1 has no use for here.
            continue;
        };
        if (only.len() + all.len() + piece.len()) as u64 > max_body {
            return Err(invalid(format!(
                "the request's body is larger than {} (`--vu-memory`)",
                Size(max_body)
            )));
        }
        if only.is_empty() && all.is_empty() {
            only = piece;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut only));
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { only } else { all.freeze() })
}

/// The requests of one instance that have not been reported, and how much its
/// responses hold. The requests' tasks and the instance share it; all of them run
/// on the VU's thread.
#[derive(Default)]
struct Ledger {
    entries: Mutex<(u64, FxHashMap<u64, Entry>)>,
    held: AtomicU64,
}

/// A request that has not been reported.
struct Entry {
    terms: Terms,
    scene: Scene,
    started: Instant,
    /// When the script gave it up, if it did.
    given_up_after: Option<Duration>,
}

impl Ledger {
    fn take(&self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = entries.1.extract_if(|_, entry| which(entry));
        let mut taken: Vec<Entry> = taken.map(|(_, entry)| entry).collect();
        taken.sort_by_key(|entry| entry.started);
        taken
    }
}

impl Entry {
    fn report(&self, seat: &Seat, answer: &Answer, failure: Option<&str>) {
        let by_status = by_status(answer, &self.terms);
        record(
            &seat.run,
            answer,
            &self.terms,
            failure.or(by_status.as_deref()),
            self.scene.lag,
            self.scene.marks,
            |row| {
                let place = row.place(&seat.scenario, seat.vu, self.scene.iteration);
                (place, row.tags(self.scene.tags.clone()))
            },
        );
    }
}

/// A request's place in the ledger. Dropped when the script lets go of the
/// request before it was answered.
struct Ticket {
    ledger: Arc<Ledger>,
    number: u64,
}

impl Ticket {
    fn new(ledger: &Arc<Ledger>, terms: Terms, scene: Scene) -> Self {
        let mut entries = ledger
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let number = entries.0;
        entries.0 += 1;
        let entry = Entry {
            terms,
            scene,
            started: Instant::now(),
            given_up_after: None,
        };
        entries.1.insert(number, entry);
        Self {
            ledger: ledger.clone(),
            number,
        }
    }

    /// Reports the answer and makes a response of it.
    fn answered(self, seat: &Seat, answer: Answer, max_body: u64) -> Sent {
        let held = Held::new(self.ledger.clone(), answer.body.clone(), max_body);
        let too_much = held.is_none().then(|| {
            let limit = Size(max_body);
            format!("the script holds responses of more than {limit} (`--vu-memory`)")
        });
        let entry = {
            let entries = &self.ledger.entries;
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.1.remove(&self.number)
        };
        // It is gone if the instance has ended and told of it.
        if let Some(entry) = entry {
            entry.report(seat, &answer, too_much.as_deref());
        }
        if let Some(failure) = answer.failure {
            return Err(error(failure));
        }
        let Some(held) = held else {
            return Err(Error::HttpResponseBodySize(Some(answer.body.len() as u64)));
        };
        let body = Full::new(Bytes::from_owner(held))
            .map_err(|never| match never {})
            .boxed_unsync();
        let mut response = http::Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(answer.sample.status)
            .map_err(|_| Error::HttpProtocolError)?;
        for (name, value) in answer.headers.iter() {
            if let (Ok(name), Ok(value)) = (
                http::HeaderName::from_bytes(name),
                http::HeaderValue::from_bytes(value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        Ok((response, Box::new(std::future::ready(Ok(())))))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let entries = &self.ledger.entries;
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.1.get_mut(&self.number) {
            entry.given_up_after = Some(entry.started.elapsed());
        }
    }
}

/// A response's body for as long as the script has a part of it.
struct Held {
    ledger: Arc<Ledger>,
    body: Bytes,
}

impl Held {
    /// `None` if the script's responses would hold more than `limit` bytes.
    fn new(ledger: Arc<Ledger>, body: Bytes, limit: u64) -> Option<Self> {
        let bytes = body.len() as u64;
        let before = ledger.held.fetch_add(bytes, Ordering::Relaxed);
        let held = Self { ledger, body };
        // What does not fit is taken off again when it is dropped, here.
        (before + bytes <= limit).then_some(held)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = self.body.len() as u64;
        self.ledger.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A failure as `wasi:http` has it.
fn error(failure: Failure) -> Error {
    match failure.kind {
        // That the URL is well formed was checked before.
        ErrorKind::InvalidRequest => Error::HttpRequestDenied,
        ErrorKind::Dns => Error::DnsError {
            rcode: Some(failure.message),
            info_code: None,
        },
        ErrorKind::Connect => Error::ConnectionRefused,
        ErrorKind::Tls => Error::TlsProtocolError,
        ErrorKind::Timeout => Error::HttpResponseTimeout,
        ErrorKind::Closed => Error::ConnectionTerminated,
        ErrorKind::TooManyRedirects | ErrorKind::Other => {
            Error::InternalError(Some(failure.message))
        }
    }
}
