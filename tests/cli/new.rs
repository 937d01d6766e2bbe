//! `squall new`: what it writes, and what it refuses. That each project builds and
//! runs is in `tests/languages`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::command::{Outcome, Squall};
use crate::support::guests::repository;

/// The languages, and their folders in `guest-examples`.
const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "rust"),
    ("js", "javascript"),
    ("ts", "typescript"),
    ("python", "python"),
    ("c", "c"),
    ("go", "go"),
];

/// `squall new` with these arguments, each below `folder` if it is a path.
fn new(folder: &Path, language: &str, flags: &[&str]) -> Squall {
    Squall::new(["new".as_ref(), folder.as_os_str()])
        .flag("--lang", language)
        .args(flags)
}

#[track_caller]
fn says(outcome: &Outcome, words: &[&str]) {
    let stderr = outcome.flat_stderr();
    for word in words {
        assert!(stderr.contains(word), "no `{word}`{}", outcome.story());
    }
}

#[test]
fn a_project_is_a_tested_example_with_its_wit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (language, of_language) in LANGUAGES {
        // No name holds the example's, which is looked for below.
        for (example, package, name, flags) in [
            ("hello", "script", "visits", &[][..]),
            ("recorder", "recorder", "tells", &["--recorder"][..]),
        ] {
            let project = folder.path().join(format!("{name}-{language}"));
            let outcome = new(&project, language, flags).run().exited(0);
            let example = match (language, example) {
                ("rust", "recorder") => "brief",
                _ => example,
            };
            let mut expected = committed(&format!("guest-examples/{of_language}/{example}"));
            let mut wit = committed(&format!("wit/{package}"));
            // Types are for those whose editors and compilers read them.
            wit.retain(|file| !file.ends_with(".d.ts") || matches!(language, "js" | "ts"));
            expected.extend(wit.iter().map(|file| format!("wit/{package}/{file}")));
            expected.insert("README.md".to_owned());
            if language == "rust" {
                expected.extend([".cargo/config.toml", ".gitignore"].map(str::to_owned));
            }
            let written = files(&project);
            assert_eq!(
                written, expected,
                "{language} {package}; a new file is seen after `touch host/build.rs`",
            );
            for file in &written {
                says(&outcome, &[file]);
                let text = fs::read_to_string(project.join(file)).expect("text");
                assert!(!text.contains("../../../wit"), "{language}: {file}");
                assert!(
                    !text.contains(&format!("{example}.wasm")),
                    "{language}: {file}"
                );
            }
            assert_eq!(outcome.stdout, "");
        }
    }
}

#[test]
fn a_source_is_what_it_is_in_the_example() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = folder.path().join("hello-again");
    new(&project, "rust", &[]).run().exited(0);
    let read = |file: &Path| fs::read_to_string(file).expect("text");
    let example = repository().join("guest-examples/rust/hello/src/lib.rs");
    let expected = read(&example).replace("../../../wit", "wit");
    assert_eq!(read(&project.join("src/lib.rs")), expected);
    let manifest = read(&project.join("Cargo.toml"));
    assert!(manifest.contains("name = \"hello-again\"\n"), "{manifest}");
}

#[test]
fn a_folder_that_is_not_empty_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("the folder is ours");
    let outcome = new(folder.path(), "rust", &[]).run().exited(104);
    says(&outcome, &["is not empty: there is `notes.txt`", "hint: "]);
    assert_eq!(
        files(folder.path()),
        BTreeSet::from(["notes.txt".to_owned()])
    );

    let outcome = new(&folder.path().join("notes.txt"), "rust", &[])
        .run()
        .exited(104);
    says(&outcome, &["notes.txt` is not a folder", "hint: "]);
}

#[test]
fn a_repository_that_was_just_made_is_as_good_as_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join(".git")).expect("the folder is ours");
    new(folder.path(), "rust", &[]).run().exited(0);
    assert!(folder.path().join("src/lib.rs").is_file());
}

#[test]
fn a_name_that_tools_do_not_take_becomes_one_that_they_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (called, name) in [("My Test's (1)", "my-test-s-1"), ("test", "test-script")] {
        let project = folder.path().join(called);
        let outcome = new(&project, "rust", &[]).run().exited(0);
        says(&outcome, &[&format!("called `{name}`")]);
        let manifest = fs::read_to_string(project.join("Cargo.toml")).expect("it was written");
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{manifest}"
        );
    }
    // The folder's name is one word for the shell.
    let project = folder.path().join("it's here");
    let outcome = new(&project, "rust", &[]).run().exited(0);
    let line = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("  cd "));
    let line = line.expect("what to do next").to_owned() + " && pwd";
    let shell = Command::new("sh").args(["-c", &line]).output();
    let shell = shell.expect("there is a shell");
    let place = String::from_utf8(shell.stdout).expect("UTF-8");
    let project = project.canonicalize().expect("it was made");
    assert_eq!(Path::new(place.trim_end()), project, "{line}");
}

#[test]
fn a_misspelt_language_is_answered_with_the_right_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = folder.path().join("shop");
    let outcome = new(&project, "pyhton", &[]).run().exited(2);
    says(
        &outcome,
        &["pyhton", "rust, js, ts, python, c, go", "'python'"],
    );
    let outcome = Squall::new(["new".as_ref(), project.as_os_str()])
        .run()
        .exited(2);
    says(&outcome, &["--lang <rust|js|ts|python|c|go>"]);
    assert!(!project.exists(), "nothing is written");
    let other = folder.path().join("other");
    for alias in ["javascript", "golang"] {
        new(&other.join(alias), alias, &[]).run().exited(0);
    }
}

/// All files below a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(current) = left.pop() {
        for entry in fs::read_dir(current).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("it was found there");
                files.insert(path.display().to_string());
            }
        }
    }
    files
}

/// The files below a folder of the repository that are committed.
fn committed(folder: &str) -> BTreeSet<String> {
    let output = Command::new("git")
        .args(["ls-files", "."])
        .current_dir(repository().join(folder))
        .output()
        .expect("there is git");
    assert!(output.status.success(), "`git ls-files` in `{folder}`");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}
