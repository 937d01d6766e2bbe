//! HTTP/1.1 as it stands on the wire: requests written, responses read.
//!
//! No I/O: `plain` moves the bytes. A [`Reception`] takes a response in
//! whatever pieces it comes. httparse reads the head; what delimits the body
//! follows RFC 9112, section 6.3.

use std::io::Write;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::answer::{ErrorKind, Failure};
use super::headers::Headers;
use super::target::Target;
use crate::units::Bytes as Size;

/// More headers than this are malformed.
const HEADERS: usize = 128;
/// A longer head is malformed, and so are longer trailers and chunk
/// extensions. In bytes.
const HEAD: usize = 64 << 10;

/// No more memory than this is taken for a body before it comes. In bytes.
const AT_ONCE: u64 = 1 << 20;

/// Headers that say how long the request is, which is ours to say.
const FRAMING: [HeaderName; 2] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Appends the head of a request whose body has `body` bytes.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    method: &Method,
    target: &Target,
    own: &HeaderMap,
    cookies: Option<&HeaderValue>,
    body: usize,
) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(&target.line);
    if own.is_empty() {
        out.extend_from_slice(&target.header_lines);
    } else {
        for (name, value) in &target.headers {
            if !own.contains_key(name) {
                write_header(out, name, value);
            }
        }
        for (name, value) in own {
            if !FRAMING.contains(name) {
                write_header(out, name, value);
            }
        }
    }
    if let Some(cookies) = cookies {
        write_header(out, &header::COOKIE, cookies);
    }
    // Methods that usually have a body say so if they have none (RFC 9110,
    // section 8.6).
    if body > 0 || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        write!(out, "content-length: {body}\r\n").expect("a vector takes every byte");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a header.
pub(super) fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What a response's reader wants of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Whether the request was a `HEAD`, whose response has no body.
    pub(super) head_only: bool,
    /// Whether the body is kept.
    pub(super) body: bool,
    /// How long a body that is kept may be, in bytes.
    pub(super) max_body: u64,
    /// Whether redirects are followed: their bodies are kept only as far as
    /// they fit.
    pub(super) follow: bool,
}

/// A response that is being received.
#[derive(Debug)]
pub(super) struct Reception {
    wanted: Wanted,
    stage: Stage,
    /// The beginning of a head that has not come whole.
    beginning: Vec<u8>,
    pub(super) status: u16,
    pub(super) headers: Headers,
    body: BytesMut,
    untouched: bool,
    reusable: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    /// So many bytes of the body.
    Sized(u64),
    Chunked(Chunk),
    /// The body, until the server closes the connection.
    UntilClosed,
    Done,
}

/// Where in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// In the size, with the digits so far and how many there were.
    Size(u64, u8),
    /// Behind the size, up to the end of the line: so many bytes of it.
    Extension(u64, usize),
    /// Within the data: so many bytes are left.
    Data(u64),
    /// At the line's end after the data; whether its `\r` has come.
    DataEnd(bool),
    /// In the trailers: the length of the current line, and of all.
    Trailers(usize, usize),
}

