//! The invariants of the source that no compiler checks, as `ARCHITECTURE.md`
//! states them: which module may name which dependency, which may use which
//! other, who may print, and what must never be committed.
//!
//! The sources are read as text with the standard library alone. Comments and
//! literals are blanked first, so that only code is judged, and code under
//! `#[cfg(test)]` only where a rule says so.

mod documents;
mod source;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use source::{Source, read_all, tokens};

/// The repository's root.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a folder of the repository")
}

/// The host's own sources, their paths relative to `host/src`.
fn host() -> Vec<Source> {
    let sources = read_all(&repository().join("host/src"));
    assert!(!sources.is_empty(), "no sources in `host/src`");
    sources
}

/// All Rust sources of the repository, paths relative to its root.
fn everything() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["host", "tests", "guest-examples", "benches"] {
        for mut source in read_all(&repository().join(folder)) {
            source.path = Path::new(folder).join(source.path);
            sources.push(source);
        }
    }
    sources
}

/// Fails with all `offences`, one a line.
#[track_caller]
fn none(rule: &str, offences: Vec<String>) {
    let mut message = String::new();
    for offence in &offences {
        let _ = write!(message, "\n  {offence}");
    }
    assert!(offences.is_empty(), "{rule}:{message}");
}

/// Where `word` occurs in the code of `sources` that ships, but for the files
/// that `may` name it.
fn named_outside(sources: &[Source], word: &str, may: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| !may(&source.path)) {
        for line in source.shipped.lines_with(word) {
            offences.push(format!("{}:{line} names `{word}`", source.path.display()));
        }
    }
    offences
}

/// Whether `path` is `module.rs` or lies in the folder `module`.
fn is_in(path: &Path, module: &str) -> bool {
    path.starts_with(module) || path == Path::new(module).with_extension("rs")
}

#[test]
fn only_the_wasm_module_names_wasmtime() {
    let sources = host();
    let mut offences = Vec::new();
    for word in ["wasmtime", "wasmtime_wasi", "wasmparser"] {
        offences.extend(named_outside(&sources, word, |path| is_in(path, "wasm")));
    }
    none("`wasm` alone knows the engine", offences);
}

#[test]
fn only_the_http_module_names_reqwest() {
    let offences = named_outside(&host(), "reqwest", |path| is_in(path, "http"));
    none("`http` alone knows the client", offences);
}

#[test]
fn only_the_system_module_names_sysinfo() {
    let offences = named_outside(&host(), "sysinfo", |path| is_in(path, "system"));
    none("`system` alone asks the machine", offences);
}

#[test]
fn only_the_command_line_names_clap() {
    let sources = host();
    let mut offences = Vec::new();
    for word in ["clap", "clap_complete"] {
        offences.extend(named_outside(&sources, word, |path| is_in(path, "cli")));
    }
    none("`cli` alone parses arguments", offences);
}

#[test]
fn only_the_cluster_module_names_the_broker() {
    let sources = host();
    let mut offences = Vec::new();
    for word in ["async_nats", "nkeys", "zeromq"] {
        offences.extend(named_outside(&sources, word, |path| is_in(path, "cluster")));
    }
    none("`cluster` alone knows the broker", offences);
}

#[test]
fn only_the_bindings_module_names_the_generators() {
    let sources = host();
    let mut offences = Vec::new();
    for word in ["wit_bindgen_core", "wit_bindgen_c", "wit_bindgen_go"] {
        offences.extend(named_outside(&sources, word, |path| {
            is_in(path, "bindings")
        }));
    }
    none("`bindings` alone knows the generators", offences);
}

#[test]
fn only_the_command_line_prints() {
    let sources = host();
    let mut offences = Vec::new();
    for word in ["println", "eprintln", "print", "eprint", "dbg"] {
        for source in sources.iter().filter(|source| !may_print(&source.path)) {
            for line in source.shipped.lines_with_macro(word) {
                offences.push(format!("{}:{line} calls `{word}!`", source.path.display()));
            }
        }
    }
    for word in ["stdout", "stderr"] {
        for source in sources.iter().filter(|source| !may_print(&source.path)) {
            for line in source.shipped.lines_with_call(word) {
                offences.push(format!("{}:{line} calls `{word}()`", source.path.display()));
            }
        }
    }
    // A guest's output becomes log events and never reaches our streams.
    for word in ["inherit_stdio", "inherit_stdout", "inherit_stderr"] {
        offences.extend(named_outside(&sources, word, |_| false));
    }
    none("`cli` alone owns stdout and stderr", offences);
}

