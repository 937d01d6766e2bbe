//! A guest's failures in words: from traps to what the author of a script
//! wants to read.

use wasmtime::{FrameInfo, FrameSymbol, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::state::State;
use crate::measure::ScriptError;
use crate::units::{Bytes, Pretty};

/// What went wrong in a call that did not return.
///
/// The message begins with the guest's own words where it has any: what it
/// wrote to stderr last is what its language prints of a panic or an uncaught
/// exception.
pub(super) fn describe(error: &wasmtime::Error, state: &mut State) -> ScriptError {
    let last_words = state.output.end();
    let limits = &state.seat.run.plan.limits;
    let refused = state.memory.refused.take();
    let trap = error.downcast_ref::<Trap>().copied();
    let stack = error.downcast_ref::<WasmBacktrace>().and_then(stack);
    let message =
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            format!("the script called exit({})", exit.0)
        } else {
            match trap {
            Some(Trap::Interrupt) => format!(
                "the script computed for longer than {} in one call (`--iteration-timeout`)",
                Pretty(limits.iteration_timeout)
            ),
            Some(Trap::StackOverflow) => "stack overflow".to_owned(),
            Some(trap) => refused.map_or_else(
                || last_words.as_deref().map_or_else(|| trap.to_string(), panic_message),
                |wanted| {
                    format!(
                        "out of memory: the script asked for {}, a VU may use {} (`--vu-memory`)",
                        Bytes(wanted),
                        Bytes(limits.vu_memory)
                    )
                },
            ),
            None => error.root_cause().to_string(),
        }
        };
    let words = last_words.map(|words| beyond_the_message(&words));
    let stack = match (words.filter(|words| !words.is_empty()), stack) {
        (Some(words), Some(stack)) => Some(format!("{words}\n{stack}")),
        (words, stack) => words.or(stack),
    };
    ScriptError {
        message: message.into(),
        stack: stack.map(Into::into),
    }
}

/// The line of a guest's last words that says what went wrong.
fn panic_message(words: &str) -> String {
    let lines: Vec<&str> = words
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    // Rust prints where first, then what, then a note on backtraces.
    if let Some(at) = lines.iter().rposition(|line| line.contains("panicked at")) {
        let place = lines[at]
            .split_once("panicked at ")
            .map_or(lines[at], |(_, place)| place);
        let what = lines.get(at + 1).copied().unwrap_or_default();
        return format!("panicked at {place} {what}").trim_end().to_owned();
    }
    // Python and JavaScript end with what went wrong.
    lines
        .last()
        .map_or_else(String::new, |line| (*line).to_owned())
}

/// The last words without the lines of a Rust panic that are in the message
/// already, or are of no use here: the functions behind it tell more.
fn beyond_the_message(words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    let Some(at) = lines.iter().rposition(|line| line.contains("panicked at")) else {
        return words.to_owned();
    };
    let before = lines[..at].iter();
    let after = lines[at + 1..].iter().skip(1);
    before
        .chain(after)
        .filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

/// The guest's functions, innermost first, a line each. What its language runs
/// between a failure and the trap is left out, and a function that calls
/// itself stands there once.
fn stack(backtrace: &WasmBacktrace) -> Option<String> {
    let frames: Vec<String> = backtrace.frames().iter().map(frame).collect();
    let own = frames.iter().any(|frame| !is_runtime(frame));
    let mut lines: Vec<(&str, u32)> = Vec::new();
    for frame in frames.iter().filter(|frame| !own || !is_runtime(frame)) {
        match lines.last_mut() {
            Some((last, times)) if last == frame => *times += 1,
            _ => lines.push((frame, 1)),
        }
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(frame, times)| match times {
            1 => format!("at {frame}"),
            times => format!("at {frame} ({times} times and more)"),
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn frame(frame: &FrameInfo) -> String {
    let symbol = frame.symbols().first();
    let name = symbol
        .and_then(FrameSymbol::name)
        .or_else(|| frame.func_name());
    let name = match name {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    };
    match symbol.and_then(|symbol| Some((symbol.file()?, symbol.line()?))) {
        Some((file, line)) => format!("{name} ({file}:{line})"),
        None => name,
    }
}

/// Whether a function belongs to a language's runtime. Only Rust's has many
/// between a panic and its trap.
fn is_runtime(frame: &str) -> bool {
    const RUNTIME: [&str; 6] = ["std::", "core::", "alloc::", "__rust", "_Exit", "exit_exit"];
    RUNTIME
        .iter()
        .any(|prefix| frame.trim_start_matches('<').starts_with(prefix))
        || matches!(frame, "abort" | "exit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_not_told_twice() {
        let panic = "thread '<unnamed>' panicked at src/lib.rs:3:5:\nno stock\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        assert_eq!(panic_message(panic), "panicked at src/lib.rs:3:5: no stock");
        assert_eq!(beyond_the_message(panic), "");
        let compared = "warming up\nthread 'a' panicked at src/lib.rs:3:5:\n\
                        assertion `left == right` failed\n  left: 1\n right: 2";
        assert_eq!(
            beyond_the_message(compared),
            "warming up\n  left: 1\n right: 2"
        );
        let python = "Traceback (most recent call last):\n  in buy\nValueError: no stock";
        assert_eq!(beyond_the_message(python), python);
    }

    #[test]
    fn last_words_become_one_line() {
        let rust = "\nthread 'main' panicked at src/lib.rs:7:5:\nno such item\nnote: run with X";
        assert_eq!(
            panic_message(rust),
            "panicked at src/lib.rs:7:5: no such item"
        );
        let python = "Traceback (most recent call last):\n  File \"app.py\"\nValueError: no";
        assert_eq!(panic_message(python), "ValueError: no");
    }
}
