//! One VU's client.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::body::Incoming;
use rustls::ClientConfig;
use url::Url;

use super::answer::{Answer, ErrorKind, Failure};
use super::connect::{ConnectLog, Opened};
use super::cookies::Jar;
use super::dns::Resolver;
use super::plain::{Answered, Lane, Pool};
use super::target::{self, Target};
use super::tls;
use crate::measure::{Phases, RequestSample};
use crate::plan::HttpPlan;
use crate::units::{Bytes as Size, Pretty};

/// What all VUs' clients share.
#[derive(Debug, Clone)]
pub struct Factory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resolver: Arc<Resolver>,
    tls: ClientConfig,
    allow_hosts: Option<Vec<String>>,
    max_body: u64,
}

/// A request, ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Arc<Target>,
    /// The headers the script set.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// How long it may take, connecting and body included.
    pub timeout: Duration,
    /// How many redirects to follow; 0 returns the redirect itself.
    pub max_redirects: u32,
    /// Whether the body is read off the wire but not kept.
    pub discard_body: bool,
}

impl Factory {
    /// A factory for a plan. No response body may be larger than `max_body`
    /// bytes if it is to be kept.
    pub fn new(plan: &HttpPlan, max_body: u64) -> Self {
        Self(Arc::new(Shared {
            resolver: Arc::default(),
            tls: tls::base_config(plan.insecure_tls),
            allow_hosts: plan.allow_hosts.clone(),
            max_body,
        }))
    }

    /// A client for one VU, without a connection yet. Its connections belong
    /// to the runtime on which it is first used.
    pub fn client(&self) -> Client {
        Client {
            shared: self.0.clone(),
            pool: Pool::default(),
            jar: Jar::default(),
            secure: OnceLock::new(),
        }
    }
}

/// One VU's client: its connections, cookies and TLS sessions.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    pool: Pool,
    jar: Jar,
    /// Made when the first request over TLS is sent.
    secure: OnceLock<Result<Secure, String>>,
}

/// The part of a client that speaks TLS.
#[derive(Debug)]
struct Secure {
    client: reqwest::Client,
    connects: ConnectLog,
}

