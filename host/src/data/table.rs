//! One file's rows by their number: an index of where they are, and a bounded
//! cache of what was read.
//!
//! The index is sparse. A mark stands at about every 4 KiB; what lies between
//! two marks is a chunk, which is read and split as one. There are so many marks
//! at the most, and chunks grow with the file. A thread keeps the chunk that it
//! read last, so that rows in their order cost neither a lock nor a read; beside
//! it some megabytes of chunks are shared by all threads.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::Reading;
use super::rows::{Page, Rows, fields};
use crate::error::Problem;
use crate::plan::{DataFormat, DataSpec};

/// How long a chunk is at the least, in bytes, unless the file ends before.
const CHUNK: u64 = 4 << 10;
/// How many marks there are at the most: 4 MiB of them.
const MARKS: usize = 1 << 18;
/// How much memory the chunks of a file take that are kept for all threads, in
/// bytes, unless a single one takes more.
const KEPT: usize = 8 << 20;
/// How many mistakes are told of one file.
const MISTAKES: usize = 5;
/// How often somebody is told how far reading has come.
const TELL: Duration = Duration::from_secs(1);

/// A file's rows.
#[derive(Debug)]
pub(super) struct Table {
    /// Which one, among all of the process.
    id: usize,
    file: File,
    /// What tells whether the file was changed.
    stamp: Stamp,
    format: DataFormat,
    /// The names of its columns; JSON has none of its own.
    columns: Vec<String>,
    /// Where each chunk begins, and where the rows end.
    marks: Vec<Mark>,
    /// The chunks read last, each at its number's place.
    kept: Vec<Place>,
}

/// A chunk that was read, and its number.
type Chunk = (usize, Arc<Page>);
/// Where a chunk may be kept.
type Place = Mutex<Option<Chunk>>;

/// Where a row begins, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    offset: u64,
    row: u64,
}

thread_local! {
    /// The chunk that this thread read last of each table.
    static LAST: RefCell<FxHashMap<usize, Chunk>> = RefCell::default();
}

/// A row, wherever it is kept.
pub(super) struct Row<'a> {
    table: &'a Table,
    page: Arc<Page>,
    /// The row's first field in the page.
    first: usize,
}

impl Table {
    /// Reads a file once, to check it and to learn where its rows are. Blocks
    /// for as long as that takes: about a second for 200 MB.
    ///
    /// # Errors
    ///
    /// Says all that is wrong, up to a few mistakes.
    pub(super) fn open(
        spec: &DataSpec,
        tell: &mut dyn FnMut(&Reading<'_>),
    ) -> Result<Self, Vec<Problem>> {
        let path = spec.path.display();
        let wrong = |what: &str| Problem::new(format!("data `{}`: {what}", spec.name));
        let cannot = |error: std::io::Error| vec![wrong(&format!("cannot read `{path}`: {error}"))];
        // Asked before it is opened: to open a pipe may take for ever.
        if !std::fs::metadata(&spec.path).map_err(cannot)?.is_file() {
            return Err(vec![wrong(&format!("`{path}` is no regular file")).hint(
                "rows are read again and again, in any order: write them to a file first",
            )]);
        }
        let file = File::open(&spec.path).map_err(cannot)?;
        let stamp = Stamp::of(&file).map_err(cannot)?;
        let mut mistakes = Vec::new();
        let indexed = index(spec, &file, stamp.size, tell, &mut mistakes);
        match indexed {
            Some(index) if mistakes.is_empty() => {
                let places = (KEPT / index.largest.max(1)).clamp(1, index.marks.len());
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                Ok(Self {
                    id: NEXT.fetch_add(1, Ordering::Relaxed),
                    file,
                    stamp,
                    format: spec.format,
                    columns: index.columns,
                    marks: index.marks,
                    kept: (0..places).map(|_| Mutex::new(None)).collect(),
                })
            }
            _ => Err(mistakes),
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> u64 {
        self.marks.last().map_or(0, |end| end.row)
    }

    /// A row. Reads its chunk if nobody has done so lately, which blocks the
    /// thread for some microseconds if the system has it in memory, else for as
    /// long as the disk takes.
    ///
    /// # Errors
    ///
    /// If the file has changed or cannot be read any more.
    pub(super) fn row(&self, number: u64) -> Result<Option<Row<'_>>, Problem> {
        if number >= self.len() {
            return Ok(None);
        }
        let chunk = self.marks.partition_point(|mark| mark.row <= number) - 1;
        let page = self.page(chunk)?;
        let within = number - self.marks[chunk].row;
        Ok(Some(Row {
            table: self,
            page,
            first: within as usize * self.width(),
        }))
    }

    /// How many fields of a page a row has.
    fn width(&self) -> usize {
        self.columns.len().max(1)
    }

    fn page(&self, chunk: usize) -> Result<Arc<Page>, Problem> {
        LAST.with_borrow_mut(|last| {
            if let Some((known, page)) = last.get(&self.id)
                && *known == chunk
            {
                return Ok(page.clone());
            }
            let page = self.shared_page(chunk)?;
            last.insert(self.id, (chunk, page.clone()));
            Ok(page)
        })
    }

    fn shared_page(&self, chunk: usize) -> Result<Arc<Page>, Problem> {
        let place = &self.kept[chunk % self.kept.len()];
        let lock = || place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, page)) = &*lock()
            && *known == chunk
        {
            return Ok(page.clone());
        }
        // Two threads may both read it: better than one that waits for a disk.
        let page = Arc::new(self.read(chunk)?);
        *lock() = Some((chunk, page.clone()));
        Ok(page)
    }

