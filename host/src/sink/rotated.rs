//! The names of rotated files: `PATH.<UTC time>-<number>`.
//!
//! A name is given once, by the rename that makes room for a new file, and never
//! changed again: whoever reads the files by name meets each under one name
//! only.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Renames `path` to a rotated name that no file has, in one step. `number` is
/// the last one that was given, and becomes the one that is.
pub(super) fn rename(path: &Path, number: &mut u64) -> io::Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    loop {
        *number += 1;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{time}-{number:04}"));
        match rename_to(path, Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| name.into()),
        }
    }
}

fn rename_to(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can promise to replace nothing.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        result => Ok(result?),
    }
}

/// Deletes all but the newest `keep` of the rotated files of `path`, and no
/// other file.
pub(super) fn prune(path: &Path, keep: NonZeroU32) -> io::Result<()> {
    let mut rotated = list(path)?;
    let surplus = rotated.len().saturating_sub(keep.get() as usize);
    rotated.sort();
    for (_, _, path) in rotated.drain(..surplus) {
        match fs::remove_file(path) {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

/// The rotated files of `path`: time, number, where.
fn list(path: &Path) -> io::Result<Vec<(String, u64, PathBuf)>> {
    let name = path.file_name().unwrap_or_default();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut rotated = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some((time, number)) = parse(&entry.file_name(), name)
            && entry.file_type()?.is_file()
        {
            rotated.push((time, number, entry.path()));
        }
    }
    Ok(rotated)
}

/// Time and number of a rotated file of `of`, if `name` is the name of one.
fn parse(name: &OsStr, of: &OsStr) -> Option<(String, u64)> {
    let rest = name
        .as_encoded_bytes()
        .strip_prefix(of.as_encoded_bytes())?;
    let rest = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let (time, number) = rest.split_once('-')?;
    let is_time = time.len() == 16
        && time.bytes().enumerate().all(|(at, sign)| match at {
            8 => sign == b'T',
            15 => sign == b'Z',
            _ => sign.is_ascii_digit(),
        });
    let is_number = number.len() >= 4 && number.bytes().all(|sign| sign.is_ascii_digit());
    (is_time && is_number).then_some((time.to_owned(), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a folder, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name())
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_rotated_file_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.ndjson");
        let mut taken = Vec::new();
        for text in ["1", "2", "3"] {
            fs::write(&path, text).expect("written");
            // Each begins to count again, as programs after each other do.
            taken.push(rename(&path, &mut 0).expect("renamed"));
        }
        assert!(!path.exists());
        let texts: Vec<_> = taken.iter().map(fs::read_to_string).collect();
        let texts: Vec<_> = texts.into_iter().map(|text| text.expect("there")).collect();
        assert_eq!(texts, ["1", "2", "3"]);
        for path in taken {
            let name = path.file_name().expect("a file");
            assert!(parse(name, OsStr::new("a.ndjson")).is_some(), "{name:?}");
        }
    }

    #[test]
    fn only_the_oldest_rotated_files_of_the_path_are_deleted() {
        let folder = tempfile::tempdir().expect("a folder");
        let others = [
            "a",
            "a.20260411T101530Z-0001.gz",
            "a.20260411T101530-0001",
            "a.2026-04-11-0001",
            "a.bak",
            "ab.20260411T101530Z-0001",
            "b.20260411T101530Z-0001",
        ];
        let ours = [
            "a.20260411T101529Z-0007",
            "a.20260411T101530Z-0003",
            "a.20260411T101530Z-9999",
            "a.20260411T101530Z-10000",
        ];
        for name in others.iter().chain(&ours) {
            fs::write(folder.path().join(name), name).expect("written");
        }
        // A folder is not one of ours, whatever its name.
        let odd = "a.20000101T000000Z-0001";
        fs::create_dir(folder.path().join(odd)).expect("made");
        prune(&folder.path().join("a"), NonZeroU32::new(2).expect("not 0")).expect("deleted");
        let mut expected: Vec<_> = others.to_vec();
        expected.extend([&ours[2..], &[odd]].concat());
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
    }
}
