//! A VU's cookies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use cookie_store::RawCookie;
use http::HeaderValue;
use reqwest::Url;

use super::headers::Headers;

/// One VU's cookies. Costs nothing until the first one is set.
#[derive(Debug, Default)]
pub(super) struct Jar {
    used: AtomicBool,
    cookies: Mutex<cookie_store::CookieStore>,
}

impl Jar {
    /// Keeps the cookies that a response from `url` sets.
    pub(super) fn store(&self, headers: &Headers, url: &Url) {
        if !headers.sets_cookies() {
            return;
        }
        let parsed = headers.get_all("set-cookie").filter_map(|value| {
            let text = std::str::from_utf8(value).ok()?;
            Some(RawCookie::parse(text).ok()?.into_owned())
        });
        self.cookies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .store_response_cookies(parsed, url);
        self.used.store(true, Ordering::Relaxed);
    }

    /// The `cookie` header for a request to `url`, if there is one.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        if !self.used.load(Ordering::Relaxed) {
            return None;
        }
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let text = cookies
            .get_request_values(url)
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ");
        if text.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }
}
