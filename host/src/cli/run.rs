//! `squall run`: from arguments to a run, and from its outcome to an exit code.
//!
//! The engine runs on a thread of its own. The main thread takes signals and
//! redraws the live line, and is idle otherwise.

use std::collections::HashSet;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::args::RunArgs;
use super::cluster::{Lead, Team};
use super::console::Console;
use super::keys::{self, Keys};
use super::{ctl, logging};
use crate::assemble::{Parts, assemble};
use crate::config::{
    File, Key, Options, Resolved, Said, Settings, Surroundings, Telemetry, resolve_all,
};
use crate::control::{Listening, Notice, Server, Token};
use crate::data::Sources;
use crate::error::{Error, ExitCode, Problem};
use crate::event::{LoadChange, Steerer};
use crate::plan::{Plan, ScriptSource, Share, SinkSpec};
use crate::recorder::{self, EventLog};
use crate::report::{json, progress, summary};
use crate::run::control::{Action, Applied, Control, Difference, control};
use crate::run::{Live, Outcome, Setup, Stop, preflight};
use crate::sink::{self, Sink};
use crate::units::Bytes;
use crate::wasm::cache::{CompileCache, Compiling};
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
    let team = args
        .workers
        .as_deref()
        .map(Team::on_this_machine)
        .transpose()?;
    let user = args
        .options()
        .over(Options::from_environment(std::env::vars_os()));
    run_resolved(said(script, user)?, team, console)
}

/// Runs what was said, in this process or by a team.
///
/// # Errors
///
/// As [`run`].
pub(super) fn run_resolved(
    said: Said,
    team: Option<Team>,
    console: &Console,
) -> Result<ExitCode, Error> {
    let mut around = surroundings(console);
    if team.as_ref().is_some_and(Team::is_elsewhere) {
        // Each worker looks whether it has room for its part.
        around.vus_room = u32::MAX;
    }
    let resolved = with_script_options(said, &around, console)?;
    logging::start(&resolved.settings.log, console);
    let settings = resolved.settings.clone();
    let outcome = execute(resolved, team, console)?;
    conclude(&outcome, &settings, console)
}