impl Client {
    /// Sends a request, follows its redirects and reads the body. Always ends
    /// within the request's timeout.
    pub async fn send(&self, outgoing: Outgoing) -> Answer {
        let timeout = outgoing.timeout;
        let mut exchange = Exchange::new();
        let limit = tokio::time::Instant::from_std(exchange.answer.started + timeout);
        let done = tokio::time::timeout_at(limit, self.exchange(outgoing, &mut exchange)).await;
        let failure = match done {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::new(
                ErrorKind::Timeout,
                format!("no complete response within {}", Pretty(timeout)),
            )),
        };
        exchange.finish(failure)
    }

    async fn exchange(&self, outgoing: Outgoing, exchange: &mut Exchange) -> Result<(), Failure> {
        let Outgoing {
            mut method,
            mut target,
            mut headers,
            mut body,
            max_redirects,
            ..
        } = outgoing;
        let mut redirects = 0;
        loop {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = target.uri.clone();
            *request.headers_mut() = self.all_headers(&target, &headers);
            exchange.count_sent(&request, body.len());
            let mut reading = match &target.origin {
                Some(origin) => {
                    let sent = self.pool.send(origin, &self.shared.resolver, request).await;
                    let Answered {
                        response,
                        lane,
                        opened,
                    } = sent?;
                    exchange.opened = opened.or(exchange.opened);
                    let (head, body) = response.into_parts();
                    exchange.head(head.status, head.headers);
                    Reading::Plain(Box::new((body, lane)))
                }
                None => {
                    let secure = self.secure()?;
                    let began = Instant::now();
                    let mut sent = reqwest::Request::new(method.clone(), target.url.clone());
                    *sent.headers_mut() = std::mem::take(request.headers_mut());
                    if !body.is_empty() {
                        *sent.body_mut() = Some(body.clone().into());
                    }
                    // Boxed, as is everything large that few requests need: the
                    // hot path's state stays small.
                    let response = Box::pin(secure.client.execute(sent)).await;
                    exchange.opened = secure.connects.take_since(began).or(exchange.opened);
                    let mut response = response.map_err(|error| Failure::from_reqwest(&error))?;
                    let headers = std::mem::take(response.headers_mut());
                    exchange.head(response.status(), headers);
                    Reading::Secure(response)
                }
            };
            self.jar.store(&exchange.answer.headers, &target.url);
            let next = match max_redirects {
                0 => None,
                _ => redirection(&exchange.answer, &target.url),
            };
            let Some(next) = next else {
                exchange.answer.url = Some(target.url.clone());
                self.read(&mut reading, outgoing.discard_body, exchange)
                    .await?;
                self.give_back(reading);
                return Ok(());
            };
            if redirects == max_redirects {
                return Err(Failure::new(
                    ErrorKind::TooManyRedirects,
                    format!("more than {max_redirects} redirects"),
                ));
            }
            redirects += 1;
            target::check(&next, self.shared.allow_hosts.as_deref())?;
            // The body of a redirect is of no use, but reading it frees the
            // connection for the next request.
            self.read(&mut reading, true, exchange).await?;
            self.give_back(reading);
            // As in browsers (Fetch, section 4.4): 303, and a POST that is
            // moved, become a GET without a body.
            let status = exchange.answer.sample.status;
            let becomes_get = status == 303 && method != Method::HEAD
                || matches!(status, 301 | 302) && method == Method::POST;
            if becomes_get {
                method = Method::GET;
                body = Bytes::new();
                for name in [
                    header::CONTENT_TYPE,
                    header::CONTENT_LENGTH,
                    header::CONTENT_ENCODING,
                    header::CONTENT_LANGUAGE,
                ] {
                    headers.remove(name);
                }
            }
            if next.origin() != target.url.origin() {
                for name in [
                    header::AUTHORIZATION,
                    header::COOKIE,
                    header::PROXY_AUTHORIZATION,
                    header::HOST,
                ] {
                    headers.remove(name);
                }
            }
            target = Arc::new(Target::new(next, target.name.clone())?);
        }
    }

    /// The script's headers, those that every request has, and the cookies.
    fn all_headers(&self, target: &Target, own: &HeaderMap) -> HeaderMap {
        let mut headers = target.headers.clone();
        for name in own.keys() {
            headers.remove(name);
        }
        for (name, value) in own {
            headers.append(name, value.clone());
        }
        if !own.contains_key(header::COOKIE)
            && let Some(cookies) = self.jar.header(&target.url)
        {
            headers.insert(header::COOKIE, cookies);
        }
        headers
    }

    fn secure(&self) -> Result<&Secure, Failure> {
        let made = self.secure.get_or_init(|| {
            let connects = ConnectLog::default();
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured(tls::for_one_vu(&self.shared.tls))
                .dns_resolver(self.shared.resolver.clone())
                .connector_layer(connects.clone())
                // Redirects are followed here, since each request has its own
                // limit.
                .redirect(reqwest::redirect::Policy::none())
                // The environment must not send the load elsewhere.
                .no_proxy()
                .referer(false)
                // A timer per VU would only close what the VU needs again.
                .pool_idle_timeout(None)
                .build()
                .map_err(|error| format!("cannot set up TLS: {error}"))?;
            Ok(Secure { client, connects })
        });
        made.as_ref()
            .map_err(|message| Failure::new(ErrorKind::Tls, message.clone()))
    }

    /// Reads the body.
    async fn read(
        &self,
        reading: &mut Reading,
        discard: bool,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let max_body = self.shared.max_body;
        let too_large = || {
            Failure::new(
                ErrorKind::Other,
                format!(
                    "the body is larger than {}; use `discard-body`",
                    Size(max_body)
                ),
            )
        };
        // Most bodies come in one piece, which is then not copied.
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(piece) = reading.piece().await? {
            exchange.answer.sample.received_bytes += piece.len() as u64;
            if discard {
                continue;
            }
            if (first.len().max(rest.len()) + piece.len()) as u64 > max_body {
                return Err(too_large());
            }
            if first.is_empty() {
                first = piece;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&piece);
            }
        }
        exchange.answer.body = if rest.is_empty() {
            first
        } else {
            rest.freeze()
        };
        Ok(())
    }

    fn give_back(&self, reading: Reading) {
        if let Reading::Plain(plain) = reading {
            self.pool.give_back(plain.1);
        }
    }
}

/// A response whose body is being read.
enum Reading {
    Plain(Box<(Incoming, Lane)>),
    Secure(reqwest::Response),
}

impl Reading {
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Plain(plain) => {
                let (body, lane) = &mut **plain;
                lane.piece(body).await
            }
            Self::Secure(response) => response.chunk().await.map_err(|error| {
                let failure = Failure::from_reqwest(&error);
                match failure.kind {
                    ErrorKind::Other => Failure {
                        kind: ErrorKind::Closed,
                        ..failure
                    },
                    _ => failure,
                }
            }),
        }
    }
}

