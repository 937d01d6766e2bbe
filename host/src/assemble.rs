//! From a plan to all that a run needs: components compiled, recorders made.
//!
//! The one place that knows both the engine and what it runs on.

use std::sync::Arc;

use crate::data::Sources;
use crate::error::{Error, Problem};
use crate::event::Load;
use crate::http::Factory;
use crate::plan::{ENDLESS, Plan, RecorderSource, RecorderSpec, Scenario, ScriptSource, Share};
use crate::recorder::Setup as RecorderSetup;
use crate::run::pilot::Pilot;
use crate::run::preflight;
use crate::shape::ShapeInfo;
use crate::sink::Sink;
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{Source, load_recorder, load_script, load_shape};
use crate::wasm::engine::Ticker;
use crate::wasm::recorder::{self, WasmRecorder};
use crate::wasm::script::Template;
use crate::wasm::shape::{self, WasmShape};

/// The script of `squall demo`.
static DEMO: &[u8] = include_bytes!("../embedded/demo.wasm");

/// A plan's components, ready to run.
pub struct Parts {
    /// The script of each scenario.
    pub scripts: Vec<Template>,
    /// The recorders, not started yet.
    pub recorders: Vec<RecorderSetup>,
    /// What asks the plan's shape, if it has one.
    pub pilot: Option<Pilot>,
}

/// Checks that the machine has room for the plan, and loads its components.
/// Blocks for as long as compiling takes those that are not in the cache.
///
/// `sinks` has one for each of the plan's recorders, `data` are its open files. A
/// shape starts, and its first target makes the executor of the plan's scenario.
///
/// # Errors
///
/// If the machine is too small, a component is missing or invalid, or the shape
/// cannot start.
pub fn assemble(
    plan: &mut Plan,
    sinks: Vec<Box<dyn Sink>>,
    data: &Arc<Sources>,
    cache: &CompileCache,
) -> Result<Parts, Error> {
    preflight::check(plan.max_vus())?;
    let ticker = ticker()?;
    // Compiling takes longest of all; neither kind waits for the other.
    let (recorders, scripts) = std::thread::scope(|scope| {
        let plan = &*plan;
        let recorders = scope.spawn(|| recorders(&plan.recorders, sinks, cache, &ticker));
        let scripts = scripts(plan, Share::WHOLE, data, cache, &ticker);
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
        pilot: pilot(plan, cache, &ticker)?,
    })
}

/// What a master needs: its recorders, and what asks the plan's shape. Scripts are
/// only looked at. Blocks as [`assemble`] does.
///
/// # Errors
///
/// If a component is missing or invalid, or the shape cannot start.
pub fn assemble_master(
    plan: &mut Plan,
    sinks: Vec<Box<dyn Sink>>,
    cache: &CompileCache,
) -> Result<(Vec<RecorderSetup>, Option<Pilot>), Error> {
    for scenario in &plan.scenarios {
        load_script(&source(&scenario.script))?;
    }
    let ticker = ticker()?;
    let recorders = recorders(&plan.recorders, sinks, cache, &ticker)?;
    Ok((recorders, pilot(plan, cache, &ticker)?))
}

/// What a master needs that takes a run over: its own recorders. Blocks as
/// [`assemble`] does.
///
/// # Errors
///
/// If one is missing or invalid.
pub fn assemble_recorders(
    plan: &Plan,
    sinks: Vec<Box<dyn Sink>>,
    cache: &CompileCache,
) -> Result<Vec<RecorderSetup>, Error> {
    recorders(&plan.recorders, sinks, cache, &ticker()?)
}

/// What a worker needs for its share of a plan: scripts, and recorders of its own.
/// Blocks as [`assemble`] does.
///
/// # Errors
///
/// If the machine is too small, or a component is missing or invalid.
pub fn assemble_worker(
    plan: &Plan,
    share: Share,
    own: &[RecorderSpec],
    sinks: Vec<Box<dyn Sink>>,
    data: &Arc<Sources>,
    cache: &CompileCache,
) -> Result<(Vec<Template>, Vec<RecorderSetup>), Error> {
    let vus = |scenario: &Scenario| share.dealt(scenario.max_vus.get().into());
    let vus: u64 = plan.scenarios.iter().map(vus).sum();
    preflight::check(u32::try_from(vus).unwrap_or(u32::MAX))?;
    let ticker = ticker()?;
    let scripts = scripts(plan, share, data, cache, &ticker)?;
    Ok((scripts, recorders(own, sinks, cache, &ticker)?))
}

