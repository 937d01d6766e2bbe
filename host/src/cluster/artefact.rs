//! Files by what is in them: a master hands out scripts and data, and workers keep
//! them under the hash of their content.
//!
//! A worker believes nobody: what it got is hashed before it is used, each time.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::message::Artefact;
use crate::error::Problem;

/// How much of a file goes in one message, at the most.
pub(super) const PART: usize = 512 << 10;

/// Hashes a file. Blocks for as long as it takes to read it.
///
/// # Errors
///
/// If it cannot be read.
pub fn hash(path: &Path) -> io::Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((hexadecimal(&hasher.finalize()), size))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files that a master hands out.
#[derive(Debug, Default)]
pub(super) struct Shelf(HashMap<String, (PathBuf, u64)>);

impl Shelf {
    /// Adds a file.
    pub(super) fn put(&mut self, path: &Path) -> Result<Artefact, Problem> {
        let known = self.0.iter().find(|(_, (known, _))| known == path);
        let (sha256, size) = match known {
            Some((sha256, (_, size))) => (sha256.clone(), *size),
            None => hash(path).map_err(|error| {
                Problem::new(format!("cannot read `{}`: {error}", path.display()))
            })?,
        };
        self.0.insert(sha256.clone(), (path.to_owned(), size));
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Artefact {
            sha256,
            size,
            name: name.to_string_lossy().into_owned(),
        })
    }

    /// A part of a file, and whether it is the last; empty if it cannot be read any
    /// more.
    pub(super) fn read(&self, sha256: &str, offset: u64) -> (Vec<u8>, bool) {
        let Some((path, size)) = self.0.get(sha256) else {
            return (Vec::new(), true);
        };
        let read = || -> io::Result<Vec<u8>> {
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(PART as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let is_last = bytes.is_empty() || offset + bytes.len() as u64 >= *size;
        (bytes, is_last)
    }
}

/// Where a worker keeps what it got.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

impl Store {
    /// A store in a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self(folder))
    }

    /// Where a file is, if it is there and is what it should be. Reads all of it.
    pub(super) fn find(&self, artefact: &Artefact) -> Option<PathBuf> {
        let path = self.path(artefact)?;
        let (sha256, _) = hash(&path).ok()?;
        if sha256 == artefact.sha256 {
            return Some(path);
        }
        tracing::warn!(path = %path.display(), "what was kept here has changed; it is fetched anew");
        let _ = fs::remove_file(path);
        None
    }

    /// A hash is a name for a file only if it is one.
    fn path(&self, artefact: &Artefact) -> Option<PathBuf> {
        let is_hash = artefact.sha256.len() == 64
            && artefact.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| self.0.join(&artefact.sha256))
    }

    /// Begins to receive a file.
    pub(super) fn receive(&self, artefact: Artefact) -> Result<Receiving, Problem> {
        let path = self
            .path(&artefact)
            .ok_or_else(|| Problem::new("the master sent a hash that is none"))?;
        let beside = path.with_extension(format!("{}.part", std::process::id()));
        let file = fs::File::create(&beside).map_err(|error| kept(&beside, &error))?;
        Ok(Receiving {
            artefact,
            path,
            beside,
            file,
            hasher: Sha256::new(),
            received: 0,
        })
    }
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Receiving {
    artefact: Artefact,
    path: PathBuf,
    beside: PathBuf,
    file: fs::File,
    hasher: Sha256,
    received: u64,
}

impl Receiving {
    /// What is being received.
    pub(super) fn artefact(&self) -> &Artefact {
        &self.artefact
    }

    /// From which byte on it goes on.
    pub(super) fn offset(&self) -> u64 {
        self.received
    }

    /// Takes in the next part: whether it was the last.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool, Problem> {
        let name = &self.artefact.name;
        if bytes.is_empty() && self.artefact.size > self.received {
            return Err(Problem::new(format!(
                "the master cannot read `{name}` any more"
            )));
        }
        self.received += bytes.len() as u64;
        if self.received > self.artefact.size {
            return Err(not_what_was_said(name));
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(|error| kept(&self.beside, &error))?;
        Ok(self.received == self.artefact.size)
    }

    /// Ends it: where the file is, if it is what it should be.
    pub(super) fn end(self) -> Result<PathBuf, Problem> {
        let sha256 = hexadecimal(&self.hasher.clone().finalize());
        if sha256 != self.artefact.sha256 {
            return Err(not_what_was_said(&self.artefact.name));
        }
        fs::rename(&self.beside, &self.path).map_err(|error| kept(&self.path, &error))?;
        Ok(self.path.clone())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

fn not_what_was_said(name: &str) -> Problem {
    Problem::new(format!(
        "`{name}` is not what the master said: its hash is another"
    ))
    .hint("has the file changed since the run was started? start it again")
}

fn kept(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("cannot write `{}`: {error}", path.display()))
        .hint("`--cache-dir` takes a folder with room for scripts and data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(content: &[u8]) -> (Shelf, Artefact, tempfile::NamedTempFile) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary folder");
        file.write_all(content).expect("there is room");
        let mut shelf = Shelf::default();
        let artefact = shelf.put(file.path()).expect("it can be read");
        (shelf, artefact, file)
    }

    fn store() -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path().join("kept")).expect("it can be made");
        (store, folder)
    }

    #[test]
    fn a_file_goes_over_in_parts_and_is_kept() {
        let content: Vec<u8> = (0..PART * 2 + 17).map(|at| at as u8).collect();
        let (shelf, artefact, _file) = shelf(&content);
        let (store, _folder) = store();
        assert_eq!(store.find(&artefact), None);
        let mut receiving = store.receive(artefact.clone()).expect("there is room");
        loop {
            let (part, is_last) = shelf.read(&artefact.sha256, receiving.offset());
            assert_eq!(receiving.take(&part), Ok(is_last));
            if is_last {
                break;
            }
        }
        let path = receiving.end().expect("it is whole");
        assert_eq!(store.find(&artefact), Some(path.clone()));
        assert_eq!(fs::read(&path).expect("it is there"), content);
        // What somebody changed is not used.
        fs::write(&path, "something else").expect("there is room");
        assert_eq!(store.find(&artefact), None);
    }

    #[test]
    fn what_was_changed_on_its_way_is_refused() {
        let (_, artefact, _file) = shelf(b"a script");
        let (store, folder) = store();
        let mut receiving = store.receive(artefact.clone()).expect("there is room");
        assert_eq!(receiving.take(b"A script"), Ok(true));
        let refused = receiving.end().expect_err("it is another");
        assert!(refused.what.contains("its hash is another"), "{refused}");
        assert_eq!(store.find(&artefact), None);
        let left = fs::read_dir(folder.path().join("kept")).expect("a folder");
        assert_eq!(left.count(), 0);
        let longer = store
            .receive(artefact)
            .expect("there is room")
            .take(b"a script and more");
        assert!(longer.is_err());
    }

    #[test]
    fn a_path_is_no_hash() {
        let (store, _folder) = store();
        let artefact = Artefact {
            sha256: "../../etc/passwd".to_owned(),
            size: 1,
            name: "a".to_owned(),
        };
        assert_eq!(store.find(&artefact), None);
        assert!(store.receive(artefact).is_err());
    }
}
