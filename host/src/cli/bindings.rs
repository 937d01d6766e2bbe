//! `squall bindings`: what a guest in C or Go needs to call the host.

use super::args::{BindingsArgs, BindingsLanguage};
use crate::bindings::{self, Language};
use crate::error::{Error, ExitCode};

/// Writes the bindings.
///
/// # Errors
///
/// If there is no such world, or a file cannot be written.
pub(super) fn bindings(args: &BindingsArgs) -> Result<ExitCode, Error> {
    let language = match args.language {
        BindingsLanguage::C => Language::C,
        BindingsLanguage::Go => Language::Go,
    };
    bindings::generate(language, &args.wit, &args.world)
        .and_then(|bindings| bindings.write(&args.out))
        .map_err(Error::File)?;
    Ok(ExitCode::Passed)
}
