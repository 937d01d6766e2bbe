//! What a project is called: the name of its folder, as far as all languages'
//! tools take it.

use super::project::Kind;

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// Names that a language keeps for itself: as a library's name, that of a
/// package, or that of a module.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "node_modules",
    "override",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "wit",
    "wit-bindgen",
    "wit_bindgen",
    "yield",
];

/// The name for a project in a folder of this name: letters, digits, `-` and
/// `_`, and a letter first.
pub(super) fn name(folder: &str, kind: Kind) -> String {
    let mut name = String::new();
    for sign in folder.chars() {
        if sign.is_ascii_alphanumeric() || sign == '_' {
            name.push(sign.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST);
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() {
        format!("my-{kind}")
    } else if name.starts_with(|first: char| first.is_ascii_digit()) {
        format!("{kind}-{name}")
    } else if TAKEN.contains(&name) {
        format!("{name}-{kind}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_all_tools_take_stays() {
        for name in ["shop", "my-test", "load_test_2", "hello"] {
            assert_eq!(super::name(name, Kind::Script), name);
        }
    }

    #[test]
    fn other_names_become_ones_that_all_tools_take() {
        for (folder, expected) in [
            ("My Test (1)", "my-test-1"),
            ("shop.v2", "shop-v2"),
            ("--shop--", "shop"),
            ("_", "my-script"),
            ("тест", "my-script"),
            ("läufer", "l-ufer"),
            ("2026 checkout", "script-2026-checkout"),
            ("test", "test-script"),
            ("Async", "async-script"),
            ("a\"b'c\\d\ne", "a-b-c-d-e"),
        ] {
            assert_eq!(name(folder, Kind::Script), expected, "{folder}");
        }
        assert_eq!(name("test", Kind::Recorder), "test-recorder");
        assert_eq!(name(&"x".repeat(300), Kind::Script).len(), LONGEST);
    }
}