    fn read(&self, chunk: usize) -> Result<Page, Problem> {
        let [from, to] = [self.marks[chunk], self.marks[chunk + 1]];
        let mut bytes = vec![0; (to.offset - from.offset) as usize];
        let read = self.file.read_exact_at(&mut bytes, from.offset);
        let changed = || Problem::new("it was changed after the run began to read it");
        // Looked at after the bytes were read, so that it holds for them.
        match (Stamp::of(&self.file), read) {
            (Ok(stamp), _) if stamp != self.stamp => return Err(changed()),
            (Ok(_), Ok(())) => {}
            (Err(error), _) | (_, Err(error)) => {
                return Err(Problem::new(format!("it cannot be read any more: {error}")));
            }
        }
        let mut rows = Rows::part(self.format, self.width(), bytes);
        let mut page = Page::default();
        let mut count = 0;
        while rows.next(&mut page).map_err(|_| changed())?.is_some() {
            count += 1;
        }
        if count == to.row - from.row {
            rows.end();
            page.text.shrink_to_fit();
            page.ends.shrink_to_fit();
            Ok(page)
        } else {
            Err(changed())
        }
    }
}

impl Row<'_> {
    /// The row's fields: the names of its columns, and their texts.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let text = |number| self.page.field(self.first + number).unwrap_or_default();
        if self.table.format == DataFormat::Csv {
            let columns = self.table.columns.iter().enumerate();
            columns
                .map(|(number, name)| (name.clone(), text(number).to_owned()))
                .collect()
        } else {
            fields(text(0)).expect("it was checked that the text is an object")
        }
    }

    /// The row as the text of a JSON object.
    pub(super) fn json(&self) -> String {
        let text = |number| self.page.field(self.first + number).unwrap_or_default();
        if self.table.format != DataFormat::Csv {
            return text(0).to_owned();
        }
        let mut json = String::from("{");
        for (number, name) in self.table.columns.iter().enumerate() {
            if number > 0 {
                json.push(',');
            }
            let quoted = |text| serde_json::to_string(text).expect("a text is valid JSON");
            json += &quoted(name.as_str());
            json.push(':');
            json += &quoted(text(number));
        }
        json.push('}');
        json
    }
}

/// A file's state as the system tells it: another one after each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self {
            size: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }
}

/// What reading a file through has told.
struct Index {
    columns: Vec<String>,
    marks: Vec<Mark>,
    /// How much memory a chunk takes at the most, in bytes.
    largest: usize,
}

