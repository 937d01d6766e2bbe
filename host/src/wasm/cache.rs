//! Compiled components, kept on disk.
//!
//! Between [`component`](super::component) and the engines: compiling a large
//! component takes seconds, loading what was compiled before takes none.
//! wasmtime keeps and finds the compiled code, by content, its own version and
//! the engine's settings, but trusts what it reads. So each component has a
//! folder of its own, and every file in it is compared with its checksum before
//! wasmtime sees the folder:
//!
//! ```text
//! <dir>/components/<SHA-256 of the component>/
//!     code/…    wasmtime's
//!     sums/…    for each file of compiled code, one of the same name that
//!               holds its SHA-256
//! ```
//!
//! A file without a matching checksum is deleted and made anew. Processes that
//! start at once need no lock: every file is written beside its place and then
//! renamed, and at worst something is compiled twice.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Engine};

/// For how many components compiled code is kept. Past it, those that were
/// made longest ago go first.
const COMPONENTS: usize = 100;

/// How old an unfinished file must be to be taken for what a killed process
/// left behind.
const ABANDONED: Duration = Duration::from_secs(60);

/// How long compiling takes before it is told of, and how often from then on.
const LONG: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(250);

/// Where compiled components are kept.
pub struct CompileCache {
    dir: Option<PathBuf>,
    warned: AtomicBool,
    tell: Option<Box<Tell>>,
}

/// Told of components that take long to compile, from any thread.
type Tell = dyn Fn(&Compiling<'_>) + Send + Sync;

/// A component that takes long to compile.
#[derive(Debug)]
pub struct Compiling<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its size.
    pub bytes: u64,
    /// Whether what comes of it is kept for the next time.
    pub kept: bool,
    /// How long it has been compiled for; absent once it is done.
    pub since: Option<Duration>,
}

impl CompileCache {
    /// Keeps compiled components in a folder, which need not exist. With `None`
    /// nothing is kept.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            warned: AtomicBool::new(false),
            tell: None,
        }
    }

    /// Tells of each component that takes longer than a second to compile: then,
    /// again and again while it goes on, and once at its end.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&Compiling<'_>) + Send + Sync + 'static) -> Self {
        Self {
            tell: Some(Box::new(tell)),
            ..self
        }
    }

    /// The user's folder for such things: `squall` in `$XDG_CACHE_HOME` or in
    /// `~/.cache`. `None` if there is no home.
    pub fn user_dir() -> Option<PathBuf> {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("squall"))
    }

    /// Opens the component's folder and checks all that is in it. Where that is
    /// not possible the entry holds no cache, and the first time a warning says
    /// why.
    pub fn open(&self, wasm: &[u8]) -> Entry<'_> {
        let mut entry = Entry {
            owner: self,
            folder: None,
            discarded: 0,
        };
        let Some(dir) = &self.dir else {
            return entry;
        };
        let opened = Folder::open(dir, wasm).and_then(|folder| {
            entry.discarded = folder.check()?;
            Ok(folder)
        });
        match opened.and_then(|folder| Ok((folder.wasmtime()?, folder))) {
            Ok((cache, folder)) => entry.folder = Some((folder, cache)),
            Err(error) => self.warn(dir, &error),
        }
        entry
    }

    fn warn(&self, dir: &Path, error: &io::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                dir = %dir.display(),
                %error,
                "compiled components cannot be kept, so each start compiles them again",
            );
        }
    }
}

/// What is kept of one component.
pub struct Entry<'a> {
    owner: &'a CompileCache,
    folder: Option<(Folder, Cache)>,
    discarded: usize,
}

impl Entry<'_> {
    /// The cache to put into the configuration of the component's engine, which
    /// must be used for no other component.
    pub fn cache(&self) -> Option<Cache> {
        self.folder.as_ref().map(|(_, cache)| cache.clone())
    }

    /// Compiles the component, or takes what was compiled before. The engine is
    /// one with this entry's [`cache`](Self::cache).
    ///
    /// # Errors
    ///
    /// If the component is not valid, or more than the engine's settings grant.
    pub fn compile(&self, engine: &Engine, name: &str, wasm: &[u8]) -> wasmtime::Result<Component> {
        let compile = || Component::new(engine, wasm);
        let Some(tell) = &self.owner.tell else {
            return compile();
        };
        let tell = |since| {
            tell(&Compiling {
                name,
                bytes: wasm.len() as u64,
                kept: self.folder.is_some(),
                since,
            });
        };
        watched(&tell, compile)
    }

    /// How many loads found compiled code.
    pub fn hits(&self) -> usize {
        self.folder
            .as_ref()
            .map_or(0, |(_, cache)| cache.cache_hits())
    }

    /// How many files did not match their checksum and were deleted.
    pub fn discarded(&self) -> usize {
        self.discarded
    }

    /// Writes the checksums of what was compiled since the entry was opened: to
    /// be called once the component is compiled. What is not sealed is compiled
    /// again next time.
    pub fn seal(&self) {
        let Some((folder, cache)) = &self.folder else {
            return;
        };
        let sealed = folder.seal().and_then(|kept| {
            // A miss is counted only once the code is written.
            if kept == 0 && cache.cache_hits() + cache.cache_misses() == 0 {
                return Err(io::Error::other("the compiled code could not be written"));
            }
            Ok(())
        });
        if let Err(error) = sealed {
            self.owner.warn(&folder.path, &error);
        }
    }
}

