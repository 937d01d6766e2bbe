//! What languages print when a script fails: the guest's last words, taken apart.
//!
//! Each language tells of a panic or an uncaught exception in its own form, and
//! for an interpreter's script the interpreter's own panic follows, which tells
//! nothing. An [`Account`] is what the author of the script wants to read of it.
//! Pure text; `failure` adds what the engine knows. The tests' inputs are what
//! real components printed.

/// What went wrong, by the guest's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// What went wrong, in a line.
    pub(super) message: String,
    /// The script's functions that led there, innermost first, each as
    /// `at FUNCTION (FILE:LINE)`. Empty if the words do not tell.
    pub(super) stack: Vec<String>,
    /// What else was said of it: the other lines of a message that has several.
    pub(super) more: Vec<String>,
}

impl Account {
    /// What the words tell. `None` if nothing in them says that they are about a
    /// failure.
    pub(super) fn of(words: &str) -> Option<Self> {
        let lines: Vec<&str> = words.lines().map(str::trim_end).collect();
        // An interpreter tells of its script's exception first, and then panics.
        python(&lines)
            .or_else(|| rust(&lines))
            .or_else(|| go(&lines))
            .or_else(|| of_exception(words))
    }

    /// What an exception with its stack tells, as JavaScript has them in one text:
    /// the message, and a line for each function, innermost first. `None` if there
    /// is no stack.
    pub(super) fn of_exception(text: &str) -> Option<Self> {
        of_exception(text)
    }
}

/// How Python's account of an exception begins.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Python: the functions, outermost first, then the exception; for each exception
/// that was caught on the way, the same before it.
fn python(lines: &[&str]) -> Option<Account> {
    let end = panic_line(lines).unwrap_or(lines.len());
    let lines = &lines[..end];
    let mut starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at] == TRACEBACK)
        .collect();
    let mut account: Option<Account> = None;
    let mut end = lines.len();
    while let Some(start) = starts.pop() {
        let body = &lines[start + 1..end];
        end = start;
        let frames = body.iter().take_while(|line| line.starts_with(' ')).count();
        let mut told = body[frames..]
            .iter()
            .take_while(|line| !line.is_empty())
            .map(|line| (*line).to_owned());
        let Some(message) = told.next() else { continue };
        let stack = python_frames(&body[..frames]);
        match &mut account {
            None => {
                account = Some(Account {
                    message,
                    stack,
                    more: told.collect(),
                });
            }
            Some(account) => {
                account.stack.push(format!("after {message}"));
                account.stack.extend(stack);
            }
        }
    }
    account
}

fn python_frames(lines: &[&str]) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in lines {
        if let Some(frame) = python_frame(line) {
            frames.push(frame);
        } else if let (Some(times), Some(last)) = (repeated(line), frames.last_mut()) {
            *last += &format!(" (and {times} times more)");
        }
    }
    frames.reverse();
    frames
}

