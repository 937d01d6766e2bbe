//! What a project consists of: the files of a tested example, under another
//! name, and the WIT package that it is built with.

use std::fmt;
use std::path::PathBuf;

use super::language::Language;
use super::{manifest, readme};

/// What kind of component a project makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A script: it plays a virtual user.
    Script,
    /// A recorder: it turns events into log entries.
    Recorder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Script => "script",
            Self::Recorder => "recorder",
        })
    }
}

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewFile {
    /// Where, in the project's folder.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
    /// Whether it can be executed.
    pub(super) is_program: bool,
}

/// A folder of the repository, as it was when this program was built.
struct Folder {
    path: &'static str,
    files: &'static [File],
}

/// A file of such a folder.
struct File {
    path: &'static str,
    text: &'static str,
    is_program: bool,
}

/// The examples and the WIT packages.
static FOLDERS: &[Folder] = include!(concat!(env!("OUT_DIR"), "/folders.rs"));

/// What the WIT packages are called in the examples' files.
const WIT: &str = "../../../wit";

/// All files of a project.
pub(super) fn files(language: Language, kind: Kind, name: &str) -> Vec<NewFile> {
    let example = example(language, kind);
    let mut files: Vec<NewFile> =
        folder(&format!("guest-examples/{}/{example}", language.folder()))
            .iter()
            .filter(|file| file.path != "README.md")
            .map(|file| NewFile {
                path: file.path.into(),
                text: rename(file, example, name).replace(WIT, "wit"),
                is_program: file.is_program,
            })
            .collect();
    let mut add = |path: &str, text: &str| {
        files.push(NewFile {
            path: path.into(),
            text: text.to_owned(),
            is_program: false,
        });
    };
    if language == Language::Rust {
        add(".cargo/config.toml", manifest::CONFIG);
        add(".gitignore", "target/\n");
    }
    add("README.md", &readme::readme(language, kind, name));
    let package = format!("wit/{kind}");
    let has_types = matches!(language, Language::Js | Language::Ts);
    for file in folder(&package) {
        if file.path.ends_with(".d.ts") && !has_types {
            continue;
        }
        add(&format!("{package}/{}", file.path), file.text);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The example that a project begins as.
fn example(language: Language, kind: Kind) -> &'static str {
    match (language, kind) {
        (_, Kind::Script) => "hello",
        // All guests of Rust's workspace have names of their own.
        (Language::Rust, Kind::Recorder) => "brief",
        (_, Kind::Recorder) => "recorder",
    }
}

/// The files of a folder of the repository.
fn folder(path: &str) -> &'static [File] {
    let found = FOLDERS.iter().find(|folder| folder.path == path);
    found
        .unwrap_or_else(|| panic!("`{path}` was there when this program was built"))
        .files
}

/// The file's text with the project's name in place of the example's, where it
/// is the name of the component or of the package.
fn rename(file: &File, example: &str, name: &str) -> String {
    let text = match file.path {
        "Cargo.toml" => manifest::standalone(file.text, manifest::WORKSPACE),
        "go.mod" => match file.text.strip_prefix(&format!("module {example}\n")) {
            Some(rest) => format!("module {name}\n{rest}"),
            None => panic!("`go.mod` of `{example}` begins with its module's name"),
        },
        _ => file.text.to_owned(),
    };
    [
        (format!("{example}.wasm"), format!("{name}.wasm")),
        (
            format!("\"name\": \"{example}\""),
            format!("\"name\": \"{name}\""),
        ),
        (
            format!("name = \"{example}\""),
            format!("name = \"{name}\""),
        ),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}
