//! Rust sources as the rules see them: their code without comments and
//! literals, and of that the part that ships.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// Relative to the folder that was read.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// All its code.
    pub(crate) code: Code,
    /// Its code but for what is under `#[cfg(test)]`.
    pub(crate) shipped: Code,
}

impl Source {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let code = without_comments_and_literals(&text);
        let shipped = Code(without_tests(&code));
        Self {
            path,
            code: Code(code),
            shipped,
            text,
        }
    }

    /// The outermost module of the host that the file belongs to; none for the
    /// crate's roots.
    pub(crate) fn module(&self) -> Option<String> {
        let mut parts = self.path.components();
        let first = Path::new(parts.next()?.as_os_str());
        let name = first.file_stem()?.to_str()?.to_owned();
        let is_root = parts.next().is_none() && (name == "lib" || name == "main");
        (!is_root).then_some(name)
    }
}

/// Reads all Rust sources below `folder`, built ones and dependencies left out.
/// A folder that does not exist has none.
pub(crate) fn read_all(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(current) = left.pop() {
        let Ok(entries) = fs::read_dir(&current) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().and_then(|name| name.to_str());
            if path.is_dir() && !matches!(name, Some("target" | "node_modules")) {
                left.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let relative = path.strip_prefix(folder).expect("it was found there");
                sources.push(Source::new(relative.to_owned(), text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Code with its lines as in the file, comments and literals blanked.
pub(crate) struct Code(String);

impl Code {
    /// The lines on which `word` stands as a whole identifier.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<usize> {
        self.find(|tokens| tokens[0].1 == word)
    }

    /// The lines on which the macro `name!` is used.
    pub(crate) fn lines_with_macro(&self, name: &str) -> Vec<usize> {
        self.find(|tokens| {
            matches!(tokens, [(_, first), (_, "!"), (_, open), ..]
                if *first == name && matches!(*open, "(" | "[" | "{"))
        })
    }

    /// The lines on which the function `name()` is called, without arguments.
    /// Methods of that name are others' affair.
    pub(crate) fn lines_with_call(&self, name: &str) -> Vec<usize> {
        let tokens: Vec<_> = tokens(&self.0).collect();
        let calls = tokens.windows(4).filter(|window| {
            matches!(window, [(_, before), (_, first), (_, "("), (_, ")")]
                if *before != "." && *before != "fn" && *first == name)
        });
        calls.map(|window| window[1].0).collect()
    }

    /// The lines on which an attribute `#[name…]` or `#![name…]` stands.
    pub(crate) fn lines_with_attribute(&self, name: &str) -> Vec<usize> {
        self.find(|tokens| {
            matches!(tokens, [(_, "#"), (_, "["), (_, first), ..] if *first == name)
                || matches!(tokens, [(_, "#"), (_, "!"), (_, "["), (_, first), ..] if *first == name)
        })
    }

    /// The first segments of all paths that begin with `crate::`, with their
    /// lines.
    pub(crate) fn crate_paths(&self) -> Vec<(usize, String)> {
        let tokens: Vec<_> = tokens(&self.0).collect();
        let mut found = Vec::new();
        for (at, window) in tokens.windows(4).enumerate() {
            let [(_, "crate"), (_, ":"), (_, ":"), (line, first)] = window else {
                continue;
            };
            if *first != "{" {
                found.push((*line, (*first).to_owned()));
                continue;
            }
            // `crate::{a, b::{c, d}}`: the segments that open an outer element.
            let mut depth = 1;
            let mut opens_element = true;
            for (line, token) in &tokens[at + 4..] {
                match *token {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," => opens_element = depth == 1,
                    name if opens_element => {
                        found.push((*line, name.to_owned()));
                        opens_element = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        found
    }

    fn find(&self, matches: impl Fn(&[(usize, &str)]) -> bool) -> Vec<usize> {
        let tokens: Vec<_> = tokens(&self.0).collect();
        let hits = (0..tokens.len()).filter(|at| matches(&tokens[*at..]));
        hits.map(|at| tokens[at].0).collect()
    }
}

/// Splits code into identifiers and single signs, with the line of each.
pub(crate) fn tokens(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| {
        let mut rest = line;
        std::iter::from_fn(move || {
            rest = rest.trim_start();
            let first = rest.chars().next()?;
            let length = if is_identifier(first) {
                rest.find(|sign| !is_identifier(sign)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (token, tail) = rest.split_at(length);
            rest = tail;
            Some((index + 1, token))
        })
    })
}

fn is_identifier(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// Blanks comments, strings and characters, and keeps every line break.
fn without_comments_and_literals(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < signs.len() {
        let length = skipped(&signs[at..], code.chars().next_back());
        if length == 0 {
            code.push(signs[at]);
            at += 1;
            continue;
        }
        for sign in &signs[at..at + length] {
            code.push(if *sign == '\n' { '\n' } else { ' ' });
        }
        at += length;
    }
    code
}

/// How many signs of a comment or a literal `signs` begins with; 0 for code.
fn skipped(signs: &[char], before: Option<char>) -> usize {
    let starts = |text: &str| {
        text.chars()
            .enumerate()
            .all(|(at, sign)| signs.get(at) == Some(&sign))
    };
    if starts("//") {
        return signs
            .iter()
            .position(|sign| *sign == '\n')
            .unwrap_or(signs.len());
    }
    if starts("/*") {
        return block_comment(signs);
    }
    if starts("\"") {
        return string(signs);
    }
    if !before.is_some_and(is_identifier) {
        for prefix in ["br", "cr", "r"] {
            if starts(prefix) {
                let length = raw_string(&signs[prefix.len()..]);
                if length > 0 {
                    return prefix.len() + length;
                }
            }
        }
    }
    match signs {
        // A character, and not a lifetime.
        ['\'', '\\', _, rest @ ..] => {
            let end = rest.iter().position(|sign| *sign == '\'');
            end.map_or(0, |end| end + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(signs: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < signs.len() {
        match signs[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string(signs: &[char]) -> usize {
    let mut at = 1;
    while at < signs.len() {
        match signs[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    signs.len()
}

/// The length of `#"…"#`, with any number of `#`; 0 if there is none.
fn raw_string(signs: &[char]) -> usize {
    let hashes = signs.iter().take_while(|sign| **sign == '#').count();
    if signs.get(hashes) != Some(&'"') {
        return 0;
    }
    let mut at = hashes + 1;
    while at < signs.len() {
        let ends = signs[at] == '"'
            && signs[at + 1..]
                .iter()
                .take(hashes)
                .filter(|sign| **sign == '#')
                .count()
                == hashes;
        if ends {
            return at + 1 + hashes;
        }
        at += 1;
    }
    signs.len()
}

/// Blanks each item under `#[cfg(test)]`: to the end of its block, or to its
/// semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut shipped = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        shipped.push_str(&rest[..start]);
        let after = &rest[start + MARK.len()..];
        let mut depth = 0_usize;
        let end = after.char_indices().find_map(|(at, sign)| {
            match sign {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends = depth == 0 && matches!(sign, '}' | ';');
            ends.then_some(at + 1)
        });
        let end = end.unwrap_or(after.len());
        let blanked = rest[start..start + MARK.len() + end].chars();
        shipped.extend(blanked.map(|sign| if sign == '\n' { '\n' } else { ' ' }));
        rest = &after[end..];
    }
    shipped.push_str(rest);
    shipped
}
