//! The connection to a NATS server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError, Subscriber};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::wire::Writer;
use crate::error::{Error, Problem};

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// A server that does not answer for so long is gone.
const PING: Duration = Duration::from_secs(5);

/// Where a server is, and what it wants to see.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `nats://HOST:PORT`, or `tls://`; several are separated by commas.
    pub url: String,
    /// A file with a JWT and its key.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an nkey.
    pub nkey: Option<PathBuf>,
    /// Certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// This node's own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Access {
    /// The address without what is secret in it.
    pub fn shown(&self) -> String {
        let one = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            _ => url.to_owned(),
        };
        let all: Vec<_> = self.url.split(',').map(one).collect();
        all.join(",")
    }

    /// The name and password in the address, or the token, which stands alone.
    fn login(&self) -> Option<(&str, Option<&str>)> {
        let first = self.url.split(',').next().unwrap_or_default().trim();
        let rest = first.split_once("://").map_or(first, |(_, rest)| rest);
        let (login, _) = rest.rsplit_once('@')?;
        Some(match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        })
    }

    /// Whether what is said can be read by whoever reads the network.
    pub fn is_clear_text(&self) -> bool {
        let is_local = |url: &str| {
            let host = url.rsplit('@').next().unwrap_or(url);
            let host = host.trim_start_matches("nats://");
            ["127.", "localhost", "[::1]"]
                .iter()
                .any(|local| host.starts_with(local))
        };
        let is_open = |url: &str| !url.starts_with("tls://") && !is_local(url);
        self.ca.is_none() && self.certificate.is_none() && self.url.split(',').any(is_open)
    }
}

/// A connection that comes back by itself.
pub(super) struct Connection {
    client: Client,
    writer: Writer,
    up: watch::Receiver<bool>,
    /// What the server refused.
    complaints: UnboundedReceiver<String>,
}

