//! Lines in a file, and in its successors.
//!
//! A line is in one file, and whole. Before a line that the file has no room or
//! no time left for, the file gets its rotated name by one rename and a new one
//! takes its place; whoever follows the path sees either the old file or the new
//! one, and whoever follows the old file finds all of it there.
//!
//! What is in the way is told once, as a diagnostic, and tried again with the
//! next line. Lines are lost only where the disk takes none or somebody deletes
//! the file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lines::write_on;
use super::place::{AT_ONCE, AT_ONCE_IN_A_PIPE, Target, count_lines, first_line, whole_lines};
use super::{Ledger, Stopped, place, rotated};
use crate::error::Problem;
use crate::plan::{FileSpec, Rotation};

/// How often it is looked whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    /// `None` while it cannot be made anew.
    open: Option<Open>,
    /// The number of the last rotated file.
    number: u64,
    looked: Instant,
    /// What has been told of and is not over.
    troubles: Vec<Trouble>,
}

/// The file that is written to now.
#[derive(Debug)]
struct Open {
    file: File,
    device_and_inode: (u64, u64),
    is_regular: bool,
    is_pipe: bool,
    size: u64,
    /// When its first line was written.
    began: Option<Instant>,
    /// Whether it ends in the middle of a line.
    is_torn: bool,
    /// Whose lines are in it, and how many.
    owners: Vec<(Arc<Ledger>, u64)>,
}

/// What can go wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Write,
    Rotate,
    Prune,
}

impl Trouble {
    fn begins(self) -> &'static str {
        match self {
            Self::Write => "log entries cannot be written, and are lost until they can",
            Self::Rotate => "a file of log entries cannot be rotated, and grows until it can",
            Self::Prune => "old files of log entries cannot be deleted",
        }
    }

    fn ends(self) -> &'static str {
        match self {
            Self::Write => "log entries are written again",
            Self::Rotate => "a file of log entries is rotated again",
            Self::Prune => "old files of log entries are deleted again",
        }
    }
}

impl LogFile {
    /// Opens a file for new lines. What it held before is not touched yet.
    pub(super) fn open(spec: &FileSpec) -> Result<Self, Problem> {
        let shown = spec.path.display();
        let mut path = spec.path.clone();
        let open = Open::new(&path).map_err(|error| {
            let problem = Problem::new(format!("cannot write telemetry to `{shown}`: {error}"));
            match error.kind() {
                io::ErrorKind::NotFound => problem.hint("create the folder first"),
                io::ErrorKind::IsADirectory => problem.hint("name a file in it"),
                _ => problem,
            }
        })?;
        if spec.rotation.is_some() {
            if !open.is_regular {
                return Err(Problem::new(format!(
                    "`{shown}` is not a regular file and cannot be rotated"
                ))
                .hint("leave out `rotate-size`, `rotate-every` and `keep`"));
            }
            // A link stays where it is; what it leads to is rotated.
            path = fs::canonicalize(&path).unwrap_or(path);
        }
        Ok(Self {
            path,
            rotation: spec.rotation.clone(),
            open: Some(open),
            number: 0,
            looked: Instant::now(),
            troubles: Vec::new(),
        })
    }

    /// Makes room for the lines of this run: what the file held before is
    /// rotated away if it is to be rotated, and gone otherwise.
    fn make_room(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.size == 0 || !open.is_regular {
            return Ok(());
        }
        if self.rotation.is_some() {
            return self.rotate();
        }
        open.file.set_len(0)?;
        open.size = 0;
        Ok(())
    }

    fn write_at(&mut self, lines: &[u8], owner: &Arc<Ledger>, now: Instant) {
        if now.duration_since(self.looked) >= LOOK {
            self.looked = now;
            self.look();
        }
        let mut rest = lines;
        while !rest.is_empty() {
            rest = self.write_some(rest, owner, now);
        }
    }

