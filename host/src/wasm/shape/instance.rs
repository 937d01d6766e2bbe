//! A component as a [`Shape`].

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, Store};

use super::bindings::{self, ShapePre};
use super::convert;
use crate::error::Error;
use crate::event::{Finding, Stats};
use crate::shape::{Shape, ShapeError, ShapeInfo, Target};
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{self, LoadedComponent};
use crate::wasm::confined::{Confined, explain};
use crate::wasm::engine::Ticker;
use crate::wasm::recorder::Output;

/// What a shape may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Its memory, in bytes.
    pub memory: u64,
    /// How long one call may take, waiting included.
    pub call: Duration,
    /// How much it may hand over in one call, in bytes: its report, or what it
    /// prints.
    pub handover: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            call: Duration::from_secs(5),
            handover: 1 << 20,
        }
    }
}

/// A shape that is a component, on an engine of its own.
///
/// WASI is there and gives it nothing but clocks, and random numbers that follow
/// from the run's seed; what it prints goes to the host's diagnostics. Its calls block, so they must be made
/// outside of any asynchronous runtime: on the shape's own thread.
pub struct WasmShape {
    name: String,
    limits: Limits,
    engine: Engine,
    component: ShapePre<Confined<()>>,
    /// Tells it for how long it has computed.
    _ticker: Arc<Ticker>,
    instance: Option<Instance>,
}

struct Instance {
    /// Drives the calls, which are asynchronous only so that one that takes too
    /// long can be given up wherever it is.
    runtime: Runtime,
    store: Store<Confined<()>>,
    shape: bindings::Shape,
    output: Output,
}

impl WasmShape {
    /// Compiles a shape, or takes what was compiled before.
    ///
    /// # Errors
    ///
    /// If it is not a valid component, or what it imports and exports has not
    /// the types it should have.
    pub fn new(
        component: &LoadedComponent,
        cache: &CompileCache,
        limits: Limits,
        ticker: &Arc<Ticker>,
    ) -> Result<Self, Error> {
        let refuse = |error| component::refused_by_engine(&component.name, &error);
        let entry = cache.open(&component.bytes);
        let mut config = Config::new();
        config
            .cache(entry.cache())
            .concurrency_support(false)
            .epoch_interruption(true);
        let engine = Engine::new(&config).map_err(refuse)?;
        let compiled = entry
            .compile(&engine, &component.name, &component.bytes)
            .map_err(refuse)?;
        entry.seal();
        let mut linker = Linker::<Confined<()>>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(refuse)?;
        let pre = linker.instantiate_pre(&compiled).map_err(refuse)?;
        ticker.drive(&engine);
        Ok(Self {
            name: component.name.clone(),
            limits,
            component: ShapePre::new(pre).map_err(refuse)?,
            _ticker: ticker.clone(),
            engine,
            instance: None,
        })
    }

    fn instantiate(&self, seed: u64) -> Result<Instance, ShapeError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| ShapeError::Trapped(error.to_string()))?;
        let Limits {
            memory,
            call,
            handover,
        } = self.limits;
        let output = Output::of("shape", &self.name);
        let mut store = Confined::store(&self.engine, &output, memory, handover, Some(seed), ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let made = runtime.block_on(async {
            let made = self.component.instantiate_async(&mut store);
            tokio::time::timeout(call, made).await
        });
        match made {
            Ok(Ok(shape)) => Ok(Instance {
                runtime,
                store,
                shape,
                output,
            }),
            Ok(Err(error)) => Err(ShapeError::Trapped(explain(
                &error,
                store.data(),
                &output,
                handover,
            ))),
            Err(_) => Err(ShapeError::TimedOut(call)),
        }
    }

    /// Makes one call. After a failure the instance is gone.
    fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&bindings::Shape, &mut Store<Confined<()>>) -> wasmtime::Result<T>,
    ) -> Result<T, ShapeError> {
        let mut instance = self
            .instance
            .take()
            .ok_or_else(|| ShapeError::Trapped("it is not running".to_owned()))?;
        let Instance {
            runtime,
            store,
            shape,
            output,
        } = &mut instance;
        // What has ticked since the last call is none of its business.
        store.set_epoch_deadline(1);
        let Limits {
            call: limit,
            handover,
            ..
        } = self.limits;
        let made =
            runtime.block_on(async { tokio::time::timeout(limit, call(shape, &mut *store)).await });
        match made {
            Ok(Ok(value)) => {
                self.instance = Some(instance);
                Ok(value)
            }
            Ok(Err(error)) => Err(ShapeError::Trapped(explain(
                &error,
                store.data(),
                output,
                handover,
            ))),
            Err(_) => Err(ShapeError::TimedOut(limit)),
        }
    }
}

impl Shape for WasmShape {
    fn start(&mut self, run: &ShapeInfo) -> Result<(), ShapeError> {
        self.instance = Some(self.instantiate(run.seed)?);
        let run = convert::run_info(run);
        self.call(async |shape, store| {
            shape
                .squall_shape_load_shape()
                .call_start(store, &run)
                .await
        })?
        .map_err(ShapeError::Refused)
    }

    fn target_at(
        &mut self,
        elapsed: Duration,
        stats: &Stats,
    ) -> Result<Option<Target>, ShapeError> {
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        let stats = convert::stats(stats);
        let target = self.call(async |shape, store| {
            let load_shape = shape.squall_shape_load_shape();
            load_shape.call_target_at(store, elapsed_ms, stats).await
        })?;
        target.map(convert::target).transpose()
    }

    fn report(&mut self) -> Result<Vec<(String, Finding)>, ShapeError> {
        let report = self
            .call(async |shape, store| shape.squall_shape_load_shape().call_report(store).await);
        Ok(report?.into_iter().map(convert::finding).collect())
    }
}
