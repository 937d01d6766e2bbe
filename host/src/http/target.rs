//! Where requests go: URLs, resolved, checked and named.
//!
//! Scripts pass the same few URLs again and again, so each thread remembers
//! what it made of them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri, header};
use rustc_hash::FxHashMap;
use url::{Host, Position, Url};

use super::answer::{ErrorKind, Failure};
use super::wire;
use crate::plan::HttpPlan;

/// A URL that may be requested, and what each request to it needs.
#[derive(Debug, Clone)]
pub struct Target {
    /// Absolute, `http` or `https`.
    pub url: Url,
    /// The same as it is told to recorders.
    pub text: Arc<str>,
    /// Where connections go, unless it is `https`.
    pub(super) origin: Option<Arc<Origin>>,
    /// A request's first line, from behind the method to its end.
    pub(super) line: Box<[u8]>,
    /// The headers that every request has: `host` (but over TLS, where the
    /// version of HTTP decides), `accept` and `user-agent`.
    pub(super) headers: HeaderMap,
    /// The same as they stand in a request.
    pub(super) header_lines: Box<[u8]>,
    /// What requests to it are called unless the script names them: the path,
    /// or the URL without its query if it is on another host than the run's
    /// base URL.
    pub name: Arc<str>,
}

/// Where connections go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) port: u16,
    /// The address, if the host is one.
    pub(super) address: Option<SocketAddr>,
}

impl Target {
    /// A target for a URL that passed [`check`].
    ///
    /// # Errors
    ///
    /// If the URL cannot stand in a request.
    pub(super) fn new(url: Url, name: Arc<str>) -> Result<Self, Failure> {
        let malformed = |what: &dyn fmt::Display| {
            Failure::new(ErrorKind::InvalidRequest, format!("malformed URL: {what}"))
        };
        let path = &url[Position::BeforePath..Position::AfterQuery];
        Uri::try_from(path).map_err(|error| malformed(&error))?;
        let line = format!(" {path} HTTP/1.1\r\n").into_bytes().into();
        let mut headers = HeaderMap::with_capacity(4);
        let mut origin = None;
        if url.scheme() == "http" {
            let authority = &url[Position::BeforeHost..Position::AfterPort];
            let host = HeaderValue::try_from(authority).map_err(|error| malformed(&error))?;
            headers.insert(header::HOST, host);
            let port = url.port_or_known_default().unwrap_or(80);
            let address = match url.host() {
                Some(Host::Ipv4(ip)) => Some(SocketAddr::new(ip.into(), port)),
                Some(Host::Ipv6(ip)) => Some(SocketAddr::new(ip.into(), port)),
                Some(Host::Domain(_)) | None => None,
            };
            let host = url.host_str().unwrap_or_default().to_owned();
            origin = Some(Arc::new(Origin {
                host,
                port,
                address,
            }));
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let mut header_lines = Vec::new();
        for (name, value) in &headers {
            wire::write_header(&mut header_lines, name, value);
        }
        Ok(Self {
            text: url.as_str().into(),
            url,
            name,
            origin,
            line,
            headers,
            header_lines: header_lines.into(),
        })
    }
}

const USER_AGENT: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));

/// How URLs are resolved, and those that were. One per thread.
#[derive(Debug)]
pub struct Targets {
    base: Option<Url>,
    allow_hosts: Option<Arc<[String]>>,
    known: FxHashMap<Box<str>, Arc<Target>>,
}

impl Targets {
    /// Beyond so many URLs the memory starts over: a script that never repeats
    /// one must not fill it.
    const REMEMBERED: usize = 2048;

    /// Targets for a plan, whose base URL is valid.
    pub fn new(plan: &HttpPlan) -> Self {
        Self {
            base: plan
                .base_url
                .as_deref()
                .and_then(|url| Url::parse(url).ok()),
            allow_hosts: plan.allow_hosts.as_deref().map(Into::into),
            known: FxHashMap::default(),
        }
    }