    /// Writes as many lines as come into the same file, in one piece, and
    /// returns the rest. Of lines that cannot be written it loses the first.
    fn write_some<'a>(&mut self, lines: &'a [u8], owner: &Arc<Ledger>, now: Instant) -> &'a [u8] {
        if self.is_due(first_line(lines), now) {
            match self.rotate() {
                Ok(()) => self.over(Trouble::Rotate),
                Err(error) => self.told(Trouble::Rotate, &error),
            }
        }
        if self.open.is_none() {
            match Open::new(&self.path) {
                Ok(open) => self.open = Some(open),
                Err(error) => return self.lose_first(lines, owner, &error),
            }
        }
        let fitting = self.fitting(lines);
        let (fitting, rest) = lines.split_at(fitting);
        let Some(open) = &mut self.open else {
            return rest;
        };
        match open.append(fitting, owner, now) {
            Ok(()) => {
                self.over(Trouble::Write);
                rest
            }
            Err((written, error)) => self.lose_first(&lines[written..], owner, &error),
        }
    }

    fn lose_first<'a>(
        &mut self,
        lines: &'a [u8],
        owner: &Arc<Ledger>,
        error: &io::Error,
    ) -> &'a [u8] {
        owner.lose(1, &format!("`{}`: {error}", self.path.display()));
        self.told(Trouble::Write, error);
        &lines[first_line(lines).len()..]
    }

    /// How many bytes of lines the file has room for: one line at least.
    fn fitting(&self, lines: &[u8]) -> usize {
        let limit = self.rotation.as_ref().and_then(|rotation| rotation.size);
        let (Some(limit), Some(open)) = (limit, &self.open) else {
            return lines.len();
        };
        let before = open.size + u64::from(open.is_torn);
        let room = usize::try_from(limit.get().saturating_sub(before)).unwrap_or(usize::MAX);
        place::fitting(lines, room)
    }

    fn is_due(&self, line: &[u8], now: Instant) -> bool {
        let (Some(rotation), Some(open)) = (&self.rotation, &self.open) else {
            return false;
        };
        let Some(began) = open.began else {
            return false;
        };
        let is_full = |size: u64| open.size.saturating_add(line.len() as u64) > size;
        rotation.size.is_some_and(|size| is_full(size.get()))
            || rotation
                .every
                .is_some_and(|every| now.duration_since(began) >= every)
    }

    /// Gives the file its rotated name and makes a new one. If it fails, the
    /// old one is still written to, under whichever name it has.
    fn rotate(&mut self) -> io::Result<()> {
        self.look();
        // Unless somebody else has moved it already.
        if let Some(open) = &self.open
            && fs::metadata(&self.path).is_ok_and(|there| open.is(&there))
        {
            rotated::rename(&self.path, &mut self.number)?;
        }
        self.open = Some(Open::new(&self.path)?);
        if let Some(keep) = self.rotation.as_ref().and_then(|rotation| rotation.keep) {
            match rotated::prune(&self.path, keep) {
                Ok(()) => self.over(Trouble::Prune),
                Err(error) => self.told(Trouble::Prune, &error),
            }
        }
        Ok(())
    }

    /// Notices that the file was deleted, and with it all that is in it.
    fn look(&mut self) {
        let Some(open) = &self.open else { return };
        if !open.is_regular || open.file.metadata().is_ok_and(|there| there.nlink() > 0) {
            return;
        }
        let cause = format!("`{}` was deleted", self.path.display());
        tracing::warn!(file = %self.path.display(), "a file of log entries was deleted");
        for (owner, lines) in &open.owners {
            owner.lose(*lines, &cause);
        }
        self.open = None;
    }

    fn told(&mut self, trouble: Trouble, error: &io::Error) {
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
            tracing::warn!(file = %self.path.display(), %error, "{}", trouble.begins());
        }
    }

    fn over(&mut self, trouble: Trouble) {
        if self.troubles.contains(&trouble) {
            self.troubles.retain(|other| *other != trouble);
            tracing::warn!(file = %self.path.display(), "{}", trouble.ends());
        }
    }
}

impl Target for LogFile {
    fn begin(&mut self) -> Result<(), Problem> {
        self.make_room().map_err(|error| {
            let shown = self.path.display();
            Problem::new(format!("cannot begin `{shown}` anew: {error}"))
                .hint("check who may write to the file and to its folder")
        })
    }

