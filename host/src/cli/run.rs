//! `squall run`: from arguments to a run, and from its outcome to an exit code.
//!
//! The engine runs on a thread of its own. The main thread takes signals and
//! redraws the live line, and is idle otherwise.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::args::RunArgs;
use super::console::Console;
use super::logging;
use crate::assemble::{Parts, assemble};
use crate::config::{Options, Resolved, Settings, Surroundings, Telemetry, resolve};
use crate::error::{Error, ExitCode, Problem};
use crate::plan::{Plan, ScriptSource, SinkSpec};
use crate::recorder::{self, EventLog};
use crate::report::{json, progress, summary};
use crate::run::{Live, Outcome, Setup, Stop};
use crate::sink::{self, Sink};
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{Kind, Source, load_script};
use crate::wasm::engine::Ticker;
use crate::wasm::script::default_options;

/// How often the live line is redrawn on a terminal.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a line is written if stderr is no terminal.
const LOG_LINE: Duration = Duration::from_secs(10);
/// How long a run that was told to end at once has to sum up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a script.
///
/// # Errors
///
/// If the configuration or a component is wrong, or the run cannot start.
pub(super) fn run(args: RunArgs, console: &Console) -> Result<ExitCode, Error> {
    let script = args.script.clone();
    let said = args
        .options()
        .over(Options::from_environment(std::env::vars_os()));
    let resolved = with_script_options(&script, said)?;
    logging::start(&resolved.settings.log, console);
    let settings = resolved.settings.clone();
    let outcome = execute(resolved, console)?;
    conclude(&outcome, &settings, console)
}

/// What the process knows of itself and of its machine.
pub(super) fn surroundings() -> Surroundings {
    use std::io::IsTerminal as _;
    let folder = |name: &str| {
        let path = std::path::PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    Surroundings {
        stdout_is_terminal: io::stdout().is_terminal(),
        cores: thread::available_parallelism().map_or(1, usize::from),
        cache_home: folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache"))),
    }
}

/// Resolves what the user said over what the script says of itself.
pub(super) fn with_script_options(script: &Path, said: Options) -> Result<Resolved, Error> {
    let around = surroundings();
    let source = ScriptSource::File(script.to_owned());
    // The user's own mistakes come before any in the script, and its limits
    // hold for asking the script, too.
    let resolved = resolve(source.clone(), &said, &around)?;
    match script_options(script, &resolved)? {
        Some(json) => resolve(
            source,
            &said.over(Options::from_script_json(&json)),
            &around,
        ),
        None => Ok(resolved),
    }
}

fn script_options(script: &Path, resolved: &Resolved) -> Result<Option<String>, Error> {
    let component = load_script(&Source::File(script.to_owned()))?;
    if !matches!(component.kind, Kind::Script { options: true, .. }) {
        return Ok(None);
    }
    let ticker = Ticker::start().map_err(|error| no_thread(&error))?;
    let cache = CompileCache::new(resolved.settings.cache_dir.clone());
    default_options(&component, &resolved.plan.limits, &cache, &ticker)
}

/// Runs a plan and shows how it is doing. Blocks until it is over.
///
/// # Errors
///
/// If a file cannot be written, or the run cannot start.
pub(super) fn execute(resolved: Resolved, console: &Console) -> Result<Outcome, Error> {
    let Resolved {
        plan,
        settings,
        warnings,
    } = resolved;
    for warning in warnings {
        console.write(&format!("warning: {warning}\n"));
    }
    if let Some(path) = &settings.summary {
        json::probe(path)?;
    }
    let Outlets { sinks, event_log } = outlets(&settings, &plan, console)?;
    let (stop_sender, stop) = watch::channel(Stop::No);
    let (live, live_receiver) = watch::channel(Live::default());
    let threads = settings.threads;
    let cache_dir = settings.cache_dir.clone();
    let whole = move || {
        let plan = Arc::new(plan);
        let Parts {
            scripts,
            mut recorders,
        } = assemble(&plan, sinks, cache_dir)?;
        recorders.extend(event_log);
        crate::run::run(Setup {
            plan,
            scripts,
            recorders,
            threads,
            stop,
            live,
        })
    };
    let (ended_sender, ended) = oneshot::channel();
    let engine = thread::Builder::new()
        .name("run".to_owned())
        .spawn(move || {
            // The main thread waits for it, or is gone together with it.
            let _ = ended_sender.send(whole());
        })
        .map_err(|error| no_thread(&error))?;
    let watch = Watch {
        stop: stop_sender,
        live: live_receiver,
        quiet: settings.quiet,
        console,
    };
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?
        .block_on(watch.until(ended));
    console.live("");
    match result {
        Some(result) => result,
        None => match engine.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the engine sends its result, or panics"),
        },
    }
}