/// A line as `  File "/0/shop.py", line 14, in iterate`.
fn python_frame(line: &str) -> Option<String> {
    let (file, rest) = line.strip_prefix("  File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, "<module>"));
    // componentize-py numbers the folders that modules come from.
    let file = file
        .strip_prefix('/')
        .and_then(|file| file.split_once('/'))
        .filter(|(folder, _)| folder.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(file, |(_, file)| file);
    Some(format!("at {function} ({file}:{number})"))
}

/// How often a line as `  [Previous line repeated 994 more times]` says.
fn repeated(line: &str) -> Option<&str> {
    line.trim_start()
        .strip_prefix("[Previous line repeated ")?
        .split_once(' ')
        .map(|(times, _)| times)
}

/// Where the last Rust panic begins.
fn panic_line(lines: &[&str]) -> Option<usize> {
    lines
        .iter()
        .rposition(|line| line.starts_with("thread '") && line.contains("panicked at "))
}

/// Rust: where, then what, then a note on backtraces. What an interpreter written
/// in Rust says of a JavaScript exception is within the what.
fn rust(lines: &[&str]) -> Option<Account> {
    let at = panic_line(lines)?;
    let (_, place) = lines[at].split_once("panicked at ")?;
    let mut told = lines[at + 1..]
        .iter()
        .take_while(|line| {
            !line.starts_with("note: run with `RUST_BACKTRACE") && **line != "stack backtrace:"
        })
        .skip_while(|line| line.is_empty())
        .copied();
    let what = told.next().unwrap_or_default();
    if let Some(account) = quickjs(what) {
        return Some(account);
    }
    let mut more: Vec<String> = told.map(str::to_owned).collect();
    while more.last().is_some_and(String::is_empty) {
        more.pop();
    }
    Some(Account {
        message: format!("panicked at {place} {what}").trim_end().to_owned(),
        stack: Vec::new(),
        more,
    })
}

/// JavaScript that threw where the world lets it return no error: the message and
/// the stack are in QuickJS's words for its exception, each quoted as Rust does.
fn quickjs(what: &str) -> Option<Account> {
    let (_, exception) = what.split_once("Exception(Exception { ")?;
    let field = |name: &str| {
        let (_, quoted) = exception.split_once(&format!("{name}: Some(\""))?;
        Some(unquoted(quoted))
    };
    let message = field("message")?;
    let stack = field("stack").unwrap_or_default();
    let mut lines = message.lines().map(str::to_owned);
    Some(Account {
        message: lines.next().unwrap_or_default(),
        more: lines.collect(),
        stack: stack.lines().filter_map(javascript_frame).collect(),
    })
}

/// What a quoted text says, up to its closing quote or as far as it is there.
fn unquoted(quoted: &str) -> String {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('u') => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    text.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some(other) => text.push(other),
                None => {}
            },
            char => text.push(char),
        }
    }
    text
}

/// A line as `    at countItems (/shop.js:12:9)`.
fn javascript_frame(line: &str) -> Option<String> {
    let frame = line.trim_start().strip_prefix("at ")?;
    let frame = match frame.split_once(" (/") {
        Some((function, place)) => format!("at {function} ({place}"),
        None => format!("at {}", frame.strip_prefix('/').unwrap_or(frame)),
    };
    Some(frame)
}

/// A message with the lines of a stack under it, at the end of the text.
fn of_exception(text: &str) -> Option<Account> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let is_frame = |line: &&&str| line.starts_with(' ') && line.trim_start().starts_with("at ");
    let frames = lines.iter().rev().take_while(is_frame).count();
    let (said, frames) = lines.split_at(lines.len() - frames);
    if frames.is_empty() {
        return None;
    }
    let mut said = said.iter().skip_while(|line| line.trim().is_empty());
    let message = (*said.next()?).to_owned();
    Some(Account {
        message,
        stack: frames
            .iter()
            .filter_map(|line| javascript_frame(line))
            .collect(),
        more: said.map(|line| (*line).to_owned()).collect(),
    })
}

/// Go: `panic: ` and what, an empty line, then each goroutine with its functions,
/// innermost first, each in two lines.
fn go(lines: &[&str]) -> Option<Account> {
    let is_begin = |line: &&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    let at = lines.iter().position(is_begin)?;
    let goroutine = at + lines[at..].iter().position(|line| is_goroutine(line))?;
    let mut stack = Vec::new();
    let mut body = lines[goroutine + 1..]
        .iter()
        .take_while(|line| !line.is_empty())
        .peekable();
    while let Some(call) = body.next() {
        let place = body.next_if(|line| line.starts_with('\t'));
        if let Some(frame) = go_frame(call, place.map_or("", |place| place)) {
            stack.push(frame);
        }
    }
    let more = lines[at + 1..goroutine].iter();
    Some(Account {
        message: lines[at].to_owned(),
        stack,
        more: more
            .map(|line| line.trim())
            .filter(|line| !line.is_empty() && !line.starts_with("[signal "))
            .map(str::to_owned)
            .collect(),
    })
}

fn is_goroutine(line: &str) -> bool {
    line.starts_with("goroutine ") && line.ends_with("]:")
}