/// Where a response sends the client, if it does.
fn redirection(answer: &Answer, url: &Url) -> Option<Url> {
    if !matches!(answer.sample.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get(header::LOCATION)?;
    let mut next = url
        .join(std::str::from_utf8(location.as_bytes()).ok()?)
        .ok()?;
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Some(next)
}

/// A request under way: what is known of its answer so far.
struct Exchange {
    answer: Answer,
    /// The connection that was opened for it, if one was.
    opened: Option<Opened>,
    /// The bytes of the last request, in case it never left.
    last_sent: u64,
}

impl Exchange {
    fn new() -> Self {
        Self {
            answer: Answer {
                started: Instant::now(),
                sample: RequestSample::default(),
                first_byte: None,
                url: None,
                headers: HeaderMap::new(),
                body: Bytes::new(),
                failure: None,
            },
            opened: None,
            last_sent: 0,
        }
    }

    /// Counts a request's bytes as HTTP/1.1 writes them.
    fn count_sent(&mut self, request: &Request<Full<Bytes>>, body: usize) {
        const LINE: usize = "  HTTP/1.1\r\n\r\n".len();
        const LENGTH: usize = "content-length: \r\n".len();
        let uri = request.uri();
        let path = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
        let length = match body {
            0 => 0,
            body => LENGTH + body.ilog10() as usize + 1,
        };
        let head = request.method().as_str().len() + path + LINE + length;
        let bytes = head + header_bytes(request.headers()) + body;
        self.last_sent = bytes as u64;
        self.answer.sample.sent_bytes += self.last_sent;
    }

    /// Notes that the head of a response came.
    fn head(&mut self, status: http::StatusCode, headers: HeaderMap) {
        const LINE: u64 = "HTTP/1.1 200 OK\r\n\r\n".len() as u64;
        let answer = &mut self.answer;
        answer.first_byte = Some(answer.started.elapsed());
        answer.sample.status = status.as_u16();
        answer.sample.received_bytes += LINE + header_bytes(&headers) as u64;
        answer.headers = headers;
    }

    fn finish(self, failure: Option<Failure>) -> Answer {
        let Self {
            mut answer,
            opened,
            last_sent,
        } = self;
        let duration = answer.started.elapsed();
        let until_ready = opened
            .map(|opened| opened.at.saturating_duration_since(answer.started))
            .unwrap_or_default();
        answer.sample.duration = duration;
        answer.sample.phases = Phases {
            connecting: opened.map(|opened| opened.connecting),
            tls: opened.and_then(|opened| opened.tls),
            waiting: answer
                .first_byte
                .map(|first| first.saturating_sub(until_ready)),
            receiving: answer
                .first_byte
                .filter(|_| failure.is_none())
                .map(|first| duration.saturating_sub(first)),
        };
        let kind = failure.as_ref().map(|failure| failure.kind);
        if let Some(ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Tls) = kind {
            // Without a connection nothing was sent.
            answer.sample.sent_bytes -= last_sent;
        }
        if failure.is_some() {
            // Half a response is none.
            answer.sample.status = 0;
            answer.headers.clear();
        }
        answer.failure = failure;
        answer
    }
}

fn header_bytes(headers: &HeaderMap<HeaderValue>) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS)
        .sum()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;

    use super::super::Targets;
    use super::*;

    /// A server that reads a request on each connection and answers it with
    /// the next of `answers`, on one connection after the other. An answer
    /// that is empty closes the connection.
    async fn server(answers: &[&str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let serving = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                heard.push(request(&mut stream).await);
                // The client may be gone: it timed out.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            heard
        });
        (address, serving)
    }

    async fn request(stream: &mut TcpStream) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.expect("a request") == 0 {
                break;
            }
            heard.push(byte[0]);
        }
        String::from_utf8(heard).expect("a head in ASCII")
    }

    fn plan() -> HttpPlan {
        HttpPlan {
            base_url: None,
            timeout: Duration::from_secs(10),
            allow_hosts: None,
            insecure_tls: false,
        }
    }

    fn get(url: &str) -> Outgoing {
        Outgoing {
            method: Method::GET,
            target: Targets::new(&plan()).resolve(url).expect("a URL"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            max_redirects: 10,
            discard_body: false,
        }
    }

    fn client(plan: &HttpPlan, max_body: u64) -> Client {
        Factory::new(plan, max_body).client()
    }

    async fn answered(outgoing: Outgoing) -> Answer {
        client(&plan(), 1 << 20).send(outgoing).await
    }

    fn kind(answer: &Answer) -> Option<ErrorKind> {
        answer.failure.as_ref().map(|failure| failure.kind)
    }

    #[tokio::test]
    async fn the_bytes_counted_are_the_bytes_on_the_wire() {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello";
        let (address, serving) = server(&[ANSWER]).await;
        let answer = answered(get(&format!("http://{address}/a?b=c"))).await;
        let heard = serving.await.expect("it served").remove(0);
        assert_eq!(&*answer.body, b"hello");
        assert_eq!(answer.sample.received_bytes, ANSWER.len() as u64);
        assert_eq!(answer.sample.sent_bytes, heard.len() as u64, "{heard}");
        let phases = answer.sample.phases;
        assert!(phases.connecting.is_some() && phases.tls.is_none());
        assert!(phases.waiting.is_some() && phases.receiving.is_some());
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_told_from_one_that_never_was() {
        let (address, _serving) =
            server(&["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"]).await;
        let url = format!("http://{address}/");
        for _ in 0..2 {
            let answer = answered(get(&url)).await;
            assert_eq!(kind(&answer), Some(ErrorKind::Closed), "{answer:?}");
            assert_eq!(answer.sample.status, 0);
            assert!(answer.body.is_empty());
        }
        let answer = answered(get(&url)).await;
        assert_eq!(kind(&answer), Some(ErrorKind::Connect));
        assert_eq!(answer.sample.sent_bytes, 0);
        let message = answer.failure.expect("a failure").message;
        assert_eq!(
            message,
            format!("cannot connect to {address}: connection refused")
        );
    }

    #[tokio::test]
    async fn a_host_without_an_address_is_a_failed_lookup() {
        let answer = answered(get("http://no-such-host.invalid/")).await;
        assert_eq!(kind(&answer), Some(ErrorKind::Dns), "{answer:?}");
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_an_error_unless_it_is_discarded() {
        const KNOWN: &str =
            "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n12345678";
        const UNKNOWN: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12345678";
        let (address, _serving) = server(&[KNOWN, UNKNOWN, KNOWN]).await;
        let client = client(&plan(), 4);
        let url = format!("http://{address}/");
        for _ in 0..2 {
            let answer = client.send(get(&url)).await;
            let message = answer.failure.expect("a failure").message;
            assert!(message.contains("larger than 4 B"), "{message}");
        }
        let outgoing = Outgoing {
            discard_body: true,
            ..get(&url)
        };
        let answer = client.send(outgoing).await;
        assert_eq!((answer.failure, answer.sample.status), (None, 200));
    }

    #[tokio::test]
    async fn a_redirect_to_another_host_takes_no_secrets_along() {
        let (there, arrived) = server(&["HTTP/1.1 204 No Content\r\n\r\n"]).await;
        let moved =
            format!("HTTP/1.1 307 Moved\r\nlocation: http://{there}/\r\ncontent-length: 0\r\n\r\n");
        let (here, _serving) = server(&[&moved]).await;
        let mut outgoing = get(&format!("http://{here}/"));
        outgoing
            .headers
            .insert(header::AUTHORIZATION, HeaderValue::from_static("secret"));
        outgoing
            .headers
            .insert("x-kept", HeaderValue::from_static("yes"));
        let answer = answered(outgoing).await;
        assert_eq!(answer.sample.status, 204);
        assert_eq!(
            answer.url.expect("it answered").as_str(),
            format!("http://{there}/")
        );
        let heard = arrived.await.expect("it served").remove(0);
        assert!(
            heard.contains("x-kept: yes") && !heard.contains("secret"),
            "{heard}"
        );
    }

    #[tokio::test]
    async fn a_redirect_to_a_host_that_is_not_allowed_is_refused() {
        let (address, _serving) = server(&[
            "HTTP/1.1 302 Found\r\nlocation: http://other.test/\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let plan = HttpPlan {
            allow_hosts: Some(vec!["127.0.0.1".into()]),
            ..plan()
        };
        let answer = client(&plan, 4)
            .send(get(&format!("http://{address}/")))
            .await;
        assert_eq!(kind(&answer), Some(ErrorKind::InvalidRequest));
    }

    /// A TLS server with a certificate of its own that answers every request.
    async fn secure_server() -> SocketAddr {
        let certified =
            rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
        let key =
            rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await;
                let _ = stream.shutdown().await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_tls_handshake_is_timed_apart_from_connecting() {
        let address = secure_server().await;
        let plan = HttpPlan {
            insecure_tls: true,
            ..plan()
        };
        let answer = client(&plan, 4)
            .send(get(&format!("https://localhost:{}/", address.port())))
            .await;
        assert_eq!((answer.failure, answer.sample.status), (None, 200));
        let phases = answer.sample.phases;
        let (connecting, tls) = (
            phases.connecting.expect("opened"),
            phases.tls.expect("shaken"),
        );
        assert!(!tls.is_zero());
        assert!(connecting + tls <= answer.sample.duration);
    }

    #[tokio::test]
    async fn a_certificate_of_nobodys_is_refused() {
        let address = secure_server().await;
        let answer = answered(get(&format!("https://localhost:{}/", address.port()))).await;
        assert_eq!(kind(&answer), Some(ErrorKind::Tls), "{answer:?}");
    }
}