/// Does some work; calls `tell` with the time so far for as long as it takes
/// longer than [`LONG`], and then with `None`.
fn watched<T>(tell: &(impl Fn(Option<Duration>) + Sync), work: impl FnOnce() -> T) -> T {
    // Nothing is ever sent: the watch ends when the sender is dropped.
    let (done, working) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = move || {
            let began = Instant::now();
            let mut patience = LONG;
            while working.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                tell(Some(began.elapsed()));
                patience = AGAIN;
            }
            if patience == AGAIN {
                tell(None);
            }
        };
        // Without a thread nothing is told.
        let _ = thread::Builder::new().spawn_scoped(scope, watch);
        let result = work();
        drop(done);
        result
    })
}

/// The folder of one component.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn open(dir: &Path, wasm: &[u8]) -> io::Result<Self> {
        let components = std::path::absolute(dir)?.join("components");
        create_private(&components)?;
        let path = components.join(hex(wasm));
        if !path.is_dir() {
            forget_oldest(&components, COMPONENTS - 1);
        }
        let folder = Self { path };
        create_private(&folder.code())?;
        create_private(&folder.sums())?;
        Ok(folder)
    }

    fn code(&self) -> PathBuf {
        self.path.join("code")
    }

    fn sums(&self) -> PathBuf {
        self.path.join("sums")
    }

    fn wasmtime(&self) -> io::Result<Cache> {
        let mut config = CacheConfig::new();
        config
            .with_directory(self.code())
            // A file that is compressed anew no longer matches its checksum.
            .with_optimized_compression_usage_counter_threshold(u64::MAX);
        Cache::new(config).map_err(|error| io::Error::other(format!("{error:#}")))
    }

    /// Deletes every file of compiled code that does not match its checksum,
    /// and says how many did not.
    fn check(&self) -> io::Result<usize> {
        let mut damaged = 0;
        for name in self.files()? {
            let (file, sum) = (self.code().join(&name), self.sums().join(&name));
            if is_unfinished(&name) {
                // wasmtime does not write where such a file is.
                if age(&file).is_some_and(|age| age > ABANDONED) {
                    remove(&file)?;
                }
                continue;
            }
            let expected = read_if_there(&sum)?;
            let found = match read_if_there(&file)? {
                Some(content) => hex(&content),
                None => continue,
            };
            match expected {
                Some(expected) if expected == found.as_bytes() => continue,
                Some(_) => {
                    damaged += 1;
                    tracing::warn!(
                        file = %file.display(),
                        "a damaged compiled component was thrown away and is built anew",
                    );
                }
                // Another process is about to seal it, or was ended before.
                None => tracing::debug!(file = %file.display(), "compiled code without a checksum"),
            }
            remove(&file)?;
            remove(&sum)?;
        }
        Ok(damaged)
    }

    /// Writes the checksums that are missing, and says how many files are now
    /// kept or about to be kept by another process.
    fn seal(&self) -> io::Result<usize> {
        let mut kept = 0;
        for name in self.files()? {
            kept += 1;
            let sum = self.sums().join(&name);
            if is_unfinished(&name) || sum.exists() {
                continue;
            }
            if let Some(content) = read_if_there(&self.code().join(&name))? {
                write_whole(&sum, hex(&content).as_bytes())?;
            }
        }
        Ok(kept)
    }

    /// The files of compiled code, finished or not, relative to `code`. Beside
    /// them wasmtime keeps statistics (`.stats`) and, in the uppermost folder,
    /// marks of its last cleaning.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let code = self.code();
        let mut files = Vec::new();
        let mut folders = vec![code.clone()];
        while let Some(folder) = folders.pop() {
            for item in if_there(fs::read_dir(&folder))?.into_iter().flatten() {
                let item = item?;
                let Some(kind) = if_there(item.file_type())? else {
                    continue;
                };
                let path = item.path();
                if kind.is_dir() {
                    folders.push(path);
                } else if folder != code
                    && path
                        .extension()
                        .is_none_or(|extension| extension != "stats")
                    && let Ok(name) = path.strip_prefix(&code)
                {
                    files.push(name.to_owned());
                }
            }
        }
        Ok(files)
    }
}

