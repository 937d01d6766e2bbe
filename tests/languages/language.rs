//! The languages, and where the components are that were made of each.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::command::Squall;
use crate::support::guests;

/// How long a run may take that finds its component not compiled yet: an
/// interpreter takes ten seconds, on a busy machine minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A language that has examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    JavaScript,
    TypeScript,
    Python,
    C,
    Go,
}

impl Language {
    pub(crate) const ALL: [Self; 6] = [
        Self::Rust,
        Self::JavaScript,
        Self::TypeScript,
        Self::Python,
        Self::C,
        Self::Go,
    ];

    /// What `squall new --lang` calls it.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// Its folder in `guest-examples` and in `tests/guests`.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// The script that tries one thing a script may do, compiled by an earlier run,
    /// so that no test waits for that.
    pub(crate) fn behaviour(self) -> PathBuf {
        static COMPILED: [OnceLock<()>; Language::ALL.len()] =
            [const { OnceLock::new() }; Language::ALL.len()];
        let file = match self {
            Self::Rust => guests::test_guest("behaviour"),
            _ => built(&format!("tests/guests/{}", self.folder()), "behaviour"),
        };
        COMPILED[self as usize].get_or_init(|| {
            let run = Squall::script(&file).script_env("CASE", "checks");
            run.timeout(PATIENCE).run().exited(0);
        });
        file
    }

    /// One of the examples that every language has: `hello`, `shop` or `recorder`.
    pub(crate) fn example(self, name: &str) -> PathBuf {
        match (self, name) {
            // All guests of Rust's workspace have names of their own.
            (Self::Rust, "recorder") => guests::example("brief"),
            (Self::Rust, _) => guests::example(name),
            _ => built(&format!("guest-examples/{}/{name}", self.folder()), name),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
        })
    }
}

/// Installs all toolchains and builds all guests, once per test process.
pub(crate) fn build_once() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| guests::run_script("ci/languages", &[]));
}

/// A component that `ci/languages` builds.
fn built(folder: &str, name: &str) -> PathBuf {
    build_once();
    let file = guests::repository()
        .join(folder)
        .join(format!("build/{name}.wasm"));
    assert!(
        file.is_file(),
        "`ci/languages` passed but there is no `{}`",
        file.display(),
    );
    file
}