impl Reception {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            stage: Stage::Head,
            beginning: Vec::new(),
            status: 0,
            headers: Headers::default(),
            body: BytesMut::new(),
            untouched: true,
            reusable: true,
        }
    }

    /// Whether nothing of the response has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether the head is there.
    pub(super) fn has_head(&self) -> bool {
        self.stage != Stage::Head
    }

    /// Whether the response is complete.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether the connection can take another request, once the response is
    /// complete.
    pub(super) fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// The body, as far as it was kept.
    pub(super) fn take_body(&mut self) -> Bytes {
        std::mem::take(&mut self.body).freeze()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// If they are not HTTP, or the body is larger than it may be.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        self.untouched &= bytes.is_empty();
        while !bytes.is_empty() {
            let used = match self.stage {
                Stage::Head => self.head(bytes)?,
                Stage::Sized(left) => {
                    let (piece, _) = split(bytes, left);
                    self.keep(piece)?;
                    self.stage = sized(left - piece.len() as u64);
                    piece.len()
                }
                Stage::Chunked(chunk) => self.chunk(chunk, bytes)?,
                Stage::UntilClosed => {
                    self.keep(bytes)?;
                    bytes.len()
                }
                Stage::Done => {
                    // Nobody asked for more.
                    self.reusable = false;
                    return Ok(());
                }
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// The server has closed the connection.
    ///
    /// # Errors
    ///
    /// If the response is not complete.
    pub(super) fn closed(&mut self) -> Result<(), Failure> {
        self.reusable = false;
        match self.stage {
            Stage::UntilClosed | Stage::Done => {
                self.stage = Stage::Done;
                Ok(())
            }
            Stage::Head | Stage::Sized(_) | Stage::Chunked(_) => Err(Failure::new(
                ErrorKind::Closed,
                match self.has_head() {
                    true => "connection closed early: before the end of the body",
                    false => "connection closed early: before a response",
                },
            )),
        }
    }

    /// Takes bytes of a head: how many.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let before = self.beginning.len();
        if before == 0 {
            if let Some(length) = self.parse_head(bytes)? {
                return Ok(length);
            }
            self.beginning.extend_from_slice(bytes);
        } else {
            self.beginning.extend_from_slice(bytes);
            // A head ends with a line: without one it need not be read again.
            if bytes.contains(&b'\n') {
                let whole = std::mem::take(&mut self.beginning);
                if let Some(length) = self.parse_head(&whole)? {
                    return Ok(length - before);
                }
                self.beginning = whole;
            }
        }
        if self.beginning.len() > HEAD {
            return Err(malformed(format!(
                "a head of more than {}",
                Size(HEAD as u64)
            )));
        }
        Ok(bytes.len())
    }

    /// Reads a head if it is whole: its length.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS];
        let mut head = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut head, bytes, &mut fields)
            .map_err(malformed)?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let status = head.code.unwrap_or_default();
        if status < 100 {
            return Err(malformed(format!("the status {status}")));
        }
        // Interim responses, but for a change of protocols, are no answer yet.
        if (100..200).contains(&status) && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(length));
        }
        let framing = Framing::of(head.headers)?;
        self.reusable = match framing.connection {
            Connection::Close => false,
            Connection::KeepAlive => true,
            Connection::Unsaid => head.version == Some(1),
        };
        let start = head.headers.first().map_or(length, |first| {
            // Both point into `bytes`.
            first.name.as_ptr() as usize - bytes.as_ptr() as usize
        });
        self.headers = Headers::from_lines(&bytes[start..length], framing.sets_cookies);
        self.status = status;
        self.stage = if self.wanted.head_only || matches!(status, 101 | 204 | 304) {
            Stage::Done
        } else if framing.chunked {
            Stage::Chunked(Chunk::Size(0, 0))
        } else if let Some(length) = framing.length.filter(|_| !framing.encoded) {
            self.check_size(length)?;
            if self.wanted.body {
                self.body.reserve(length.min(AT_ONCE) as usize);
            }
            sized(length)
        } else {
            Stage::UntilClosed
        };
        // After a change of protocols the connection speaks another language.
        self.reusable &= status != 101 && self.stage != Stage::UntilClosed;
        Ok(Some(length))
    }

    /// Takes bytes of a chunked body: how many.
    fn chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> Result<usize, Failure> {
        let byte = bytes[0];
        let next = match chunk {
            Chunk::Size(size, digits) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if digits < 15 => {
                    Chunk::Size(size << 4 | u64::from(digit), digits + 1)
                }
                (None, b'\n') if digits > 0 => Chunk::after_size(size),
                (None, b'\r' | b';' | b' ' | b'\t') if digits > 0 => Chunk::Extension(size, 1),
                _ => return Err(malformed("the size of a chunk is no number")),
            },
            Chunk::Extension(size, _) if byte == b'\n' => Chunk::after_size(size),
            Chunk::Extension(size, length) if length < HEAD => Chunk::Extension(size, length + 1),
            Chunk::Extension(..) => return Err(malformed("the extension of a chunk has no end")),
            Chunk::Data(left) => {
                let (piece, _) = split(bytes, left);
                self.keep(piece)?;
                let left = left - piece.len() as u64;
                self.stage = Stage::Chunked(match left {
                    0 => Chunk::DataEnd(false),
                    left => Chunk::Data(left),
                });
                return Ok(piece.len());
            }
            Chunk::DataEnd(false) if byte == b'\r' => Chunk::DataEnd(true),
            Chunk::DataEnd(_) if byte == b'\n' => Chunk::Size(0, 0),
            Chunk::DataEnd(_) => return Err(malformed("a chunk is longer than its size")),
            Chunk::Trailers(_, HEAD..) => return Err(malformed("the trailers have no end")),
            Chunk::Trailers(0, _) if byte == b'\n' => {
                self.stage = Stage::Done;
                return Ok(1);
            }
            Chunk::Trailers(_, all) if byte == b'\n' => Chunk::Trailers(0, all + 1),
            // A line that holds nothing but its end is the last one.
            Chunk::Trailers(line, all) if byte == b'\r' => Chunk::Trailers(line, all + 1),
            Chunk::Trailers(line, all) => Chunk::Trailers(line + 1, all + 1),
        };
        self.stage = Stage::Chunked(next);
        Ok(1)
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if !self.wanted.body {
            return Ok(());
        }
        self.check_size((self.body.len() + piece.len()) as u64)?;
        // It may have been found too large to be kept.
        if self.wanted.body {
            self.body.extend_from_slice(piece);
        }
        Ok(())
    }

    fn check_size(&mut self, size: u64) -> Result<(), Failure> {
        if !self.wanted.body || size <= self.wanted.max_body {
            return Ok(());
        }
        if self.wanted.follow && super::client::is_redirect(self.status) {
            self.wanted.body = false;
            return Ok(());
        }
        Err(too_large(self.wanted.max_body))
    }
}

