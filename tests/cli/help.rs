//! The command line's help, and what the README says of it.

use std::collections::BTreeMap;
use std::fs;

use crate::support::command::Squall;
use crate::support::guests::repository;

/// The flags that `squall run --help` explains, each with its variable.
fn explained() -> BTreeMap<String, Option<String>> {
    let outcome = Squall::new(["run", "--help"]).run().exited(0);
    let mut flags = BTreeMap::new();
    let mut last = None;
    for line in outcome.stdout.lines() {
        // What is further in explains a flag, and may name others.
        let is_flag = !line.starts_with("          ");
        let line = line.trim();
        // A flag that has a short form stands behind it: `-q, --quiet`.
        let at = line
            .find("--")
            .filter(|at| is_flag && (*at == 0 || line.starts_with('-')));
        if let Some(at) = at {
            let end = line[at..]
                .find([' ', '='])
                .map_or(line.len(), |end| at + end);
            last = Some(line[at..end].to_owned());
            flags.insert(line[at..end].to_owned(), None);
        } else if let (Some(flag), Some(at)) = (&last, line.find("[env: ")) {
            let variable = line[at + "[env: ".len()..].split(']').next();
            flags.insert(flag.clone(), variable.map(str::to_owned));
        }
    }
    flags.remove("--help");
    flags
}

/// The rows of the README's table of flags.
fn listed() -> BTreeMap<String, Option<String>> {
    let readme = fs::read_to_string(repository().join("README.md")).expect("it is there");
    let mut flags = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with("| `--")) {
        let cells: Vec<&str> = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let variable = Some(cells[2]).filter(|cell| *cell != "–");
        flags.insert(cells[1].to_owned(), variable.map(str::to_owned));
    }
    flags
}

#[test]
fn the_readme_lists_the_flags_that_the_help_explains() {
    let explained = explained();
    assert!(explained.contains_key("--vus"), "{explained:?}");
    assert_eq!(listed(), explained);
}
