//! `squall demo`: a run that needs nothing but the program.

use super::args::DemoArgs;
use super::console::Console;
use super::{logging, run};
use crate::config::{Key, Options, Place, resolve};
use crate::demo::DemoServer;
use crate::error::{Error, ExitCode, Problem};
use crate::plan::ScriptSource;

/// What to try next.
const NEXT: &str = "
Next:
  squall demo --vus 50 --threshold 'http_req_duration: p(95) < 100'   judge a run: exit code 99
  squall demo > events.ndjson                                         see its telemetry
  squall run SCRIPT.wasm --base-url URL --vus 10 --duration 30s       run a script of yours
";

/// Starts the server, runs the built-in script against it, and stops it.
///
/// # Errors
///
/// If the configuration is wrong, or the server or the run cannot start.
pub(super) fn demo(args: DemoArgs, console: &Console) -> Result<ExitCode, Error> {
    let mut environment = Options::from_environment(std::env::vars_os());
    // What is set for the user's own servers has no meaning here.
    for target in [Key::Config, Key::BaseUrl, Key::AllowHost, Key::Insecure] {
        environment.forget(target);
    }
    let mut defaults = Options::default();
    defaults.say(Key::Vus, "10", Place::Default);
    defaults.say(Key::Duration, "10s", Place::Default);
    let mut said = args.options().over(environment).over(defaults);
    // Mistakes come before the server.
    resolve(ScriptSource::Demo, &said, &run::surroundings(console))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_server(&error))?;
    let server = runtime
        .block_on(DemoServer::start())
        .map_err(|error| no_server(&error))?;
    said.say(Key::BaseUrl, server.base_url(), Place::Default);
    let resolved = resolve(ScriptSource::Demo, &said, &run::surroundings(console))?;
    let settings = resolved.settings.clone();
    logging::start(&settings.log, console);
    let outcome = run::execute(resolved, None, console);
    runtime.block_on(server.stop());
    let code = run::conclude(&outcome?, &settings, console)?;
    let to_its_end = matches!(code, ExitCode::Passed | ExitCode::ThresholdFailed);
    if !settings.quiet && to_its_end {
        console.write(NEXT);
    }
    Ok(code)
}

fn no_server(error: &std::io::Error) -> Error {
    Error::Machine(
        Problem::new(format!("cannot start the demo's server: {error}"))
            .hint("it needs a free port on 127.0.0.1"),
    )
}
