//! What languages print when a script fails: the guest's last words, taken apart.
//!
//! Each language tells of a panic or an uncaught exception in its own form, and
//! for an interpreter's script the interpreter's own panic follows, which tells
//! nothing. An [`Account`] is what the author of the script wants to read of it.
//! Pure text; `failure` adds what the engine knows. The tests' inputs are what
//! real components printed.

use std::fmt;

/// What went wrong, by the guest's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// What went wrong, in a line.
    pub(super) message: String,
    /// The script's functions that led there, innermost first, each as
    /// `at FUNCTION (FILE:LINE)`. `None` if the language leaves it to the engine to
    /// tell them.
    pub(super) stack: Option<Vec<String>>,
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
            .or_else(|| starlingmonkey(&lines))
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
        let frames = python_frames(&body[..frames]);
        match &mut account {
            None => {
                account = Some(Account {
                    message,
                    stack: Some(frames),
                    more: told.collect(),
                });
            }
            Some(account) => {
                let stack = account.stack.get_or_insert_default();
                stack.push(format!("after {message}"));
                stack.extend(frames);
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
        stack: None,
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
        stack: Some(javascript_stack(stack.lines())),
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

/// How StarlingMonkey ends when it cannot go on.
const ABORT: &str = "Redirecting call to abort() to mozalloc_abort";

/// What its bindings say where a function returned, or threw, no string and the
/// world wants one.
const NO_STRING: &str = "expected a string, received ";

/// What is told in its place: the text of the error is gone.
const KEPT: &str = "the script threw an error that `componentize-js` does not hand over: catch it, \
                    and throw a string, as `${error}\\n${error.stack}`";

/// JavaScript on StarlingMonkey that threw where the world lets it return no error:
/// the message, `Stack:` and the functions, innermost first, then that it aborts.
fn starlingmonkey(lines: &[&str]) -> Option<Account> {
    let end = lines.iter().rposition(|line| *line == ABORT)?;
    let end = end - count_back(&lines[..end], |line| line.is_empty());
    let frames = count_back(&lines[..end], |line| spidermonkey_frame(line).is_some());
    let (said, frames) = lines[..end].split_at(end - frames);
    let said = said.strip_suffix(&["Stack:"]).unwrap_or(said);
    // Where a message of several lines begins nothing tells, and the script may
    // have printed what stands above.
    let message = *said.last()?;
    let stack = javascript_stack(frames.iter().copied());
    let kept = stack.is_empty() && message.starts_with(NO_STRING);
    Some(Account {
        message: if kept { KEPT } else { message }.to_owned(),
        stack: Some(stack),
        more: Vec::new(),
    })
}

/// How many lines at the end are such.
fn count_back(lines: &[&str], is: impl Fn(&str) -> bool) -> usize {
    lines.iter().rev().take_while(|line| is(line)).count()
}

/// The functions of a stack, without the outermost one if it has no name: that is
/// what is wrapped around the script's own, so that errors bring their stack along.
fn javascript_stack<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let frames = lines.filter_map(|line| quickjs_frame(line).or_else(|| spidermonkey_frame(line)));
    let mut frames: Vec<Frame> = frames.filter(|frame| !frame.is_of_bindings()).collect();
    if frames.len() > 1 && frames.last().is_some_and(Frame::is_nameless) {
        frames.pop();
    }
    frames.into_iter().map(|frame| frame.to_string()).collect()
}

/// A function of JavaScript's in a stack.
struct Frame<'a> {
    function: &'a str,
    /// File, line and column.
    place: &'a str,
}

impl Frame<'_> {
    /// Whether the function has no name of its own: SpiderMonkey calls it after the
    /// one around it.
    fn is_nameless(&self) -> bool {
        self.function == "<anonymous>" || self.function.ends_with("/<")
    }

    /// Whether it is what `componentize-js` puts around the script.
    fn is_of_bindings(&self) -> bool {
        self.place.contains("/sources/initializer.js:")
    }
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, place } = self;
        match *place {
            "" => write!(f, "at {function}"),
            place => write!(f, "at {function} ({place})"),
        }
    }
}

/// A line as `    at countItems (/shop.js:12:9)`.
fn quickjs_frame(line: &str) -> Option<Frame<'_>> {
    let line = line.strip_prefix(' ')?.trim_start();
    let frame = line.strip_prefix("at ")?;
    Some(match frame.split_once(" (/") {
        Some((function, place)) => Frame {
            function,
            place: place.strip_suffix(')').unwrap_or(place),
        },
        None => Frame {
            function: frame.strip_prefix('/').unwrap_or(frame),
            place: "",
        },
    })
}

/// A line as `countItems@shop.js:12:9`, or `async*countItems@shop.js:12:9` below a
/// function that it waited for.
fn spidermonkey_frame(line: &str) -> Option<Frame<'_>> {
    let (function, place) = line.trim_start().split_once('@')?;
    let (file_and_line, column) = place.rsplit_once(':')?;
    let (file, line) = file_and_line.rsplit_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if file.is_empty() || !is_number(line) || !is_number(column) || function.contains(' ') {
        return None;
    }
    let function = function.strip_prefix("async*").unwrap_or(function);
    Some(Frame {
        function: if function.is_empty() {
            "<anonymous>"
        } else {
            function
        },
        place,
    })
}

