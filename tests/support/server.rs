//! A real server on loopback that counts what reaches it.
//!
//! | route | answer |
//! |---|---|
//! | `/`, `/fast` | 200, a few bytes of text; `/` may be told to be slow or to fail |
//! | `/status/{code}` | that status |
//! | `/delay/{ms}` | 200 after so long |
//! | `/together/{n}` | 200 once n requests for it are waiting |
//! | `/redirect/{n}` | 302 to `/redirect/{n-1}`, at 0 a 200 |
//! | `/redirect-to?url=` | 302 to that URL |
//! | `/redirect-relative` | 302 to `echo`, without a slash |
//! | `/echo`, `/echo/{…}` | the request as JSON: method, path, query, headers, body |
//! | `/reflect` | 200, the request's body under its own content type, and its `x-…` headers |
//! | `/cookies/set?k=v` | 200, sets each pair as a cookie |
//! | `/cookies` | the cookies that came, as one JSON object |
//! | `/bytes/{n}` | that many bytes |
//! | `/json` | a nested JSON document |
//! | `/close` | closes the connection without an answer |
//! | `/drip?count=&interval=` | 200, a byte every so many ms |
//! | `/item/{id}` | a product as JSON |
//! | `/login`, `/basket`, `/checkout` | a small shop; `/login` sets a cookie |
//! | `/static/{…}` | 200, a kilobyte |
//! | `/row/{…}` | 200 |
//! | anything else | 404 |

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinSet;

use super::port;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A server on a port of its own, on a thread of its own.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    running: Option<Running>,
}

struct Running {
    /// Dropped to ask the thread to end.
    stop: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

/// What reached the server, over all the times it was up.
#[derive(Default)]
struct Seen {
    arrivals: Mutex<BTreeMap<String, Vec<Instant>>>,
    accepted: AtomicU64,
    open: AtomicUsize,
    /// How long the front page takes.
    front_page_ms: AtomicU64,
    front_page_fails: AtomicBool,
    /// Until when it answers no request for the front page.
    stalled: Mutex<Option<Instant>>,
    /// Where requests wait for each other, by how many it takes.
    barriers: Mutex<BTreeMap<usize, Arc<Barrier>>>,
}

impl Seen {
    fn arrivals(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Instant>>> {
        self.arrivals.lock().expect("no holder panics")
    }

    fn barrier(&self, count: usize) -> Arc<Barrier> {
        let mut barriers = self.barriers.lock().expect("no holder panics");
        let barrier = barriers.entry(count);
        Arc::clone(barrier.or_insert_with(|| Arc::new(Barrier::new(count))))
    }
}

impl Server {
    /// Starts a server; it takes connections by the time this returns.
    pub(crate) fn start() -> Self {
        Self::on(port::listen())
    }

    /// The same at another address of this machine.
    pub(crate) fn start_at(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0));
        Self::on(listener.expect("the address is this machine's"))
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound socket has one");
        let seen = Arc::default();
        let running = Some(Running::on(listener, &seen));
        Self {
            address,
            seen,
            running,
        }
    }

