//! Components that are called now and then, each on a thread of its own: recorders
//! and shapes. What they may use, how a call is made that may take too long, and how
//! their failures are put into words.
//!
//! WASI is there and gives it nothing but clocks and random numbers. Its memory,
//! what it holds of the host's things, and what it hands over in one call are
//! limited, and so is the time of a call.

use std::time::Duration;

use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::runtime::{self, Runtime};
use wasmtime::component::{InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Store, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::error::Error;
use crate::units::Bytes;
use crate::wasm::cache::{CompileCache, Entry};
use crate::wasm::component::{self, LoadedComponent};
use crate::wasm::engine::Ticker;
use crate::wasm::output::Printer;
use crate::wasm::recorder::Output;

/// How many of the host's things, such as timers, a guest may hold.
const RESOURCES: usize = 1_000;

/// What such a guest may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Its memory, in bytes.
    pub memory: u64,
    /// How long one call may take, waiting included.
    pub call: Duration,
    /// How much it may hand over in one call, in bytes: what it returns, or what it
    /// prints.
    pub handover: usize,
}

/// How such a guest failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It stopped in the middle of a call: why, and where.
    Trapped(String),
    /// A call took longer than this.
    TimedOut(Duration),
}

/// Compiles such a guest, or takes what was compiled before, for an engine of its own,
/// which `ticker` tells for how long it has computed.
///
/// # Errors
///
/// If it is not a valid component, or what it imports has not the types it should
/// have.
pub(super) fn prepare<T: Send + 'static>(
    component: &LoadedComponent,
    cache: &CompileCache,
    ticker: &Ticker,
) -> Result<InstancePre<Confined<T>>, Error> {
    let refuse = |error| component::refused_by_engine(&component.name, &error);
    let entry = cache.open(&component.bytes);
    let engine = engine(&entry).map_err(refuse)?;
    let compiled = entry
        .compile(&engine, &component.name, &component.bytes)
        .map_err(refuse)?;
    entry.seal();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(refuse)?;
    let pre = linker.instantiate_pre(&compiled).map_err(refuse)?;
    ticker.drive(&engine);
    Ok(pre)
}

/// The engine of such a guest, for one component alone.
pub(super) fn engine(entry: &Entry<'_>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .cache(entry.cache())
        .concurrency_support(false)
        .epoch_interruption(true);
    Engine::new(&config)
}

/// An instance of such a guest, with the functions `E` that it exports.
pub(super) struct Instance<T: 'static, E> {
    /// Drives the calls, which are asynchronous only so that one that takes too
    /// long can be given up wherever it is.
    runtime: Runtime,
    store: Store<Confined<T>>,
    exports: E,
    output: Output,
    limits: Limits,
}

impl<T: Send + 'static, E> Instance<T, E> {
    /// Makes one in a store that is [`Confined::store`]'s. Blocks.
    pub(super) fn new(
        mut store: Store<Confined<T>>,
        output: Output,
        limits: Limits,
        instantiate: impl AsyncFnOnce(&mut Store<Confined<T>>) -> wasmtime::Result<E>,
    ) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Failure::Trapped(error.to_string()))?;
        let made = runtime
            .block_on(async { tokio::time::timeout(limits.call, instantiate(&mut store)).await });
        match made {
            Ok(Ok(exports)) => Ok(Self {
                runtime,
                store,
                exports,
                output,
                limits,
            }),
            Ok(Err(error)) => Err(Failure::Trapped(explain(
                &error,
                store.data(),
                &output,
                limits.handover,
            ))),
            Err(_) => Err(Failure::TimedOut(limits.call)),
        }
    }

    /// Makes one call. Blocks, so it must be outside of any asynchronous runtime.
    /// After a failure there must be no other.
    pub(super) fn call<R>(
        &mut self,
        call: impl AsyncFnOnce(&E, &mut Store<Confined<T>>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let Self {
            runtime,
            store,
            exports,
            output,
            limits,
        } = self;
        // What has ticked since the last call is none of its business.
        store.set_epoch_deadline(1);
        let made = runtime
            .block_on(async { tokio::time::timeout(limits.call, call(exports, store)).await });
        match made {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Failure::Trapped(explain(
                &error,
                store.data(),
                output,
                limits.handover,
            ))),
            Err(_) => Err(Failure::TimedOut(limits.call)),
        }
    }

    /// What its store holds.
    pub(super) fn data(&mut self) -> &mut Confined<T> {
        self.store.data_mut()
    }
}

