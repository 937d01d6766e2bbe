//! Bindings for Go: a module `squall`, with a package for each interface.
//!
//! `squall/imports/http` has functions to call, `squall/exports/user` variables to
//! set, and `squall/exports`, to be imported for its own sake, hands them to the
//! host. `squall/runtime` and `squall/types` are the same for every world.
//!
//! The generator wants the exported functions to be written among its files, names
//! packages at length and expects another runtime. Its output is brought into that
//! form as text, line by line; what no longer fits is a defect of this file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wit_bindgen_core::wit_parser::{Resolve, WorldId};

use super::{own_interfaces, run};
use crate::error::Problem;

const MODULE: &str = "module squall

go 1.24
";

/// Makes the module.
pub(super) fn generate(
    resolve: &mut Resolve,
    world: WorldId,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, Problem> {
    let names = short_names(resolve, world);
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        // Stubs tell the signatures of what is exported.
        generate_stubs: true,
        pkg_name: Some("squall".to_owned()),
        quiet: true,
        ..wit_bindgen_go::Opts::default()
    };
    let mut files = BTreeMap::from([
        ("go.mod".into(), MODULE.into()),
        (
            "runtime/runtime.go".into(),
            include_bytes!("go/runtime.go").into(),
        ),
        (
            "types/types.go".into(),
            include_bytes!("go/types.go").into(),
        ),
    ]);
    for (path, contents) in run(options.build(), resolve, world)? {
        let path = path.to_string_lossy().into_owned();
        let contents = String::from_utf8(contents).expect("Go is text");
        let (path, contents) = if path == "exports/wit_exports/wit_exports.go" {
            let contents = contents.replace("package wit_exports", "package exports");
            ("exports/exports.go".to_owned(), contents)
        } else if path.starts_with("exports/") && path.ends_with(".go") {
            (path, variables(&contents))
        } else {
            (path, contents)
        };
        let path = shorten(&names, &path);
        let path = match path.strip_suffix("/wit_bindings.go") {
            Some(folder) => {
                let package = folder.rsplit('/').next().unwrap_or(folder);
                format!("{folder}/{package}.go")
            }
            None => path,
        };
        files.insert(path.into(), shorten(&names, &contents).into_bytes());
    }
    Ok(files)
}

/// The generator's names of packages, and what they are to be called.
fn short_names(resolve: &Resolve, world: WorldId) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for package in ["script", "recorder", "shape"] {
        for (_, interface) in own_interfaces(resolve, world) {
            let name = interface.replace('-', "_");
            let long = format!("squall_{package}_{name}");
            names.push((format!("export_{long}"), name.clone()));
            names.push((long, name));
        }
    }
    for (long, short) in [
        ("go.bytecodealliance.org/pkg/wit/", "squall/"),
        ("witTypes", "types"),
    ] {
        names.push((long.to_owned(), short.to_owned()));
    }
    names
}

fn shorten(names: &[(String, String)], text: &str) -> String {
    let mut text = text.to_owned();
    for (long, short) in names {
        text = text.replace(long, short);
    }
    text
}

/// Makes a variable of each function, which is only a stub.
fn variables(stubs: &str) -> String {
    let mut text = String::from("// Made by `squall bindings go` from these functions' WIT.\n");
    let body = stubs.find("\npackage ").map_or(stubs, |at| &stubs[at..]);
    let package = body.split_whitespace().nth(1).unwrap_or_default();
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        let signature = line
            .strip_prefix("func ")
            .and_then(|line| line.strip_suffix(" {"))
            .and_then(|signature| signature.split_once('('));
        match signature {
            Some((name, types)) => {
                // Stubs begin the names of their parameters, which they do not
                // use, with an underscore.
                let types = types.replace(", _", ", ");
                let types = types.strip_prefix('_').unwrap_or(&types).trim_end();
                text += &format!(
                    "// {name} is called by the host. Set it in an `init` function.\n\
                     var {name} = func({types} {{\n\
                     \tpanic(\"{package}.{name} is not set\")\n\
                     }}\n\n"
                );
                for expected in ["panic(\"not implemented\")", "}"] {
                    let found = lines.next().map(str::trim);
                    assert_eq!(found, Some(expected), "a stub of the generator's");
                }
            }
            None if line.starts_with("// TODO") => {}
            None => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}