/// Loads and starts the plan's shape, if it has one, and asks for its first
/// target, which makes the scenario's executor.
fn pilot(
    plan: &mut Plan,
    cache: &CompileCache,
    ticker: &Arc<Ticker>,
) -> Result<Option<Pilot>, Error> {
    let Some(spec) = &plan.shape else {
        return Ok(None);
    };
    let [scenario] = &mut plan.scenarios[..] else {
        unreachable!("a plan with a shape has one scenario");
    };
    let component = load_shape(&Source::File(spec.path.clone()))?;
    let shape = WasmShape::new(&component, cache, shape::LIMITS, ticker)?;
    let duration = scenario.executor.duration();
    let info = ShapeInfo {
        test_plan: plan.test_plan.clone(),
        options: spec.options.clone(),
        max_vus: scenario.max_vus.get(),
        seed: plan.seed,
        max_duration: (duration < ENDLESS).then_some(duration),
    };
    let (pilot, first) = Pilot::new(&component.name, Box::new(shape), &info)?;
    scenario.executor = match first {
        Load::Vus(vus) => spec.closed(vus, duration),
        Load::Rate(per_s) => spec.open(per_s, duration),
    };
    Ok(Some(pilot))
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

/// The clock of all components of a process.
///
/// # Errors
///
/// If the machine gives no more threads.
pub fn ticker() -> Result<Arc<Ticker>, Error> {
    Ticker::start().map(Arc::new).map_err(|error| {
        Error::Machine(Problem::new(format!(
            "the machine gives no thread: {error}"
        )))
    })
}

fn scripts(
    plan: &Plan,
    share: Share,
    data: &Arc<Sources>,
    cache: &CompileCache,
    ticker: &Arc<Ticker>,
) -> Result<Vec<Template>, Error> {
    let load = |scenario: &Scenario| {
        let component = load_script(&source(&scenario.script))?;
        // One more than the VUs: `setup` and `teardown` have an instance too.
        let vus = share.dealt(scenario.max_vus.get().into());
        let slots = u32::try_from(vus).unwrap_or(u32::MAX).saturating_add(1);
        let clients = Factory::new(&scenario.http, plan.limits.vu_memory);
        Template::load(
            &component,
            scenario,
            slots,
            &plan.limits,
            clients,
            cache,
            ticker,
        )
        .map(|script| script.with_data(data.clone()))
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
    ticker: &Arc<Ticker>,
) -> Result<(String, WasmRecorder), Error> {
    let source = match source {
        RecorderSource::Json => recorder::JSON,
        RecorderSource::Locust => recorder::LOCUST,
        RecorderSource::File(path) => Source::File(path.clone()),
    };
    let component = load_recorder(&source)?;
    let recorder = WasmRecorder::new(&component, cache, recorder::LIMITS, ticker)?;
    Ok((component.name, recorder))
}

fn recorders(
    specs: &[RecorderSpec],
    sinks: Vec<Box<dyn Sink>>,
    cache: &CompileCache,
    ticker: &Arc<Ticker>,
) -> Result<Vec<RecorderSetup>, Error> {
    let mut setups: Vec<RecorderSetup> = Vec::new();
    for (spec, sink) in specs.iter().zip(sinks) {
        let (name, recorder) = recorder(&spec.source, cache, ticker)?;
        let is_taken = |name: &String| setups.iter().any(|setup| setup.name == *name);
        // The second of a name has a number.
        let name = std::iter::once(name.clone())
            .chain((2..).map(|number| format!("{name}#{number}")))
            .find(|name| !is_taken(name))
            .unwrap_or(name);
        setups.push(RecorderSetup {
            name,
            recorder: Box::new(recorder),
            sink,
            options: spec.options.clone(),
            stats_interval: spec.interval,
        });
    }
    Ok(setups)
}
