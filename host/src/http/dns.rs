//! Name look-ups, shared by all VUs of a process.
//!
//! Ten thousand VUs that start at once ask once. An answer holds for a minute,
//! and its addresses are handed out in turn, so that a name with several
//! addresses gets its load spread over them.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

const LIFETIME: Duration = Duration::from_secs(60);

/// A resolver that remembers.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    known: Mutex<HashMap<String, Arc<Lookup>>>,
}

#[derive(Debug)]
struct Lookup {
    begun: Instant,
    addresses: OnceCell<Vec<IpAddr>>,
    turn: AtomicUsize,
}

impl Resolver {
    /// The addresses of a host, a different one first each time. Waits for the
    /// system's resolver if nothing recent is known.
    ///
    /// # Errors
    ///
    /// If the system knows no address. The next look-up tries again.
    pub(super) async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupFailed> {
        self.entry(host).addresses(host).await
    }

    fn entry(&self, host: &str) -> Arc<Lookup> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(host) {
            Some(lookup) if lookup.begun.elapsed() < LIFETIME => lookup.clone(),
            _ => {
                let lookup = Arc::new(Lookup {
                    begun: Instant::now(),
                    addresses: OnceCell::new(),
                    turn: AtomicUsize::new(0),
                });
                known.insert(host.to_owned(), lookup.clone());
                lookup
            }
        }
    }
}

impl Lookup {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupFailed> {
        let ask = || async {
            let found = tokio::net::lookup_host((host, 0)).await;
            let found: Vec<_> = found
                .map_err(|error| LookupFailed(format!("cannot look up the host: {error}")))?
                .map(|address| address.ip())
                .collect();
            match found.is_empty() {
                true => Err(LookupFailed("the host has no address".to_owned())),
                false => Ok(found),
            }
        };
        // A failed look-up leaves the cell empty.
        let addresses = self.addresses.get_or_try_init(ask).await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
        let (before, after) = addresses.split_at(turn);
        Ok([after, before].concat())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.entry(name.as_str());
        Box::pin(async move {
            let addresses = lookup.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

/// A name could not be looked up: why.
#[derive(Debug)]
pub(super) struct LookupFailed(String);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookupFailed {}