    fn write(&mut self, lines: &[u8], owner: &Arc<Ledger>) -> Result<(), Stopped> {
        self.write_at(lines, owner, Instant::now());
        Ok(())
    }

    fn at_once(&self) -> usize {
        match &self.open {
            Some(open) if !open.is_pipe => AT_ONCE,
            _ => AT_ONCE_IN_A_PIPE,
        }
    }

    fn drain(&mut self, _: &Ledger) {
        self.look();
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        // Appending also goes on at the end after somebody has truncated it.
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let there = file.metadata()?;
        Ok(Self {
            device_and_inode: (there.dev(), there.ino()),
            is_regular: there.is_file(),
            is_pipe: there.file_type().is_fifo(),
            size: there.len(),
            file,
            began: None,
            is_torn: false,
            owners: Vec::new(),
        })
    }

    fn is(&self, there: &Metadata) -> bool {
        (there.dev(), there.ino()) == self.device_and_inode
    }

    /// Appends whole lines. If it fails, says how many bytes of them, whole
    /// lines again, are written.
    fn append(
        &mut self,
        lines: &[u8],
        owner: &Arc<Ledger>,
        now: Instant,
    ) -> Result<(), (usize, io::Error)> {
        if self.is_torn {
            // What was begun stands on a line of its own, with no line lost.
            write_on(&mut self.file, b"\n", &mut 0).map_err(|error| (0, error))?;
            self.is_torn = false;
            self.size += 1;
        }
        let mut written = 0;
        let result = write_on(&mut self.file, lines, &mut written);
        self.size += written as u64;
        let whole = whole_lines(&lines[..written]);
        self.take_back((written - whole) as u64);
        let count = count_lines(&lines[..whole]) as u64;
        if count > 0 {
            self.began.get_or_insert(now);
            match self
                .owners
                .iter_mut()
                .find(|(it, _)| Arc::ptr_eq(it, owner))
            {
                Some((_, lines)) => *lines += count,
                None => self.owners.push((owner.clone(), count)),
            }
        }
        result.map_err(|error| (whole, error))
    }

    /// Takes back the beginning of a line that could not be written whole.
    fn take_back(&mut self, written: u64) {
        if written == 0 {
            return;
        }
        let before = self.size - written;
        let is_at_end = |there: Metadata| self.is_regular && there.len() == self.size;
        if self.file.metadata().is_ok_and(is_at_end) && self.file.set_len(before).is_ok() {
            self.size = before;
        } else {
            self.is_torn = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn by_size(size: u64) -> Rotation {
        Rotation {
            size: NonZeroU64::new(size),
            every: None,
            keep: None,
        }
    }

    /// A file `out` in a folder of its own.
    struct Fixture {
        folder: TempDir,
        file: LogFile,
        ledger: Arc<Ledger>,
    }

    fn open_in(folder: TempDir, rotation: Option<Rotation>) -> Fixture {
        let spec = FileSpec {
            path: folder.path().join("out"),
            rotation,
        };
        let mut file = LogFile::open(&spec).expect("opened");
        file.begin().expect("made room");
        Fixture {
            file,
            folder,
            ledger: Arc::default(),
        }
    }

    fn fixture(rotation: Option<Rotation>) -> Fixture {
        open_in(tempfile::tempdir().expect("a folder"), rotation)
    }

    impl Fixture {
        fn write(&mut self, line: &str) {
            self.write_at(line, Instant::now());
        }

        fn write_at(&mut self, line: &str, now: Instant) {
            let line = format!("{line}\n");
            self.file.write_at(line.as_bytes(), &self.ledger, now);
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("out")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.path()).expect("there")
        }

        /// The texts of the rotated files, the oldest first.
        fn rotated(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).expect("a folder");
            let mut names: Vec<_> = entries
                .map(|entry| entry.expect("readable").file_name())
                .filter_map(|name| Some(name.to_str()?.strip_prefix("out.")?.to_owned()))
                .collect();
            names.sort();
            let text =
                |name: &String| fs::read_to_string(self.folder.path().join(format!("out.{name}")));
            names
                .iter()
                .map(|name| text(name).expect("there"))
                .collect()
        }

        fn lost(&self) -> (u64, Option<String>) {
            (self.ledger.unwritten(), self.ledger.cause())
        }
    }

