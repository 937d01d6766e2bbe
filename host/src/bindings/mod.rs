//! Bindings: what a guest in C or Go needs to call the host and to be called.
//!
//! The generators of other languages are programs of their own world: a macro for
//! Rust, an npm package for JavaScript, one from PyPI for Python. Those for C and Go
//! are crates, so the host carries them, and has them write what C and Go
//! programmers would want to read.

mod c;
mod go;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldId, WorldKey};

use crate::error::Problem;

/// A language that bindings can be had for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C: a header, a source and an object file.
    C,
    /// Go: the module `squall`.
    Go,
}

/// The files of a guest's bindings, by their paths.
#[derive(Debug)]
pub struct Bindings(BTreeMap<PathBuf, Vec<u8>>);

/// What programs for WASI 0.1 need to become components, under the name by which
/// `wasm-tools component new --adapt` knows what it adapts.
const ADAPTER: (&str, &[u8]) = (
    "wasi_snapshot_preview1.wasm",
    wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
);

/// Makes the bindings for a world of the WIT package in the folder `wit`.
///
/// # Errors
///
/// If there is no such package, or no such world in it.
pub fn generate(language: Language, wit: &Path, world: &str) -> Result<Bindings, Problem> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(|error| {
        Problem::new(format!(
            "`{}` holds no WIT package: {error:#}",
            wit.display()
        ))
        .hint("give the folder of one package, as `wit/script` in squall's repository")
    })?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|_| {
        let worlds: Vec<&str> = resolve.packages[package]
            .worlds
            .keys()
            .map(String::as_str)
            .collect();
        Problem::new(format!("`{}` has no world `{world}`", wit.display()))
            .hint(format!("there are: {}", worlds.join(", ")))
    })?;
    let mut files = match language {
        Language::C => c::generate(&mut resolve, world)?,
        Language::Go => go::generate(&mut resolve, world)?,
    };
    files.insert(ADAPTER.0.into(), ADAPTER.1.into());
    Ok(Bindings(files))
}

impl Bindings {
    /// Writes the files into a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Problem> {
        for (path, contents) in &self.0 {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, contents))
                .map_err(|error| {
                    Problem::new(format!("`{}` cannot be written: {error}", path.display()))
                })?;
        }
        Ok(())
    }
}

/// Runs a generator, and takes what it made.
fn run(
    mut generator: Box<dyn wit_bindgen_core::WorldGenerator>,
    resolve: &mut Resolve,
    world: WorldId,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, Problem> {
    let mut files = Files::default();
    generator
        .generate(resolve, world, &mut files)
        .map_err(|error| Problem::new(format!("the world has no bindings: {error:#}")))?;
    let files = files.iter();
    Ok(files
        .map(|(path, contents)| (path.into(), contents.into()))
        .collect())
}

/// The interfaces of squall's own that a world imports and exports: the key of
/// each, and its name.
fn own_interfaces(resolve: &Resolve, world: WorldId) -> Vec<(&WorldKey, &str)> {
    let world = &resolve.worlds[world];
    let keys = world.imports.keys().chain(world.exports.keys());
    keys.filter_map(|key| {
        let WorldKey::Interface(id) = key else {
            return None;
        };
        let interface = &resolve.interfaces[*id];
        let package = &resolve.packages[interface.package?];
        let name = interface.name.as_deref()?;
        (package.name.namespace == "squall").then_some((key, name))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wit(package: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../wit")
            .join(package)
    }

    fn text(bindings: &Bindings, path: &str) -> String {
        let contents = bindings.0.get(Path::new(path));
        let contents = contents.unwrap_or_else(|| panic!("no {path} in {:?}", bindings.0.keys()));
        String::from_utf8(contents.clone()).expect("it is text")
    }

    #[test]
    fn c_has_short_names() {
        let bindings = generate(Language::C, &wit("script"), "script-with-options");
        let bindings = bindings.expect("the world is there");
        let header = text(&bindings, "squall.h");
        for declaration in [
            "http_own_response_t http_get(squall_string_t *url, http_params_t *maybe_params);",
            "void timing_sleep_ms(double duration_ms);",
            "bool exports_user_iterate(squall_string_t *err);",
            "void exports_options_defaults(squall_string_t *ret);",
        ] {
            assert!(header.contains(declaration), "no {declaration} in {header}");
        }
        let files: Vec<_> = bindings.0.keys().filter_map(|path| path.to_str()).collect();
        let object = "squall_component_type.o";
        assert_eq!(files, ["squall.c", "squall.h", object, ADAPTER.0]);
    }

    #[test]
    fn go_is_a_module_whose_exports_are_variables() {
        let bindings = generate(Language::Go, &wit("script"), "script-with-options");
        let bindings = bindings.expect("the world is there");
        let user = text(&bindings, "exports/user/user.go");
        let iterate = "var Iterate = func() types.Result[types.Unit, string] {\n";
        assert!(user.contains(iterate), "{user}");
        let lifecycle = text(&bindings, "exports/lifecycle/lifecycle.go");
        let on_start = "var OnStart = func(data string) types.Result[types.Unit, string] {\n";
        assert!(lifecycle.contains(on_start), "{lifecycle}");
        assert!(text(&bindings, "imports/http/http.go").contains("\npackage http\n"));
        for (path, contents) in &bindings.0 {
            let Ok(contents) = str::from_utf8(contents) else {
                continue;
            };
            for word in [
                "go.bytecodealliance.org",
                "squall_script",
                "not implemented",
            ] {
                assert!(!contents.contains(word), "{word} in {}", path.display());
            }
        }
    }

    #[test]
    fn every_world_has_bindings_in_both_languages() {
        for (package, world) in [
            ("script", "script"),
            ("script", "script-with-lifecycle"),
            ("recorder", "recorder"),
            ("shape", "shape"),
        ] {
            for language in [Language::C, Language::Go] {
                generate(language, &wit(package), world).expect("the world is there");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        let problem = generate(Language::C, &wit("script"), "skript").expect_err("no such world");
        assert!(problem.what.ends_with("has no world `skript`"), "{problem}");
        let hint = "there are: script, script-with-lifecycle, script-with-options";
        assert_eq!(problem.hint.as_deref(), Some(hint));
        let problem =
            generate(Language::Go, &wit("nowhere"), "script").expect_err("no such folder");
        assert!(problem.what.contains("holds no WIT package"), "{problem}");
    }
}