    /// The URL of `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Closes every connection and the port; returns once nobody is let in.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.stop);
            running.thread.join().expect("the server does not panic");
            port::wait_until_refused(self.address);
        }
    }

    /// Starts a stopped server again, on the port it had.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server is running");
        let listener = TcpListener::bind(self.address).expect("the port stays ours");
        self.running = Some(Running::on(listener, &self.seen));
    }

    /// How many requests came for `path`, the query not counted as a part of it.
    pub(crate) fn count(&self, path: &str) -> u64 {
        self.arrivals(path).len() as u64
    }

    /// How many requests came for all paths that begin with `prefix`.
    pub(crate) fn count_below(&self, prefix: &str) -> u64 {
        let arrivals = self.seen.arrivals();
        let below = arrivals.iter().filter(|(path, _)| path.starts_with(prefix));
        below.map(|(_, times)| times.len() as u64).sum()
    }

    /// The paths that begin with `prefix` for which requests came, each as often
    /// as one came, sorted.
    pub(crate) fn paths_below(&self, prefix: &str) -> Vec<String> {
        let arrivals = self.seen.arrivals();
        let below = arrivals.iter().filter(|(path, _)| path.starts_with(prefix));
        below
            .flat_map(|(path, times)| std::iter::repeat_n(path.clone(), times.len()))
            .collect()
    }

    /// How many requests came.
    pub(crate) fn total(&self) -> u64 {
        self.count_below("")
    }

    /// When the requests for `path` came, in order.
    pub(crate) fn arrivals(&self, path: &str) -> Vec<Instant> {
        self.seen.arrivals().get(path).cloned().unwrap_or_default()
    }

    /// Makes `/` answer only after so long.
    pub(crate) fn slow_front_page(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("no test waits for ages");
        self.seen.front_page_ms.store(delay, Ordering::SeqCst);
    }

    /// Answers no request for `/` for so long from now on: since when.
    pub(crate) fn stall(&self, time: Duration) -> Instant {
        let now = Instant::now();
        *self.seen.stalled.lock().expect("no holder panics") = Some(now + time);
        now
    }

    /// Makes `/` answer with 500, or no longer.
    pub(crate) fn break_front_page(&self, is_broken: bool) {
        self.seen
            .front_page_fails
            .store(is_broken, Ordering::SeqCst);
    }

    /// How many connections were ever accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn on(listener: TcpListener, seen: &Arc<Seen>) -> Self {
        listener.set_nonblocking(true).expect("a TCP socket can");
        let seen = Arc::clone(seen);
        let (stop, stop_asked) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("descriptors are left");
            runtime.block_on(serve(listener, &seen, stop_asked));
        });
        Self { stop, thread }
    }
}

async fn serve(
    listener: TcpListener,
    seen: &Arc<Seen>,
    mut stop_asked: oneshot::Receiver<Infallible>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it is non-blocking");
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            _ = &mut stop_asked => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted.expect("descriptors are left"),
        };
        stream.set_nodelay(true).expect("a TCP socket can");
        seen.accepted.fetch_add(1, Ordering::SeqCst);
        let open = Open::new(seen);
        connections.spawn(async move {
            let seen = Arc::clone(&open.0);
            let service = service_fn(move |request| answer(Arc::clone(&seen), request));
            // Ends in an error at `/close`, and when the client goes away.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(open);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// Counts as an open connection while it lives.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What `/close` ends its connection with.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

async fn answer(seen: Arc<Seen>, request: Request<Incoming>) -> Result<Answer, Closed> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    seen.arrivals()
        .entry(path.clone())
        .or_default()
        .push(Instant::now());

    let mut segments = path.trim_start_matches('/').split('/');
    let first = segments.next().unwrap_or_default();
    let second = segments.next().unwrap_or_default();
    let answer = match first {
        "" => {
            let stalled = *seen.stalled.lock().expect("no holder panics");
            if let Some(until) = stalled {
                tokio::time::sleep_until(until.into()).await;
            }
            let delay = seen.front_page_ms.load(Ordering::SeqCst);
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            match seen.front_page_fails.load(Ordering::SeqCst) {
                false => text(StatusCode::OK, "hello, world\n"),
                true => text(StatusCode::INTERNAL_SERVER_ERROR, "broken\n"),
            }
        }
        "fast" => text(StatusCode::OK, "hello, world\n"),
        "status" => match second.parse().ok().map(StatusCode::from_u16) {
            Some(Ok(status)) => text(status, "as you wish\n"),
            _ => text(StatusCode::BAD_REQUEST, "no such status\n"),
        },
        "delay" => {
            let delay = second.parse().unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            text(StatusCode::OK, "late\n")
        }
        "together" => {
            seen.barrier(second.parse().unwrap_or(1)).wait().await;
            text(StatusCode::OK, "all here\n")
        }
        "redirect" => match second.parse::<u64>() {
            Ok(0) => text(StatusCode::OK, "arrived\n"),
            Ok(left) => redirect(&format!("/redirect/{}", left - 1)),
            Err(_) => text(StatusCode::BAD_REQUEST, "not a number\n"),
        },
        "redirect-to" => redirect(&parameter(&query, "url").unwrap_or_default()),
        "redirect-relative" => redirect("echo"),
        "echo" => echo(request).await,
        "reflect" => reflect(request).await,
        "cookies" if second == "set" => set_cookies(&query),
        "cookies" => json_answer(&cookies(&request)),
        "bytes" => bytes_answer(second.parse().unwrap_or(0)),
        "json" => json_answer(&json!({
            "title": "a document",
            "count": 3,
            "nothing": null,
            "items": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}, {"id": 3, "name": "three"}],
            "nested": {"a/b": true, "deep": {"er": "still"}},
        })),
        "close" => return Err(Closed),
        "drip" => drip(&query),
        "item" => match second.parse::<u64>() {
            Ok(id) => json_answer(&json!({"id": id, "name": format!("item {id}"), "price": 9.5})),
            Err(_) => text(StatusCode::NOT_FOUND, "no such item\n"),
        },
        "login" => {
            let mut answer = json_answer(&json!({"token": "t0ken", "user": "someone"}));
            let cookie = HeaderValue::from_static("session=t0ken; Path=/");
            answer.headers_mut().insert(SET_COOKIE, cookie);
            answer
        }
        "basket" => json_answer(&json!({"items": 1, "total": 9.5})),
        "checkout" => json_answer(&json!({"order": 4711, "state": "accepted"})),
        "static" => bytes_answer(1_024),
        "row" => text(StatusCode::OK, "noted\n"),
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    };
    Ok(answer)
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    let body = Bytes::from_static(body.as_bytes());
    respond(status, "text/plain; charset=utf-8", body)
}

