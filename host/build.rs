//! Embeds what `squall new` writes: the examples themselves, as they are tested,
//! and the WIT packages. What a build leaves beside them is told by the ignore
//! file of each example, and is left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The examples that a project can begin as. Rust's recorder is called `brief`,
/// since all guests of its workspace have names of their own.
const EXAMPLES: [&str; 3] = ["hello", "recorder", "brief"];

/// The WIT packages that a project can need.
const PACKAGES: [&str; 2] = ["wit/script", "wit/recorder"];

fn main() {
    let host = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&host)
        .parent()
        .expect("a folder of the repository");
    let mut folders: Vec<PathBuf> = PACKAGES.iter().map(PathBuf::from).collect();
    for language in sorted(&root.join("guest-examples")) {
        for example in EXAMPLES {
            let folder = Path::new("guest-examples").join(&language).join(example);
            if root.join(&folder).is_dir() {
                folders.push(folder);
            }
        }
    }

    let mut code = String::from("&[\n");
    for folder in folders {
        let mut files = Vec::new();
        let ignored = ignored(&root.join(&folder));
        collect(&root.join(&folder), Path::new(""), &ignored, &mut files);
        let _ = writeln!(code, "Folder {{ path: {folder:?}, files: &[");
        for file in files {
            let whole = root.join(&folder).join(&file);
            watch(&whole);
            let _ = writeln!(
                code,
                "File {{ path: {file:?}, text: include_str!({whole:?}), is_program: {} }},",
                is_program(&whole),
            );
        }
        code += "] },\n";
    }
    code += "]\n";
    watch(Path::new("build.rs"));
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("folders.rs"), code).expect("the folder is ours");
}

/// Adds all files below a folder that are not ignored, in order.
fn collect(root: &Path, folder: &Path, ignored: &[String], files: &mut Vec<PathBuf>) {
    for name in sorted(&root.join(folder)) {
        let path = folder.join(&name);
        if ignored.iter().any(|pattern| matches(pattern, &name)) {
            continue;
        }
        if root.join(&path).is_dir() {
            // A new file is noticed, except at the top, where builds write as well.
            watch(&root.join(&path));
            collect(root, &path, ignored, files);
        } else {
            files.push(path);
        }
    }
}

/// The patterns of a folder's ignore file: names, with `*` at one end at most.
fn ignored(folder: &Path) -> Vec<String> {
    let file = folder.join(".gitignore");
    let Ok(text) = fs::read_to_string(&file) else {
        return vec!["target".to_owned()];
    };
    let mut patterns = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pattern = line.trim_start_matches('/').trim_end_matches('/');
        let inner = pattern.strip_prefix('*').unwrap_or(pattern);
        let inner = inner.strip_suffix('*').unwrap_or(inner);
        assert!(
            !inner.contains(['*', '?', '[', '!', '/']),
            "{}: `{line}` is no name, which is all that build.rs understands",
            file.display(),
        );
        patterns.push(pattern.to_owned());
    }
    patterns
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    }
}

/// The names in a folder.
fn sorted(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", folder.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("the folder can be read").file_name();
        name.into_string().expect("names are UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let file = fs::metadata(file).expect("it was listed");
    file.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_program(_: &Path) -> bool {
    false
}