    #[test]
    fn a_pipe_takes_less_at_once_than_a_file_or_a_device() {
        let at_once = |path: PathBuf| {
            let rotation = None;
            let file = LogFile::open(&FileSpec { path, rotation }).expect("opened");
            file.at_once()
        };
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(at_once(folder.path().join("out")), AT_ONCE);
        assert_eq!(at_once("/dev/null".into()), AT_ONCE);
        let (_reader, writer) = io::pipe().expect("a pipe");
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        assert_eq!(at_once(path.into()), AT_ONCE_IN_A_PIPE);
    }

    #[test]
    fn a_new_file_takes_the_place_of_one_that_is_not_rotated() {
        let mut first = fixture(None);
        first.write("1");
        let mut second = open_in(first.folder, None);
        assert_eq!(second.text(), "");
        second.write("2");
        assert_eq!(second.text(), "2\n");
        assert_eq!(second.rotated(), [""; 0]);
    }

    #[test]
    fn what_a_rotated_file_held_before_the_run_is_kept() {
        let mut first = fixture(Some(by_size(1024)));
        first.write("1");
        let mut second = open_in(first.folder, Some(by_size(1024)));
        assert_eq!(second.text(), "");
        second.write("2");
        assert_eq!(second.text(), "2\n");
        assert_eq!(second.rotated(), ["1\n"]);
        // There is nothing to keep of an empty one.
        let third = open_in(second.folder, Some(by_size(1024)));
        let fourth = open_in(third.folder, Some(by_size(1024)));
        assert_eq!(fourth.rotated(), ["1\n", "2\n"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_line_is_in_one_file_whole_and_in_order(
            size in 1u64..200,
            lengths in prop::collection::vec(0usize..120, 1..60),
            at_once in 1usize..20,
        ) {
            let mut fixture = fixture(Some(by_size(size)));
            let lines: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(number, length)| format!("{number}:{}", "x".repeat(*length)))
                .collect();
            for together in lines.chunks(at_once) {
                fixture.write(&together.join("\n"));
            }
            let mut files = fixture.rotated();
            files.push(fixture.text());
            for text in &files {
                prop_assert!(text.ends_with('\n'), "a torn line in {files:?}");
                let fits = text.len() as u64 <= size;
                prop_assert!(fits || text.lines().count() == 1, "too large: {text:?}");
            }
            let written: Vec<_> = files.iter().flat_map(|text| text.lines()).collect();
            prop_assert_eq!(written, lines);
            // No file is made before the one before it is full.
            for pair in files.windows(2) {
                let next = pair[1].lines().next().unwrap_or_default();
                prop_assert!((pair[0].len() + next.len() + 1) as u64 > size);
            }
        }
    }

    #[test]
    fn a_file_makes_room_when_its_time_is_over() {
        let mut fixture = fixture(Some(Rotation {
            size: None,
            every: Some(Duration::from_secs(60)),
            keep: None,
        }));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for (line, seconds) in [("1", 100), ("2", 159), ("3", 160), ("4", 219), ("5", 500)] {
            fixture.write_at(line, at(seconds));
        }
        assert_eq!(fixture.rotated(), ["1\n2\n", "3\n4\n"]);
        assert_eq!(fixture.text(), "5\n");
    }

    #[test]
    fn only_so_many_rotated_files_are_kept() {
        let rotation = Rotation {
            keep: NonZeroU32::new(2),
            ..by_size(4)
        };
        let mut fixture = fixture(Some(rotation));
        fs::write(fixture.folder.path().join("out.txt"), "mine").expect("written");
        for line in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
            fixture.write(line);
        }
        assert_eq!(fixture.rotated(), ["5\n6\n", "7\n8\n", "mine"]);
        assert_eq!(fixture.text(), "9\n");
        assert_eq!(fixture.lost(), (0, None));
    }

