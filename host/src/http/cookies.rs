//! A VU's cookies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use cookie_store::RawCookie;
use http::HeaderValue;
use reqwest::Url;

/// One VU's cookies. Costs nothing until the first one is set.
#[derive(Debug, Default)]
pub(super) struct Jar {
    used: AtomicBool,
    cookies: Mutex<cookie_store::CookieStore>,
}

impl reqwest::cookie::CookieStore for Jar {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let mut headers = headers.peekable();
        if headers.peek().is_none() {
            return;
        }
        let parsed = headers.filter_map(|value| {
            let text = std::str::from_utf8(value.as_bytes()).ok()?;
            Some(RawCookie::parse(text).ok()?.into_owned())
        });
        self.cookies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .store_response_cookies(parsed, url);
        self.used.store(true, Ordering::Relaxed);
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
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