impl Chunk {
    fn after_size(size: u64) -> Self {
        match size {
            0 => Self::Trailers(0, 0),
            size => Self::Data(size),
        }
    }
}

/// A body that is too large to be kept.
pub(super) fn too_large(max_body: u64) -> Failure {
    Failure::new(
        ErrorKind::Other,
        format!(
            "the body is larger than {}; use `discard-body`",
            Size(max_body)
        ),
    )
}

/// At most the first `limit` bytes, and the rest.
fn split(bytes: &[u8], limit: u64) -> (&[u8], &[u8]) {
    let at = usize::try_from(limit).map_or(bytes.len(), |limit| limit.min(bytes.len()));
    bytes.split_at(at)
}

fn sized(left: u64) -> Stage {
    match left {
        0 => Stage::Done,
        left => Stage::Sized(left),
    }
}

fn malformed(what: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::Other, format!("malformed response: {what}"))
}

/// What the headers say about where the response ends and what follows it.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// Whether there is a `transfer-encoding`, which outweighs a length.
    encoded: bool,
    /// Whether its last coding is `chunked`.
    chunked: bool,
    connection: Connection,
    sets_cookies: bool,
}

#[derive(Clone, Copy, Default)]
enum Connection {
    #[default]
    Unsaid,
    Close,
    KeepAlive,
}

impl Framing {
    fn of(fields: &[httparse::Header<'_>]) -> Result<Self, Failure> {
        let mut framing = Self::default();
        for httparse::Header { name, value } in fields {
            // The length of the name tells most of them apart.
            match name.len() {
                14 if name.eq_ignore_ascii_case("content-length") => framing.add_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    framing.encoded = true;
                    let last = value.rsplit(|byte| *byte == b',').next();
                    framing.chunked =
                        last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in value.split(|byte| *byte == b',') {
                        let option = option.trim_ascii();
                        if option.eq_ignore_ascii_case(b"close") {
                            framing.connection = Connection::Close;
                            break;
                        }
                        if option.eq_ignore_ascii_case(b"keep-alive") {
                            framing.connection = Connection::KeepAlive;
                        }
                    }
                }
                10 if name.eq_ignore_ascii_case("set-cookie") => framing.sets_cookies = true,
                _ => {}
            }
        }
        Ok(framing)
    }

