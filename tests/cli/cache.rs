//! Compiled components on disk: shared by processes, and never trusted when
//! damaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::command::Squall;
use crate::support::guests::example;
use crate::support::server::Server;

fn hello(server: &Server, cache: &Path) -> Squall {
    Squall::script(example("hello"))
        .flag("--base-url", server.url(""))
        .flag("--vus", "2")
        .flag("--iterations", "20")
        .env("SQUALL_CACHE_DIR", cache)
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("the cache can be read") {
            let path = entry.expect("the cache can be read").path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Fails unless a run with the damaged cache passes and leaves no damage behind.
#[track_caller]
fn mends(damage: impl Fn(&mut Vec<u8>)) {
    let server = Server::start();
    let cache = tempfile::tempdir().expect("a temporary folder");
    hello(&server, cache.path()).run().exited(0);
    let entries = files(cache.path());
    assert!(!entries.is_empty(), "nothing was cached");
    let mut damaged = Vec::new();
    for entry in &entries {
        let mut bytes = fs::read(entry).expect("it was written");
        let whole = bytes.clone();
        damage(&mut bytes);
        if bytes != whole {
            fs::write(entry, &bytes).expect("it is ours");
            damaged.push((entry, bytes));
        }
    }
    assert!(!damaged.is_empty(), "nothing was damaged");

    let summary = hello(&server, cache.path()).run().exited(0).summary();
    assert_eq!(summary.count("/iterations/finished"), 20);
    assert_eq!(summary.count("/iterations/failed"), 0);
    assert_eq!(server.count("/"), 40);
    for (entry, bytes) in damaged {
        // Gone or written anew.
        let now = fs::read(entry).unwrap_or_default();
        assert!(
            now.is_empty() || now != bytes,
            "`{}` is still damaged",
            entry.display()
        );
    }
}

#[test]
fn an_entry_that_breaks_off_is_rebuilt() {
    mends(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn an_empty_entry_is_rebuilt() {
    mends(Vec::clear);
}

#[test]
fn an_entry_with_a_flipped_bit_at_its_start_is_rebuilt() {
    mends(|bytes| {
        if let Some(byte) = bytes.first_mut() {
            *byte ^= 1;
        }
    });
}

#[test]
fn an_entry_with_a_flipped_bit_in_its_middle_is_rebuilt() {
    mends(|bytes| {
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 0x10;
        }
    });
}

#[test]
fn processes_that_start_at_once_share_an_empty_cache() {
    let server = Server::start();
    let cache = tempfile::tempdir().expect("a temporary folder");
    // Absent, not only empty.
    let cache = cache.path().join("not/yet/there");
    let running: Vec<_> = (0..4).map(|_| hello(&server, &cache).start()).collect();
    for running in running {
        let summary = running.wait().exited(0).summary();
        assert_eq!(summary.count("/iterations/failed"), 0);
    }
    assert_eq!(server.count("/"), 80);
    let entries = files(&cache);
    hello(&server, &cache).run().exited(0);
    assert_eq!(files(&cache), entries, "a further run adds no entry");
}

#[test]
fn a_cache_that_cannot_be_written_does_no_harm() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a file");
    fs::write(&file, "not a folder").expect("the folder is ours");
    hello(&server, &file).run().exited(0);
    assert_eq!(server.count("/"), 20);
}