    /// Resolves a URL.
    ///
    /// # Errors
    ///
    /// If it is malformed, is relative without a base URL, has another scheme
    /// than `http` or `https`, or is on a host that is not allowed.
    pub fn resolve(&mut self, url: &str) -> Result<Arc<Target>, Failure> {
        if let Some(target) = self.known.get(url) {
            return Ok(target.clone());
        }
        let resolved = match &self.base {
            Some(base) => base.join(url),
            None => Url::parse(url),
        };
        let resolved = resolved.map_err(|error| match (error, &self.base) {
            (url::ParseError::RelativeUrlWithoutBase, None) => Failure::new(
                ErrorKind::InvalidRequest,
                "relative URL, and the run has no `--base-url`",
            ),
            (error, _) => {
                Failure::new(ErrorKind::InvalidRequest, format!("malformed URL: {error}"))
            }
        })?;
        self.check(&resolved)?;
        let name = self.name(&resolved).into();
        let target = Arc::new(Target::new(resolved, name)?);
        if self.known.len() >= Self::REMEMBERED {
            self.known.clear();
        }
        self.known.insert(url.into(), target.clone());
        Ok(target)
    }

    /// Checks that a URL may be requested.
    ///
    /// # Errors
    ///
    /// If its scheme is neither `http` nor `https`, or its host is not allowed.
    pub fn check(&self, url: &Url) -> Result<(), Failure> {
        check(url, self.allow_hosts.as_deref())
    }

    fn name(&self, url: &Url) -> String {
        match &self.base {
            Some(base) if base.origin() == url.origin() => url.path().to_owned(),
            None | Some(_) => {
                let mut named = url.clone();
                named.set_query(None);
                named.set_fragment(None);
                // Whatever credentials are in the URL stay out of the report.
                let _ = named.set_username("");
                let _ = named.set_password(None);
                named.into()
            }
        }
    }
}

/// Checks a URL's scheme and host.
pub(super) fn check(url: &Url, allow_hosts: Option<&[String]>) -> Result<(), Failure> {
    let invalid = |message| Err(Failure::new(ErrorKind::InvalidRequest, message));
    if !matches!(url.scheme(), "http" | "https") {
        return invalid(format!(
            "the scheme `{}` is neither `http` nor `https`",
            url.scheme()
        ));
    }
    let host = url.host_str().unwrap_or_default();
    match allow_hosts {
        Some(allowed) if !allowed.iter().any(|allowed| allowed == host) => invalid(format!(
            "the host `{host}` is not allowed by `--allow-host`"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(base: Option<&str>, allow: Option<&[&str]>) -> Targets {
        Targets::new(&HttpPlan {
            base_url: base.map(Into::into),
            timeout: std::time::Duration::from_secs(1),
            allow_hosts: allow.map(|hosts| hosts.iter().map(|&host| host.into()).collect()),
            insecure_tls: false,
        })
    }

    #[test]
    fn a_name_is_the_path_on_the_base_and_the_url_elsewhere() {
        let mut targets = targets(Some("http://shop.test:8080/v1/"), None);
        let mut named = |url| targets.resolve(url).map(|target| target.name.to_string());
        assert_eq!(named("item?id=7").as_deref(), Ok("/v1/item"));
        assert_eq!(named("/item").as_deref(), Ok("/item"));
        assert_eq!(
            named("https://me:secret@cdn.test/a.css?v=1#top").as_deref(),
            Ok("https://cdn.test/a.css")
        );
    }

    #[test]
    fn what_may_not_be_requested_is_refused() {
        let mut without_base = targets(None, Some(&["shop.test"]));
        let mut refused = |url| without_base.resolve(url).expect_err(url).message;
        assert!(refused("/item").contains("--base-url"));
        assert!(refused("ftp://shop.test/").contains("`ftp`"));
        assert!(refused("http://other.test/").contains("`other.test`"));
        assert!(without_base.resolve("http://SHOP.test/").is_ok());
    }
}