/// What the process knows of itself and of its machine.
pub(super) fn surroundings(console: &Console) -> Surroundings {
    let folder = |name: &str| {
        let path = std::path::PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    Surroundings {
        stdout_is_terminal: io::stdout().is_terminal(),
        has_keys: console.is_terminal() && io::stdin().is_terminal(),
        cores: thread::available_parallelism().map_or(1, usize::from),
        vus_room: preflight::room(),
        cache_home: folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache"))),
    }
}

/// The largest configuration file that is read, in bytes: a mistyped name must
/// not fill the memory.
const LARGEST_FILE: u64 = 1 << 20;

/// What the user said: on the command line, in the environment, and in the file
/// that is named there.
///
/// # Errors
///
/// If the file cannot be read.
pub(super) fn said(script: Option<PathBuf>, user: Options) -> Result<Said, Error> {
    let file = match user.get(Key::Config) {
        Some(given) => {
            let path = Path::new(&given.text);
            File::parse(&read_file(path)?, path)
        }
        None => File::default(),
    };
    Ok(Said {
        user,
        script: script.map(ScriptSource::File),
        file,
        scripts: Vec::new(),
    })
}

fn read_file(path: &Path) -> Result<String, Error> {
    let refuse = |what: String, hint: &str| {
        let what = format!(
            "cannot read the configuration file `{}`: {what}",
            path.display()
        );
        Error::Config(vec![Problem::new(what).hint(hint)])
    };
    let bytes = fs::File::open(path)
        .and_then(|file| {
            let mut bytes = Vec::new();
            file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .map_err(|error| {
            refuse(
                error.to_string(),
                "`--config` takes the path of a TOML file",
            )
        })?;
    if bytes.len() as u64 > LARGEST_FILE {
        let what = format!("it has more than {}", Bytes(LARGEST_FILE));
        return Err(refuse(what, "is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|_| {
        refuse(
            "it is no text in UTF-8".to_owned(),
            "`--config` takes a TOML file; a component is named without it",
        )
    })
}

/// Resolves what the user said over what the scripts say of themselves.
///
/// # Errors
///
/// If anything that was said is wrong, or a script cannot be asked.
pub(super) fn with_script_options(
    mut said: Said,
    around: &Surroundings,
    console: &Console,
) -> Result<Resolved, Error> {
    // The user's own mistakes come before any in a script, and the user's limits
    // hold for asking the scripts, too.
    let resolved = resolve_all(&said, around)?;
    let mut scripts = Vec::new();
    let mut known: Vec<(&Path, Option<String>)> = Vec::new();
    for scenario in &resolved.plan.scenarios {
        let ScriptSource::File(path) = &scenario.script else {
            continue;
        };
        let json = match known.iter().find(|(asked, _)| asked == path) {
            Some((_, json)) => json.clone(),
            None => {
                let json = script_options(path, &resolved, console)?;
                known.push((path, json.clone()));
                json
            }
        };
        scripts.push(match json {
            Some(json) => Options::from_script_json(&json),
            None => Options::default(),
        });
    }
    if scripts.iter().all(Options::is_empty) {
        return Ok(resolved);
    }
    said.scripts = scripts;
    resolve_all(&said, around)
}

fn script_options(
    script: &Path,
    resolved: &Resolved,
    console: &Console,
) -> Result<Option<String>, Error> {
    let component = load_script(&Source::File(script.to_owned()))?;
    if !matches!(component.kind, Kind::Script { options: true, .. }) {
        return Ok(None);
    }
    let ticker = Ticker::start().map_err(|error| no_thread(&error))?;
    let Settings {
        cache_dir, quiet, ..
    } = &resolved.settings;
    let cache = compile_cache(cache_dir.clone(), *quiet, console);
    default_options(&component, &resolved.plan.limits, &cache, &ticker)
}

/// The cache of compiled components, which tells of those that take long: on a
/// terminal for as long as they do, else once.
pub(super) fn compile_cache(dir: Option<PathBuf>, quiet: bool, console: &Console) -> CompileCache {
    let cache = CompileCache::new(dir);
    if quiet {
        return cache;
    }
    let console = console.clone();
    let told = Mutex::new(HashSet::new());
    cache.telling(move |compiling| {
        let Compiling {
            name, bytes, kept, ..
        } = compiling;
        let once = if *kept { ", once" } else { "" };
        let what = format!("compiling `{name}` ({}){once}", Bytes(*bytes));
        let line = compiling
            .since
            .map(|since| format!("{what}: {} s", since.as_secs()));
        console.prepare(line.as_deref());
        if !console.is_terminal()
            && told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert((*name).to_owned())
        {
            console.write(&format!("{what}\n"));
        }
    })
}

/// Runs a plan and shows how it is doing. Blocks until it is over.
///
/// # Errors
///
/// If a file cannot be written, or the run cannot start.
pub(super) fn execute(
    resolved: Resolved,
    team: Option<Team>,
    console: &Console,
) -> Result<Outcome, Error> {
    let Resolved {
        plan,
        settings,
        warnings,
    } = resolved;
    for warning in warnings {
        console.write(&format!("warning: {warning}\n"));
    }
    // Before any file is made anew.
    let data = match team.as_ref().is_some_and(Team::is_resumed) {
        // Its workers have them.
        true => Arc::default(),
        false => Arc::new(open_data(&plan, settings.quiet, console)?),
    };
    if let Some(path) = &settings.summary {
        json::probe(path)?;
    }
    let Outlets { sinks, event_log } = outlets(&settings, &plan, console)?;
    let (control, controlled) = control();
    let listener = match settings.control {
        Some(address) => Some(Listener::open(address, &plan, &control, console)?),
        None => None,
    };
    let has_keys = !settings.quiet && console.is_terminal() && io::stdin().is_terminal();
    let controlled = (has_keys || listener.is_some()).then_some(controlled);
    let (stop_sender, stop) = watch::channel(Stop::No);
    let (live, live_receiver) = watch::channel(Live::default());
    let threads = settings.threads;
    let cache_dir = settings.cache_dir.clone();
    let cache = compile_cache(cache_dir.clone(), settings.quiet, console);
    let (quiet, voice) = (settings.quiet, console.clone());
    let whole = move || {
        let mut plan = plan;
        if let Some(team) = team {
            let lead = Lead {
                sinks,
                event_log,
                threads,
                cache,
                cache_dir,
                stop,
                live,
                control: controlled,
                quiet,
                console: voice,
            };
            return lead.run(team, plan);
        }
        let Parts {
            scripts,
            mut recorders,
            pilot,
        } = assemble(&mut plan, sinks, &data, &cache)?;
        let plan = Arc::new(plan);
        recorders.extend(event_log);
        crate::run::run(Setup {
            plan,
            scripts,
            recorders,
            threads,
            stop,
            live,
            control: controlled,
            pilot,
            warnings: Box::new(move || data.warnings()),
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
        control,
        has_keys,
        listener: listener.as_ref(),
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

/// The control API of a run, and the notice of it.
struct Listener {
    server: Server,
    notice: Option<Notice>,
}

impl Listener {
    fn open(
        address: SocketAddr,
        plan: &Plan,
        control: &Control,
        console: &Console,
    ) -> Result<Self, Error> {
        let chosen = ctl::chosen_token()?;
        let folder = ctl::folder();
        if chosen.is_none() && folder.is_none() {
            let problem = Problem::new("the token of the control API can be kept nowhere");
            return Err(Error::Control(problem.hint(format!(
                "set `XDG_RUNTIME_DIR` or `HOME`, or choose a token: `{}`",
                ctl::TOKEN_VARIABLE
            ))));
        }
        let token = match &chosen {
            Some(token) => token.clone(),
            None => Token::random().map_err(|error| {
                Error::Machine(Problem::new(format!("no random numbers: {error}")))
            })?,
        };
        let own = chosen.is_none().then(|| token.clone());
        let has_chosen = chosen.is_some();
        let server = Server::start(address, token, control.clone()).map_err(|error| {
            Error::Control(
                Problem::new(format!("cannot listen at {address}: {error}"))
                    .hint("port 0 takes one that is free: `--control 127.0.0.1:0`"),
            )
        })?;
        let listening = Listening {
            pid: std::process::id(),
            address: server.address(),
            test_plan: plan.test_plan.clone(),
            token: own,
        };
        let notice = match folder.map(|folder| (Notice::put_up(&folder, &listening), folder)) {
            Some((Ok(notice), _)) => Some(notice),
            // Whoever chose the token has it, and can say where the run is.
            Some((Err(_), _)) | None if has_chosen => None,
            Some((Err(error), folder)) => {
                let folder = folder.display();
                let what = format!("cannot write the control API's token to `{folder}`: {error}");
                return Err(Error::File(Problem::new(what).hint(format!(
                    "`XDG_RUNTIME_DIR` names a folder of yours; or choose a token: `{}`",
                    ctl::TOKEN_VARIABLE
                ))));
            }
            None => None,
        };
        let listener = Self { server, notice };
        console.write(&listener.told());
        Ok(listener)
    }

    fn told(&self) -> String {
        let address = self.server.address();
        let port = address.port();
        let at = match (&self.notice, address.ip().is_unspecified()) {
            (Some(_), _) => String::new(),
            (None, true) => format!(" --at 127.0.0.1:{port}"),
            (None, false) => format!(" --at {address}"),
        };
        let mut text = format!("control API at http://{address}: try `squall ctl status{at}`\n");
        if !address.ip().is_loopback() {
            text += "warning: the control API can be reached from other machines, and is not \
                     encrypted: whoever reads the network can read its token\n";
        }
        text
    }
}

/// Reads the run's data files, and tells how far that has come if it takes long.
fn open_data(plan: &Plan, quiet: bool, console: &Console) -> Result<Sources, Error> {
    let mut told = None;
    let sources = Sources::open(&plan.data, Share::WHOLE, |reading| {
        let percent = reading.read * 100 / reading.of.max(1);
        let (name, of) = (reading.name, Bytes(reading.of));
        let line = format!("reading data `{name}`: {percent} % of {of}");
        if quiet {
            return;
        }
        if console.is_terminal() {
            console.live(&line);
        } else if told.is_none_or(|told: Instant| told.elapsed() >= LOG_LINE) {
            told = Some(Instant::now());
            console.write(&format!("{line}\n"));
        }
    });
    console.live("");
    sources
}

/// Where what a run tells goes.
pub(super) struct Outlets {
    /// A sink for each recorder: its own, or where telemetry goes.
    pub(super) sinks: Vec<Box<dyn Sink>>,
    /// What records the events, if they are to be.
    pub(super) event_log: Option<recorder::Setup>,
}

pub(super) fn outlets(
    settings: &Settings,
    plan: &Plan,
    console: &Console,
) -> Result<Outlets, Error> {
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
    control: Control,
    /// Whether the terminal's keys steer the run.
    has_keys: bool,
    listener: Option<&'a Listener>,
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
        let mut keys = self.has_keys.then(Keys::take).flatten();
        if keys.is_some() && keys::are_ours() {
            self.console.write(keys::Key::HELP);
        }
        let mut orders = JoinSet::new();
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
                key = pressed(&mut keys) => self.press(key, &mut orders),
                Some(Ok(applied)) = orders.join_next() => self.tell(applied),
                _ = redraw.tick(), if !self.quiet => self.show(),
            }
        }
    }

    /// The first time, the run winds down; the second time, it ends at once;
    /// the third time, so does the process.
    fn asked_to_stop(&self, last_words: &mut Option<Instant>) {
        let asked = *self.stop.borrow();
        match asked {
            Stop::No => self.wind_down("once more"),
            Stop::Graceful => {
                self.stop.send_replace(Stop::Now);
                *last_words = Some(Instant::now() + LAST_WORDS);
            }
            Stop::Now => self.exit(),
        }
    }

    /// Lets no more iterations start, and tells what would end it at once.
    fn wind_down(&self, further: &str) {
        self.stop.send_replace(Stop::Graceful);
        if !self.quiet {
            self.console.write(&format!(
                "stopping: iterations under way may end; {further} ends it at once\n"
            ));
        }
    }

    /// Does what a key means. What the run says to it comes later.
    fn press(&self, key: keys::Key, orders: &mut Orders) {
        const TENTH: f64 = 0.1;
        let action = match key {
            keys::Key::More => Action::Add(Difference::Part(TENTH)),
            keys::Key::Less => Action::Add(Difference::Part(-TENTH)),
            keys::Key::Pause => {
                let status = self.control.status.borrow();
                match status.scenarios.iter().any(|scenario| scenario.paused) {
                    true => Action::Resume,
                    false => Action::Pause,
                }
            }
            keys::Key::Stop => {
                // A key that is held, or pressed twice, cuts nothing.
                if *self.stop.borrow() == Stop::No {
                    self.wind_down("ctrl-c");
                }
                return;
            }
            keys::Key::Help => return self.console.write(keys::Key::HELP),
            keys::Key::Quit => self.exit(),
        };
        let control = self.control.clone();
        orders.spawn(async move { control.order(None, action, Steerer::Terminal).await });
    }

    /// Tells what came of a key.
    fn tell(&self, applied: Result<Applied, Problem>) {
        let text = match applied {
            Ok(Applied { changes }) if changes.is_empty() => "nothing to change\n".to_owned(),
            Ok(Applied { changes }) => {
                let line = |change: &LoadChange| format!("{change}\n");
                changes.iter().map(line).collect()
            }
            Err(problem) => format!("{problem}\n"),
        };
        self.console.write(&text);
    }

    fn exit(&self) -> ! {
        self.console.live("");
        keys::restore();
        if let Some(notice) = self.listener.and_then(|listener| listener.notice.as_ref()) {
            notice.take_down();
        }
        self.console
            .write("error: ended at once, without a summary\n");
        std::process::exit(ExitCode::Interrupted as i32)
    }

    fn show(&self) {
        let live = self.live.borrow().clone();
        if self.console.is_preparing() {
            return;
        }
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

/// What the run says to keys, as it comes.
type Orders = JoinSet<Result<Applied, Problem>>;

/// The next key; never, if there are none.
async fn pressed(keys: &mut Option<Keys>) -> keys::Key {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
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

pub(super) fn no_thread(error: &io::Error) -> Error {
    Error::Machine(
        Problem::new(format!(
            "the machine gives no thread or event queue: {error}"
        ))
        .hint("check the limits on processes and open files: `ulimit -u -n`"),
    )
}
