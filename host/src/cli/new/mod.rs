//! `squall new`: a project to start from, which builds as it is.

mod language;
mod manifest;
mod name;
mod project;
mod readme;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

pub(super) use self::language::Language;
use self::project::{Kind, NewFile};
use super::args::NewArgs;
use super::console::Console;
use crate::error::{Error, ExitCode, Problem};

/// Writes a project and tells what to do next.
///
/// # Errors
///
/// If the folder is not empty, or cannot be written to.
pub(super) fn new(args: NewArgs, console: &Console) -> Result<ExitCode, Error> {
    let NewArgs {
        folder,
        lang,
        recorder,
    } = args;
    let kind = if recorder {
        Kind::Recorder
    } else {
        Kind::Script
    };
    let shown = folder.display();
    claim(&folder).map_err(Error::File)?;
    // Only what is called `.` or `..` has no name of its own.
    let called = match folder.file_name() {
        Some(called) => called.to_owned(),
        None => fs::canonicalize(&folder)
            .ok()
            .and_then(|folder| folder.file_name().map(ToOwned::to_owned))
            .unwrap_or_default(),
    };
    let called = called.to_string_lossy();
    let name = name::name(&called, kind);

    let files = project::files(lang, kind, &name);
    for file in &files {
        write(&folder, file).map_err(|error| {
            let file = folder.join(&file.path);
            Error::File(Problem::new(format!(
                "cannot write `{}`: {error}",
                file.display()
            )))
        })?;
    }

    let mut told = format!("{shown} is a {kind} in {lang}");
    if called != name {
        let _ = write!(told, ", called `{name}`");
    }
    told.push('\n');
    for file in &files {
        let _ = writeln!(told, "  {}", file.path.display());
    }
    let _ = write!(
        told,
        "\nNext:\n  cd {}\n  {}\n  {}\n",
        quoted(&folder),
        lang.build_command(),
        readme::run_command(lang, kind, &name),
    );
    let _ = writeln!(told, "\n{}", lang.needs());
    console.write(&told);
    Ok(ExitCode::Passed)
}

/// Makes the folder, or makes sure that nothing is in it but a repository that
/// has just been made.
fn claim(folder: &Path) -> Result<(), Problem> {
    let shown = folder.display();
    let first = fs::read_dir(folder).and_then(|mut entries| {
        entries
            .find(|entry| !matches!(entry, Ok(entry) if entry.file_name() == ".git"))
            .transpose()
    });
    match first {
        Ok(None) => Ok(()),
        Ok(Some(entry)) => Err(Problem::new(format!(
            "`{shown}` is not empty: there is `{}`",
            entry.file_name().display()
        ))
        .hint("name a folder that does not exist yet")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)
            .map_err(|error| Problem::new(format!("cannot make the folder `{shown}`: {error}"))),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Problem::new(format!("`{shown}` is not a folder"))
                .hint("name a folder that does not exist yet"))
        }
        Err(error) => Err(Problem::new(format!(
            "cannot look into the folder `{shown}`: {error}"
        ))),
    }
}

/// Writes a file that is not there yet.
fn write(folder: &Path, file: &NewFile) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if file.is_program {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o777);
    }
    options.open(path)?.write_all(file.text.as_bytes())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "/._-+:@%".contains(sign);
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
