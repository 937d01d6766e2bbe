//! Calling a control API: one request on a connection of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::Token;

/// How long the connection and each part of the answer may take. An order waits
/// for the run's answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How large an answer may get: some ten thousand names.
const LARGEST: u64 = 16 << 20;

/// What the API says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The JSON.
    pub body: Value,
}

/// Sends a request to the first address that takes it, and waits for the answer.
/// Blocks.
///
/// # Errors
///
/// If nobody answers, or whoever does is no control API.
pub fn call(
    addresses: &[SocketAddr],
    token: &Token,
    method: &str,
    path: &str,
    body: &Value,
) -> io::Result<Answer> {
    let mut stream = connect(addresses)?;
    let address = stream.peer_addr()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        token.secret(),
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    stream.take(LARGEST).read_to_end(&mut received)?;
    parse(&received).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "what answers there is no control API",
        )
    })
}

fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn parse(received: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let body = match head.parse(received).ok()? {
        httparse::Status::Complete(length) => &received[length..],
        httparse::Status::Partial => return None,
    };
    Some(Answer {
        status: head.code?,
        body: serde_json::from_slice(body).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_json() {
        let answer = parse(b"HTTP/1.1 409 Conflict\r\ncontent-length: 10\r\n\r\n{\"a\": [1]}");
        let expected = Answer {
            status: 409,
            body: serde_json::json!({"a": [1]}),
        };
        assert_eq!(answer, Some(expected));
        for other in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{\"a\":",
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
