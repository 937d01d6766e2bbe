//! A response's headers, kept as they came.
//!
//! Few scripts look at them, so they are taken apart only when one does.

use http::HeaderMap;

/// The headers of a response.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// The lines, each with its end. They were checked before they came here.
    lines: Box<[u8]>,
    sets_cookies: bool,
}

impl Headers {
    /// Headers from their lines, which are well formed.
    pub(super) fn from_lines(lines: &[u8], sets_cookies: bool) -> Self {
        Self {
            lines: lines.into(),
            sets_cookies,
        }
    }

    /// The values of all headers of this name, which is taken in lower or
    /// upper case, in their order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Every name, as the server wrote it, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// Whether there is a `set-cookie`: known without looking.
    pub(super) fn sets_cookies(&self) -> bool {
        self.sets_cookies
    }

    /// How long they were on the wire, in bytes.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}

impl From<&HeaderMap> for Headers {
    fn from(map: &HeaderMap) -> Self {
        let mut lines = Vec::new();
        for (name, value) in map {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        Self {
            lines: lines.into(),
            sets_cookies: map.contains_key(http::header::SET_COOKIE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_name_in_any_case() {
        let lines = b"Content-Type: text/plain\r\nset-cookie:a=b\r\nSet-Cookie: \t c=d:e \nX:\r\n";
        let headers = Headers::from_lines(lines, true);
        assert_eq!(headers.get("content-type"), Some(&b"text/plain"[..]));
        let cookies: Vec<_> = headers.get_all("SET-COOKIE").collect();
        assert_eq!(cookies, [&b"a=b"[..], b"c=d:e"]);
        assert_eq!(headers.get("x"), Some(&b""[..]));
        assert_eq!(headers.get("y"), None);
        assert_eq!(headers.iter().count(), 4);
    }

    #[test]
    fn a_map_becomes_lines() {
        let mut map = HeaderMap::new();
        map.insert("x-a", http::HeaderValue::from_static("1"));
        map.append("x-a", http::HeaderValue::from_static("2"));
        let headers = Headers::from(&map);
        let values: Vec<_> = headers.get_all("x-a").collect();
        assert_eq!(values, [b"1", b"2"]);
        assert_eq!(headers.len(), 2 * "x-a: 1\r\n".len());
        assert!(!headers.sets_cookies());
    }
}
