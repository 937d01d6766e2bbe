//! The components that the tests run, built from the repository's sources.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a folder of the repository")
}

/// A component of `guest-examples/rust`, such as `hello` or `json`.
pub(crate) fn example(name: &str) -> PathBuf {
    built(&repository().join("guest-examples/rust"), name)
}

/// A component of `tests/guests`: `behaviour`, `misbehave`, `forbidden`,
/// `wrong_version`, `no_user` or `misrecord`.
pub(crate) fn test_guest(name: &str) -> PathBuf {
    built(&repository().join("tests/guests"), name)
}

/// The script whose requests are `fetch`'s, in JavaScript on StarlingMonkey.
pub(crate) fn fetch() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| run_script("ci/languages", &["starlingmonkey"]));
    let file = repository().join("tests/guests/javascript-fetch/build/fetch.wasm");
    assert!(
        file.is_file(),
        "`ci/languages` passed but there is no `{}`",
        file.display(),
    );
    file
}

fn built(workspace: &Path, name: &str) -> PathBuf {
    build_once();
    let file = workspace.join(format!("target/wasm32-wasip2/release/{name}.wasm"));
    assert!(
        file.is_file(),
        "`ci/guests` passed but there is no `{}`",
        file.display(),
    );
    file
}

/// Builds both guest workspaces, once per test process.
fn build_once() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| run_script("ci/guests", &[]));
}

/// Checks that the components embedded in the host equal a rebuild.
pub(crate) fn check_embedded() {
    run_script("ci/guests", &["--check"]);
}

/// Runs a script that builds guests, never two at a time, not even from two test
/// processes.
pub(crate) fn run_script(name: &str, args: &[&str]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).expect("the target folder can be written");
    let lock = File::create(folder.join("guests.lock")).expect("as above");
    lock.lock().expect("the file system has locks");

    let script = repository().join(name);
    let output = Command::new(&script)
        .args(args)
        .current_dir(repository())
        // What cargo sets for this package must not reach the guests' build.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        // Some guests are built with what this program makes of the WIT.
        .env("SQUALL", env!("CARGO_BIN_EXE_squall"))
        .output()
        .unwrap_or_else(|error| panic!("cannot run `{}`: {error}", script.display()));
    assert!(
        output.status.success(),
        "`{name} {}` failed with {}\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
