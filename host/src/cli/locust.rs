//! `squall worker --locust-master` and `squall locust-stub`: from arguments to a
//! worker of a Locust master's, and to the locustfile that the master needs.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::args::{LocustStubArgs, WorkerArgs};
use super::cluster::listen;
use super::console::Console;
use super::logging;
use super::run::{
    Outlets, compile_cache, conclude, outlets, said, surroundings, with_script_options,
};
use crate::assemble::assemble_worker;
use crate::cluster::artefact::Store;
use crate::cluster::locust::stub::Stub;
use crate::cluster::locust::worker::{Agent, Craft, Made, attach, given_by_a_master};
use crate::config::{Key, Options, Place, Resolved, Said, Settings, Surroundings, resolve};
use crate::data::Sources;
use crate::error::{Error, ExitCode, Problem};
use crate::plan::{Plan, ScriptSource, Share};
use crate::run::{Outcome, Stop};

/// How many VUs a worker may have, if the machine has room for as many.
const VUS: u32 = 10_000;
/// A load where none is said: it is the master's to say, and to be dealt out to
/// scenarios by their weights there has to be one.
const ANY_LOAD: [(Key, &str); 2] = [(Key::Vus, "1000000"), (Key::Duration, "1h")];

/// Makes load for a Locust master until that or the user ends it.
///
/// # Errors
///
/// If what was said is wrong, the master cannot be reached, or a run cannot start.
pub(super) fn worker(args: WorkerArgs, console: &Console) -> Result<ExitCode, Error> {
    let master = args.locust_master.clone().unwrap_or_default();
    is_address(&master).map_err(|wrong| Error::Config(vec![wrong]))?;
    let (script, name, tied) = (args.script.clone(), args.name.clone(), args.tied);
    let around = surroundings(console);
    let user = args
        .options()
        .over(Options::from_environment(std::env::vars_os()));
    let has_plan = script.is_some() || user.get(Key::Config).is_some();
    let (resolved, plan) = match has_plan {
        true => {
            let resolved = given(script, user, &around, console)?;
            let plan = given_by_a_master(resolved.plan.clone()).map_err(Error::Config)?;
            (resolved, Some(plan))
        }
        false => (of_node(user, &around)?, None),
    };
    let Resolved {
        plan: own,
        settings,
        warnings,
    } = resolved;
    logging::start(&settings.log, console);
    for warning in warnings {
        console.write(&format!("warning: {warning}\n"));
    }
    if !is_loopback(&master) {
        console.write(
            "warning: Locust's protocol has no authentication and no encryption: whoever can reach \
             the master's port can join or read along, and whoever is on the way can command this \
             worker; keep it on loopback, in a VPN, or behind a NetworkPolicy, and say with \
             `--allow-host` what this worker may load\n",
        );
    }
    let kept = Kept::open(&settings)?;
    let (stop_sender, stop) = watch::channel(Stop::No);
    listen(stop_sender, tied)?;
    let (voice, quiet) = (console.clone(), settings.quiet);
    let agent = Agent {
        master,
        name,
        threads: settings.threads,
        room: around.vus_room.min(VUS),
        allow_hosts: match plan {
            Some(_) => None,
            None => own.scenarios[0].http.allow_hosts.clone(),
        },
        plan,
        store: kept.store.clone(),
        stop,
        tell: Arc::new(move |text: &str| {
            if !quiet {
                voice.write(&format!("{text}\n"));
            }
        }),
    };
    let cache = |console: &Console, settings: &Settings| {
        compile_cache(settings.cache_dir.clone(), settings.quiet, console)
    };
    let check = {
        let cache = cache(console, &settings);
        move |plan: &Plan| {
            let data = Arc::new(open(plan)?);
            assemble_worker(plan, Share::WHOLE, &[], Vec::new(), &data, &cache).map(|_| ())
        }
    };
    let make = {
        let (console, settings) = (console.clone(), settings.clone());
        let cache = cache(&console, &settings);
        move |plan: &Plan| {
            let data = Arc::new(open(plan)?);
            let Outlets { sinks, event_log } = outlets(&settings, &own, &console)?;
            let (scripts, mut recorders) =
                assemble_worker(plan, Share::WHOLE, &own.recorders, sinks, &data, &cache)?;
            recorders.extend(event_log);
            Ok(Made {
                scripts,
                recorders,
                warnings: Box::new(move || data.warnings()),
            })
        }
    };
    let craft = Craft {
        check,
        make,
        conclude: |outcome: &Outcome| conclude(outcome, &settings, console),
    };
    attach(agent, craft)
}

fn open(plan: &Plan) -> Result<Sources, Error> {
    Sources::open(&plan.data, Share::WHOLE, |_| {})
}