/// Reads a file from beginning to end. What is wrong with it is in `mistakes`.
fn index(
    spec: &DataSpec,
    file: &File,
    size: u64,
    tell: &mut dyn FnMut(&Reading<'_>),
    mistakes: &mut Vec<Problem>,
) -> Option<Index> {
    let path = spec.path.display();
    let problem = |what: String, hint: Option<&str>| Problem {
        what: format!("data `{}`: `{path}` {what}", spec.name),
        hint: hint.map(str::to_owned),
    };
    let given = spec.header.as_ref().map(Vec::len);
    // Some file systems give a file's bytes without an end that can be seen.
    let input = file.take(size);
    let mut rows = match Rows::whole(spec.format, given, input) {
        Ok(rows) => rows,
        Err(mistake) => {
            mistakes.push(problem(mistake.what, mistake.hint));
            return None;
        }
    };
    let mut page = Page::default();
    let mut columns = spec.header.clone().unwrap_or_default();
    let mut marks: Vec<Mark> = Vec::new();
    let (mut count, mut chunk, mut told) = (0, CHUNK, Instant::now());
    let (mut largest, mut memory) = (0, 0);
    let mut more = 0;
    loop {
        page.clear();
        match rows.next(&mut page) {
            Ok(None) => break,
            Ok(Some(_)) if spec.format == DataFormat::Csv && columns.is_empty() => {
                let names = (0..page.ends.len()).filter_map(|number| page.field(number));
                columns = names.map(str::to_owned).collect();
                if let [name] = &columns[..]
                    && name.contains([';', '\t'])
                {
                    let hint = "columns are separated by commas: write the file anew, or name \
                                its columns, `header=NAME`, if it has but one";
                    let what = format!("has a header without a comma, `{name}`");
                    mistakes.push(problem(what, Some(hint)));
                }
                if let Some(what) = wrong_header(&columns) {
                    let hint = "if the file has no header, name its columns: `header=NAME+NAME`";
                    mistakes.push(problem(format!("has a header {what}"), Some(hint)));
                }
            }
            Ok(Some(start)) => {
                let offset = start.offset;
                if marks
                    .last()
                    .is_none_or(|mark| offset - mark.offset >= chunk)
                {
                    if marks.len() == MARKS {
                        let mut is_odd = false;
                        marks.retain(|_| {
                            is_odd = !is_odd;
                            is_odd
                        });
                        chunk *= 2;
                        largest *= 2;
                    }
                    memory = 0;
                    marks.push(Mark { offset, row: count });
                }
                count += 1;
                memory += page.memory();
                largest = largest.max(memory);
            }
            Err(mistake) => {
                if mistakes.len() < MISTAKES {
                    mistakes.push(problem(mistake.what, mistake.hint));
                } else {
                    more += 1;
                }
                // Whatever follows a header that cannot be read is no header.
                let is_header = spec.format == DataFormat::Csv && columns.is_empty();
                if mistake.is_fatal || is_header {
                    break;
                }
            }
        }
        if count % 1024 == 0 && told.elapsed() >= TELL {
            told = Instant::now();
            tell(&Reading {
                name: &spec.name,
                read: rows.offset(),
                of: size,
            });
        }
    }
    if more > 0 {
        let rows = if more == 1 { "row" } else { "rows" };
        mistakes.push(problem(format!("has {more} more {rows} like that"), None));
    }
    if count == 0 && mistakes.is_empty() {
        let (what, hint) = match size {
            0 => ("is empty", "give a file with at least one row"),
            _ if !columns.is_empty() && spec.header.is_none() => (
                "has a header and no rows",
                "if its first line is a row, name its columns: `header=NAME+NAME`",
            ),
            _ => ("has no rows", "give a file with at least one row"),
        };
        mistakes.push(problem(what.to_owned(), Some(hint)));
    }
    marks.push(Mark {
        offset: rows.offset(),
        row: count,
    });
    Some(Index {
        columns,
        marks,
        largest,
    })
}

/// Why these cannot be the names of columns.
pub fn wrong_header(columns: &[String]) -> Option<String> {
    if columns.iter().any(|name| name.trim().is_empty()) {
        return Some("with a column that has no name".to_owned());
    }
    let mut columns_so_far = columns.iter().enumerate();
    let twice = columns_so_far.find(|(number, name)| columns[..*number].contains(name));
    twice.map(|(_, name)| format!("with two columns `{name}`"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::plan::{AtEnd, DataOrder};

    fn file(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a temporary folder");
        file.write_all(bytes).expect("there is room");
        file
    }

    fn spec(file: &NamedTempFile, format: DataFormat) -> DataSpec {
        DataSpec {
            name: "users".to_owned(),
            path: file.path().to_owned(),
            format,
            order: DataOrder::Sequential,
            at_end: AtEnd::Wrap,
            header: None,
        }
    }

    fn open(spec: &DataSpec) -> Result<Table, Vec<String>> {
        Table::open(spec, &mut |_| {}).map_err(|mistakes| {
            let path = spec.path.display().to_string();
            let text = |mistake: &Problem| mistake.to_string().replace(&path, "FILE");
            mistakes.iter().map(text).collect()
        })
    }

    fn field(table: &Table, row: u64, number: usize) -> String {
        let row = table
            .row(row)
            .expect("the file is there")
            .expect("the row too");
        row.fields()[number].1.clone()
    }

    #[test]
    fn every_row_is_found_whatever_was_read_before() {
        // Rows of very different length, over many chunks.
        let mut text = "number,text\n".to_owned();
        for number in 0..20_000usize {
            text += &format!("{number},\"{}\"\n", "x\n".repeat(number * 7919 % 97));
        }
        let file = file(text.as_bytes());
        let table = open(&spec(&file, DataFormat::Csv)).expect("valid");
        assert_eq!(table.len(), 20_000);
        assert!(table.marks.len() > 50, "{}", table.marks.len());
        for step in 0..20_000u64 {
            for number in [step, step * 7919 % 20_000, 19_999 - step] {
                assert_eq!(field(&table, number, 0), number.to_string());
            }
        }
        assert!(table.row(20_000).expect("no mistake").is_none());
    }

    #[test]
    fn the_cache_is_bounded_whatever_the_file() {
        let row = "x".repeat(500 << 10);
        let text = format!("a\n{}", format!("{row}\n").repeat(40));
        let file = file(text.as_bytes());
        let table = open(&spec(&file, DataFormat::Csv)).expect("valid");
        assert_eq!(table.len(), 40);
        for number in (0..40).rev() {
            assert_eq!(field(&table, number, 0).len(), 500 << 10);
        }
        let kept = table.kept.iter().filter_map(|place| {
            let place = place.lock().expect("nobody panicked");
            Some(place.as_ref()?.1.memory())
        });
        let kept: usize = kept.sum();
        assert!(kept > 0 && kept <= KEPT, "{kept}");
    }

    #[test]
    fn short_fields_take_no_more_memory_than_long_ones() {
        // In memory each field takes more than in the file.
        let text = format!("a,b,c,d\n{}", "1,2,3,4\n".repeat(2 << 20));
        let file = file(text.as_bytes());
        let table = open(&spec(&file, DataFormat::Csv)).expect("valid");
        for number in (0..table.len()).step_by(1_000) {
            table.row(number).expect("no mistake").expect("it is there");
        }
        let memory = |place: &Place| {
            let place = place.lock().expect("nobody panicked");
            let page = &place.as_ref().expect("every place was used").1;
            page.text.capacity() + page.ends.capacity() * 4
        };
        let kept: usize = table.kept.iter().map(memory).sum();
        assert!((KEPT / 2..=KEPT).contains(&kept), "{kept}");
    }

    #[test]
    fn mistakes_come_at_once_with_file_and_line() {
        let told = |text: &[u8], format| {
            let file = file(text);
            open(&spec(&file, format)).expect_err("a mistake")
        };
        assert_eq!(
            told(b"a,b\n1\n2,2\n1,2,3\n", DataFormat::Csv),
            [
                "data `users`: `FILE` line 2 has 1 field, and the header 2\nhint: a value that holds a comma, a quote or a line break is put in quotes",
                "data `users`: `FILE` line 4 has 3 fields, and the header 2\nhint: a value that holds a comma, a quote or a line break is put in quotes",
            ]
        );
        assert_eq!(
            told(b"", DataFormat::Csv),
            ["data `users`: `FILE` is empty\nhint: give a file with at least one row"]
        );
        assert!(told(b"a,b\n", DataFormat::Csv)[0].contains("has a header and no rows"));
        assert!(told(b"a,b,a\n1,2,3\n", DataFormat::Csv)[0].contains("with two columns `a`"));
        assert!(told(b"a,\n1,2\n", DataFormat::Csv)[0].contains("that has no name"));
        let semicolons = told(b"a;b\n1;2\n", DataFormat::Csv);
        assert!(semicolons[0].contains("has a header without a comma, `a;b`"));
        assert!(told(b"[]", DataFormat::Json)[0].contains("has no rows"));
        let many = told(&b"7\n".repeat(9), DataFormat::Ndjson);
        assert_eq!(many.len(), 6);
        assert!(many[5].contains("has 4 more rows like that"), "{many:?}");
    }

    #[test]
    fn a_header_that_cannot_be_read_is_the_only_mistake() {
        for (text, part) in [
            (&b"a,\xe9\n1,2\n3,3\n4\n"[..], "line 1 is not valid UTF-8"),
            (b"a,b\0\n1,2\n3\n", "line 1 is not UTF-8, but UTF-16"),
            (b"\xff\xfea\0\n\0b\0\n\0", "line 1 is not UTF-8, but UTF-16"),
        ] {
            let file = file(text);
            let told = open(&spec(&file, DataFormat::Csv)).expect_err("a mistake");
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(&format!("`FILE` {part}")), "{told:?}");
        }
    }

    #[test]
    fn only_a_regular_file_has_rows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spec = spec(&file(b""), DataFormat::Csv);
        spec.path = folder.path().to_owned();
        assert!(open(&spec).expect_err("a folder")[0].contains("is no regular file"));
        spec.path = "/dev/zero".into();
        assert!(open(&spec).expect_err("a device")[0].contains("is no regular file"));
        spec.path = folder.path().join("absent.csv");
        assert!(open(&spec).expect_err("absent")[0].contains("cannot read"));
    }

    #[test]
    fn a_file_that_changes_is_told_and_gives_no_wrong_row() {
        let file = file(b"a,b\n1,2\n3,4\n");
        let table = open(&spec(&file, DataFormat::Csv)).expect("valid");
        std::fs::write(file.path(), b"a,b\n1,2,\n,4\n").expect("it is ours");
        let changed = table.row(1).map(|_| ()).expect_err("changed");
        assert!(changed.what.contains("was changed after"), "{changed}");
        // Also if it could still be read.
        std::fs::write(file.path(), b"a,b\n5,6\n7,8\n").expect("it is ours");
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        file.as_file().set_modified(later).expect("it is ours");
        let changed = table.row(1).map(|_| ()).expect_err("changed");
        assert!(changed.what.contains("was changed after"), "{changed}");
    }

    #[test]
    fn a_file_that_is_removed_can_be_read_to_its_end() {
        let file = file(b"a,b\n1,2\n3,4\n");
        let table = open(&spec(&file, DataFormat::Csv)).expect("valid");
        file.close().expect("it is ours");
        assert_eq!(field(&table, 1, 0), "3");
    }

    #[test]
    fn rows_of_every_format_are_given_both_ways() {
        let same = |text: &[u8], format, header: Option<Vec<String>>| {
            let file = file(text);
            let spec = DataSpec {
                header,
                ..spec(&file, format)
            };
            let table = open(&spec).expect("valid");
            let row = table.row(1).expect("no mistake").expect("there are two");
            (row.fields(), row.json())
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = vec![pair("id", "7"), pair("name", "x \"y\"")];
        let columns = vec!["id".to_owned(), "name".to_owned()];
        let csv = (fields.clone(), r#"{"id":"7","name":"x \"y\""}"#.to_owned());
        assert_eq!(
            same(b"id,name\n1,\n7,\"x \"\"y\"\"\"\n", DataFormat::Csv, None),
            csv
        );
        let headless = b"1,\n7,\"x \"\"y\"\"\"\n";
        assert_eq!(same(headless, DataFormat::Csv, Some(columns)), csv);
        let json = (fields, r#"{"id":7, "name":"x \"y\""}"#.to_owned());
        let array = format!("[\n{{}} ,\n{}\n]", json.1);
        assert_eq!(same(array.as_bytes(), DataFormat::Json, None), json);
        let lines = format!("{{}}\n{}\n", json.1);
        assert_eq!(same(lines.as_bytes(), DataFormat::Ndjson, None), json);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn json_rows_are_found_by_their_number(
            lengths in proptest::collection::vec(0usize..20_000, 1..60),
        ) {
            let text = |(number, length): (usize, &usize)| {
                format!(r#"{{"n":{number},"text":"{}"}}"#, "{".repeat(*length))
            };
            let rows: Vec<_> = lengths.iter().enumerate().map(text).collect();
            for (format, text) in [
                (DataFormat::Json, format!("[{}]", rows.join(",\n"))),
                (DataFormat::Ndjson, rows.join("\n")),
            ] {
                let file = file(text.as_bytes());
                let table = open(&spec(&file, format)).expect("valid");
                prop_assert_eq!(table.len(), rows.len() as u64);
                for number in (0..rows.len()).rev() {
                    let row = table.row(number as u64).expect("valid").expect("there");
                    prop_assert_eq!(row.json(), rows[number].as_str());
                }
            }
        }
    }
}
