//! From a plan to all that a run needs: components compiled, recorders made.
//!
//! The one place that knows both the engine and what it runs on.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Problem};
use crate::http::Factory;
use crate::plan::{Plan, RecorderSource, Scenario, ScriptSource};
use crate::recorder::Setup as RecorderSetup;
use crate::run::preflight;
use crate::sink::Sink;
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{Source, load_recorder, load_script};
use crate::wasm::engine::Ticker;
use crate::wasm::recorder::{self, WasmRecorder};
use crate::wasm::script::Template;

/// The script of `squall demo`.
static DEMO: &[u8] = include_bytes!("../embedded/demo.wasm");

/// A plan's components, ready to run.
pub struct Parts {
    /// The script of each scenario.
    pub scripts: Vec<Template>,
    /// The recorders, not started yet.
    pub recorders: Vec<RecorderSetup>,
}

/// Checks that the machine has room for the plan, and loads its components.
/// Blocks for as long as compiling takes those that are not in the cache.
///
/// `sinks` has one for each of the plan's recorders; `cache_dir` is where
/// compiled components are kept, if anywhere.
///
/// # Errors
///
/// If the machine is too small, or a component is missing or invalid.
pub fn assemble(
    plan: &Plan,
    sinks: Vec<Box<dyn Sink>>,
    cache_dir: Option<PathBuf>,
) -> Result<Parts, Error> {
    preflight::check(plan.max_vus())?;
    let cache = CompileCache::new(cache_dir);
    // Compiling takes longest of all; neither kind waits for the other.
    let (recorders, scripts) = std::thread::scope(|scope| {
        let recorders = scope.spawn(|| recorders(plan, sinks, &cache));
        let scripts = scripts(plan, &cache);
        let recorders = recorders
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (recorders, scripts)
    });
    // The script is what the user is working on: its mistakes come first.
    let scripts = scripts?;
    Ok(Parts {
        scripts,
        recorders: recorders?,
    })
}

/// Where a script comes from.
pub fn source(script: &ScriptSource) -> Source {
    match script {
        ScriptSource::File(path) => Source::File(path.clone()),
        ScriptSource::Demo => Source::Embedded {
            name: "demo",
            bytes: DEMO,
        },
    }
}

fn scripts(plan: &Plan, cache: &CompileCache) -> Result<Vec<Template>, Error> {
    let ticker = Ticker::start().map(Arc::new).map_err(|error| {
        Error::Machine(Problem::new(format!(
            "the machine gives no thread: {error}"
        )))
    })?;
    let clients = Factory::new(&plan.http, plan.limits.vu_memory);
    let load = |scenario: &Scenario| {
        let component = load_script(&source(&scenario.script))?;
        // One more than the VUs: `setup` and `teardown` have an instance too.
        let slots = scenario.executor.vus().get().saturating_add(1);
        let (env, clients) = (&scenario.env, clients.clone());
        Template::load(
            &component,
            slots,
            &plan.limits,
            env,
            clients,
            cache,
            &ticker,
        )
    };
    plan.scenarios.iter().map(load).collect()
}

/// Loads and compiles a recorder: its name, and the recorder, as every run has
/// it.
///
/// # Errors
///
/// If it is missing or invalid.
pub fn recorder(
    source: &RecorderSource,
    cache: &CompileCache,
) -> Result<(String, WasmRecorder), Error> {
    let source = match source {
        RecorderSource::Json => recorder::JSON,
        RecorderSource::Locust => recorder::LOCUST,
        RecorderSource::File(path) => Source::File(path.clone()),
    };
    let component = load_recorder(&source)?;
    let recorder = WasmRecorder::new(&component, cache, recorder::Limits::default())?;
    Ok((component.name, recorder))
}

fn recorders(
    plan: &Plan,
    sinks: Vec<Box<dyn Sink>>,
    cache: &CompileCache,
) -> Result<Vec<RecorderSetup>, Error> {
    plan.recorders
        .iter()
        .zip(sinks)
        .map(|(spec, sink)| {
            let (name, recorder) = recorder(&spec.source, cache)?;
            Ok(RecorderSetup {
                name,
                recorder: Box::new(recorder),
                sink,
                options: spec.options.clone(),
                stats_interval: spec.interval,
            })
        })
        .collect()
}
