//! From bytes to rows: CSV, NDJSON, and an array of JSON, from its beginning or
//! from any row on.
//!
//! The same code reads a file to index it and a part of it to deal out its rows,
//! so that what was indexed can be dealt out, and what has changed since is seen.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Empty, Read};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::plan::DataFormat;

/// The longest row there may be, in bytes. A quote that is never closed would
/// make a row of the rest of the file.
pub(super) const LONGEST: usize = 1 << 20;
/// How much is read at a time.
const READ: usize = 256 << 10;

/// Where a row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// In bytes, from the beginning of the file.
    pub(super) offset: u64,
    /// From 1.
    pub(super) line: u64,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// What, with its line.
    pub(super) what: String,
    /// What to do about it.
    pub(super) hint: Option<&'static str>,
    /// Whether there is no telling where the next row begins.
    pub(super) is_fatal: bool,
}

impl Mistake {
    fn at(line: u64, what: impl fmt::Display) -> Self {
        Self {
            what: format!("line {line} {what}"),
            hint: None,
            is_fatal: false,
        }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    fn fatal(self) -> Self {
        Self {
            is_fatal: true,
            ..self
        }
    }
}

/// Rows as they are kept: the texts of all their fields one after the other, and
/// where each ends. A row of JSON is one field, the text of its object.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) ends: Vec<u32>,
}

impl Page {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, field: &str) {
        self.text.push_str(field);
        let end = u32::try_from(self.text.len()).expect("a page holds a few rows at most");
        self.ends.push(end);
    }

    /// How much memory what it holds takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }

    /// A field, counted from the page's first, if there are so many.
    pub(super) fn field(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)? as usize;
        let start = match number {
            0 => 0,
            _ => *self.ends.get(number - 1)? as usize,
        };
        self.text.get(start..end)
    }
}

/// Reads rows one after the other.
pub(super) struct Rows<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    /// Where the next byte stands.
    next: Start,
    split: Split,
    /// The bytes of one row: CSV without its quotes, JSON as it is.
    row: Vec<u8>,
    is_part: bool,
}

enum Split {
    Csv {
        core: Box<csv_core::Reader>,
        /// Where the row's fields end.
        ends: Vec<usize>,
        /// How many fields each row has, once the first is known.
        width: Option<usize>,
    },
    Lines,
    Array(Expected),
}

/// What comes next in an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Open,
    ItemOrClose,
    Item,
    CommaOrClose,
    Nothing,
}

thread_local! {
    /// What split CSV on this thread to the end of a row, to go on with another:
    /// to make one takes as long as to read some kilobytes. Its `clone` and its
    /// `reset` lead to one that splits otherwise.
    static SPARE: Cell<Option<Box<csv_core::Reader>>> = const { Cell::new(None) };
}

fn splitter() -> Box<csv_core::Reader> {
    SPARE.take().unwrap_or_else(|| {
        let mut splitter = Box::new(csv_core::Reader::new());
        // It takes a byte order mark away before its first row, wherever in the
        // file that is: it gets a first row here.
        splitter.read_record(b"-\n", &mut [0; 4], &mut [0; 4]);
        splitter
    })
}

impl Split {
    fn new(format: DataFormat, width: Option<usize>, expected: Expected) -> Self {
        match format {
            DataFormat::Csv => Self::Csv {
                core: splitter(),
                ends: vec![0; width.map_or(16, |width| width + 1)],
                width,
            },
            DataFormat::Ndjson => Self::Lines,
            DataFormat::Json => Self::Array(expected),
        }
    }
}

impl<R: Read> Rows<R> {
    /// The rows of a whole file. `width` is how many columns a CSV file has, if
    /// its first row does not say. A byte order mark is passed over.
    pub(super) fn whole(
        format: DataFormat,
        width: Option<usize>,
        input: R,
    ) -> Result<Self, Mistake> {
        let mut rows = Self {
            input,
            buffer: vec![0; READ],
            at: 0,
            filled: 0,
            next: Start { offset: 0, line: 1 },
            split: Split::new(format, width, Expected::Open),
            row: Vec::new(),
            is_part: false,
        };
        rows.fill()?;
        match &rows.buffer[..rows.filled] {
            [0xef, 0xbb, 0xbf, ..] => rows.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(utf16(1).fatal()),
            _ => {}
        }
        Ok(rows)
    }
}

