//! The demo's server: five routes over HTTP/1.1, on a thread of its own.
//!
//! It has its own thread and runtime so that its work never runs between two
//! polls of a virtual user: the figures of the demo are those of a client and a
//! server that share nothing but the machine.
//!
//! | route | answer |
//! |---|---|
//! | `/fast` | 200, 13 bytes of text |
//! | `/slow` | 200 after 50 to 150 ms |
//! | `/flaky` | 200, every 20th request 503 |
//! | `/json?page=N` | 200, a page of ten items as JSON; 400 if `N` is not a number |
//! | anything else | 404 |

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How many items are on one page of `/json`.
const ITEMS_PER_PAGE: u64 = 10;
/// Which of the requests to `/flaky` fail: every so manieth.
const FLAKY_PERIOD: u64 = 20;
/// How long to wait before accepting again when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A server on a free port of 127.0.0.1, running until it is stopped or dropped.
#[derive(Debug)]
pub struct DemoServer {
    address: SocketAddr,
    routes: Arc<Routes>,
    /// Dropped to ask the server's thread to end.
    stop: oneshot::Sender<Infallible>,
    /// Errs when the server's thread has ended all connections.
    stopped: oneshot::Receiver<Infallible>,
}

impl DemoServer {
    /// Binds a free port of 127.0.0.1 and serves it from a thread of its own.
    ///
    /// The server takes connections by the time this returns.
    ///
    /// # Errors
    /// If no port can be bound, or the thread or its runtime cannot be made.
    pub async fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };

        let routes = Arc::new(Routes::default());
        let (stop, stop_asked) = oneshot::channel::<Infallible>();
        let (end, stopped) = oneshot::channel::<Infallible>();
        let served = Arc::clone(&routes);
        thread::Builder::new()
            .name("demo-server".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, served, stop_asked));
                // Closes the sockets before `end` tells that they are closed.
                drop(runtime);
                drop(end);
            })?;

        Ok(Self {
            address,
            routes,
            stop,
            stopped,
        })
    }

    /// Returns the URL that every route hangs below, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests were answered so far, whatever their status.
    ///
    /// A request whose client went away before its answer was ready is not among
    /// them.
    pub fn requests(&self) -> u64 {
        self.routes.answered.load(Ordering::Relaxed)
    }

    /// Closes the port and all connections, and returns once that is done.
    ///
    /// Requests that are being answered are cut short.
    pub async fn stop(self) {
        drop(self.stop);
        // Nothing is ever sent: the channel closes when the thread ends.
        let _ = self.stopped.await;
    }
}

/// Accepts connections until `stop_asked` closes, then ends them all.
async fn serve(
    listener: TcpListener,
    routes: Arc<Routes>,
    mut stop_asked: oneshot::Receiver<Infallible>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop_asked => break,
            // Only an empty set gives `None`, which switches this branch off.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it the answer would wait for the client's delayed ACK.
                    let _ = stream.set_nodelay(true);
                    let routes = Arc::clone(&routes);
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let routes = Arc::clone(&routes);
                            async move { Ok::<_, Infallible>(routes.answer(&request).await) }
                        });
                        // A connection ends in an error when its client goes away
                        // in the middle of a request, which is the client's affair.
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                // Out of file descriptors: those of ended connections come back.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// The routes and what they count.
#[derive(Debug, Default)]
struct Routes {
    answered: AtomicU64,
    slow: AtomicU64,
    flaky: AtomicU64,
}

impl Routes {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let response = if request.method() == Method::GET {
            match request.uri().path() {
                "/fast" => text(StatusCode::OK, "hello, squall"),
                "/slow" => {
                    let turn = self.slow.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(slow_delay(turn)).await;
                    text(StatusCode::OK, "sorry to keep you waiting")
                }
                "/flaky" => {
                    let turn = self.flaky.fetch_add(1, Ordering::Relaxed) + 1;
                    if turn.is_multiple_of(FLAKY_PERIOD) {
                        text(StatusCode::SERVICE_UNAVAILABLE, "try again")
                    } else {
                        text(StatusCode::OK, "lucky")
                    }
                }
                "/json" => page(request.uri().query().unwrap_or_default()),
                _ => text(StatusCode::NOT_FOUND, "no such page"),
            }
        } else {
            text(StatusCode::NOT_FOUND, "no such page")
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        response
    }
}

/// Returns how long the `turn`th request to `/slow` takes: 50 to 150 ms.
///
/// Steps of the golden ratio (a Weyl sequence) spread any number of turns evenly
/// over the range without repeating.
fn slow_delay(turn: u64) -> Duration {
    let spread = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Duration::from_millis(50 + ((spread * 101) >> 32))
}