/// Whether wasmtime is writing the file, or was.
fn is_unfinished(name: &Path) -> bool {
    name.extension()
        .is_some_and(|extension| extension.to_string_lossy().starts_with("wip-"))
}

/// Deletes the folders of components but the newest `keep`. What cannot be
/// deleted stays.
fn forget_oldest(components: &Path, keep: usize) {
    let mut folders: Vec<_> = fs::read_dir(components)
        .into_iter()
        .flatten()
        .filter_map(|item| {
            let item = item.ok()?;
            Some((item.metadata().ok()?.modified().ok()?, item.path()))
        })
        .collect();
    folders.sort();
    folders.truncate(folders.len().saturating_sub(keep));
    for (_, folder) in folders {
        if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::debug!(folder = %folder.display(), %error, "cannot delete compiled code");
        }
    }
}

/// Creates a folder that only its user may enter. One that others may write to
/// is refused: what is in it is run.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt};
        builder.mode(0o700).create(path)?;
        let found = fs::symlink_metadata(path)?;
        let user = rustix::process::geteuid().as_raw();
        if !found.is_dir() || (found.uid() != user && found.uid() != 0) || found.mode() & 0o022 != 0
        {
            return Err(io::Error::other(format!(
                "`{}` could be changed by other users",
                path.display()
            )));
        }
    }
    #[cfg(not(unix))]
    builder.create(path)?;
    Ok(())
}

/// Writes a file so that nobody sees a part of it.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("wip-{}-{number}", std::process::id()));
    let written = fs::File::create(&beside)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn remove(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path)).map(|_| ())
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if_there(fs::read(path))
}

/// Nothing, if another process has deleted it meanwhile.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn age(path: &Path) -> Option<Duration> {
    let modified = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    SystemTime::now().duration_since(modified).ok()
}

