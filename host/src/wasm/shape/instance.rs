//! A component as a [`Shape`].

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::bindings::{self, ShapePre};
use super::convert;
use crate::error::Error;
use crate::event::{Finding, Stats};
use crate::shape::{Shape, ShapeError, ShapeInfo, Target};
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{self, LoadedComponent};
use crate::wasm::confined::{Confined, Failure, Instance, Limits, prepare};
use crate::wasm::engine::Ticker;
use crate::wasm::recorder::Output;

/// What a shape may use.
pub const LIMITS: Limits = Limits {
    memory: 256 << 20,
    call: Duration::from_secs(5),
    handover: 1 << 20,
};

/// A shape that is a component, on an engine of its own.
///
/// WASI is there and gives it nothing but clocks, and random numbers that follow
/// from the run's seed; what it prints goes to the host's diagnostics. Its calls
/// block, so they must be made outside of any asynchronous runtime: on the shape's
/// own thread.
pub struct WasmShape {
    name: String,
    limits: Limits,
    component: ShapePre<Confined<()>>,
    /// Tells it for how long it has computed.
    _ticker: Arc<Ticker>,
    instance: Option<Instance<(), bindings::Shape>>,
}

impl WasmShape {
    /// Compiles a shape, or takes what was compiled before. `ticker` tells it for how
    /// long it has computed.
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
        let prepared = prepare(component, cache, ticker)?;
        let refuse = |error| component::refused_by_engine(&component.name, &error);
        Ok(Self {
            name: component.name.clone(),
            limits,
            component: ShapePre::new(prepared).map_err(refuse)?,
            _ticker: ticker.clone(),
            instance: None,
        })
    }

    fn instantiate(&self, seed: u64) -> Result<Instance<(), bindings::Shape>, ShapeError> {
        let output = Output::of("shape", &self.name);
        let engine = self.component.engine();
        let mut store = Confined::store(engine, &output, self.limits, Some(seed), ());
        store.epoch_deadline_async_yield_and_update(1);
        let instantiate =
            async |store: &mut Store<_>| self.component.instantiate_async(store).await;
        Ok(Instance::new(store, output, self.limits, instantiate)?)
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
        let value = instance.call(call)?;
        self.instance = Some(instance);
        Ok(value)
    }
}

impl From<Failure> for ShapeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Trapped(reason) => Self::Trapped(reason),
            Failure::TimedOut(limit) => Self::TimedOut(limit),
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