fn json_answer(value: &Value) -> Answer {
    let body = Bytes::from(value.to_string());
    respond(StatusCode::OK, "application/json", body)
}

fn bytes_answer(count: usize) -> Answer {
    let body = Bytes::from(vec![b'x'; count]);
    respond(StatusCode::OK, "application/octet-stream", body)
}

fn redirect(location: &str) -> Answer {
    let mut answer = text(StatusCode::FOUND, "elsewhere\n");
    match HeaderValue::from_str(location) {
        Ok(location) => {
            answer.headers_mut().insert(LOCATION, location);
            answer
        }
        Err(_) => text(StatusCode::BAD_REQUEST, "not a location\n"),
    }
}

async fn echo(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return text(StatusCode::BAD_REQUEST, "the body broke off\n");
    };
    let mut headers = Map::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .entry(name.as_str())
            .and_modify(|known| {
                *known = Value::from(format!("{}, {value}", known.as_str().unwrap_or_default()))
            })
            .or_insert(Value::from(value.clone()));
    }
    json_answer(&json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body.to_bytes()),
    }))
}

async fn reflect(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return text(StatusCode::BAD_REQUEST, "the body broke off\n");
    };
    let mut answer = Response::new(Full::new(body.to_bytes()).boxed_unsync());
    if let Some(content_type) = parts.headers.get(CONTENT_TYPE) {
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, content_type.clone());
    }
    for (name, value) in &parts.headers {
        if name.as_str().starts_with("x-") {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

fn set_cookies(query: &str) -> Answer {
    let mut answer = text(StatusCode::OK, "set\n");
    for pair in query.split('&').filter(|pair| pair.contains('=')) {
        let Ok(cookie) = HeaderValue::from_str(&format!("{pair}; Path=/")) else {
            return text(StatusCode::BAD_REQUEST, "not a cookie\n");
        };
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

fn cookies(request: &Request<Incoming>) -> Value {
    let mut cookies = Map::new();
    for line in request.headers().get_all(COOKIE) {
        let line = String::from_utf8_lossy(line.as_bytes());
        for (name, value) in line.split(';').filter_map(|pair| pair.split_once('=')) {
            cookies.insert(name.trim().to_owned(), Value::from(value.trim()));
        }
    }
    Value::Object(cookies)
}

fn drip(query: &str) -> Answer {
    let number = |name, default| {
        parameter(query, name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let interval = Duration::from_millis(number("interval", 100));
    let bytes = stream::unfold(number("count", 10), move |left| async move {
        let next = left.checked_sub(1)?;
        tokio::time::sleep(interval).await;
        Some((Ok(Frame::data(Bytes::from_static(b"."))), next))
    });
    Response::new(StreamBody::new(bytes).boxed_unsync())
}

/// The value of `name` in a query, its `%XX` decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(known, value)| (known == name).then_some(value))?;
    let mut decoded = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

/// The server is what every other test believes, so it is tested itself.
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// Sends `head` (a request line and headers) with `body` on a connection of
    /// its own and returns all that comes back.
    fn exchange(server: &Server, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(server.address).expect("it listens");
        write!(
            stream,
            "{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }

    #[test]
    fn the_server_counts_by_path_and_not_by_query() {
        let server = Server::start();
        for path in ["/fast", "/fast?a=1", "/item/1", "/item/2"] {
            assert!(exchange(&server, &format!("GET {path} HTTP/1.1"), "").contains("200 OK"));
        }
        assert_eq!(server.count("/fast"), 2);
        assert_eq!(server.count_below("/item/"), 2);
        assert_eq!((server.total(), server.accepted()), (4, 4));
    }

    #[test]
    fn the_server_echoes_a_request() {
        let server = Server::start();
        let answer = exchange(
            &server,
            "PUT /echo?q=1 HTTP/1.1\r\nX-A: b\r\nX-A: c",
            "body",
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let echo: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(echo["method"], "PUT");
        assert_eq!(echo["path"], "/echo");
        assert_eq!(echo["query"], "q=1");
        assert_eq!(echo["headers"]["x-a"], "b, c");
        assert_eq!(echo["body"], "body");
    }

    #[test]
    fn the_server_redirects_closes_and_drips() {
        let server = Server::start();
        let redirected = exchange(&server, "GET /redirect/3 HTTP/1.1", "");
        assert!(redirected.contains("location: /redirect/2"));
        let elsewhere = exchange(
            &server,
            "GET /redirect-to?url=http%3A%2F%2Fa%2Fb HTTP/1.1",
            "",
        );
        assert!(elsewhere.contains("location: http://a/b"));
        assert_eq!(exchange(&server, "GET /close HTTP/1.1", ""), "");
        let dripped = exchange(&server, "GET /drip?count=3&interval=1 HTTP/1.1", "");
        assert_eq!(dripped.matches("\r\n.\r\n").count(), 3);
    }

    #[test]
    fn the_server_sets_and_shows_cookies() {
        let server = Server::start();
        let set = exchange(&server, "GET /cookies/set?a=1&b=2 HTTP/1.1", "");
        assert!(set.contains("set-cookie: a=1; Path=/") && set.contains("set-cookie: b=2; Path=/"));
        let shown = exchange(&server, "GET /cookies HTTP/1.1\r\ncookie: a=1; b=2", "");
        assert!(shown.ends_with(r#"{"a":"1","b":"2"}"#));
    }

    #[test]
    fn the_server_stops_and_comes_back_on_its_port() {
        let mut server = Server::start();
        let mut idle = TcpStream::connect(server.address).expect("it listens");
        while server.open_connections() == 0 {
            thread::yield_now();
        }
        server.stop();
        assert_eq!(server.open_connections(), 0);
        assert_eq!(idle.read(&mut [0]).expect("closed in order"), 0);
        assert!(TcpStream::connect(server.address).is_err());
        server.start_again();
        assert!(exchange(&server, "GET / HTTP/1.1", "").contains("hello, world"));
    }
}