    /// A length may be given more than once, as long as it is the same.
    fn add_length(&mut self, value: &[u8]) -> Result<(), Failure> {
        for number in value.split(|byte| *byte == b',') {
            let number = number.trim_ascii();
            let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(number)
                .ok()
                .filter(|_| digits)
                .and_then(|number| number.parse().ok());
            match (length, self.length) {
                (Some(length), None) => self.length = Some(length),
                (Some(length), Some(before)) if length == before => {}
                _ => return Err(malformed("the content-length is no length")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Targets;
    use super::*;
    use crate::plan::HttpPlan;

    const ALL: Wanted = Wanted {
        head_only: false,
        body: true,
        max_body: 1 << 20,
        follow: true,
    };

    /// What came of a response: status, body, whether it is complete, and
    /// whether the connection can be used again.
    type Came = (u16, String, bool, bool);

    /// Receives a response in pieces of `at_once` bytes.
    fn receive(wanted: Wanted, wire: &[u8], at_once: usize, closes: bool) -> Result<Came, String> {
        let mut reception = Reception::new(wanted);
        for piece in wire.chunks(at_once) {
            reception.feed(piece).map_err(|failure| failure.message)?;
        }
        assert!(!reception.is_untouched());
        if closes && !reception.is_done() {
            reception.closed().map_err(|failure| failure.message)?;
        }
        let body = String::from_utf8(reception.take_body().to_vec()).expect("text");
        let (done, reusable) = (reception.is_done(), reception.is_reusable());
        Ok((reception.status, body, done, reusable))
    }

    /// The same, whatever the pieces.
    #[track_caller]
    fn received(wanted: Wanted, wire: &str, closes: bool) -> Result<Came, String> {
        let whole = receive(wanted, wire.as_bytes(), wire.len(), closes);
        for at_once in 1..wire.len() {
            let pieces = receive(wanted, wire.as_bytes(), at_once, closes);
            assert_eq!(pieces, whole, "in pieces of {at_once}: {wire:?}");
        }
        whole
    }

    fn came(status: u16, body: &str, reusable: bool) -> Result<Came, String> {
        Ok((status, body.to_owned(), true, reusable))
    }

    #[test]
    fn a_response_is_the_same_in_whatever_pieces_it_comes() {
        for (wire, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
                came(200, "hello", true),
            ),
            (
                "HTTP/1.1 404 \r\ncontent-length:0\r\n\r\n",
                came(404, "", true),
            ),
            // Bare line feeds, and a name for the status that is left out.
            (
                "HTTP/1.1 200\nContent-Length: 2, 2\n\nok",
                came(200, "ok", true),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
                 5;a=b\r\nhello\r\n1A \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Sum: 1\r\n\r\n",
                came(200, "helloabcdefghijklmnopqrstuvwxyz", true),
            ),
            // A coding outweighs a length (RFC 9112, section 6.3).
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n",
                came(200, "abc", true),
            ),
            // Interim responses come first.
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 204 No Content\r\n\r\n",
                came(204, "", true),
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
                came(304, "", true),
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na",
                came(200, "a", false),
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
                came(200, "a", false),
            ),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
                came(200, "a", true),
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
                came(101, "", false),
            ),
        ] {
            assert_eq!(received(ALL, wire, false), expected, "{wire:?}");
        }
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let wire = "HTTP/1.1 200 OK\r\n\r\nall that comes";
        assert_eq!(
            received(ALL, wire, true),
            came(200, "all that comes", false)
        );
        let encoded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\nabc";
        assert_eq!(received(ALL, encoded, true), came(200, "abc", false));
    }

    #[test]
    fn a_head_request_has_no_body_to_wait_for() {
        let wanted = Wanted {
            head_only: true,
            ..ALL
        };
        let wire = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(received(wanted, wire, false), came(200, "", true));
    }

    #[test]
    fn a_connection_that_closes_too_early_is_a_failure() {
        for (wire, expected) in [
            ("HTTP/1.1 200 O", "before a response"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                "before the end of the body",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n",
                "before the end of the body",
            ),
        ] {
            let error = received(ALL, wire, true).expect_err(wire);
            assert_eq!(error, format!("connection closed early: {expected}"));
        }
        let mut nothing = Reception::new(ALL);
        assert!(nothing.closed().is_err() && nothing.is_untouched());
    }