/// Answers `/json`: the page that `query` asks for, the first if it asks for none.
fn page(query: &str) -> Response<Full<Bytes>> {
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("page="));
    let number = match asked.map(str::parse::<u32>) {
        None => 1,
        Some(Ok(number)) => u64::from(number),
        Some(Err(_)) => return text(StatusCode::BAD_REQUEST, "page is not a number"),
    };
    let first = number * ITEMS_PER_PAGE;
    let items: Vec<_> = (first..first + ITEMS_PER_PAGE)
        .map(|id| {
            json!({
                "id": id,
                "name": format!("item {id}"),
                // Some price between 1.00 and 100.99 that belongs to the item.
                "price": (100 + id * 37 % 10_000) as f64 / 100.0,
            })
        })
        .collect();
    let body = json!({ "page": number, "items": items }).to_string();
    respond(StatusCode::OK, "application/json", Bytes::from(body))
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(body.as_bytes()),
    )
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use serde_json::Value;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;

    /// A client of plain HTTP; TLS needs a provider that nobody installed here.
    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new()
    }

    async fn get(client: &reqwest::Client, url: String) -> reqwest::Response {
        client.get(url).send().await.expect("the server runs")
    }

    #[tokio::test]
    async fn the_fast_route_answers_13_bytes_of_text() {
        let server = DemoServer::start().await.expect("a port is free");
        let response = get(&client(), server.base_url() + "/fast").await;
        assert_eq!(response.status(), 200);
        assert!(
            response.headers()["content-type"]
                .to_str()
                .expect("ASCII")
                .starts_with("text/plain")
        );
        assert_eq!(response.bytes().await.expect("a body").len(), 13);
        server.stop().await;
    }

    #[tokio::test]
    async fn the_slow_route_takes_at_least_50_ms() {
        let server = DemoServer::start().await.expect("a port is free");
        let started = Instant::now();
        let response = get(&client(), server.base_url() + "/slow").await;
        assert_eq!(response.status(), 200);
        assert!(started.elapsed() >= Duration::from_millis(50));
        server.stop().await;
    }

    #[test]
    fn slow_delays_spread_over_50_to_150_ms() {
        let delays: HashSet<_> = (0..1_000)
            .map(|turn| slow_delay(turn).as_millis())
            .collect();
        assert_eq!(delays.iter().min(), Some(&50));
        assert_eq!(delays.iter().max(), Some(&150));
        assert_eq!(delays.len(), 101);
    }

    #[tokio::test]
    async fn every_20th_flaky_request_fails() {
        let server = DemoServer::start().await.expect("a port is free");
        let client = client();
        let mut failed = Vec::new();
        for turn in 1..=45 {
            if get(&client, server.base_url() + "/flaky").await.status() == 503 {
                failed.push(turn);
            }
        }
        assert_eq!(failed, [20, 40]);
        server.stop().await;
    }

    #[tokio::test]
    async fn a_page_has_ten_items_of_its_own() {
        let server = DemoServer::start().await.expect("a port is free");
        let client = client();
        let mut ids = HashSet::new();
        for number in [1, 2] {
            let response = get(&client, format!("{}/json?page={number}", server.base_url())).await;
            assert_eq!(response.headers()["content-type"], "application/json");
            let text = response.text().await.expect("a body");
            let page: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(page["page"], number);
            for item in page["items"].as_array().expect("items") {
                assert!(item["name"].is_string());
                assert!(item["price"].as_f64().expect("a price") >= 1.0);
                ids.insert(item["id"].as_u64().expect("an id"));
            }
        }
        assert_eq!(ids.len(), 20);
        let bad = get(&client, server.base_url() + "/json?page=x").await;
        assert_eq!(bad.status(), 400);
        server.stop().await;
    }

    #[tokio::test]
    async fn anything_else_is_not_found() {
        let server = DemoServer::start().await.expect("a port is free");
        let client = client();
        assert_eq!(get(&client, server.base_url()).await.status(), 404);
        let posted = client
            .post(server.base_url() + "/fast")
            .body("x")
            .send()
            .await
            .expect("the server runs");
        assert_eq!(posted.status(), 404);
        server.stop().await;
    }

    #[tokio::test]
    async fn every_answer_is_counted() {
        let server = DemoServer::start().await.expect("a port is free");
        let client = client();
        for path in ["/fast", "/flaky", "/json?page=3", "/nothing"] {
            get(&client, server.base_url() + path).await;
        }
        assert_eq!(server.requests(), 4);
        server.stop().await;
    }

    #[tokio::test]
    async fn stopping_ends_connections_and_frees_the_port() {
        let server = DemoServer::start().await.expect("a port is free");
        let address = server.address;
        let mut idle = TcpStream::connect(address).await.expect("it listens");
        let waiting = tokio::spawn(client().get(server.base_url() + "/slow").send());
        while server.routes.slow.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }

        server.stop().await;

        assert!(waiting.await.expect("no panic").is_err());
        let mut rest = Vec::new();
        // Closed or reset, but not left open.
        let _ = idle.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        assert!(TcpStream::connect(address).await.is_err());
    }
}