fn may_print(path: &Path) -> bool {
    is_in(path, "cli") || path == Path::new("main.rs")
}

/// The rows of modules, from the bottom up: a module uses its own row and those
/// below. Modules that are in no row are at the edge, above all others.
const ROWS: &[&[&str]] = &[
    &["units", "error"],
    &["plan", "measure", "stats", "event"],
    &["vu", "recorder", "shape", "sink"],
    &["data", "http", "system", "wasm"],
    &["executor", "run", "cluster"],
    &[
        "config", "report", "demo", "control", "assemble", "bindings", "cli",
    ],
];

/// What a row may not use although it lies no higher: `(who, whom)`.
const APART: &[(&str, &str)] = &[
    // An adapter knows the ports, not the other adapters' libraries; what a
    // script sends goes through `http`.
    ("http", "wasm"),
    ("http", "system"),
    ("data", "wasm"),
    ("data", "http"),
    ("data", "system"),
    ("system", "wasm"),
    ("system", "http"),
    // The engine is tested with virtual users that are not components.
    ("executor", "wasm"),
    ("executor", "http"),
    ("executor", "run"),
    ("run", "cluster"),
    ("run", "wasm"),
    ("run", "http"),
    ("cluster", "wasm"),
    ("cluster", "http"),
    // The domain, from the inside out.
    ("measure", "plan"),
    ("plan", "stats"),
    ("plan", "event"),
    ("measure", "stats"),
    ("measure", "event"),
    ("stats", "event"),
    // The edge: nothing stands above the command line.
    ("config", "cli"),
    ("report", "cli"),
    ("demo", "cli"),
    ("control", "cli"),
    ("bindings", "cli"),
];

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

#[test]
fn modules_use_no_higher_row() {
    let mut offences = Vec::new();
    for source in host() {
        let Some(module) = source.module() else {
            continue;
        };
        let Some(own) = row(&module) else { continue };
        for (line, used) in source.shipped.crate_paths() {
            let above = row(&used).is_some_and(|used| used > own);
            let apart = APART.contains(&(module.as_str(), used.as_str()));
            if above || apart {
                let path = source.path.display();
                offences.push(format!("{path}:{line} uses `crate::{used}`"));
            }
        }
    }
    none("a module uses its own row and those below", offences);
}

#[test]
fn the_domain_is_synchronous() {
    let mut sources = host();
    sources.retain(|source| source.module().is_some_and(|module| row(&module) < Some(2)));
    let mut offences = Vec::new();
    for word in ["tokio", "async", "await"] {
        offences.extend(named_outside(&sources, word, |_| false));
    }
    none("the two lowest rows neither wait nor do I/O", offences);
}

#[test]
fn bindings_are_generated_in_files_of_their_own() {
    let mut offences = Vec::new();
    for source in host() {
        let own = source
            .path
            .file_name()
            .is_some_and(|name| name == "bindings.rs");
        for line in source.code.lines_with_macro("bindgen") {
            if !own {
                offences.push(format!("{}:{line}", source.path.display()));
            }
        }
    }
    none("`bindgen!` stands in a `bindings.rs`", offences);
}

#[test]
fn every_module_is_in_a_row() {
    let mut offences = Vec::new();
    for source in host() {
        if let Some(module) = source.module().filter(|module| row(module).is_none()) {
            offences.push(format!("{} is in module `{module}`", source.path.display()));
        }
    }
    none(
        "a new module needs a row, here and in the architecture",
        offences,
    );
}

#[test]
fn every_source_begins_with_what_it_is_for() {
    let mut offences = Vec::new();
    for source in everything() {
        if !source.text.starts_with("//! ") {
            offences.push(format!(
                "{} does not begin with `//!`",
                source.path.display()
            ));
        }
    }
    none("every source begins with its module's doc", offences);
}

#[test]
fn nothing_is_unsafe() {
    let mut offences = Vec::new();
    for source in everything() {
        for line in source.code.lines_with("unsafe") {
            offences.push(format!("{}:{line}", source.path.display()));
        }
    }
    none("no `unsafe` code", offences);
}

#[test]
fn nothing_is_left_undone() {
    let mut offences = Vec::new();
    for source in everything() {
        for word in ["todo", "unimplemented"] {
            for line in source.code.lines_with_macro(word) {
                offences.push(format!("{}:{line} has `{word}!`", source.path.display()));
            }
        }
        for line in source.code.lines_with_attribute("ignore") {
            offences.push(format!("{}:{line} ignores a test", source.path.display()));
        }
    }
    none(
        "no code that is left undone, no test that does not run",
        offences,
    );
}