/// A message with the lines of a stack under it, at the end of the text.
fn of_exception(text: &str) -> Option<Account> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let frames = count_back(&lines, |line| {
        quickjs_frame(line).is_some() || spidermonkey_frame(line).is_some()
    });
    let (said, frames) = lines.split_at(lines.len() - frames);
    if frames.is_empty() {
        return None;
    }
    let said = &said[..said.len() - count_back(said, str::is_empty)];
    let mut said = said.iter().skip_while(|line| line.trim().is_empty());
    let message = (*said.next()?).to_owned();
    Some(Account {
        message,
        stack: Some(javascript_stack(frames.iter().copied())),
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
        // What is Go's own throughout only the engine tells of.
        stack: (!stack.is_empty()).then_some(stack),
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

    fn stack(frames: &[&str]) -> Option<Vec<String>> {
        Some(texts(frames))
    }

    #[test]
    fn python_tells_the_exception_and_not_the_interpreters_panic() {
        assert_eq!(
            account(include_str!("words/python.txt")),
            Account {
                message: "ValueError: the basket is empty".to_owned(),
                stack: stack(&[
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
                stack: stack(&[
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
            stack(&[
                "at dig (a.py:5) (and 994 times more)",
                "at iterate (a.py:9)",
            ])
        );
    }

    #[test]
    fn javascript_tells_its_stack_where_it_traps() {
        assert_eq!(
            account(include_str!("words/javascript-trap.txt")),
            Account {
                message: "the basket is empty".to_owned(),
                stack: stack(&[
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
        let frames = cut.stack.expect("it tells of functions");
        assert_eq!(frames[0], "at countItems (void.js:1:41)");
    }

    #[test]
    fn javascript_tells_its_stack_where_it_returns_an_error() {
        let text = include_str!("words/javascript-error.txt");
        assert_eq!(
            Account::of_exception(text).expect("it has a stack"),
            Account {
                message: "Error: the basket is empty".to_owned(),
                stack: stack(&[
                    "at countItems (stack.js:1:41)",
                    "at lookIntoBasket (stack.js:2:36)",
                    "at iterate (stack.js:3:41)",
                ]),
                more: Vec::new(),
            }
        );
        for plain in [
            "the basket is empty",
            "not found\nat the till",
            "",
            "\n",
            "no mail to\nsomebody@shop.test",
            "no link to\nhttp://ann@shop.test:80/basket",
        ] {
            assert_eq!(Account::of_exception(plain), None, "{plain}");
        }
    }

    #[test]
    fn what_is_wrapped_around_a_javascript_function_is_not_told() {
        let text = "no\n    at iterate (/shop.js:26:16)\n    at <anonymous> (/stack.js:12:21)\n";
        let told = Account::of_exception(text).expect("it has a stack");
        assert_eq!(told.stack, stack(&["at iterate (shop.js:26:16)"]));
        // A message may end with the end of a line.
        let text = "no page\n\n    at iterate (/shop.js:26:16)\n";
        let told = Account::of_exception(text).expect("it has a stack");
        assert_eq!((&*told.message, told.more.len()), ("no page", 0));
        // Where it is all there is, it is the script's.
        let text = "no\n    at <anonymous> (/shop.js:12:21)\n";
        let told = Account::of_exception(text).expect("it has a stack");
        assert_eq!(told.stack, stack(&["at <anonymous> (shop.js:12:21)"]));
    }

    #[test]
    fn starlingmonkey_tells_its_stack_where_it_traps() {
        assert_eq!(
            account(include_str!("words/starlingmonkey-trap.txt")),
            Account {
                message: "the basket is empty".to_owned(),
                stack: stack(&[
                    "at countItems (lifecycle.js:6:34)",
                    "at lookIntoBasket (lifecycle.js:12:10)",
                    "at teardown (lifecycle.js:38:11)",
                ]),
                more: Vec::new(),
            }
        );
        // What is thrown may be no error.
        let words = format!("looking\n\"no\"\n\n{ABORT}\n");
        assert_eq!(account(&words).message, "\"no\"");
    }

    #[test]
    fn starlingmonkey_tells_its_stack_where_it_returns_an_error() {
        let text = include_str!("words/starlingmonkey-error.txt");
        assert_eq!(
            Account::of_exception(text).expect("it has a stack"),
            Account {
                message: "Error: the basket is empty".to_owned(),
                stack: stack(&[
                    "at countItems (error.js:3:62)",
                    "at lookIntoBasket (error.js:4:54)",
                    "at iterate (error.js:8:28)",
                ]),
                more: Vec::new(),
            }
        );
    }

    #[test]
    fn an_error_that_starlingmonkey_keeps_to_itself_is_told_with_the_way_out() {
        assert_eq!(
            account(include_str!("words/starlingmonkey-kept.txt")),
            Account {
                message: KEPT.to_owned(),
                // The functions of the bindings are none of the script's.
                stack: stack(&[]),
                more: Vec::new(),
            }
        );
    }

    #[test]
    fn a_rust_panic_is_told_once_with_its_place() {
        assert_eq!(
            account(include_str!("words/rust.txt")),
            Account {
                message: "panicked at misbehave/src/lib.rs:90:5: the script panics".to_owned(),
                stack: None,
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
                stack: stack(&[
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