    #[test]
    fn whoever_follows_the_old_file_finds_all_of_it() {
        let mut fixture = fixture(Some(by_size(4)));
        fixture.write("1");
        let mut follower = File::open(fixture.path()).expect("there");
        fixture.write("2");
        fixture.write("3");
        let text = io::read_to_string(&mut follower).expect("readable");
        assert_eq!(text, "1\n2\n");
        assert_eq!(fixture.text(), "3\n");
    }

    #[test]
    fn a_file_that_somebody_else_moved_is_left_alone() {
        let mut fixture = fixture(Some(by_size(4)));
        fixture.write("1");
        let moved = fixture.folder.path().join("moved");
        fs::rename(fixture.path(), &moved).expect("moved");
        fs::write(fixture.path(), "theirs\n").expect("written");
        fixture.write("2");
        fixture.write("3");
        assert_eq!(fs::read_to_string(moved).expect("there"), "1\n2\n");
        assert_eq!(fixture.text(), "theirs\n3\n");
        assert_eq!(fixture.rotated(), [""; 0]);
        assert_eq!(fixture.lost(), (0, None));
    }

    #[test]
    fn a_link_stays_and_leads_to_the_file_that_is_rotated() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::write(data.join("out"), "old\n").expect("written");
        std::os::unix::fs::symlink("data/out", folder.path().join("out")).expect("linked");
        let mut fixture = open_in(folder, Some(by_size(4)));
        for line in ["1", "2", "3"] {
            fixture.write(line);
        }
        assert_eq!(fixture.text(), "3\n");
        assert!(
            fs::symlink_metadata(fixture.path())
                .expect("there")
                .is_symlink()
        );
        assert_eq!(fs::read_dir(data).expect("a folder").count(), 3);
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_why() {
        let spec = FileSpec {
            path: "/dev/full".into(),
            rotation: None,
        };
        let mut file = LogFile::open(&spec).expect("opened");
        let ledger: Arc<Ledger> = Arc::default();
        for _ in 0..3 {
            file.write(b"{}\n{}\n", &ledger).expect("it may work again");
        }
        assert_eq!(ledger.unwritten(), 6);
        let cause = ledger.cause().expect("there is one");
        assert!(cause.starts_with("`/dev/full`: No space left"), "{cause}");
    }

    #[test]
    fn of_lines_written_together_those_that_are_lost_are_counted() {
        let mut fixture = fixture(None);
        let open = fixture.file.open.as_mut().expect("open");
        let ledger: Arc<Ledger> = Arc::default();
        open.file = File::options()
            .read(true)
            .open("/dev/null")
            .expect("opened");
        let (written, _) = open
            .append(b"1\n2\n", &ledger, Instant::now())
            .expect_err("it is not open for writing");
        assert_eq!((written, open.size, open.owners.len()), (0, 0, 0));
        // And each of them is lost by itself.
        fixture.write("1\n2");
        assert_eq!(fixture.lost().0, 2);
    }

    #[test]
    fn what_is_no_regular_file_cannot_be_rotated() {
        let spec = FileSpec {
            path: "/dev/null".into(),
            rotation: Some(by_size(1024)),
        };
        let problem = LogFile::open(&spec).expect_err("refused");
        assert!(problem.what.contains("not a regular file"), "{problem}");
        assert!(problem.hint.is_some());
    }

    #[test]
    fn a_line_that_was_begun_is_taken_back() {
        let mut fixture = fixture(None);
        fixture.write("1");
        let open = fixture.file.open.as_mut().expect("open");
        io::Write::write_all(&mut open.file, b"{\"half").expect("written");
        open.size += 6;
        open.take_back(6);
        fixture.write("2");
        assert_eq!(fixture.text(), "1\n2\n");
    }

    #[test]
    fn a_line_that_cannot_be_taken_back_stands_by_itself() {
        let mut fixture = fixture(None);
        fixture.write("1");
        let open = fixture.file.open.as_mut().expect("open");
        // Another program has written behind it.
        io::Write::write_all(&mut open.file, b"{\"half{}").expect("written");
        open.size += 6;
        open.take_back(6);
        fixture.write("2");
        assert_eq!(fixture.text(), "1\n{\"half{}\n2\n");
    }

