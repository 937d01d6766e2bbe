//! The `Cargo.toml` of a Rust project that stands alone, made from those of an
//! example and of the workspace that the example is a member of.

/// The manifest of the workspace that Rust's examples are members of.
pub(super) const WORKSPACE: &str = include_str!("../../../../guest-examples/rust/Cargo.toml");

/// What that workspace tells cargo: for which target it builds.
pub(super) const CONFIG: &str = include_str!("../../../../guest-examples/rust/.cargo/config.toml");

/// The manifest of a workspace's member, with what the workspace says for it put
/// in its place, and the profile that guests are built with.
pub(super) fn standalone(member: &str, workspace: &str) -> String {
    let mut manifest = String::new();
    let mut table = "";
    for line in member.lines() {
        if line.starts_with('[') {
            table = line;
        }
        // What the example is, and whose, is not what the project is.
        if table == "[package]" && (line.starts_with("description") || line.starts_with("license"))
        {
            continue;
        }
        let said = match line.strip_suffix(".workspace = true") {
            Some(key) => said(workspace, table, key),
            None => line,
        };
        manifest += said;
        manifest.push('\n');
    }
    manifest
        + "\n"
        + profile(workspace)
        + "\n\n# No part of any workspace around it.\n[workspace]\n"
}

/// The line in which a workspace gives its members the value of a key.
fn said<'a>(workspace: &'a str, table: &str, key: &str) -> &'a str {
    let table = table.replace('[', "[workspace.");
    workspace
        .lines()
        .skip_while(|line| *line != table)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .find(|line| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(" = "))
        })
        .unwrap_or_else(|| panic!("the workspace of the examples has a `{key}` in {table}"))
}

/// The release profile, with the comment above it.
fn profile(workspace: &str) -> &str {
    let paragraphs = workspace.trim_end().split("\n\n");
    paragraphs
        .filter(|paragraph| paragraph.lines().any(|line| line == "[profile.release]"))
        .last()
        .expect("the workspace of the examples has a release profile")
}

#[cfg(test)]
mod tests {
    use toml::{Table, Value};

    use super::*;

    const MEMBERS: [&str; 2] = [
        include_str!("../../../../guest-examples/rust/hello/Cargo.toml"),
        include_str!("../../../../guest-examples/rust/brief/Cargo.toml"),
    ];

    #[test]
    fn a_project_says_by_itself_what_the_workspace_says_for_its_members() {
        let workspace: Table = WORKSPACE.parse().expect("TOML");
        for member in MEMBERS {
            let example: Table = member.parse().expect("TOML");
            let alone: Table = standalone(member, WORKSPACE).parse().expect("TOML");
            for table in ["package", "lib", "dependencies"] {
                let keys = example[table].as_table().expect("a table");
                let keys = keys
                    .iter()
                    .filter(|(key, _)| !["description", "license"].contains(&key.as_str()));
                for (key, value) in keys {
                    let inherits = value.get("workspace") == Some(&Value::Boolean(true));
                    let expected = match inherits {
                        true => &workspace["workspace"][table][key],
                        false => value,
                    };
                    assert_eq!(&alone[table][key], expected, "{table}.{key}");
                }
            }
            assert_eq!(alone["profile"]["release"], {
                let mut profile = workspace["profile"]["release"].clone();
                // What is about one package of the workspace is not about this one.
                profile.as_table_mut().expect("a table").remove("package");
                profile
            });
            assert_eq!(alone["workspace"], Value::Table(Table::new()));
        }
    }
}