/// What the store of such a guest holds.
pub(super) struct Confined<T> {
    /// What its kind of guest needs beside.
    pub(super) own: T,
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
}

impl<T: Send + 'static> Confined<T> {
    /// A store with these limits on its memory and on a handover. All that is random in
    /// it follows from `seed`, if there is one.
    pub(super) fn store(
        engine: &Engine,
        output: &Output,
        limits: Limits,
        seed: Option<u64>,
        own: T,
    ) -> Store<Self> {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Printer(output.clone()))
            .stderr(Printer(output.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        if let Some(seed) = seed {
            let random = |number| Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(number));
            wasi.secure_random(random(0))
                .insecure_random(random(1))
                .insecure_random_seed(u128::from(seed));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let confined = Self {
            own,
            wasi: wasi.build(),
            table,
            memory: Memory {
                limit: limits.memory,
                used: 0,
                refused: false,
            },
        };
        let mut store = Store::new(engine, confined);
        store.set_hostcall_fuel(limits.handover);
        store.limiter(|confined| &mut confined.memory);
        store.set_epoch_deadline(1);
        store
    }

    /// The memory that it has, in bytes.
    pub(super) fn memory_used(&self) -> u64 {
        self.memory.used
    }
}

impl<T: Send> WasiView for Confined<T> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Puts a failure into words: what happened, what the guest printed last, and
/// which of its functions led there.
fn explain<T>(
    error: &wasmtime::Error,
    confined: &Confined<T>,
    output: &Output,
    handover: usize,
) -> String {
    let mut text = error.root_cause().to_string();
    // The engine has no type for that, but its words.
    if text.contains("fuel allocated for hostcalls") {
        let limit = Bytes(handover as u64);
        return format!("it handed over more than {limit} in one call");
    }
    if confined.memory.refused {
        let limit = Bytes(confined.memory.limit);
        text = format!("it wanted more than {limit} of memory ({text})");
    }
    if let Some(words) = output.last_words() {
        return format!("{text}; it printed: {words}");
    }
    let stack = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string)
        .unwrap_or_default();
    let functions: Vec<_> = stack
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .map(|(_, name)| name)
        .take(8)
        .collect();
    if !functions.is_empty() {
        text = format!("{text}; in {}", functions.join(" < "));
    }
    text
}

/// The memory of a guest: all its memories and tables together.
#[derive(Debug)]
struct Memory {
    limit: u64,
    used: u64,
    /// Whether it ever asked for more than the limit.
    refused: bool,
}

impl Memory {
    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.used.saturating_add(bytes as u64);
        let admitted = wanted <= self.limit;
        if admitted {
            self.used = wanted;
        }
        self.refused |= !admitted;
        admitted
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(desired - current))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired - current;
        Ok(maximum.is_none_or(|maximum| desired <= maximum)
            && self.grow(elements.saturating_mul(size_of::<usize>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_all_that_grows() {
        let mut memory = Memory {
            limit: 100,
            used: 0,
            refused: false,
        };
        assert!(memory.memory_growing(0, 60, None).expect("answers"));
        assert!(memory.table_growing(0, 4, None).expect("answers"));
        assert!(!memory.memory_growing(0, 30, None).expect("answers"));
        assert!(memory.refused);
        assert!(memory.memory_growing(60, 68, None).expect("answers"));
        assert!(!memory.memory_growing(0, 1, Some(0)).expect("answers"));
    }
}