/// Two lines as `main.countItems({0x0, 0x0})` and, after a tab, `shop/main.go:12 +0x1d`.
/// `None` for what is Go's own, or of the bindings.
fn go_frame(call: &str, place: &str) -> Option<String> {
    let own = [
        "squall/",
        "squall:",
        "runtime.",
        "runtime/",
        "panic(",
        "created by ",
        "internal/",
        "go.bytecodealliance.org/",
    ];
    if own.iter().any(|own| call.starts_with(own)) {
        return None;
    }
    // The arguments are in the last parentheses; those of a method's receiver
    // come before.
    let mut depth = 0;
    let open = call.rfind(|char| {
        match char {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        char == '(' && depth == 0
    });
    let function = open.map_or(call, |open| &call[..open]);
    let place = place.trim_start();
    let place = place.split_once(" +0x").map_or(place, |(place, _)| place);
    Some(match place {
        "" => format!("at {function}"),
        place => format!("at {function} ({place})"),
    })
}

/// The same words for the same failure: without addresses, which differ from one
/// instance to the next, without the number of the VU that failed, and without
/// what colours a terminal.
pub(super) fn grouped(message: &str, vu: u32) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(char) = rest.chars().next() {
        let before = text.chars().next_back();
        let in_word = before.is_some_and(char::is_alphanumeric);
        if let Some(behind) = (!in_word).then(|| address(rest)).flatten() {
            text.push_str("0x…");
            rest = behind;
        } else if let Some((lead, behind)) = (!in_word).then(|| number_of_vu(rest, vu)).flatten() {
            text.push_str(lead);
            text.push('…');
            rest = behind;
        } else if let Some(behind) = colour(rest) {
            rest = behind;
        } else {
            text.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    text
}

/// What comes after an address, if the text begins with one.
fn address(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("0x")?;
    let behind = digits.trim_start_matches(|char: char| char.is_ascii_hexdigit());
    (digits.len() - behind.len() >= 4).then_some(behind)
}

/// `VU ` and what comes after its number, if the text begins with this VU's.
fn number_of_vu(text: &str, vu: u32) -> Option<(&str, &str)> {
    let lead = text.get(..2)?;
    if !lead.eq_ignore_ascii_case("vu") {
        return None;
    }
    let digits = text[2..]
        .trim_start_matches("-id")
        .trim_start_matches("_id")
        .trim_start_matches([' ', '=', ':', '-', '#']);
    let at = text.len() - digits.len();
    let behind = digits.trim_start_matches(|char: char| char.is_ascii_digit());
    let number = &digits[..digits.len() - behind.len()];
    (number == vu.to_string()).then_some((&text[..at], behind))
}

/// What comes after a terminal's escape sequence, if the text begins with one.
fn colour(text: &str) -> Option<&str> {
    let sequence = text.strip_prefix("\x1b[")?;
    let end = sequence.find(|char: char| char.is_ascii_alphabetic())?;
    Some(&sequence[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(words: &str) -> Account {
        Account::of(words).expect("the words are about a failure")
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn python_tells_the_exception_and_not_the_interpreters_panic() {
        assert_eq!(
            account(include_str!("words/python.txt")),
            Account {
                message: "ValueError: the basket is empty".to_owned(),
                stack: texts(&[
                    "at count_items (throw.py:6)",
                    "at look_into_basket (throw.py:9)",
                    "at iterate (throw.py:14)",
                ]),
                more: Vec::new(),
            }
        );
    }

    #[test]
    fn python_tells_what_an_exception_came_after() {
        assert_eq!(
            account(include_str!("words/python-chained.txt")),
            Account {
                message: "chained.EmptyBasket: the basket is empty".to_owned(),
                stack: texts(&[
                    "at count_items (chained.py:10)",
                    "at iterate (chained.py:14)",
                    "after KeyError: 'items'",
                    "at count_items (chained.py:8)",
                ]),
                more: texts(&["and stays so"]),
            }
        );
    }

    #[test]
    fn python_says_once_where_it_went_round_in_circles() {
        let words = "Traceback (most recent call last):\n  File \"/0/a.py\", line 9, in iterate\n  \
                     File \"/0/a.py\", line 5, in dig\n    dig()\n  [Previous line repeated 994 more \
                     times]\nRecursionError: maximum recursion depth exceeded";
        assert_eq!(
            account(words).stack,
            [
                "at dig (a.py:5) (and 994 times more)",
                "at iterate (a.py:9)"
            ]
        );
    }

    #[test]
    fn javascript_tells_its_stack_where_it_traps() {
        assert_eq!(
            account(include_str!("words/javascript-trap.txt")),
            Account {
                message: "the basket is empty".to_owned(),
                stack: texts(&[
                    "at countItems (void.js:1:41)",
                    "at lookIntoBasket (void.js:2:36)",
                    "at onStop (void.js:5:79)",
                ]),
                more: Vec::new(),
            }
        );
        // Of a deep stack the line is cut.
        let words = include_str!("words/javascript-trap.txt");
        let end = words.find(":36").expect("it is there");
        let cut = account(&words[..end]);
        assert_eq!(cut.message, "the basket is empty");
        assert_eq!(cut.stack[0], "at countItems (void.js:1:41)");
    }

    #[test]
    fn javascript_tells_its_stack_where_it_returns_an_error() {
        let text = include_str!("words/javascript-error.txt");
        assert_eq!(
            Account::of_exception(text).expect("it has a stack"),
            Account {
                message: "Error: the basket is empty".to_owned(),
                stack: texts(&[
                    "at countItems (stack.js:1:41)",
                    "at lookIntoBasket (stack.js:2:36)",
                    "at iterate (stack.js:3:41)",
                ]),
                more: Vec::new(),
            }
        );
        for plain in ["the basket is empty", "not found\nat the till", "", "\n"] {
            assert_eq!(Account::of_exception(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_rust_panic_is_told_once_with_its_place() {
        assert_eq!(
            account(include_str!("words/rust.txt")),
            Account {
                message: "panicked at misbehave/src/lib.rs:90:5: the script panics".to_owned(),
                stack: Vec::new(),
                more: Vec::new(),
            }
        );
        // What was printed before is no part of it, and what was compared is not
        // of the message.
        let words = "warming up\n\nthread 'a' (1) panicked at src/lib.rs:3:5:\nassertion `left == \
                     right` failed\n  left: 1\n right: 2\nnote: run with `RUST_BACKTRACE=1`";
        let compared = account(words);
        assert_eq!(
            compared.message,
            "panicked at src/lib.rs:3:5: assertion `left == right` failed"
        );
        assert_eq!(compared.more, ["  left: 1", " right: 2"]);
    }

    #[test]
    fn go_tells_its_panic_and_the_functions_of_the_goroutine() {
        assert_eq!(
            account(include_str!("words/go.txt")),
            Account {
                message: "panic: the basket is empty".to_owned(),
                stack: texts(&[
                    "at main.countItems (behaviour/control.go:82)",
                    "at main.lookIntoBasket (behaviour/control.go:76)",
                    "at main.throw (behaviour/control.go:69)",
                    "at main.iterate (behaviour/main.go:67)",
                    "at main.init.0.func3 (behaviour/main.go:24)",
                ]),
                more: Vec::new(),
            }
        );
        let frame = go_frame(
            "main.(*Basket).count(0xc00001, {0x1, 0x2})",
            "\tshop/basket.go:7 +0x1d",
        );
        assert_eq!(
            frame.as_deref(),
            Some("at main.(*Basket).count (shop/basket.go:7)")
        );
    }

    #[test]
    fn words_that_are_about_no_failure_are_none() {
        for words in ["", "looking", "two\nlines", "panic: at the disco"] {
            assert_eq!(Account::of(words), None, "{words}");
        }
    }

    #[test]
    fn a_failures_words_are_the_same_for_every_vu() {
        for (vu, message, expected) in [
            (
                7,
                "no stock of <Item object at 0x7f3a90c1>",
                "no stock of <Item object at 0x…>",
            ),
            (7, "VU 7: no stock", "VU …: no stock"),
            (12, "vu-id=12, no stock", "vu-id=…, no stock"),
            (7, "\x1b[31mno stock\x1b[0m", "no stock"),
            // What only looks like them stays.
            (7, "VU 71: item 7 of 0x2a", "VU 71: item 7 of 0x2a"),
            (7, "déjà vu 8", "déjà vu 8"),
            (7, "40x1234567", "40x1234567"),
        ] {
            assert_eq!(grouped(message, vu), expected);
        }
    }
}