/// The SHA-256 of some bytes, in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use wasmtime::{Config, Engine};

    use super::*;
    use crate::wasm::component::tests::component;

    /// What loading a component through the cache came to.
    #[derive(Debug, PartialEq, Eq)]
    struct Load {
        hits: usize,
        discarded: usize,
    }

    const BUILT: Load = Load {
        hits: 0,
        discarded: 0,
    };
    const FOUND: Load = Load {
        hits: 1,
        discarded: 0,
    };
    const REBUILT: Load = Load {
        hits: 0,
        discarded: 1,
    };

    fn load(cache: &CompileCache, wasm: &[u8], settings: impl Fn(&mut Config)) -> Load {
        let entry = cache.open(wasm);
        let mut config = Config::new();
        config.cache(entry.cache());
        settings(&mut config);
        let engine = Engine::new(&config).expect("valid settings");
        Component::new(&engine, wasm).expect("a valid component");
        entry.seal();
        Load {
            hits: entry.hits(),
            discarded: entry.discarded(),
        }
    }

    struct Fixture {
        dir: tempfile::TempDir,
        wasm: Vec<u8>,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().expect("a folder"),
                wasm: component(&[], &["squall:script/user@0.1.0"]),
            }
        }

        /// Loads as a process of its own would.
        fn load(&self) -> Load {
            self.load_with(|_| {})
        }

        fn load_with(&self, settings: impl Fn(&mut Config)) -> Load {
            let cache = CompileCache::new(Some(self.dir.path().to_owned()));
            load(&cache, &self.wasm, settings)
        }

        fn folder(&self) -> Folder {
            Folder::open(self.dir.path(), &self.wasm).expect("can be opened")
        }

        /// The only file of compiled code.
        fn file(&self) -> PathBuf {
            let folder = self.folder();
            let mut files = folder.files().expect("can be listed");
            // wasmtime may be writing its statistics.
            files.retain(|name| !is_unfinished(name));
            assert_eq!(files.len(), 1, "{files:?}");
            folder.code().join(&files[0])
        }
    }

    #[test]
    fn what_takes_long_is_told_of_until_it_is_done() {
        let (telling, told) = mpsc::channel();
        // It takes as long as it takes to be told of twice.
        watched(
            &|since| telling.send(since).expect("somebody hears"),
            || {
                for _ in 0..2 {
                    assert!(told.recv().expect("the watch goes on") > Some(LONG / 2));
                }
            },
        );
        assert_eq!(told.try_iter().last(), Some(None));
    }

    #[test]
    fn what_was_compiled_once_is_found_again() {
        let fixture = Fixture::new();
        assert_eq!(fixture.load(), BUILT);
        assert_eq!(fixture.load(), FOUND);
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_the_code_rebuilt() {
        let fixture = Fixture::new();
        fixture.load();
        let whole = fs::read(fixture.file()).expect("readable");
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(fixture.file(), damaged).expect("writable");
            assert_eq!(fixture.load(), REBUILT);
            assert_eq!(fixture.load(), FOUND);
        }
    }

    #[test]
    fn a_truncated_file_is_noticed_and_the_code_rebuilt() {
        let fixture = Fixture::new();
        fixture.load();
        for length in [0, 1, 100] {
            let file = fs::File::options().write(true).open(fixture.file());
            file.and_then(|file| file.set_len(length)).expect("cut");
            assert_eq!(fixture.load(), REBUILT);
        }
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn code_without_a_checksum_is_not_trusted() {
        let fixture = Fixture::new();
        fixture.load();
        fs::remove_dir_all(fixture.folder().sums()).expect("deleted");
        assert_eq!(fixture.load(), BUILT);
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn a_damaged_checksum_costs_a_rebuild() {
        let fixture = Fixture::new();
        fixture.load();
        let file = fixture.file();
        let folder = fixture.folder();
        let name = file.strip_prefix(folder.code()).expect("below");
        fs::write(folder.sums().join(name), "0").expect("writable");
        assert_eq!(fixture.load(), REBUILT);
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn other_settings_and_other_components_are_kept_side_by_side() {
        let mut fixture = Fixture::new();
        let epochs = |config: &mut Config| {
            config.epoch_interruption(true);
        };
        assert_eq!(fixture.load(), BUILT);
        assert_eq!(fixture.load_with(epochs), BUILT);
        assert_eq!(fixture.load(), FOUND);
        assert_eq!(fixture.load_with(epochs), FOUND);
        fixture.wasm = component(&[], &["squall:script/lifecycle@0.1.0"]);
        assert_eq!(fixture.load(), BUILT);
    }

    #[test]
    fn many_may_start_at_once() {
        for _ in 0..10 {
            let fixture = Fixture::new();
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        assert_eq!(fixture.load().discarded, 0);
                    });
                }
            });
            // Whatever they left, the next ones work with it.
            fixture.load();
            assert_eq!(fixture.load(), FOUND);
        }
    }

    #[test]
    fn what_a_killed_process_left_does_not_stay_in_the_way() {
        let fixture = Fixture::new();
        fixture.load();
        let file = fixture.file();
        let unfinished = file.with_extension("wip-atomic-write-mod");
        fs::rename(&file, &unfinished).expect("renamed");
        assert_eq!(fixture.load(), BUILT);
        assert!(!file.exists(), "wasmtime waits for the other writer");
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        let opened = fs::File::options().write(true).open(&unfinished);
        opened
            .and_then(|file| file.set_modified(long_ago))
            .expect("set");
        assert_eq!(fixture.load(), BUILT);
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn a_folder_that_cannot_be_used_means_compiling_each_time() {
        let fixture = Fixture::new();
        let file = fixture.dir.path().join("file");
        fs::write(&file, "").expect("writable");
        let cache = CompileCache::new(Some(file));
        assert_eq!(load(&cache, &fixture.wasm, |_| {}), BUILT);
        assert!(cache.warned.load(Ordering::Relaxed));
        let none = CompileCache::new(None);
        assert_eq!(load(&none, &fixture.wasm, |_| {}), BUILT);
        assert!(!none.warned.load(Ordering::Relaxed));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let fixture = Fixture::new();
        fixture.load();
        let components = fixture.dir.path().join("components");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&components) & 0o777, 0o700);
        fs::set_permissions(&components, fs::Permissions::from_mode(0o777)).expect("set");
        assert_eq!(fixture.load(), BUILT);
        fs::set_permissions(&components, fs::Permissions::from_mode(0o700)).expect("set");
        assert_eq!(fixture.load(), FOUND);
    }

    #[test]
    fn only_the_newest_components_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        for (number, seconds) in [(1, 30), (2, 10), (3, 20)] {
            let folder = dir.path().join(number.to_string());
            fs::create_dir(&folder).expect("created");
            let opened = fs::File::open(&folder).expect("opened");
            opened
                .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
                .expect("set");
        }
        forget_oldest(dir.path(), 2);
        assert!(dir.path().join("1").exists());
        assert!(!dir.path().join("2").exists());
        assert!(dir.path().join("3").exists());
    }
}
