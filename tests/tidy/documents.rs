//! What the documents show is what the repository holds.
//!
//! A comment such as `<!-- guest-examples/rust/hello/src/lib.rs -->` above a
//! code block names the file that the block shows whole, and
//! `<!-- an excerpt of FILE -->` the file whose lines it shows in their order.

use std::fs;

use super::{none, repository};

const DOCUMENTS: [&str; 2] = ["README.md", "wit/README.md"];

/// A code block below a comment that says where it is from.
struct Block {
    document: &'static str,
    /// What the comment says.
    from: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let comment = line.strip_prefix("<!-- ");
            let Some(from) = comment.and_then(|rest| rest.strip_suffix(" -->")) else {
                continue;
            };
            let fence = lines.next().unwrap_or_default();
            assert!(
                fence.starts_with("```"),
                "{document}: no code block below `{line}`"
            );
            let text = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(Block {
                document,
                from: from.to_owned(),
                text: text.map(|line| format!("{line}\n")).collect(),
            });
        }
    }
    blocks
}

fn read(file: &str) -> String {
    let text = fs::read_to_string(repository().join(file));
    text.unwrap_or_else(|error| panic!("`{file}`: {error}"))
}

#[test]
fn code_in_documents_is_code_of_the_repository() {
    let blocks = blocks();
    for example in ["hello", "brief"] {
        let file = format!("guest-examples/rust/{example}/src/lib.rs");
        let shown = blocks.iter().filter(|block| block.from == file).count();
        assert_eq!(shown, DOCUMENTS.len(), "documents that show `{file}`");
    }
    let mut offences = Vec::new();
    for block in &blocks {
        match block.from.strip_prefix("an excerpt of ") {
            Some(file) => {
                let whole = read(file);
                let mut rest = whole.lines();
                for line in block.text.lines() {
                    if !rest.any(|known| known.trim_end() == line.trim_end()) {
                        offences.push(format!(
                            "{}: not in `{file}`, or not in this order: {line}",
                            block.document
                        ));
                        break;
                    }
                }
            }
            None if block.text == read(&block.from) => {}
            None => offences.push(format!("{}: not as in `{}`", block.document, block.from)),
        }
    }
    none("documents that show something else", offences);
}

#[test]
fn the_guide_shows_a_script_in_every_language() {
    let blocks = blocks();
    let languages = fs::read_dir(repository().join("guest-examples")).expect("it is there");
    for language in languages {
        let language = language.expect("it can be read");
        if !language.path().is_dir() {
            continue;
        }
        let hello = format!("guest-examples/{}/hello/", language.file_name().display());
        let in_guide = |block: &&Block| block.document == "wit/README.md";
        let shown = blocks.iter().filter(in_guide);
        let shown = shown.filter(|block| block.from.starts_with(&hello)).count();
        assert_eq!(shown, 1, "sources of `{hello}` in wit/README.md");
    }
}

#[test]
fn the_recorder_of_the_readme_takes_20_lines() {
    let text = read("guest-examples/rust/brief/src/lib.rs");
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    let lines = text.lines().filter(is_code).count();
    assert!(lines <= 20, "{lines} lines of code");
}

#[test]
fn rust_in_documents_says_where_it_is_from() {
    for document in DOCUMENTS {
        let text = read(document);
        let lines: Vec<&str> = text.lines().collect();
        for (above, line) in lines.iter().zip(&lines[1..]) {
            assert!(
                *line != "```rust" || above.starts_with("<!-- "),
                "{document}: a code block of nowhere, below `{above}`"
            );
        }
    }
}