/// Where what a run tells goes.
struct Outlets {
    /// A sink for each recorder: its own, or where telemetry goes.
    sinks: Vec<Box<dyn Sink>>,
    /// What records the events, if they are to be.
    event_log: Option<recorder::Setup>,
}

fn outlets(settings: &Settings, plan: &Plan, console: &Console) -> Result<Outlets, Error> {
    let default = match &settings.telemetry {
        Telemetry::Stdout => Some(SinkSpec::Stdout),
        Telemetry::File(path) => Some(SinkSpec::file(path.clone())),
        Telemetry::Nowhere => None,
    };
    let streams = console.streams().map_err(|error| no_thread(&error))?;
    let specs = plan
        .recorders
        .iter()
        .map(|recorder| recorder.sink.clone().or_else(|| default.clone()));
    let events = settings.events.clone().map(SinkSpec::file);
    let mut sinks = sink::open(specs.chain(events.map(Some)), streams)?;
    let event_log = (sinks.len() > plan.recorders.len())
        .then(|| sinks.pop())
        .flatten()
        .map(|sink| recorder::Setup {
            name: "events".to_owned(),
            recorder: Box::new(EventLog::default()),
            sink,
            options: Vec::new(),
            stats_interval: None,
        });
    Ok(Outlets { sinks, event_log })
}

/// What the main thread does while a run goes on.
struct Watch<'a> {
    stop: watch::Sender<Stop>,
    live: watch::Receiver<Live>,
    quiet: bool,
    console: &'a Console,
}

impl Watch<'_> {
    /// Passes signals on and shows the live line until the run has ended.
    /// `None` if the engine ended without a result.
    async fn until(
        self,
        ended: oneshot::Receiver<Result<Outcome, Error>>,
    ) -> Option<Result<Outcome, Error>> {
        let (mut interrupt, mut terminate) = match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return Some(Err(no_thread(&error))),
        };
        let every = if self.console.is_terminal() {
            REDRAW
        } else {
            LOG_LINE
        };
        let mut redraw = interval_at(Instant::now() + every, every);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = pin!(ended);
        let mut last_words: Option<Instant> = None;
        loop {
            let deadline = last_words.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                result = &mut ended => return result.ok(),
                _ = interrupt.recv() => self.asked_to_stop(&mut last_words),
                _ = terminate.recv() => self.asked_to_stop(&mut last_words),
                () = sleep_until(deadline), if last_words.is_some() => self.exit(),
                _ = redraw.tick(), if !self.quiet => self.show(),
            }
        }
    }

    /// The first time, the run winds down; the second time, it ends at once;
    /// the third time, so does the process.
    fn asked_to_stop(&self, last_words: &mut Option<Instant>) {
        let asked = *self.stop.borrow();
        match asked {
            Stop::No => {
                self.stop.send_replace(Stop::Graceful);
                if !self.quiet {
                    self.console.write(
                        "stopping: iterations under way may end; once more ends it at once\n",
                    );
                }
            }
            Stop::Graceful => {
                self.stop.send_replace(Stop::Now);
                *last_words = Some(Instant::now() + LAST_WORDS);
            }
            Stop::Now => self.exit(),
        }
    }

    fn exit(&self) -> ! {
        self.console.live("");
        self.console
            .write("error: ended at once, without a summary\n");
        std::process::exit(ExitCode::Interrupted as i32)
    }

    fn show(&self) {
        let live = self.live.borrow().clone();
        if self.console.is_terminal() {
            // The last column stays free: some terminals break the line there.
            let columns = self.console.columns().saturating_sub(1);
            let line = progress::line(&live, columns, self.console.palette());
            self.console.live(&line);
        } else {
            self.console.write(&format!("{}\n", progress::plain(&live)));
        }
    }
}

/// Tells the outcome: the summary on stderr, its JSON in a file.
///
/// # Errors
///
/// If the file cannot be written.
pub(super) fn conclude(
    outcome: &Outcome,
    settings: &Settings,
    console: &Console,
) -> Result<ExitCode, Error> {
    let (columns, palette) = (console.columns(), console.palette());
    if !settings.quiet {
        let text = summary::render(outcome, columns, palette);
        console.write(&format!("\n{text}"));
    } else if outcome.exit_code != ExitCode::Passed {
        console.write(&summary::verdict(outcome, columns, palette));
    }
    if let Some(path) = &settings.summary {
        json::write(path, outcome)?;
    }
    Ok(outcome.exit_code)
}

fn no_thread(error: &io::Error) -> Error {
    Error::Machine(
        Problem::new(format!(
            "the machine gives no thread or event queue: {error}"
        ))
        .hint("check the limits on processes and open files: `ulimit -u -n`"),
    )
}
