//! HTTP requests, sent and timed.
