//! `squall inspect`: what a component is, in plain words.

use std::io::Write as _;
use std::path::Path;

use super::args::InspectArgs;
use super::console::Console;
use super::run;
use crate::config::{Key, Options, Place, Resolved, Said};
use crate::error::{Error, ExitCode};
use crate::units::Bytes;
use crate::wasm::component::{self, Description, Item, Kind};

/// Describes a component on stdout; with flags of a run, the plan as well. The
/// exit code tells whether squall can run it.
///
/// # Errors
///
/// If the file is not a component, or the flags are wrong.
pub(super) fn inspect(args: InspectArgs, console: &Console) -> Result<ExitCode, Error> {
    let path = args.component.clone();
    let user = args.options();
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return inspect_file(&path, user, console);
    }
    let description = component::inspect(&path).map_err(Error::Component)?;
    print(&describe(&path, &description));
    let runnable = description.refusals.is_empty();
    if !user.is_empty() && runnable && matches!(description.kind, Kind::Script { .. }) {
        let user = user.over(Options::from_environment(std::env::vars_os()));
        follow(run::said(Some(path), user)?, console)?;
    }
    Ok(if runnable {
        ExitCode::Passed
    } else {
        ExitCode::Invalid
    })
}

/// Shows what a configuration file comes to.
fn inspect_file(path: &Path, mut user: Options, console: &Console) -> Result<ExitCode, Error> {
    user.say(Key::Config, path.to_string_lossy(), Place::Argument);
    let user = user.over(Options::from_environment(std::env::vars_os()));
    follow(run::said(None, user)?, console)?;
    Ok(ExitCode::Passed)
}

/// Shows the plan that a run would follow.
fn follow(said: Said, console: &Console) -> Result<(), Error> {
    let resolved = run::with_script_options(said, &run::surroundings(console), console)?;
    print(&plan(&resolved));
    for warning in &resolved.warnings {
        console.write(&format!("warning: {warning}\n"));
    }
    Ok(())
}

/// Prints to stdout. Whoever closes the pipe has read enough.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The description in words.
fn describe(path: &Path, description: &Description) -> String {
    let Description {
        kind,
        imports,
        exports,
        wasi,
        size_bytes,
        language_hint,
        refusals,
    } = description;
    let what = match kind {
        Kind::Script { version, .. } => format!("a script for squall:script {version}"),
        Kind::Recorder { version } => format!("a recorder for squall:recorder {version}"),
        Kind::Shape { version } => format!("a shape for squall:shape {version}"),
        Kind::Neither => "a component, but no script, recorder or shape".to_owned(),
    };
    let mut text = format!("{} is {what}\n", path.display());
    let mut line = |name: &str, value: &str| {
        text += &format!("  {name:<10}{value}\n");
    };
    line("size", &Bytes(*size_bytes).to_string());
    if let Some(language) = language_hint {
        line("made with", language);
    }
    if let Kind::Script {
        lifecycle, options, ..
    } = kind
    {
        let hooks = if *lifecycle {
            "setup, on-start, on-stop and teardown"
        } else {
            "none"
        };
        line("hooks", hooks);
        let defaults = if *options {
            "brings its own default options"
        } else {
            "none of its own"
        };
        line("defaults", defaults);
    }
    items(&mut text, "imports", imports);
    items(&mut text, "exports", exports);
    if !wasi.is_empty() {
        text += "\nof WASI, with nothing granted but what the flags give:\n";
        for (package, interfaces) in wasi {
            text += &format!("  {package}: {}\n", interfaces.join(", "));
        }
        let sends = wasi.keys().any(|package| package.starts_with("wasi:http@"));
        if sends && matches!(kind, Kind::Script { .. }) {
            text += "  its requests by wasi:http are sent and measured like those of squall:script/http\n";
        }
    }
    if refusals.is_empty() {
        text += "\nsquall can run it\n";
    } else {
        text += "\nsquall cannot run it:\n";
        for refusal in refusals {
            text += &format!("  it {}\n", refusal.what);
            if let Some(hint) = &refusal.hint {
                text += &format!("  hint: {hint}\n");
            }
        }
    }
    text
}

fn items(text: &mut String, title: &str, items: &[Item]) {
    if items.is_empty() {
        return;
    }
    *text += &format!("\n{title}\n");
    for Item { name, functions } in items {
        if functions.is_empty() {
            *text += &format!("  {name}: types only\n");
        } else if matches!(&functions[..], [only] if only == name) {
            *text += &format!("  {name}\n");
        } else {
            *text += &format!("  {name}: {}\n", functions.join(", "));
        }
    }
}

/// The resolved plan, as JSON.
fn plan(resolved: &Resolved) -> String {
    let json = serde_json::json!({
        "plan": resolved.plan,
        "settings": resolved.settings,
    });
    format!("\nwith these flags, `squall run` follows this plan:\n{json:#}\n")
}