impl Connection {
    /// Connects, and tries again until `patience` is over if nobody is there;
    /// `None` is for ever. `tell` hears once that it waits.
    pub(super) async fn open(
        access: &Access,
        name: &str,
        patience: Option<Duration>,
        tell: impl Fn(&str),
    ) -> Result<Self, Error> {
        let began = Instant::now();
        let mut told = false;
        loop {
            let (up_in, up) = watch::channel(true);
            let (complain, complaints) = unbounded_channel();
            let options = options(access, name, up_in, complain).await?;
            let urls: Vec<_> = access.url.split(',').map(str::trim).collect();
            match options.connect(urls).await {
                Ok(client) => {
                    return Ok(Self {
                        client,
                        writer: Writer::new(),
                        up,
                        complaints,
                    });
                }
                Err(error) => {
                    let at = access.shown();
                    let may_pass = matches!(
                        error.kind(),
                        ConnectErrorKind::Io | ConnectErrorKind::TimedOut | ConnectErrorKind::Dns
                    ) && of_certificate(&error.to_string()).is_none();
                    if !may_pass || patience.is_some_and(|patience| began.elapsed() >= patience) {
                        return Err(no_connection(&at, &error));
                    }
                    if !told {
                        told = true;
                        tell(&format!("waiting for the NATS server at {at}: {error}"));
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How much fits into one message of the server's.
    fn limit(&self) -> usize {
        self.client.max_payload().clamp(1 << 10, 1 << 20)
    }

    /// Whether the server is there.
    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Says something. While the server is away it is dropped: whatever matters is
    /// said again.
    pub(super) async fn send<T: Serialize>(&mut self, subject: String, message: &T) {
        if !self.is_up() {
            return;
        }
        let limit = self.limit();
        for piece in self.writer.write(message, limit) {
            if let Err(error) = self.client.publish(subject.clone(), piece).await {
                tracing::debug!(%error, subject, "a message was not sent");
                return;
            }
        }
    }

    /// Waits until what was said has left, or for a while.
    pub(super) async fn flush(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.client.flush()).await;
    }

    /// Hears what is said on a subject.
    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        self.client.subscribe(subject).await.map_err(|error| {
            Error::Cluster(Problem::new(format!(
                "the NATS server cannot be listened to: {error}"
            )))
        })
    }

    /// What the server refused next. Can be dropped at any time.
    pub(super) async fn complaint(&mut self) -> String {
        match self.complaints.recv().await {
            Some(complaint) => complaint,
            None => std::future::pending().await,
        }
    }
}

async fn options(
    access: &Access,
    name: &str,
    up: watch::Sender<bool>,
    complain: UnboundedSender<String>,
) -> Result<ConnectOptions, Error> {
    let unreadable = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        Error::Config(vec![
            Problem::new(format!("cannot read `{}`: {error}", path.display()))
                .hint("what is about NATS takes files that you may read"),
        ])
    };
    let up = Arc::new(up);
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(ATTEMPT)
        .ping_interval(PING)
        .max_reconnects(None)
        .subscription_capacity(1 << 16)
        .reconnect_delay_callback(|attempts| {
            Duration::from_millis((attempts as u64 * 100).clamp(50, 1_000))
        })
        .event_callback(move |event| {
            match &event {
                Event::Connected => _ = up.send_replace(true),
                Event::Disconnected => _ = up.send_replace(false),
                Event::ServerError(ServerError::Other(what)) => _ = complain.send(what.clone()),
                Event::ServerError(error) => _ = complain.send(error.to_string()),
                _ => {}
            }
            tracing::debug!(%event, "the NATS server");
            std::future::ready(())
        });
    options = match access.login() {
        Some((user, Some(password))) => {
            options.user_and_password(user.to_owned(), password.to_owned())
        }
        Some((token, None)) => options.token(token.to_owned()),
        None => options,
    };
    if let Some(path) = &access.credentials {
        options = options
            .credentials_file(path)
            .await
            .map_err(|error| unreadable(path, &error))?;
    }
    if let Some(path) = &access.nkey {
        let seed = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let seed = seed
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with('S'));
        let seed = seed.ok_or_else(|| unreadable(path, &"it holds no seed of an nkey"))?;
        nkeys::KeyPair::from_seed(seed).map_err(|error| unreadable(path, &error))?;
        options = options.nkey(seed.to_owned());
    }
    if let Some(path) = &access.ca {
        std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        options = options
            .add_root_certificates(path.clone())
            .require_tls(true);
    }
    if let Some((certificate, key)) = &access.certificate {
        options = options
            .add_client_certificate(certificate.clone(), key.clone())
            .require_tls(true);
    }
    Ok(options)
}

/// What is wrong with a certificate, in plain words, and what to do about it; if it
/// is one that is in the way.
fn of_certificate(error: &str) -> Option<(String, &'static str)> {
    const STRANGE: &str = "the certificate is signed by nobody that this machine trusts";
    const SIGNER: &str = "`--nats-ca` names the certificate of who signed it";
    let known = [
        ("UnknownIssuer", STRANGE, SIGNER),
        // By somebody of the same name, such as an authority that was made anew.
        ("BadSignature", STRANGE, SIGNER),
        (
            "not valid for name",
            "the certificate is for another name",
            "write the server's name in the URL as its certificate has it",
        ),
        (
            "xpired",
            "the certificate has expired",
            "give the server a new one; is this machine's clock right?",
        ),
        (
            "ertificateRequired",
            "it wants to see a certificate",
            "`--nats-cert` and `--nats-key` name one",
        ),
    ];
    let found = known.iter().find(|(mark, ..)| error.contains(mark));
    error.contains("ertificate").then(|| match found {
        Some((_, what, hint)) => ((*what).to_owned(), *hint),
        None => (
            error.to_owned(),
            "check the certificates: `--nats-ca` names one to trust",
        ),
    })
}

fn no_connection(at: &str, error: &async_nats::ConnectError) -> Error {
    if let Some((what, hint)) = of_certificate(&error.to_string()) {
        return Error::Cluster(
            Problem::new(format!("cannot connect to the NATS server at {at}: {what}")).hint(hint),
        );
    }
    let hint = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "it does not know this key: check `--nats-nkey`, `--nats-creds`, or the name and \
             password in the URL"
        }
        ConnectErrorKind::Tls => "check the certificates: `--nats-ca` names one to trust",
        ConnectErrorKind::ServerParse => "write `nats://HOST:PORT` or `tls://HOST:PORT`",
        _ => "is it running, and does `--nats` name it? `--nats spawn` starts one",
    };
    let what = match error.kind() {
        kind @ (ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication) => {
            kind.to_string()
        }
        _ => error.to_string(),
    };
    Error::Cluster(
        Problem::new(format!("cannot connect to the NATS server at {at}: {what}")).hint(hint),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let access = |url: &str| Access {
            url: url.to_owned(),
            ..Access::default()
        };
        for (url, shown, is_clear) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", false),
            ("nats://me:secret@broker:4222", "nats://broker:4222", true),
            ("tls://token@broker,nats://b", "tls://broker,nats://b", true),
            ("tls://broker", "tls://broker", false),
            ("me:secret@localhost:1", "localhost:1", false),
        ] {
            assert_eq!(access(url).shown(), shown);
            assert_eq!(access(url).is_clear_text(), is_clear, "{url}");
        }
        let login = |url: &str| {
            access(url)
                .login()
                .map(|(it, more)| format!("{it} {more:?}"))
        };
        assert_eq!(login("nats://127.0.0.1:4222"), None);
        assert_eq!(
            login("tls://token@a,nats://b").as_deref(),
            Some("token None")
        );
        assert_eq!(
            login("me:s@cret@a:1").as_deref(),
            Some("me Some(\"s@cret\")")
        );
    }
}
