//! `squall master`, `squall worker` and `squall run --workers`: from arguments to
//! the ends of a link.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use super::args::{LinkArgs, MasterArgs, TeamArgs, WorkerArgs};
use super::console::Console;
use super::logging;
use super::run::{
    Outlets, compile_cache, conclude, execute, no_thread, outlets, run_resolved, said, surroundings,
};
use crate::assemble::{assemble_master, assemble_recorders, assemble_worker};
use crate::cluster::artefact::Store;
use crate::cluster::master::{self, Gathering, Identity, Search, gather};
use crate::cluster::message::Lease;
use crate::cluster::nats::Access;
use crate::cluster::server::Server;
use crate::cluster::worker::{Agent, Job, Made, work};
use crate::config::{Key, Options, Place, Resolved, resolve};
use crate::data::Sources;
use crate::error::{Error, ExitCode, Problem};
use crate::plan::{Plan, ScriptSource, Share};
use crate::recorder::{self, Role};
use crate::run::control::Controlled;
use crate::run::{Conducting, Live, OnLoss, Outcome, Stop, conduct};
use crate::sink::Sink;
use crate::system::hostname;
use crate::units::parse_duration;
use crate::wasm::cache::CompileCache;
use crate::wasm::component::SCRIPT_VERSION;

/// The most workers that a run can have.
const MOST: u32 = 10_000;
/// How long workers on this machine have to get up.
const UP: Duration = Duration::from_secs(60);
/// How long workers go on without their master, unless somebody says otherwise.
const ORPHAN: Lease = Lease::Millis(30_000);

/// Conducts a run whose load is made by workers.
///
/// # Errors
///
/// As `run`; also if the NATS server or the workers cannot be reached.
pub(super) fn master(args: MasterArgs, console: &Console) -> Result<ExitCode, Error> {
    if let Some(run) = args.team.resume.clone() {
        return resume(run, args, console);
    }
    let script = args.script.clone();
    let team = Team::of(&args.team, &args.link)?;
    let user = args
        .options()
        .over(Options::from_environment(std::env::vars_os()));
    run_resolved(said(script, user)?, Some(team), console)
}

/// Takes over a run whose master is gone.
fn resume(run: String, args: MasterArgs, console: &Console) -> Result<ExitCode, Error> {
    // All else is in the plan.
    let of_master = [
        Key::Summary,
        Key::Recorder,
        Key::Telemetry,
        Key::Events,
        Key::Quiet,
        Key::Log,
        Key::CacheDir,
        Key::Control,
        Key::ControlRemote,
    ];
    let (team, link, script) = (args.team.clone(), args.link.clone(), args.script.clone());
    let mut options = args.options();
    let of_plan = Key::all().filter(|key| !of_master.contains(key));
    let mut given: Vec<_> = of_plan
        .filter(|key| options.get(*key).is_some())
        .map(|key| format!("`--{}`", key.flag()))
        .collect();
    given.extend(script.map(|script| format!("`{}`", script.display())));
    if !given.is_empty() {
        return Err(Error::Config(vec![
            Problem::new(format!("{} cannot be said again", given.join(", "))).hint(
                "`--resume` takes the plan from the workers: leave out what is not about NATS \
                 or about where the result goes",
            ),
        ]));
    }
    let mut environment = Options::from_environment(std::env::vars_os());
    for key in Key::all().filter(|key| !of_master.contains(key)) {
        environment.forget(key);
    }
    options = options.over(environment);
    // A plan of which only what is this master's is used.
    let mut resolved = resolve(ScriptSource::Demo, &options, &surroundings(console))?;
    logging::start(&resolved.settings.log, console);
    let mut team = Team::of(&team, &link)?;
    let Location::At(access) = &team.place else {
        return Err(Error::Config(vec![
            Problem::new("`--resume` needs the NATS server that the run's workers are at")
                .hint("name it with `--nats`"),
        ]));
    };
    let (quiet, voice) = (resolved.settings.quiet, console.clone());
    let search = Search {
        access: access.clone(),
        cluster: team.cluster.clone(),
        run: run.clone(),
        wait: team.wait,
        tell: Arc::new(move |text: &str| {
            if !quiet {
                voice.write(&format!("{text}\n"));
            }
        }),
    };
    let remains = runtime()?.block_on(master::find(search))?;
    team.workers = remains.workers;
    team.on_loss = remains.on_loss;
    team.lease = remains.lease;
    team.resumed = Some(run);
    let recorders = std::mem::replace(&mut resolved.plan, remains.plan).recorders;
    resolved.plan.recorders = recorders;
    let settings = resolved.settings.clone();
    let outcome = execute(resolved, Some(team), console)?;
    conclude(&outcome, &settings, console)
}

