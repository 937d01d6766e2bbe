//! The table of what holds in which language, as the tests find it.

use std::fmt::Write as _;
use std::fs;

use super::behaviours::CLAIMS;
use super::language::Language;
use crate::support::guests::repository;

/// Where the table stands.
const DOCUMENT: &str = "guest-examples/README.md";

/// What stands above and below it.
const BEGIN: &str = "<!-- what tests/languages found -->\n";
const END: &str = "<!-- its end -->\n";

/// Set, it has the table written in place of compared.
const WRITE: &str = "SQUALL_WRITE_TABLE";

#[test]
fn the_table_says_what_the_tests_find() {
    let file = repository().join(DOCUMENT);
    let text = fs::read_to_string(&file).expect("it is there");
    let (above, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (committed, below) = rest.split_once(END).expect("the table's end");
    let found = found();
    if std::env::var_os(WRITE).is_some() {
        let text = format!("{above}{BEGIN}{found}{END}{below}");
        fs::write(&file, text).expect("it can be written");
        return;
    }
    assert_eq!(
        committed, found,
        "{DOCUMENT} does not say what was found; `{WRITE}=1` writes it",
    );
}

fn found() -> String {
    let mut table = String::from("| |");
    for language in Language::ALL {
        let _ = write!(table, " {language} |");
    }
    table += "\n|---|";
    table += &":-:|".repeat(Language::ALL.len());
    table.push('\n');
    for claim in &CLAIMS {
        let _ = write!(table, "| {} |", claim.name);
        for language in Language::ALL {
            let sign = match claim.failure(language) {
                None => "✓",
                Some(_) => "✗",
            };
            let _ = write!(table, " {sign} |");
        }
        table.push('\n');
    }
    table
}