#[test]
fn lints_are_expected_with_a_reason_not_allowed() {
    let mut offences = Vec::new();
    for source in everything() {
        for line in source.code.lines_with_attribute("allow") {
            offences.push(format!("{}:{line}", source.path.display()));
        }
    }
    none(
        "`#[expect(…, reason = \"…\")]` in place of `#[allow]`",
        offences,
    );
}

/// Whether the rules would see an offence: they are run over sources that have
/// one each.
mod the_rules_themselves {
    use super::*;

    fn offending(path: &str, text: &str) -> Source {
        Source::new(PathBuf::from(path), text.to_owned())
    }

    #[test]
    fn a_name_counts_as_a_word_and_only_in_code() {
        let text = "//! reqwest\n// reqwest\n/* reqwest /* */ reqwest */\n\
                    const A: &str = \"reqwest\";\nlet my_reqwest = 'r';\n\
                    const B: &str = r#\"\"reqwest\"#;\nfn f<'a>() {}\n";
        let source = offending("a.rs", text);
        assert_eq!(source.code.lines_with("reqwest"), Vec::<usize>::new());
        let source = offending("a.rs", &format!("{text}use reqwest::Client;\n"));
        assert_eq!(source.code.lines_with("reqwest"), [8]);
    }

    #[test]
    fn test_modules_do_not_ship() {
        let text = "//! A.\nuse a;\n#[cfg(test)]\nmod tests {\n    use reqwest;\n    fn f() { {} }\n}\nuse b;\n";
        let source = offending("a.rs", text);
        assert!(source.shipped.lines_with("reqwest").is_empty());
        assert_eq!(source.code.lines_with("reqwest"), [5]);
        assert_eq!(source.shipped.lines_with("b"), [8]);
        let item = offending("a.rs", "#[cfg(test)]\nuse reqwest::X;\nuse sysinfo;\n");
        assert!(item.shipped.lines_with("reqwest").is_empty());
        assert_eq!(item.shipped.lines_with("sysinfo"), [3]);
    }

    #[test]
    fn a_used_module_is_found_in_every_spelling() {
        let text = "use crate::plan::Plan;\nuse crate::{stats::{self, Shard}, event};\nfn f() -> crate::error::Error {}\npub(crate) fn g() {}\n";
        let used: Vec<_> = offending("a.rs", text).shipped.crate_paths();
        let used: Vec<_> = used
            .iter()
            .map(|(line, used)| (*line, used.as_str()))
            .collect();
        assert_eq!(
            used,
            [(1, "plan"), (2, "stats"), (2, "event"), (3, "error")]
        );
    }

    #[test]
    fn macros_calls_and_attributes_are_told_from_names() {
        let source = offending(
            "a.rs",
            "eprintln!(\"\");\nfn stdout(a: u8) {}\nlet stdout = 1;\nio::stdout().lock();\nguest.stdout();\n#[ignore = \"\"]\n#[test]\nlet ignore = 2;\n#![allow(dead_code)]\nif !todo {}\n",
        );
        assert_eq!(source.code.lines_with_macro("eprintln"), [1]);
        assert_eq!(source.code.lines_with_call("stdout"), [4]);
        assert_eq!(source.code.lines_with_attribute("ignore"), [6]);
        assert_eq!(source.code.lines_with_attribute("allow"), [9]);
        assert!(source.code.lines_with_macro("todo").is_empty());
    }

    #[test]
    fn a_file_belongs_to_its_outermost_module() {
        let module = |path: &str| offending(path, "").module();
        assert_eq!(module("stats.rs").as_deref(), Some("stats"));
        assert_eq!(module("wasm/script/host.rs").as_deref(), Some("wasm"));
        assert_eq!(module("lib.rs"), None);
        assert_eq!(module("main.rs"), None);
        assert!(is_in(Path::new("cli/args.rs"), "cli") && is_in(Path::new("cli.rs"), "cli"));
        assert!(!is_in(Path::new("client.rs"), "cli"));
    }

    #[test]
    fn tokens_keep_their_lines() {
        let tokens: Vec<_> = tokens("a::b\n c!").collect();
        assert_eq!(
            tokens,
            [(1, "a"), (1, ":"), (1, ":"), (1, "b"), (2, "c"), (2, "!")]
        );
    }
}