/// What was said of the scenarios, whose load a master gives.
fn given(
    script: Option<PathBuf>,
    user: Options,
    around: &Surroundings,
    console: &Console,
) -> Result<Resolved, Error> {
    let mut said = said(script, user)?;
    let recorders = [&said.user, &said.file.options];
    if recorders.iter().all(|it| it.get(Key::Recorder).is_none()) {
        said.user.say(Key::Recorder, "none", Place::Flag);
    }
    let scenarios = said.file.scenarios.iter().map(|it| &it.options);
    let is_said = scenarios
        .chain([&said.file.options])
        .any(Options::shapes_the_load);
    if !is_said && !said.user.shapes_the_load() {
        for (key, text) in ANY_LOAD {
            said.file.options.say(key, text, Place::Default);
        }
    }
    let most = most_vus(&said);
    let mut resolved = with_script_options(said, around, console)?;
    for (scenario, is_said) in resolved.plan.scenarios.iter_mut().zip(most) {
        if !is_said {
            scenario.max_vus = NonZeroU32::MAX;
        }
    }
    if is_said {
        resolved.warnings.push(
            "the Locust master says how many VUs there are, and until when: what is said of that \
             in the file is not heeded"
                .to_owned(),
        );
    }
    Ok(resolved)
}

/// Whether somebody says how many VUs a scenario may have, for each.
fn most_vus(said: &Said) -> Vec<bool> {
    let of_all = [&said.user, &said.file.options]
        .iter()
        .any(|options| options.get(Key::MaxVus).is_some());
    let own = said.file.scenarios.iter();
    let own: Vec<_> = own
        .map(|scenario| of_all || scenario.options.get(Key::MaxVus).is_some())
        .collect();
    match own.is_empty() {
        true => vec![of_all],
        false => own,
    }
}

/// What is this node's, where the master's stub says what there is to play.
fn of_node(mut user: Options, around: &Surroundings) -> Result<Resolved, Error> {
    let of_node = [
        Key::AllowHost,
        Key::Recorder,
        Key::Telemetry,
        Key::Events,
        Key::Summary,
        Key::Quiet,
        Key::Log,
        Key::Threads,
        Key::CacheDir,
    ];
    for key in Key::all().filter(|key| !of_node.contains(key)) {
        user.forget(key);
    }
    if user.get(Key::Recorder).is_none() {
        user.say(Key::Recorder, "none", Place::Flag);
    }
    resolve(ScriptSource::Demo, &user, around)
}

/// Where a worker keeps what a stub brings: in the cache, or until it ends.
struct Kept {
    store: Store,
    temporary: Option<PathBuf>,
}

impl Kept {
    fn open(settings: &Settings) -> Result<Self, Error> {
        let cached = settings.cache_dir.as_ref();
        let temporary = match cached {
            Some(_) => None,
            None => {
                let name = format!("squall-locust-{}", std::process::id());
                Some(std::env::temp_dir().join(name))
            }
        };
        let folder = cached.map(|folder| folder.join("artefacts"));
        let folder = folder.or_else(|| temporary.clone()).unwrap_or_default();
        match Store::open(folder.clone()) {
            Ok(store) => Ok(Self { store, temporary }),
            Err(error) => Err(Error::File(
                Problem::new(format!(
                    "cannot keep files in `{}`: {error}",
                    folder.display()
                ))
                .hint("`--cache-dir` takes a folder that you may write to"),
            )),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn is_address(master: &str) -> Result<(), Problem> {
    let (host, port) = master.rsplit_once(':').unwrap_or((master, ""));
    match !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) {
        true => Ok(()),
        false => Err(Problem::new(format!(
            "`--locust-master {master}`: expected a host and a port"
        ))
        .hint(
            "such as `127.0.0.1:5557`, where a Locust master listens if it is not told otherwise",
        )),
    }
}

fn is_loopback(master: &str) -> bool {
    let local = ["127.", "localhost:", "[::1]:"];
    local.iter().any(|local| master.starts_with(local))
}

/// Writes the locustfile for a master whose workers are squall's.
///
/// # Errors
///
/// If what was said is wrong, or a file cannot be read.
pub(super) fn stub(args: LocustStubArgs, console: &Console) -> Result<ExitCode, Error> {
    let (script, is_whole) = (args.script.clone(), args.embed_script);
    let around = surroundings(console);
    let user = args
        .options()
        .over(Options::from_environment(std::env::vars_os()));
    let weights: Vec<u32> = {
        let file = said(script.clone(), user.clone())?.file;
        let weight = |scenario: &crate::config::FileScenario| {
            let given = scenario.weight.as_ref();
            given.and_then(|given| given.text.parse().ok()).unwrap_or(1)
        };
        match file.scenarios.is_empty() {
            true => vec![1],
            false => file.scenarios.iter().map(weight).collect(),
        }
    };
    let Resolved { plan, .. } = given(script, user, &around, console)?;
    let plan = given_by_a_master(plan).map_err(Error::Config)?;
    let stub = Stub {
        plan: &plan,
        weights: &weights,
        is_whole,
    };
    let text = stub.locustfile()?;
    // Whoever closes the pipe has read enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_has_a_host_and_a_port() {
        for good in ["127.0.0.1:5557", "locust:1", "[::1]:5557"] {
            assert_eq!(is_address(good), Ok(()), "{good}");
        }
        for bad in ["", "locust", ":5557", "locust:", "locust:0", "a:70000"] {
            assert!(is_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_quiet() {
        for (master, is_quiet) in [
            ("127.0.0.1:5557", true),
            ("localhost:5557", true),
            ("[::1]:5557", true),
            ("0.0.0.0:5557", false),
            ("locust:5557", false),
            ("localhost.example:5557", false),
        ] {
            assert_eq!(is_loopback(master), is_quiet, "{master}");
        }
    }
}
