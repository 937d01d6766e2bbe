//! A guest's failures in words: from traps to what the author of a script
//! wants to read.

use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, FrameSymbol, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::state::{RESOURCES, State};
use super::words::{Account, grouped};
use crate::measure::ScriptError;
use crate::units::{Bytes, Pretty};

/// What went wrong in a call that did not return.
///
/// The message is the guest's own where it has any: what it wrote to stderr last
/// is what its language prints of a panic or an uncaught exception. The stack has
/// the script's functions, by its own account or else by the engine's, and under
/// them whatever more its language said.
pub(super) fn describe(error: &wasmtime::Error, state: &mut State) -> ScriptError {
    let last_words = state.output.end();
    let account = last_words.as_deref().and_then(Account::of);
    let limits = &state.seat.run.plan.limits;
    let refused = state.memory.refused.take();
    let trap = error.downcast_ref::<Trap>().copied();
    let own = account.as_ref().map(|account| account.message.clone());
    let message = if let Some(exit) = error.downcast_ref::<I32Exit>() {
        // Go ends so after it has told of its panic.
        own.unwrap_or_else(|| format!("the script called exit({})", exit.0))
    } else {
        match trap {
            Some(Trap::Interrupt) => format!(
                "the script computed for longer than {} in one call (`--iteration-timeout`)",
                Pretty(limits.iteration_timeout)
            ),
            Some(Trap::StackOverflow) => "stack overflow".to_owned(),
            Some(trap) => match refused {
                Some(wanted) => format!(
                    "out of memory: the script asked for {}, a VU may use {} (`--vu-memory`)",
                    Bytes(wanted),
                    Bytes(limits.vu_memory)
                ),
                None => own
                    .or_else(|| before_abort(trap, last_words.as_deref()))
                    .unwrap_or_else(|| trap.to_string()),
            },
            None => match error.downcast_ref() {
                Some(ResourceTableError::Full) => format!(
                    "the script holds {RESOURCES} handles (streams, timers, bodies), as many as \
                     a VU may, and lets go of none"
                ),
                _ => error.root_cause().to_string(),
            },
        }
    };
    let (told, more) = match account {
        Some(Account { stack, more, .. }) => (stack, more),
        None => (None, Vec::new()),
    };
    // Where the words tell, they are an interpreter's, whose own functions say
    // nothing of the script.
    let mut lines = told.unwrap_or_else(|| {
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        backtrace.map(stack).unwrap_or_default()
    });
    lines.extend(more);
    ScriptError {
        message: grouped(&message, state.seat.vu).into(),
        stack: (!lines.is_empty()).then(|| lines.join("\n").into()),
    }
}

/// What went wrong in a call that returned an error: a text of the script's, which
/// may bring a stack along.
pub(super) fn told(text: &str, vu: u32) -> ScriptError {
    match Account::of_exception(text) {
        None => ScriptError::new(grouped(text.trim_end(), vu)),
        Some(Account {
            message,
            stack,
            more,
        }) => {
            let mut lines = stack.unwrap_or_default();
            lines.extend(more);
            ScriptError {
                message: grouped(&message, vu).into(),
                stack: (!lines.is_empty()).then(|| lines.join("\n").into()),
            }
        }
    }
}

/// What a program said before it gave up, as C's `assert` and whoever calls `abort`
/// do: the last line. Other traps say themselves what they are.
fn before_abort(trap: Trap, words: Option<&str>) -> Option<String> {
    if trap != Trap::UnreachableCodeReached {
        return None;
    }
    let mut lines = words?.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

/// The guest's functions, innermost first, a line each. What its language runs
/// between a failure and the trap is left out, and a function that calls
/// itself stands there once.
fn stack(backtrace: &WasmBacktrace) -> Vec<String> {
    let frames: Vec<String> = backtrace.frames().iter().map(frame).collect();
    let own = frames.iter().any(|frame| !is_runtime(frame));
    let mut lines: Vec<(&str, u32)> = Vec::new();
    for frame in frames.iter().filter(|frame| !own || !is_runtime(frame)) {
        match lines.last_mut() {
            Some((last, times)) if last == frame => *times += 1,
            _ => lines.push((frame, 1)),
        }
    }
    lines
        .into_iter()
        .map(|(frame, times)| match times {
            1 => format!("at {frame}"),
            times => format!("at {frame} ({times} times and more)"),
        })
        .collect()
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

/// Whether a function belongs to a language's runtime: those of Rust and C between
/// a failure and its trap, and what C's bindings put around an export. Rust's export
/// stays: with what is inlined into it, it is the script's own.
fn is_runtime(frame: &str) -> bool {
    const RUNTIME: [&str; 7] = [
        "std::",
        "core::",
        "alloc::",
        "__rust",
        "_Exit",
        "exit_exit",
        "__wasm_export_",
    ];
    RUNTIME
        .iter()
        .any(|prefix| frame.trim_start_matches('<').starts_with(prefix))
        || matches!(frame, "abort" | "exit" | "__assert_fail")
}

#[cfg(test)]
mod tests {
    use super::is_runtime;

    #[test]
    fn what_bindings_put_around_an_export_is_no_function_of_the_scripts() {
        for frame in [
            "__wasm_export_exports_user_iterate",
            "<core::option::Option<T>>::unwrap",
            "abort",
        ] {
            assert!(is_runtime(frame), "{frame}");
        }
        for frame in [
            "exports_user_iterate",
            "shop::iterate",
            "squall:script/user@0.1.0#iterate",
        ] {
            assert!(!is_runtime(frame), "{frame}");
        }
    }
}
