//! `squall completions`: what a shell needs to complete the arguments.

use std::io::Write as _;

use clap_complete::Shell;

use super::args;
use crate::error::{Error, ExitCode};

/// Prints the completions to stdout.
pub(super) fn completions(shell: Shell) -> Result<ExitCode, Error> {
    // Whoever closes the pipe has read enough.
    let _ = std::io::stdout()
        .lock()
        .write_all(&args::completions(shell));
    Ok(ExitCode::Passed)
}