impl Rows<Empty> {
    /// The rows of a part of a file that begins with a row and ends with one.
    /// Offsets and lines count from its beginning.
    pub(super) fn part(format: DataFormat, width: usize, bytes: Vec<u8>) -> Self {
        Self {
            input: io::empty(),
            at: 0,
            filled: bytes.len(),
            buffer: bytes,
            next: Start { offset: 0, line: 1 },
            split: Split::new(format, Some(width), Expected::Item),
            row: Vec::new(),
            is_part: true,
        }
    }

    /// Leaves to the next one on this thread what can be used again. To be called
    /// after the last row.
    pub(super) fn end(self) {
        if let Split::Csv { core, .. } = self.split {
            SPARE.set(Some(core));
        }
    }
}

impl<R: Read> Rows<R> {
    /// Adds the next row to `page`: where it began, or `None` after the last.
    pub(super) fn next(&mut self, page: &mut Page) -> Result<Option<Start>, Mistake> {
        match self.split {
            Split::Csv { .. } => self.csv(page),
            Split::Lines => self.line(page),
            Split::Array(expected) => self.item(page, expected),
        }
    }

    /// The offset of the next byte: after the last row, where the rows end.
    pub(super) fn offset(&self) -> u64 {
        self.next.offset
    }

    /// Reads until there are bytes at hand, or the input has ended: whether
    /// there are some.
    fn fill(&mut self) -> Result<bool, Mistake> {
        while self.at == self.filled {
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => (self.at, self.filled) = (0, read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let what = format!("cannot be read: {error}");
                    return Err(Mistake::at(self.next.line, what).fatal());
                }
            }
        }
        Ok(true)
    }

    fn consume(&mut self, bytes: usize) {
        let gone = &self.buffer[self.at..self.at + bytes];
        self.next.line += gone.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.next.offset += bytes as u64;
        self.at += bytes;
    }

    /// Passes over all of these bytes: the one that comes then, if one does.
    fn skip(&mut self, blank: &[u8]) -> Result<Option<u8>, Mistake> {
        while self.fill()? {
            let at_hand = &self.buffer[self.at..self.filled];
            let blanks = at_hand.iter().take_while(|byte| blank.contains(byte));
            let blanks = blanks.count();
            let found = at_hand.get(blanks).copied();
            self.consume(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn csv(&mut self, page: &mut Page) -> Result<Option<Start>, Mistake> {
        use csv_core::ReadRecordResult::{End, InputEmpty, OutputEndsFull, OutputFull, Record};
        if self.skip(b"\r\n")?.is_none() {
            return Ok(None);
        }
        let start = self.next;
        let (mut written, mut fields) = (0, 0);
        loop {
            let more = self.fill()?;
            let Split::Csv { core, ends, .. } = &mut self.split else {
                unreachable!("it is CSV that is being read");
            };
            // The end of the input ends a row as a line break does, unless it
            // is in quotes.
            let input = match more {
                true => &self.buffer[self.at..self.filled],
                false => b"\n",
            };
            let (result, read, wrote, ended) =
                core.read_record(input, &mut self.row[written..], &mut ends[fields..]);
            written += wrote;
            fields += ended;
            match result {
                OutputFull => self.row.resize((written * 2).max(4 << 10), 0),
                OutputEndsFull => ends.resize(ends.len() * 2, 0),
                Record => {}
                InputEmpty if more => {}
                InputEmpty | End => {
                    return Err(
                        Mistake::at(start.line, "opens a quote that is never closed")
                            .hint("write a quote within quotes twice: `\"\"`")
                            .fatal(),
                    );
                }
            }
            if more {
                self.consume(read);
            }
            if written > LONGEST {
                return Err(too_long(start.line)
                    .hint("is a quote opened in it and never closed?")
                    .fatal());
            }
            if matches!(result, Record) {
                break;
            }
        }
        let Split::Csv { ends, width, .. } = &mut self.split else {
            unreachable!("it is CSV that is being read");
        };
        let text = utf8(&self.row[..written], start.line)?;
        let expected = *width.get_or_insert(fields);
        if fields != expected {
            let has = format!(
                "has {fields} {}, and the header {expected}",
                if fields == 1 { "field" } else { "fields" }
            );
            return Err(Mistake::at(start.line, has)
                .hint("a value that holds a comma, a quote or a line break is put in quotes"));
        }
        let mut from = 0;
        for end in &ends[..fields] {
            // Two halves of a character in two fields are no text either.
            page.push(text.get(from..*end).ok_or_else(|| not_utf8(start.line))?);
            from = *end;
        }
        Ok(Some(start))
    }

    fn line(&mut self, page: &mut Page) -> Result<Option<Start>, Mistake> {
        if self.skip(b" \t\r\n")?.is_none() {
            return Ok(None);
        }
        let start = self.next;
        self.row.clear();
        while self.fill()? {
            let at_hand = &self.buffer[self.at..self.filled];
            let end = at_hand.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(at_hand.len());
            self.row.extend_from_slice(&at_hand[..taken]);
            self.consume(taken);
            if self.row.len() > LONGEST {
                return Err(too_long(start.line)
                    .hint("an object a line is `format=ndjson`, one array is `format=json`")
                    .fatal());
            }
            if end.is_some() {
                break;
            }
        }
        let text = utf8(&self.row, start.line)?.trim_end();
        check_object(text, start.line).map_err(|mistake| match text.starts_with('[') {
            true => mistake.hint("for one array of objects add `format=json`"),
            false => mistake,
        })?;
        page.push(text);
        Ok(Some(start))
    }

    fn item(&mut self, page: &mut Page, mut expected: Expected) -> Result<Option<Start>, Mistake> {
        use Expected::{CommaOrClose, Item, ItemOrClose, Nothing, Open};
        loop {
            let found = self.skip(b" \t\r\n")?;
            let wrong = |what| Err(Mistake::at(self.next.line, what).fatal());
            expected = match (expected, found) {
                (Item | ItemOrClose, Some(b'{')) => break,
                (Open, Some(b'[')) => ItemOrClose,
                (CommaOrClose, Some(b',')) => Item,
                (ItemOrClose | CommaOrClose, Some(b']')) => return self.close(),
                (Nothing, _) => return Ok(None),
                // The part ends where the next one begins.
                (Item | CommaOrClose, None) if self.is_part => return Ok(None),
                (_, None) => return wrong("ends within the array of rows"),
                (Open, Some(b'{')) => {
                    return wrong("begins an object, and not an array of objects")
                        .map_err(|wrong| wrong.hint("for an object a line add `format=ndjson`"));
                }
                (Open, _) => return wrong("does not begin an array of objects"),
                (CommaOrClose, _) => return wrong("lacks a comma between two rows"),
                (Item | ItemOrClose, _) => return wrong("begins a row that is no JSON object"),
            };
            self.consume(1);
        }
        let start = self.next;
        self.object(start)?;
        self.split = Split::Array(CommaOrClose);
        let text = utf8(&self.row, start.line).map_err(Mistake::fatal)?;
        check_object(text, start.line).map_err(Mistake::fatal)?;
        page.push(text);
        Ok(Some(start))
    }

    /// Comes to the end of an array, with which the file ends.
    fn close(&mut self) -> Result<Option<Start>, Mistake> {
        let end = self.next;
        self.consume(1);
        if self.skip(b" \t\r\n")?.is_some() {
            let what = "has something after the end of the array";
            return Err(Mistake::at(self.next.line, what).fatal());
        }
        self.next = end;
        self.split = Split::Array(Expected::Nothing);
        Ok(None)
    }

    /// Takes the bytes of an object, as far as its braces and strings tell.
    fn object(&mut self, start: Start) -> Result<(), Mistake> {
        let (mut depth, mut in_string, mut escaped) = (0u32, false, false);
        self.row.clear();
        while self.fill()? {
            let at_hand = &self.buffer[self.at..self.filled];
            let end = at_hand.iter().position(|byte| {
                match (in_string, escaped, byte) {
                    (true, true, _) => escaped = false,
                    (true, false, b'\\') => escaped = true,
                    (_, false, b'"') => in_string = !in_string,
                    (false, _, b'{' | b'[') => depth += 1,
                    (false, _, b'}' | b']') => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let taken = end.map_or(at_hand.len(), |end| end + 1);
            self.row.extend_from_slice(&at_hand[..taken]);
            self.consume(taken);
            if self.row.len() > LONGEST {
                return Err(too_long(start.line).fatal());
            }
            if end.is_some() {
                return Ok(());
            }
        }
        Err(Mistake::at(start.line, "begins a row that has no end").fatal())
    }
}

fn too_long(line: u64) -> Mistake {
    Mistake::at(line, "begins a row of more than 1 MiB")
}

/// The text of a row that begins in a line. A NUL is no text: JSON has another
/// way to write it, and other files with one are not in UTF-8.
fn utf8(bytes: &[u8], line: u64) -> Result<&str, Mistake> {
    let line_at = |place: usize| {
        let before = &bytes[..place];
        line + before.iter().filter(|byte| **byte == b'\n').count() as u64
    };
    if let Some(place) = bytes.iter().position(|byte| *byte == 0) {
        return Err(utf16(line_at(place)));
    }
    std::str::from_utf8(bytes).map_err(|error| not_utf8(line_at(error.valid_up_to())))
}

fn utf16(line: u64) -> Mistake {
    Mistake::at(line, "is not UTF-8, but UTF-16 or no text at all")
        .hint("convert the file, such as with `iconv -f UTF-16 -t UTF-8`")
}

fn not_utf8(line: u64) -> Mistake {
    Mistake::at(line, "is not valid UTF-8")
        .hint("convert the file, such as with `iconv -f WINDOWS-1252 -t UTF-8`")
}

/// Checks that a text is one JSON object, and that its fields can be read.
fn check_object(text: &str, line: u64) -> Result<(), Mistake> {
    if !text.starts_with('{') {
        return Err(Mistake::at(line, "is no JSON object"));
    }
    serde_json::from_str::<Sound>(text)
        .map(drop)
        .map_err(|error| {
            let line = line + (error.line() as u64).saturating_sub(1);
            let said = error.to_string();
            let what = said.split(" at line ").next().unwrap_or_default();
            Mistake::at(line, format!("is no valid JSON: {what}"))
        })
}

/// A value that can be read, of which nothing is kept. What serde's own for this
/// passes over unread, such as a number out of range, is a mistake here.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// The fields of an object in their order: strings as their text, all else as
/// its JSON, just as it is written. `None` if the text is no object.
pub(super) fn fields(object: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    let mut rest = object.trim_start().strip_prefix('{')?.trim_start();
    while !rest.starts_with('}') {
        let name = first::<String>(&mut rest)?;
        rest = rest.strip_prefix(':')?.trim_start();
        let value = if rest.starts_with('"') {
            first::<String>(&mut rest)?
        } else {
            let from = rest;
            first::<IgnoredAny>(&mut rest)?;
            from[..from.len() - rest.len()].trim_end().to_owned()
        };
        fields.push((name, value));
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
        }
    }
    Some(fields)
}

/// Takes the first value off a text, and the white space behind it.
fn first<'a, T: Deserialize<'a>>(rest: &mut &'a str) -> Option<T> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter();
    let value = values.next()?.ok()?;
    *rest = rest[values.byte_offset()..].trim_start();
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes five at a time, whatever that tears.
    struct Torn<'a>(&'a [u8]);

    impl Read for Torn<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let few = buffer.len().min(5);
            self.0.read(&mut buffer[..few])
        }
    }

    /// All rows of a text, each as its fields, and where they begin.
    fn read(
        format: DataFormat,
        width: Option<usize>,
        bytes: &[u8],
    ) -> Result<Vec<(Start, Vec<String>)>, Mistake> {
        all(&mut Rows::whole(format, width, Torn(bytes))?)
    }

    fn all<R: Read>(rows: &mut Rows<R>) -> Result<Vec<(Start, Vec<String>)>, Mistake> {
        let mut page = Page::default();
        let mut read = Vec::new();
        while let Some(start) = rows.next(&mut page)? {
            let fields = (0..page.ends.len())
                .map(|number| page.field(number).expect("it is there").to_owned());
            read.push((start, fields.collect()));
            page.clear();
        }
        Ok(read)
    }

    fn told(format: DataFormat, text: &[u8]) -> String {
        read(format, None, text).expect_err("a mistake").what
    }

    #[test]
    fn a_row_of_csv_may_go_over_lines() {
        let rows = read(
            DataFormat::Csv,
            None,
            b"\xef\xbb\xbfa,b\r\n\r\n\"x\n\"\"y\"\"\",2\r\n3,\n",
        );
        let fields = |row: &(Start, Vec<String>)| (row.0.offset, row.0.line, row.1.join("|"));
        let rows: Vec<_> = rows.expect("valid").iter().map(fields).collect();
        let expected = [
            (3, 1, "a|b".to_owned()),
            (10, 3, "x\n\"y\"|2".to_owned()),
            (23, 5, "3|".to_owned()),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn mistakes_name_the_line() {
        use DataFormat::{Csv, Json, Ndjson};
        let utf16 = "is not UTF-8, but UTF-16 or no text at all";
        for (format, text) in [
            (Csv, &b"a\0,b\n"[..]),
            (Csv, b"\xff\xfea\0\n\0"),
            (Json, b"\xfe\xff\0["),
            (Ndjson, b"{\"a\":\"\0\"}"),
        ] {
            assert_eq!(told(format, text), format!("line 1 {utf16}"));
        }
        assert_eq!(told(Csv, b"a\n\"x\ny\0\"\n"), format!("line 3 {utf16}"));
        for (format, text, expected) in [
            (
                Csv,
                &b"a,b\n1,2\n1,2,3\n"[..],
                "line 3 has 3 fields, and the header 2",
            ),
            (
                Csv,
                b"a,b\n\"x\ny\",1\n1\n",
                "line 4 has 1 field, and the header 2",
            ),
            (
                Csv,
                b"a,b\n1,\"2\n",
                "line 2 opens a quote that is never closed",
            ),
            (Csv, b"a,b\n1,2\n1,\xe9\n", "line 3 is not valid UTF-8"),
            (Csv, b"a,b\n1,\"2\n\xe9\"\n", "line 3 is not valid UTF-8"),
            (Csv, b"a,b\n\xc3,\xa9\n", "line 2 is not valid UTF-8"),
            (Ndjson, b"{}\n\n[1]\n", "line 3 is no JSON object"),
            (
                Ndjson,
                b"{}\n{\"a\":}\n",
                "line 2 is no valid JSON: expected value",
            ),
            (
                Ndjson,
                b"{}\n{\"a\":\"\\ud800\"}\n",
                "line 2 is no valid JSON: unexpected end of hex escape",
            ),
            (
                Ndjson,
                b"{\"a\":1e999}\n",
                "line 1 is no valid JSON: number out of range",
            ),
            (
                Ndjson,
                b"{} {}\n",
                "line 1 is no valid JSON: trailing characters",
            ),
            (
                Json,
                b"{}",
                "line 1 begins an object, and not an array of objects",
            ),
            (
                Json,
                b"[\n{},\n7]",
                "line 3 begins a row that is no JSON object",
            ),
            (Json, b"[\n{}\n{}]", "line 3 lacks a comma between two rows"),
            (Json, b"[{},]", "line 1 begins a row that is no JSON object"),
            (Json, b"[{},\n", "line 2 ends within the array of rows"),
            (Json, b"[{\"a\":\"]}", "line 1 begins a row that has no end"),
            (
                Json,
                b"[{\"a\":1,\n\"b\"}]",
                "line 2 is no valid JSON: expected `:`",
            ),
            (
                Json,
                b"[{}]\n\nx",
                "line 3 has something after the end of the array",
            ),
        ] {
            assert_eq!(told(format, text), expected);
        }
        let long = [b"a\n\"".to_vec(), vec![b'x'; 2 * LONGEST]].concat();
        assert_eq!(told(Csv, &long), "line 2 begins a row of more than 1 MiB");
        let long = [b"{}\n{".to_vec(), vec![b' '; 2 * LONGEST]].concat();
        assert_eq!(
            told(Ndjson, &long),
            "line 2 begins a row of more than 1 MiB"
        );
    }

    #[test]
    fn fields_keep_their_order_and_strings_lose_their_quotes() {
        let text = r#" { "z":"a\u00e9" ,"a":{"b": [1,null]},"n":1.50,"id":123456789012345678901 }"#;
        let read = fields(text).expect("valid");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("z", "a\u{e9}"),
            pair("a", r#"{"b": [1,null]}"#),
            pair("n", "1.50"),
            pair("id", "123456789012345678901"),
        ];
        assert_eq!(read, expected);
    }

    /// A text that is likely to hold what CSV takes for its own.
    fn awkward() -> impl Strategy<Value = String> {
        vec(
            prop_oneof![
                Just('"'),
                Just(','),
                Just('\n'),
                Just('\r'),
                Just('\u{feff}'),
                any::<char>().prop_map(|any| if any == '\0' { ' ' } else { any })
            ],
            0..12,
        )
        .prop_map(|text| text.into_iter().collect())
    }

    proptest! {
        #[test]
        fn csv_is_read_as_it_was_written(
            (rows, quotes, ends) in (1usize..40, 1usize..12).prop_flat_map(|(columns, rows)| (
                vec(vec(awkward(), columns), rows),
                vec(vec(any::<bool>(), columns), rows),
                vec(0usize..5, rows),
            )),
            byte_order_mark in any::<bool>(),
            last_line_ends in any::<bool>(),
        ) {
            // Not how the reader sees it, but how RFC 4180 says to write it.
            let mut text = if byte_order_mark { "\u{feff}".to_owned() } else { String::new() };
            let mut starts = Vec::new();
            for (number, row) in rows.iter().enumerate() {
                starts.push((text.len() as u64, text.matches('\n').count() as u64 + 1));
                for (column, field) in row.iter().enumerate() {
                    if column > 0 {
                        text.push(',');
                    }
                    let must = field.contains(['"', ',', '\r', '\n', '\u{feff}']);
                    // A line with nothing in it is no row.
                    let must = must || row.len() == 1 && field.is_empty();
                    if must || quotes[number][column] {
                        text.push('"');
                        field.chars().for_each(|it| match it {
                            '"' => text.push_str("\"\""),
                            it => text.push(it),
                        });
                        text.push('"');
                    } else {
                        text.push_str(field);
                    }
                }
                if number + 1 < rows.len() || last_line_ends {
                    text.push_str(["\n", "\r\n", "\n\n", "\r\n\r\n", "\r\n\n"][ends[number]]);
                }
            }
            let read = read(DataFormat::Csv, None, text.as_bytes()).expect("valid");
            let found: Vec<_> = read.iter().map(|(start, _)| (start.offset, start.line)).collect();
            prop_assert_eq!(found, starts);
            let fields: Vec<_> = read.iter().map(|(_, fields)| fields.clone()).collect();
            prop_assert_eq!(&fields, &rows);
            // And from any row on.
            for (number, (start, _)) in read.iter().enumerate() {
                let part = text.as_bytes()[start.offset as usize..].to_vec();
                let width = rows[0].len();
                let rest = all(&mut Rows::part(DataFormat::Csv, width, part)).expect("valid");
                let rest: Vec<_> = rest.into_iter().map(|(_, fields)| fields).collect();
                prop_assert_eq!(&rest[..], &rows[number..]);
            }
        }

        #[test]
        fn any_text_is_read_alike_whole_and_torn(text in awkward()) {
            let torn = read(DataFormat::Csv, None, text.as_bytes());
            let whole = all(&mut Rows::whole(DataFormat::Csv, None, text.as_bytes()).expect("no I/O"));
            prop_assert_eq!(&torn, &whole);
            // It is as csv-core has it, but for a quote that the end closes.
            let mut core = csv_core::Reader::new();
            let (mut out, mut ends) = ([0; 256], [0; 64]);
            let mut rest = text.as_bytes();
            let mut theirs = Vec::new();
            loop {
                let (result, read, _, fields) = core.read_record(rest, &mut out, &mut ends);
                rest = &rest[read..];
                match result {
                    csv_core::ReadRecordResult::Record => theirs.push(fields),
                    csv_core::ReadRecordResult::End => break,
                    // A row that the end ends takes two calls.
                    _ => {
                        let (result, _, _, more) = core.read_record(b"", &mut out, &mut ends[fields..]);
                        if result == csv_core::ReadRecordResult::Record {
                            theirs.push(fields + more);
                        }
                        break;
                    }
                }
            }
            if let Ok(ours) = whole {
                let ours: Vec<_> = ours.iter().map(|(_, fields)| fields.len()).collect();
                prop_assert_eq!(ours, theirs);
            }
        }

        #[test]
        fn json_is_read_as_it_was_written(
            rows in vec(
                proptest::collection::btree_map(awkward(), awkward(), 0..4), 1..20),
            pretty in any::<bool>(),
        ) {
            let texts: Vec<String> = rows.iter().map(|row| match pretty {
                true => serde_json::to_string_pretty(row).expect("plain data"),
                false => serde_json::to_string(row).expect("plain data"),
            }).collect();
            let array = format!("[{}]\n", texts.join(", "));
            let read_back = read(DataFormat::Json, None, array.as_bytes()).expect("valid");
            let read_texts: Vec<_> = read_back.iter().map(|(_, row)| row[0].clone()).collect();
            prop_assert_eq!(&read_texts, &texts);
            for (row, text) in rows.iter().zip(&texts) {
                let expected: Vec<_> = row.clone().into_iter().collect();
                prop_assert_eq!(fields(text).expect("valid"), expected);
            }
            if !pretty {
                let lines = texts.join("\r\n");
                let read = read(DataFormat::Ndjson, None, lines.as_bytes()).expect("valid");
                let read: Vec<_> = read.into_iter().map(|(_, mut row)| row.remove(0)).collect();
                prop_assert_eq!(&read, &texts);
            }
        }
    }
}
