//! Scripts: components of the world `squall:script`, each instance one VU.
//!
//! A [`Template`] is a script compiled, linked and checked; a [`ScriptVu`] is
//! made from it in microseconds. One file per interface of the WIT holds what
//! the host does for it; `driver` does a guest's waiting.

mod bindings;
mod data;
mod driver;
mod execution;
mod failure;
mod http;
mod log;
mod metrics;
mod options;
mod output;
mod random;
mod state;
mod timing;
mod vu;
mod wasi_http;
mod words;

use std::cell::RefCell;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy};

use self::bindings::lifecycle::HooksIndices;
use self::bindings::{Script as World, ScriptIndices};
pub use self::options::default_options;
use self::state::State;
pub use self::vu::ScriptVu;
use super::cache::CompileCache;
use super::component::LoadedComponent;
use super::engine::{self, TICK, Ticker};
use crate::data::Sources;
use crate::error::{Error, Problem};
use crate::http::{Factory, Targets};
use crate::measure::Tag;
use crate::plan::{HttpPlan, Limits, Scenario};
use crate::vu::{Script, Seat};

/// A script, compiled and linked: what VUs are made from. Cloning it gives
/// another handle on the same script.
#[derive(Clone)]
pub struct Template {
    inner: Arc<Inner>,
    clients: Factory,
    sources: Arc<Sources>,
}

/// What all instances of a script share.
struct Inner {
    engine: Engine,
    pre: InstancePre<State>,
    script: ScriptIndices,
    hooks: Option<HooksIndices>,
    env: Vec<(String, String)>,
    /// How its requests are sent.
    http: Arc<HttpPlan>,
    /// On everything that it reports.
    tags: Vec<Tag>,
    /// How many ticks one call may compute for.
    call_ticks: u64,
    ticks: Arc<AtomicU64>,
    /// Advances the engine's epoch for as long as there are instances.
    _ticker: Arc<Ticker>,
}

impl Template {
    /// Compiles a script for up to `vus` VUs at once, or takes it from the
    /// cache. Blocks for as long as compiling takes: seconds for a script of
    /// some megabytes.
    ///
    /// # Errors
    ///
    /// If the component is invalid, lacks what the world asks for, or needs
    /// more than the limits grant.
    pub fn load(
        component: &LoadedComponent,
        scenario: &Scenario,
        vus: u32,
        limits: &Limits,
        clients: Factory,
        cache: &CompileCache,
        ticker: &Arc<Ticker>,
    ) -> Result<Self, Error> {
        let refused = |what: &str, error: wasmtime::Error| {
            Error::Component(Problem::new(format!(
                "cannot {what} script `{}`: {error:#}",
                component.name
            )))
        };
        let entry = cache.open(&component.bytes);
        let settings = || engine::settings(limits.vu_memory, entry.cache());
        // What an instance takes is known once the component is compiled, and
        // the pool has to know it before: the second load comes from the cache.
        let unpooled = Engine::new(&settings()).map_err(|error| refused("prepare", error))?;
        let compiled = entry
            .compile(&unpooled, &component.name, &component.bytes)
            .map_err(|error| refused("compile", error))?;
        let required = compiled.resources_required();
        let (engine, compiled) = match required {
            Some(required) => {
                let wanted = required.max_initial_memory_size.unwrap_or(0) * (64 << 10);
                if wanted > limits.vu_memory {
                    return Err(Error::Component(
                        Problem::new(format!(
                            "script `{}` starts with {} of memory, and a VU may use {}",
                            component.name,
                            crate::units::Bytes(wanted),
                            crate::units::Bytes(limits.vu_memory),
                        ))
                        .hint("raise `--vu-memory`"),
                    ));
                }
                let mut settings = settings();
                let pool = engine::pool(&required, vus, limits.vu_memory);
                settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
                let engine = Engine::new(&settings).map_err(|error| refused("prepare", error))?;
                let compiled = entry
                    .compile(&engine, &component.name, &component.bytes)
                    .map_err(|error| refused("compile", error))?;
                (engine, compiled)
            }
            // It brings core modules from outside; there is no saying what
            // they take, so each instance is allocated on its own.
            None => (unpooled, compiled),
        };
        entry.seal();
        ticker.drive(&engine);
        let linker = linker(&engine).map_err(|error| refused("prepare", error))?;
        let pre = linker
            .instantiate_pre(&compiled)
            .map_err(|error| refused("link", error))?;
        let script = ScriptIndices::new(&pre).map_err(|error| refused("link", error))?;
        let call_ticks = limits
            .iteration_timeout
            .as_nanos()
            .div_ceil(TICK.as_nanos());
        let inner = Inner {
            engine,
            script,
            hooks: HooksIndices::new(&pre).ok(),
            pre,
            env: scenario.env.clone(),
            http: Arc::new(scenario.http.clone()),
            tags: scenario.tags.clone(),
            call_ticks: u64::try_from(call_ticks).unwrap_or(u64::MAX),
            ticks: ticker.ticks(),
            _ticker: ticker.clone(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            clients,
            sources: Arc::default(),
        })
    }

    /// The same script with these sources of rows.
    #[must_use]
    pub fn with_data(self, sources: Arc<Sources>) -> Self {
        Self { sources, ..self }
    }
}

impl Script for Template {
    type Vu = ScriptVu;

    fn vu(&self, seat: Seat) -> Result<ScriptVu, Problem> {
        let client = self.clients.client();
        Ok(ScriptVu::new(
            self.inner.clone(),
            seat,
            client,
            self.sources.clone(),
        ))
    }

    fn has_lifecycle(&self) -> bool {
        self.inner.hooks.is_some()
    }
}

/// Everything that a script may import. WASI is there, and grants nothing.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    World::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

thread_local! {
    /// By scenario, so few that a search is the fastest.
    static TARGETS: RefCell<Vec<(Weak<HttpPlan>, Targets)>> = const { RefCell::new(Vec::new()) };
}

/// Works on this thread's memory of a scenario's URLs.
fn with_targets<R>(http: &Arc<HttpPlan>, f: impl FnOnce(&mut Targets) -> R) -> R {
    TARGETS.with_borrow_mut(|memory| {
        let known = |(plan, _): &(Weak<HttpPlan>, Targets)| plan.as_ptr() == Arc::as_ptr(http);
        let index = memory.iter().position(known).unwrap_or_else(|| {
            // Those of runs that are over.
            memory.retain(|(plan, _)| plan.strong_count() > 0);
            memory.push((Arc::downgrade(http), Targets::new(http)));
            memory.len() - 1
        });
        f(&mut memory[index].1)
    })
}
