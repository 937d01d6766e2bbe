//! Name look-ups, shared by all VUs of a process.
//!
//! Ten thousand VUs that start at once ask once. An answer holds for a minute,
//! and its addresses are handed out in turn, so that a name with several
//! addresses gets its load spread over them.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
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
    addresses: OnceCell<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup(name.as_str());
        Box::pin(async move {
            // A failed look-up leaves the cell empty: the next one tries again.
            let addresses = lookup
                .addresses
                .get_or_try_init(|| async {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                    let found: Vec<_> = found
                        .map_err(|error| LookupFailed(format!("cannot look up the host: {error}")))?
                        .collect();
                    match found.is_empty() {
                        true => Err(LookupFailed("the host has no address".to_owned())),
                        false => Ok(found),
                    }
                })
                .await?;
            let turn = lookup.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
            let (before, after) = addresses.split_at(turn);
            let addresses: Addrs = Box::new([after, before].concat().into_iter());
            Ok(addresses)
        })
    }
}

impl Resolver {
    fn lookup(&self, name: &str) -> Arc<Lookup> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some(lookup) if lookup.begun.elapsed() < LIFETIME => lookup.clone(),
            _ => {
                let lookup = Arc::new(Lookup {
                    begun: Instant::now(),
                    addresses: OnceCell::new(),
                    turn: AtomicUsize::new(0),
                });
                known.insert(name.to_owned(), lookup.clone());
                lookup
            }
        }
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