/// Who makes the load of a run.
pub(super) struct Team {
    place: Location,
    cluster: String,
    workers: u32,
    wait: Duration,
    on_loss: OnLoss,
    lease: Lease,
    /// The run that is taken over, if one is.
    resumed: Option<String>,
    /// They are processes on this machine, made for this run.
    is_own: bool,
}

/// Where the NATS server is.
enum Location {
    At(Access),
    Spawned(SocketAddr),
}

impl Team {
    /// So many workers on this machine.
    ///
    /// # Errors
    ///
    /// If it is no number of workers.
    pub(super) fn on_this_machine(workers: &str) -> Result<Self, Error> {
        Ok(Self {
            place: Location::Spawned(SocketAddr::from(([127, 0, 0, 1], 0))),
            cluster: "local".to_owned(),
            workers: number(workers).map_err(|wrong| Error::Config(vec![wrong]))?,
            wait: UP,
            on_loss: OnLoss::Continue,
            lease: ORPHAN,
            resumed: None,
            is_own: true,
        })
    }

    fn of(team: &TeamArgs, link: &LinkArgs) -> Result<Self, Error> {
        let mut wrong = Vec::new();
        let mut time = |flag: &str, text: &str| {
            parse_duration(text).unwrap_or_else(|error| {
                wrong.push(Problem::new(format!("`{flag} {text}`: {error}")));
                Duration::ZERO
            })
        };
        let wait = time("--wait", &team.wait);
        let lease = match &*team.orphan_timeout {
            "finish" => Lease::Plan,
            text => Lease::Millis(time("--orphan-timeout", text).as_millis() as u64),
        };
        let workers = team.workers.as_deref().map(number).transpose();
        let workers = workers.unwrap_or_else(|problem| {
            wrong.push(problem);
            None
        });
        let on_loss = match &*team.on_worker_loss {
            "continue" => OnLoss::Continue,
            "rebalance" => OnLoss::Rebalance,
            "abort" => OnLoss::Abort,
            other => {
                wrong.push(
                    Problem::new(format!("`--on-worker-loss {other}` is no policy"))
                        .hint("it is `continue`, `rebalance` or `abort`"),
                );
                OnLoss::Continue
            }
        };
        let place = match link.nats.strip_prefix("spawn") {
            Some("") => Location::Spawned(SocketAddr::from(([127, 0, 0, 1], 0))),
            Some(rest) if rest.starts_with(':') => match rest[1..].parse() {
                Ok(address) => Location::Spawned(address),
                Err(_) => {
                    wrong.push(
                        Problem::new(format!("`--nats {}`: expected an address", link.nats))
                            .hint("such as `spawn:0.0.0.0:4222`"),
                    );
                    Location::At(Access::default())
                }
            },
            _ => Location::At(access(link)),
        };
        wrong.extend(cluster(link).err());
        if matches!((&place, lease), (Location::Spawned(_), Lease::Plan)) {
            wrong.push(
                Problem::new(
                    "`--orphan-timeout finish` needs a NATS server that outlives the master",
                )
                .hint("`--nats spawn` starts one that does not: name another"),
            );
        }
        if !wrong.is_empty() {
            return Err(Error::Config(wrong));
        }
        Ok(Self {
            place,
            cluster: link.cluster.clone(),
            // Without a number it is that of the run that is taken over.
            workers: workers.unwrap_or(1),
            wait,
            on_loss,
            lease,
            resumed: None,
            is_own: false,
        })
    }

