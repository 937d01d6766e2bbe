//! One VU's client.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use rustls::ClientConfig;
use url::{Position, Url};

use super::alarm::Alarm;
use super::answer::{Answer, ErrorKind, Failure};
use super::connect::ConnectLog;
use super::cookies::Jar;
use super::dns::Resolver;
use super::headers::Headers;
use super::plain::{Course, Pool, Sending};
use super::target::{self, Origin, Target};
use super::tls;
use super::wire::{self, Reception, Wanted};
use crate::measure::{Phases, RequestSample};
use crate::plan::HttpPlan;
use crate::units::Pretty;

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
            alarm: Alarm::default(),
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
    alarm: Alarm,
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
        let limit = exchange.answer.started + timeout;
        let done = self
            .alarm
            .within(limit, self.exchange(outgoing, &mut exchange))
            .await;
        let failure = match done {
            Some(Ok(())) => None,
            Some(Err(failure)) => Some(failure),
            None => Some(Failure::new(
                ErrorKind::Timeout,
                format!("no complete response within {}", Pretty(timeout)),
            )),
        };
        exchange.finish(failure)
    }

    async fn exchange(
        &self,
        mut outgoing: Outgoing,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let mut redirects = 0;
        loop {
            match &outgoing.target.origin {
                Some(origin) => self.over_plain(origin, &outgoing, exchange).await?,
                // Boxed: the hot path's state stays small.
                None => Box::pin(self.over_tls(&outgoing, exchange)).await?,
            }
            let url = &outgoing.target.url;
            self.jar.store(&exchange.answer.headers, url);
            let next = match outgoing.max_redirects {
                0 => None,
                _ => redirection(&exchange.answer, url),
            };
            let Some(next) = next else {
                exchange.answer.target = Some(outgoing.target);
                return Ok(());
            };
            if redirects == outgoing.max_redirects {
                let message = format!("more than {redirects} redirects");
                return Err(Failure::new(ErrorKind::TooManyRedirects, message));
            }
            redirects += 1;
            self.redirect(&mut outgoing, next, exchange.answer.sample.status)?;
        }
    }

    /// Turns a request into the one that a redirect asks for.
    fn redirect(&self, outgoing: &mut Outgoing, next: Url, status: u16) -> Result<(), Failure> {
        target::check(&next, self.shared.allow_hosts.as_deref())?;
        let Outgoing {
            method,
            target,
            headers,
            body,
            ..
        } = outgoing;
        // As in browsers (Fetch, section 4.4): 303, and a POST that is
        // moved, become a GET without a body.
        let becomes_get = status == 303 && *method != Method::HEAD
            || matches!(status, 301 | 302) && *method == Method::POST;
        if becomes_get {
            *method = Method::GET;
            *body = Bytes::new();
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
        *target = Arc::new(Target::new(next, target.name.clone())?);
        Ok(())
    }

    /// Sends a request over plain HTTP and receives its response.
    async fn over_plain(
        &self,
        origin: &Arc<Origin>,
        outgoing: &Outgoing,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let sending = Sending {
            method: &outgoing.method,
            target: &outgoing.target,
            headers: &outgoing.headers,
            cookies: self.cookies(outgoing),
            body: outgoing.body.clone(),
        };
        let mut reception = Reception::new(Wanted {
            head_only: outgoing.method == Method::HEAD,
            body: !outgoing.discard_body,
            max_body: self.shared.max_body,
            follow: outgoing.max_redirects > 0,
        });
        let course = &mut exchange.course;
        let received = self
            .pool
            .send(
                origin,
                &self.shared.resolver,
                &sending,
                &mut reception,
                course,
            )
            .await;
        let answer = &mut exchange.answer;
        answer.sample.status = reception.status;
        answer.body = reception.take_body();
        answer.headers = reception.headers;
        received
    }

    /// Sends a request over TLS and receives its response.
    async fn over_tls(&self, outgoing: &Outgoing, exchange: &mut Exchange) -> Result<(), Failure> {
        let secure = self.secure()?;
        let began = Instant::now();
        let mut request =
            reqwest::Request::new(outgoing.method.clone(), outgoing.target.url.clone());
        *request.headers_mut() = self.all_headers(outgoing);
        let bytes = sent_bytes(&request, outgoing.body.len());
        exchange.course.sent += bytes;
        if !outgoing.body.is_empty() {
            *request.body_mut() = Some(outgoing.body.clone().into());
        }
        let response = secure.client.execute(request).await;
        let course = &mut exchange.course;
        course.opened = secure.connects.take_since(began).or(course.opened);
        let response = response.map_err(|error| {
            let failure = Failure::from_reqwest(&error);
            if let ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Tls = failure.kind {
                // Without a connection nothing was sent.
                course.sent -= bytes;
            }
            failure
        })?;
        exchange.head(&response);
        let follow = outgoing.max_redirects > 0 && is_redirect(exchange.answer.sample.status);
        let keep = !outgoing.discard_body && !follow;
        self.read(response, keep, exchange).await?;
        exchange.course.done_at = Some(Instant::now());
        Ok(())
    }

    /// The script's headers, those that every request has, and the cookies.
    fn all_headers(&self, outgoing: &Outgoing) -> HeaderMap {
        let own = &outgoing.headers;
        let mut headers = outgoing.target.headers.clone();
        for name in own.keys() {
            headers.remove(name);
        }
        for (name, value) in own {
            headers.append(name, value.clone());
        }
        if let Some(cookies) = self.cookies(outgoing) {
            headers.insert(header::COOKIE, cookies);
        }
        headers
    }

    /// The jar's cookies for a request, unless it comes with its own.
    fn cookies(&self, outgoing: &Outgoing) -> Option<HeaderValue> {
        match outgoing.headers.contains_key(header::COOKIE) {
            true => None,
            false => self.jar.header(&outgoing.target.url),
        }
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
        mut response: reqwest::Response,
        keep: bool,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let max_body = self.shared.max_body;
        // Most bodies come in one piece, which is then not copied.
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| {
            let failure = Failure::from_reqwest(&error);
            match failure.kind {
                ErrorKind::Other => Failure {
                    kind: ErrorKind::Closed,
                    ..failure
                },
                _ => failure,
            }
        })? {
            exchange.course.received += piece.len() as u64;
            if !keep {
                continue;
            }
            if (first.len().max(rest.len()) + piece.len()) as u64 > max_body {
                return Err(wire::too_large(max_body));
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
}

/// Whether a status sends the client elsewhere.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a response sends the client, if it does.
fn redirection(answer: &Answer, url: &Url) -> Option<Url> {
    if !is_redirect(answer.sample.status) {
        return None;
    }
    let location = answer.headers.get("location")?;
    let mut next = url.join(std::str::from_utf8(location).ok()?).ok()?;
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Some(next)
}

/// A request under way: what is known of its answer so far.
struct Exchange {
    answer: Answer,
    course: Course,
}

impl Exchange {
    fn new() -> Self {
        Self {
            answer: Answer {
                started: Instant::now(),
                sample: RequestSample::default(),
                first_byte: None,
                target: None,
                headers: Headers::default(),
                body: Bytes::new(),
                failure: None,
            },
            course: Course::default(),
        }
    }

    /// Notes that the head of a response came over TLS.
    fn head(&mut self, response: &reqwest::Response) {
        const LINE: u64 = "HTTP/1.1 200 OK\r\n\r\n".len() as u64;
        self.course.head_at = Some(Instant::now());
        let answer = &mut self.answer;
        answer.headers = response.headers().into();
        answer.sample.status = response.status().as_u16();
        self.course.received += LINE + answer.headers.len() as u64;
    }

    fn finish(self, failure: Option<Failure>) -> Answer {
        let Self { mut answer, course } = self;
        let started = answer.started;
        let done_at = match &failure {
            None => course.done_at,
            Some(_) => None,
        };
        let duration = done_at.unwrap_or_else(Instant::now) - started;
        let until_ready = course
            .opened
            .map(|opened| opened.at.saturating_duration_since(started))
            .unwrap_or_default();
        answer.first_byte = course.head_at.map(|at| at - started);
        answer.sample.duration = duration;
        answer.sample.sent_bytes = course.sent;
        answer.sample.received_bytes = course.received;
        answer.sample.phases = Phases {
            connecting: course.opened.map(|opened| opened.connecting),
            tls: course.opened.and_then(|opened| opened.tls),
            waiting: answer
                .first_byte
                .map(|first| first.saturating_sub(until_ready)),
            receiving: answer
                .first_byte
                .filter(|_| failure.is_none())
                .map(|first| duration.saturating_sub(first)),
        };
        if failure.is_some() {
            // Half a response is none.
            answer.sample.status = 0;
            answer.headers = Headers::default();
            answer.body = Bytes::new();
        }
        answer.failure = failure;
        answer
    }
}

/// A request's bytes as HTTP/1.1 would write them.
fn sent_bytes(request: &reqwest::Request, body: usize) -> u64 {
    const LINE: usize = "  HTTP/1.1\r\n\r\n".len();
    const LENGTH: usize = "content-length: \r\n".len();
    let path = &request.url()[Position::BeforePath..Position::AfterQuery];
    let length = match body {
        0 => 0,
        body => LENGTH + body.ilog10() as usize + 1,
    };
    let head = request.method().as_str().len() + path.len() + LINE + length;
    (head + header_bytes(request.headers()) + body) as u64
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
            answer.target.expect("it answered").url.as_str(),
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
