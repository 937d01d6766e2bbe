//! Engines for scripts: how they are compiled, and what bounds them.
//!
//! Each script has an engine of its own, with a pool that holds exactly its
//! VUs. The settings are those that measured best: no support for concurrent
//! calls into one instance, compact slots with explicit bounds checks (a slot
//! of 4 GiB costs page tables for nothing), and stacks that only take the
//! memory they touch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, PoolingAllocationConfig, ResourcesRequired};

/// The stack of a guest's functions, in bytes.
const GUEST_STACK: usize = 512 << 10;
/// The stack of a call, in bytes: the guest's functions, and the host's that
/// they call. Only address space until it is touched.
const CALL_STACK: usize = 1 << 20;
/// A core component has at most so many instances inside: Python's has 38.
const INSTANCES: u32 = 100;

/// How often a guest is asked whether it has computed for too long. A guest
/// that computes longer than this lets others run.
pub const TICK: Duration = Duration::from_millis(10);

/// The settings that shape compiled code, the same with and without a pool.
pub fn settings(vu_memory: u64, cache: Option<wasmtime::Cache>) -> Config {
    let mut config = Config::new();
    config.cache(cache);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(GUEST_STACK);
    config.async_stack_size(CALL_STACK);
    config.memory_reservation(vu_memory);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(0);
    config.guard_before_linear_memory(false);
    config
}

/// The pool for `slots` instances of a component at once. Address space for
/// all of them is reserved when the engine is made; memory is not.
pub fn pool(required: &ResourcesRequired, slots: u32, vu_memory: u64) -> PoolingAllocationConfig {
    let each = |count: u32| slots.saturating_mul(count);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(each(INSTANCES))
        .total_memories(each(required.num_memories.max(1)))
        .total_tables(each(required.num_tables.max(1)))
        .total_stacks(slots)
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(required.num_memories.max(1))
        .max_tables_per_component(required.num_tables.max(1))
        .max_memory_size(usize::try_from(vu_memory).unwrap_or(usize::MAX))
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(
            usize::try_from(required.max_initial_table_size.unwrap_or(0))
                .unwrap_or(usize::MAX)
                .max(128),
        )
        .max_unused_warm_slots(0);
    pool
}

/// The clock by which guests' computing is measured: a thread that advances
/// the engines' epochs every [`TICK`], and counts.
///
/// It ends when the ticker is dropped.
pub struct Ticker {
    ticks: Arc<AtomicU64>,
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the clock.
    ///
    /// # Errors
    ///
    /// If the machine gives no more threads.
    pub fn start() -> std::io::Result<Self> {
        let ticks = Arc::new(AtomicU64::new(0));
        let engines: Arc<Mutex<Vec<EngineWeak>>> = Arc::default();
        // Nothing is ever sent: the thread ends when the sender is dropped.
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = {
            let (ticks, engines) = (ticks.clone(), engines.clone());
            std::thread::Builder::new()
                .name("squall-ticker".into())
                .spawn(move || {
                    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                        ticks.fetch_add(1, Ordering::Relaxed);
                        let engines = engines.lock().unwrap_or_else(PoisonError::into_inner);
                        engines
                            .iter()
                            .filter_map(EngineWeak::upgrade)
                            .for_each(|engine| engine.increment_epoch());
                    }
                })?
        };
        Ok(Self {
            ticks,
            engines,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Advances this engine's epoch from now on.
    pub fn drive(&self, engine: &Engine) {
        self.engines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(engine.weak());
    }

    /// The count of ticks, for whoever measures by it.
    pub fn ticks(&self) -> Arc<AtomicU64> {
        self.ticks.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only counts; a panic there has nothing to tell.
            let _ = thread.join();
        }
    }
}