    #[test]
    fn a_deleted_file_is_made_anew_and_its_lines_are_lost() {
        let mut fixture = fixture(None);
        let begin = Instant::now();
        fixture.write_at("1", begin);
        fixture.write_at("2", begin);
        fs::remove_file(fixture.path()).expect("there");
        fixture.write_at("3", begin + LOOK);
        assert_eq!(fixture.text(), "3\n");
        let (lost, cause) = fixture.lost();
        assert_eq!(lost, 2);
        assert!(cause.expect("there is one").ends_with("was deleted"));
        // At the end it is looked once more.
        fs::remove_file(fixture.path()).expect("there");
        fixture.file.drain(&Ledger::default());
        assert_eq!(fixture.lost().0, 3);
    }

    #[test]
    fn lines_are_lost_while_the_folder_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let spec = FileSpec {
            path: inner.join("out"),
            rotation: Some(by_size(2)),
        };
        let mut file = LogFile::open(&spec).expect("opened");
        let ledger: Arc<Ledger> = Arc::default();
        let mut write = |line: &[u8]| file.write(line, &ledger).expect("it may work again");
        write(b"1\n");
        fs::remove_dir_all(&inner).expect("there");
        write(b"2\n");
        write(b"3\n");
        fs::create_dir(&inner).expect("made");
        write(b"4\n");
        assert_eq!(ledger.unwritten(), 3);
        let text = fs::read_to_string(inner.join("out")).expect("there");
        assert_eq!(text, "4\n");
    }

    #[test]
    fn a_file_that_cannot_be_renamed_grows_and_loses_nothing() {
        let mut fixture = fixture(Some(by_size(4)));
        // Somebody who may do anything is stopped by the name alone.
        let path = fixture.folder.path().join("x".repeat(240));
        fs::rename(fixture.path(), &path).expect("moved");
        fixture.file.path.clone_from(&path);
        for line in ["1", "2", "3", "4"] {
            fixture.write(line);
        }
        assert_eq!(fixture.file.troubles, [Trouble::Rotate]);
        assert_eq!(fs::read_to_string(&path).expect("there"), "1\n2\n3\n4\n");
        assert_eq!(fixture.lost(), (0, None));
    }

    #[test]
    fn a_file_that_cannot_be_followed_by_another_is_still_written_to() {
        let mut fixture = fixture(Some(by_size(4)));
        fixture.write("1");
        fixture.write("2");
        // A folder stands where the new file would be, and then does not.
        let moved = fixture.folder.path().join("moved");
        fs::rename(fixture.path(), &moved).expect("moved");
        fs::create_dir(fixture.path()).expect("made");
        fixture.write("3");
        assert_eq!(fixture.file.troubles, [Trouble::Rotate]);
        fs::remove_dir(fixture.path()).expect("there");
        fixture.write("4");
        assert_eq!(fixture.file.troubles, []);
        assert_eq!(fs::read_to_string(moved).expect("there"), "1\n2\n3\n");
        assert_eq!(fixture.text(), "4\n");
        assert_eq!(fixture.lost(), (0, None));
    }

    #[test]
    fn a_folder_that_cannot_be_read_keeps_every_rotated_file() {
        let rotation = Rotation {
            keep: NonZeroU32::new(1),
            ..by_size(2)
        };
        let mut fixture = fixture(Some(rotation));
        let folder = fixture.folder.path().to_owned();
        let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode));
        mode(0o300).expect("it is ours");
        let may_read_all_the_same = fs::read_dir(&folder).is_ok();
        for line in ["1", "2", "3", "4"] {
            fixture.write(line);
        }
        mode(0o700).expect("it is ours");
        let kept = if may_read_all_the_same { 1 } else { 3 };
        assert_eq!(fixture.rotated().len(), kept);
        assert_eq!(
            (fixture.text().as_str(), fixture.lost()),
            ("4\n", (0, None))
        );
    }
}