    /// Whether it goes on with a run of another master's.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// Whether the load is made on other machines.
    pub(super) fn is_elsewhere(&self) -> bool {
        !self.is_own
    }
}

fn number(text: &str) -> Result<u32, Problem> {
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|it| (1..=MOST).contains(it));
    number.ok_or_else(|| {
        Problem::new(format!(
            "`--workers {text}`: expected a number from 1 to {MOST}"
        ))
    })
}

fn cluster(link: &LinkArgs) -> Result<(), Problem> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    match !link.cluster.is_empty() && link.cluster.chars().all(is_plain) {
        true => Ok(()),
        false => Err(Problem::new(format!(
            "`--cluster {}`: expected letters, digits, `-` and `_`",
            link.cluster
        ))),
    }
}

fn access(link: &LinkArgs) -> Access {
    Access {
        url: link.nats.clone(),
        credentials: link.nats_creds.clone(),
        nkey: link.nats_nkey.clone(),
        ca: link.nats_ca.clone(),
        certificate: link.nats_cert.clone().zip(link.nats_key.clone()),
    }
}

fn identity() -> Identity {
    Identity {
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        wit: vec![format!("squall:script@{SCRIPT_VERSION}")],
    }
}

/// What a master has beside its team.
pub(super) struct Lead {
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) event_log: Option<recorder::Setup>,
    pub(super) threads: usize,
    pub(super) cache: CompileCache,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) live: watch::Sender<Live>,
    pub(super) control: Option<Controlled>,
    pub(super) quiet: bool,
    pub(super) console: Console,
}

impl Lead {
    /// Runs a plan with a team. Blocks until it is over.
    ///
    /// # Errors
    ///
    /// If the run cannot start.
    pub(super) fn run(self, team: Team, mut plan: Plan) -> Result<Outcome, Error> {
        if team.lease == Lease::Plan && plan.shape.is_some() {
            return Err(Error::Config(vec![
                Problem::new("a shape and `--orphan-timeout finish` do not go together")
                    .hint("the master asks the shape: without it nobody knows where the plan ends"),
            ]));
        }
        let (mut recorders, pilot) = match team.is_resumed() {
            true => {
                let recorders = assemble_recorders(&plan, self.sinks, &self.cache)?;
                (recorders, None)
            }
            false => assemble_master(&mut plan, self.sinks, &self.cache)?,
        };
        recorders.extend(self.event_log);
        let plan = Arc::new(plan);
        let run = match &team.resumed {
            Some(run) => run.clone(),
            None => Uuid::now_v7().to_string(),
        };
        let tell = {
            let (quiet, console) = (self.quiet, self.console.clone());
            move |text: &str| {
                if !quiet {
                    console.write(&format!("{text}\n"));
                }
            }
        };
        let (access, server) = match &team.place {
            Location::At(access) => (access.clone(), None),
            Location::Spawned(address) => {
                let server = Server::start(&team.cluster, *address)?;
                (server.master(), Some(server))
            }
        };
        if access.is_clear_text() {
            self.console.write(
                "warning: what goes to the NATS server is not encrypted: whoever reads the \
                 network can read scripts, their environment and results; `tls://` encrypts it\n",
            );
        }
        let mut own = Own(Vec::new());
        if let Some(server) = &server {
            match team.is_own {
                true => own.start(&team, server, &run, self.threads, self.cache_dir.as_deref())?,
                false => {
                    let worker = server.worker();
                    let key = worker.nkey.unwrap_or_default();
                    tell(&format!(
                        "start workers with: squall worker --nats {} --nats-nkey {} --cluster {}",
                        worker.url,
                        key.display(),
                        team.cluster
                    ));
                }
            }
        }
        if team.lease == Lease::Plan && !team.is_resumed() {
            tell(&format!(
                "run {run}: if this master dies, `squall master --resume {run} --nats {}` takes \
                 it over",
                access.shown()
            ));
        }
        let runtime = runtime()?;
        let gathering = Gathering {
            access,
            cluster: team.cluster,
            workers: team.workers,
            wait: team.wait,
            is_closed: team.is_own,
            run: run.clone(),
            plan: plan.clone(),
            on_loss: team.on_loss,
            lease: team.lease,
            identity: identity(),
            stop: self.stop.clone(),
            tell: Arc::new(tell),
        };
        let gathered = match team.resumed {
            Some(_) => runtime
                .block_on(master::resume(gathering))?
                .map(|(fleet, past, linked)| (fleet, Some(past), linked)),
            None => runtime
                .block_on(gather(gathering))?
                .map(|(fleet, linked)| (fleet, None, linked)),
        };
        let Some((fleet, past, linked)) = gathered else {
            return Err(Error::Interrupted(Problem::new(
                "interrupted before the run could start",
            )));
        };
        let conducting = Conducting {
            plan,
            run_id: run,
            role: Role::Master,
            node: "master".into(),
            fleet,
            stop: self.stop,
            live: self.live,
            control: self.control,
            pilot,
            on_loss: team.on_loss,
            past,
        };
        let outcome = conduct(conducting, recorders, &runtime);
        runtime.block_on(linked.close());
        own.see_off();
        outcome
    }
}

