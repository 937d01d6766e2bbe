//! A newcomer's path: `squall new`, and the commands of the README that it writes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::language::{Language, build_once};
use crate::support::command::{Outcome, Squall, heed_nothing};
use crate::support::guests::repository;
use crate::support::server::Server;

/// `squall new DIR --lang LANG`, and `--recorder` if that is asked for.
fn new(folder: &Path, language: Language, flags: &[&str]) -> Squall {
    Squall::new(["new".as_ref(), folder.as_os_str()])
        .flag("--lang", language.flag())
        .args(flags)
}

/// Writes a script and a recorder, builds both with their READMEs' own command, and
/// runs them with the other one. How long it took is told.
pub(crate) fn built(language: Language) {
    build_once();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start();

    let script = folder.path().join("my-test");
    let start = Instant::now();
    let wrote = new(&script, language, &[]).run().exited(0);
    let [build, run] = commands(&script);
    told_alike(&wrote, &build, &run);
    let built = by_hand(&script, &build, &server);
    let ran = by_hand(&script, &run, &server);
    tell(language, "script", start.elapsed(), built.took);
    assert!(ran.stderr.contains("1 request"), "{}", ran.stderr);
    assert_eq!(server.count("/"), 1);

    let recorder = folder.path().join("to-pager");
    let wrote = new(&recorder, language, &["--recorder"]).run().exited(0);
    let [build, run] = commands(&recorder);
    told_alike(&wrote, &build, &run);
    // What was installed for the script is the same here.
    hand_over(&script, &recorder);
    let start = Instant::now();
    let built = by_hand(&recorder, &build, &server);
    let ran = by_hand(&recorder, &run, &server);
    tell(
        language,
        "recorder, tools at hand",
        start.elapsed(),
        built.took,
    );
    let good = "good: every entry arrives, 0 warnings";
    assert!(ran.stderr.contains(good), "{}", ran.stderr);
    for line in ran.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(entry["sent"].is_u64(), "{line}");
    }
}

/// The commands of the README: what builds, and what runs.
fn commands(project: &Path) -> [String; 2] {
    let readme = fs::read_to_string(project.join("README.md")).expect("it was written");
    let block = readme.split_once("```sh\n").expect("commands").1;
    let block = block.split_once("```").expect("their end").0;
    let lines: Vec<String> = block.lines().map(str::to_owned).collect();
    lines.try_into().expect("two commands")
}

/// The program says the same commands as the README.
fn told_alike(wrote: &Outcome, build: &str, run: &str) {
    for command in [build, run] {
        let lines = wrote.stderr.lines();
        let said = lines.filter(|line| line.trim() == command).count();
        assert_eq!(said, 1, "`{command}`{}", wrote.story());
    }
}

/// What came of a command.
struct Ran {
    stdout: String,
    stderr: String,
    took: Duration,
}

/// Runs a command in a project's folder as a user would in a shell, against the
/// test's server.
fn by_hand(project: &Path, command: &str, server: &Server) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_squall"));
    let programs = program.parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(programs.to_owned())
        .chain(installed())
        .chain(std::env::split_paths(&path));
    let command = command.replace("http://127.0.0.1:8080", &server.url(""));
    let mut shell = Command::new("bash");
    heed_nothing(&mut shell);
    shell
        .args(["-euo", "pipefail", "-c", &command])
        .current_dir(project)
        .env("PATH", std::env::join_paths(path).expect("no `:` in it"))
        // What cargo sets for this package must not reach a project's build.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null());
    let start = Instant::now();
    let output = shell.output().expect("there is a shell");
    let took = start.elapsed();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "`{command}` failed with {}\n{stdout}\n{stderr}",
        output.status,
    );
    Ran {
        stdout,
        stderr,
        took,
    }
}

/// The folders of programs that `ci/languages` installed.
fn installed() -> Vec<PathBuf> {
    let tools = repository().join("target/tools");
    let mut folders = vec![tools.join("go/usr/lib/go-1.24/bin")];
    for entry in fs::read_dir(tools).expect("it was built") {
        folders.push(entry.expect("it can be read").path().join("bin"));
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// Moves the packages that one project has fetched or built to another one.
fn hand_over(from: &Path, to: &Path) {
    for packages in ["target", "node_modules"] {
        let at = from.join(packages);
        if at.is_dir() {
            fs::rename(at, to.join(packages)).expect("both are ours");
        }
    }
}

/// Tells how long a project took, past what the test harness holds back.
fn tell(language: Language, what: &str, all: Duration, build: Duration) {
    let _ = writeln!(
        std::io::stderr(),
        "squall new --lang {}, {what}: {:.1} s, of which the build {:.1} s",
        language.flag(),
        all.as_secs_f64(),
        build.as_secs_f64(),
    );
}
