//! The server of `squall demo`.
