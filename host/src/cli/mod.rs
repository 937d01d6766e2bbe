//! The command line: the one place that owns the process and its streams.
//!
//! Each verb has a file. All of them end in an exit code; what goes wrong
//! before is printed here, as `error: …` with its hint.

mod args;
mod bindings;
mod cluster;
mod completions;
mod console;
mod ctl;
mod demo;
mod inspect;
mod keys;
mod locust;
mod logging;
mod new;
mod recorder_test;
mod run;

use std::panic;

use anstyle::{AnsiColor, Style};

use self::args::{RecorderVerb, Verb};
use self::console::Console;
use crate::error::{Error, ExitCode};

/// Runs the program with the process's arguments, to its end.
pub fn main() -> std::process::ExitCode {
    let verb = match args::parse(std::env::args_os()) {
        Ok(verb) => verb,
        Err(ended) => return ended.print().into(),
    };
    let console = Console::new();
    let tidy = console.clone();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tidy.live("");
        keys::restore();
        report(info);
        tidy.write("error: this is a defect of squall, not of your test\n");
    }));
    let ended = panic::catch_unwind(|| match verb {
        Verb::Run(args) => run::run(*args, &console),
        Verb::Master(args) => cluster::master(*args, &console),
        Verb::Worker(args) if args.locust_master.is_some() => locust::worker(*args, &console),
        Verb::Worker(args) => cluster::worker(*args, &console),
        Verb::LocustStub(args) => locust::stub(*args, &console),
        Verb::Demo(args) => demo::demo(*args, &console),
        Verb::Ctl(args) => ctl::ctl(args),
        Verb::Inspect(args) => inspect::inspect(*args, &console),
        Verb::Recorder(RecorderVerb::Test(args)) => recorder_test::test(args, &console),
        Verb::New(args) => new::new(args, &console),
        Verb::Bindings(args) => bindings::bindings(&args),
        Verb::Completions { shell } => completions::completions(shell),
    });
    let code = match ended {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            print_error(&error, &console);
            error.exit_code()
        }
        Err(_) => ExitCode::Defect,
    };
    code.into()
}

/// Prints an error and its hints.
fn print_error(error: &Error, console: &Console) {
    let (bad, hint) = if console.is_coloured() {
        (
            AnsiColor::Red.on_default().bold(),
            AnsiColor::Cyan.on_default().bold(),
        )
    } else {
        (Style::new(), Style::new())
    };
    let mut text = format!("{bad}error:{bad:#} ");
    for line in error.to_string().lines() {
        match line.trim_start().strip_prefix("hint:") {
            Some(rest) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                text += &format!("{indent}{hint}hint:{hint:#}{rest}\n");
            }
            None => {
                text += line;
                text.push('\n');
            }
        }
    }
    console.write(&text);
}