    #[test]
    fn what_is_no_http_is_a_failure() {
        for wire in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 042 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            let error = received(ALL, wire, false).expect_err(wire);
            assert!(error.starts_with("malformed response: "), "{error}");
        }
    }

    #[test]
    fn nothing_grows_without_end() {
        let endless = |start: &str, piece: &str| {
            let mut reception = Reception::new(ALL);
            reception.feed(start.as_bytes()).expect("a beginning");
            let pieces = std::iter::repeat_n(piece.as_bytes(), 2 * HEAD);
            let fed = pieces
                .map(|piece| reception.feed(piece))
                .find(Result::is_err);
            fed.expect("an end").expect_err("a failure").message
        };
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(endless("HTTP/1.1 200 OK\r\nX: ", "0123456789").contains("64.0 KiB"));
        assert!(endless("HTTP/1.1 200 OK\r\n", "X: y\r\n").contains("header"));
        assert!(endless(&format!("{chunked}5;"), "x=y").contains("extension"));
        assert!(endless(&format!("{chunked}0\r\n"), "X: y\r\n").contains("trailers"));
        assert!(endless(&format!("{chunked}0\r\n"), "\r").contains("trailers"));
    }

    #[test]
    fn what_comes_after_a_response_spoils_the_connection() {
        let mut reception = Reception::new(ALL);
        let wire = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        reception.feed(wire.as_bytes()).expect("a response");
        assert!(reception.is_done() && reception.is_reusable());
        reception.feed(b"HTTP/1.1 200 OK").expect("no harm");
        assert!(reception.is_done() && !reception.is_reusable());
        assert_eq!(&*reception.take_body(), b"a");
    }

    #[test]
    fn a_body_beyond_the_limit_is_a_failure_but_for_a_redirect() {
        let small = Wanted { max_body: 3, ..ALL };
        let sized = |status| format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nabcd");
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
        for wire in [&sized(200), chunked] {
            let error = received(small, wire, false).expect_err(wire);
            assert!(error.contains("larger than 3 B"), "{error}");
        }
        let discarded = Wanted {
            body: false,
            ..small
        };
        assert_eq!(received(discarded, &sized(200), false), came(200, "", true));
        assert_eq!(received(small, &sized(302), false), came(302, "", true));
        let stays = Wanted {
            follow: false,
            ..small
        };
        assert!(received(stays, &sized(302), false).is_err());
    }

    fn written(method: Method, own: &[(&str, &str)], body: usize) -> String {
        let plan = HttpPlan {
            base_url: None,
            timeout: Duration::from_secs(1),
            allow_hosts: None,
            insecure_tls: false,
        };
        let target = Targets::new(&plan)
            .resolve("http://a.test:81/b c?d=\u{e9}#e")
            .expect("a URL");
        let mut headers = HeaderMap::new();
        for (name, value) in own {
            let name = HeaderName::try_from(*name).expect("a name");
            headers.append(name, HeaderValue::try_from(*value).expect("a value"));
        }
        let cookies = HeaderValue::from_static("k=v");
        let mut out = Vec::new();
        write_head(&mut out, &method, &target, &headers, Some(&cookies), body);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_request_says_what_it_must_and_what_the_script_says() {
        let agent = concat!("user-agent: squall/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            written(Method::GET, &[], 0),
            format!(
                "GET /b%20c?d=%C3%A9 HTTP/1.1\r\nhost: a.test:81\r\naccept: */*\r\n{agent}\r\n\
                 cookie: k=v\r\n\r\n"
            )
        );
        let own = [
            ("accept", "text/css"),
            ("x-a", "1"),
            ("x-a", "2"),
            // How long the body is, is not for the script to say.
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(
            written(Method::POST, &own, 12),
            format!(
                "POST /b%20c?d=%C3%A9 HTTP/1.1\r\nhost: a.test:81\r\n{agent}\r\n\
                 accept: text/css\r\nx-a: 1\r\nx-a: 2\r\ncookie: k=v\r\n\
                 content-length: 12\r\n\r\n"
            )
        );
        assert!(written(Method::PUT, &[], 0).contains("\r\ncontent-length: 0\r\n"));
        assert!(!written(Method::DELETE, &[], 0).contains("content-length"));
    }
}