/// What a master's end of the link runs on.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| no_thread(&error))
}

/// Workers that are processes of this one's. They end when it does, however that
/// is: each reads an input that it holds.
struct Own(Vec<Child>);

impl Own {
    fn start(
        &mut self,
        team: &Team,
        server: &Server,
        run: &str,
        threads: usize,
        cache_dir: Option<&std::path::Path>,
    ) -> Result<(), Error> {
        let program = std::env::current_exe().map_err(|error| no_thread(&error))?;
        let access = server.worker();
        let digits = team.workers.to_string().len();
        let threads = (threads / team.workers as usize).max(1);
        for number in 1..=team.workers {
            let mut command = Command::new(&program);
            command
                .args(["worker", "--once", "--tied", "--quiet", "--run", run])
                .args(["--nats", &access.url, "--cluster", &team.cluster])
                .arg("--nats-nkey")
                .arg(access.nkey.clone().unwrap_or_default())
                .args(["--name", &format!("worker-{number:0digits$}")])
                .args(["--threads", &threads.to_string()])
                .arg("--cache-dir")
                .arg(cache_dir.unwrap_or("none".as_ref()));
            // What is said of the run is not said of its workers.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("SQUALL_") {
                    command.env_remove(name);
                }
            }
            let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            self.0.push(child.map_err(|error| no_thread(&error))?);
        }
        Ok(())
    }

    /// Waits for them for a moment; who is not gone then, is sent away.
    fn see_off(&mut self) {
        for _ in 0..100 {
            let is_there = |child: &mut Child| matches!(child.try_wait(), Ok(None));
            if !self.0.iter_mut().any(is_there) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Makes load for masters until the user ends it, or for one run.
///
/// # Errors
///
/// If what was said is wrong, or the NATS server cannot be reached.
pub(super) fn worker(args: WorkerArgs, console: &Console) -> Result<ExitCode, Error> {
    cluster(&args.link).map_err(|wrong| Error::Config(vec![wrong]))?;
    let (link, name) = (args.link.clone(), args.name.clone());
    let (once, tied, run) = (args.once, args.tied, args.run.clone());
    let of_node = [
        Key::AllowHost,
        Key::Recorder,
        Key::Telemetry,
        Key::Quiet,
        Key::Log,
        Key::Threads,
        Key::CacheDir,
    ];
    let mut environment = Options::from_environment(std::env::vars_os());
    for key in Key::all().filter(|key| !of_node.contains(key)) {
        environment.forget(key);
    }
    let mut options = args.options().over(environment);
    if options.get(Key::Recorder).is_none() {
        options.say(Key::Recorder, "none", Place::Flag);
    }
    // A plan of which only what is this node's is used.
    let Resolved { plan, settings, .. } =
        resolve(ScriptSource::Demo, &options, &surroundings(console))?;
    logging::start(&settings.log, console);
    let access = access(&link);
    if access.is_clear_text() {
        console.write(
            "warning: what goes to the NATS server is not encrypted, and whoever can write to \
             the network can be this worker's master; `tls://` encrypts it\n",
        );
    }
    let folder = settings
        .cache_dir
        .as_ref()
        .map(|folder| folder.join("artefacts"));
    let temporary = folder
        .is_none()
        .then(|| std::env::temp_dir().join(format!("squall-worker-{}", std::process::id())));
    let folder = folder.or_else(|| temporary.clone()).unwrap_or_default();
    let store = Store::open(folder.clone()).map_err(|error| {
        Error::File(
            Problem::new(format!(
                "cannot keep files in `{}`: {error}",
                folder.display()
            ))
            .hint("`--cache-dir` takes a folder that you may write to"),
        )
    })?;
    let (stop_sender, stop) = watch::channel(Stop::No);
    listen(stop_sender, tied)?;
    let voice = console.clone();
    let quiet = settings.quiet;
    let agent = Agent {
        access,
        cluster: link.cluster,
        id: Uuid::now_v7().simple().to_string(),
        name: name.unwrap_or_else(hostname),
        threads: settings.threads,
        store,
        allow_hosts: plan.scenarios[0].http.allow_hosts.clone(),
        identity: identity(),
        once,
        run,
        patience: tied.then_some(UP),
        stop,
        tell: Arc::new(move |text: &str| {
            if !quiet {
                voice.write(&format!("{text}\n"));
            }
        }),
    };
    let console = console.clone();
    let made = move |job: Job| {
        let Job {
            plan: theirs,
            share,
            may_take_over,
        } = job;
        // Who may get another's part needs room for it.
        let room = match may_take_over {
            true => Share::WHOLE,
            false => share.unwrap_or(Share::WHOLE),
        };
        let data = Sources::open(&theirs.data, share.unwrap_or(Share::WHOLE), |_| {})?;
        let data = Arc::new(data);
        let Outlets { sinks, .. } = outlets(&settings, &plan, &console)?;
        let cache = compile_cache(settings.cache_dir.clone(), settings.quiet, &console);
        let (scripts, recorders) =
            assemble_worker(&theirs, room, &plan.recorders, sinks, &data, &cache)?;
        Ok(Made {
            scripts,
            recorders,
            warnings: Box::new(move || data.warnings()),
        })
    };
    let ended = work(agent, made);
    if let Some(folder) = temporary {
        let _ = std::fs::remove_dir_all(folder);
    }
    ended
}

/// Passes on that the user ends it: by a signal, or by the end of the input. The
/// third time the process ends at once.
///
/// # Errors
///
/// If the machine gives no more threads.
pub(super) fn listen(stop: watch::Sender<Stop>, tied: bool) -> Result<(), Error> {
    let stop = Arc::new(stop);
    if tied {
        let stop = stop.clone();
        let wait = move || {
            let mut input = std::io::stdin().lock();
            let mut nothing = [0; 64];
            while matches!(input.read(&mut nothing), Ok(1..)) {}
            stop.send_replace(Stop::Now);
        };
        let thread = thread::Builder::new().name("input".to_owned());
        thread.spawn(wait).map_err(|error| no_thread(&error))?;
    }
    let (told, taken) = std::sync::mpsc::channel();
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            let _ = told.send(());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                let asked = *stop.borrow();
                match asked {
                    Stop::No => _ = stop.send_replace(Stop::Graceful),
                    Stop::Graceful => _ = stop.send_replace(Stop::Now),
                    Stop::Now => std::process::exit(ExitCode::Interrupted as i32),
                }
            }
        });
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map_err(|error| no_thread(&error))?;
    // Before that a signal would end it without a word.
    let _ = taken.recv();
    Ok(())
}
