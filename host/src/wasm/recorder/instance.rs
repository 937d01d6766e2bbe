//! A component as a [`Recorder`].

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, ResourceLimiter, Store, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::{self, RecorderPre};
use super::convert;
use super::output::Output;
use crate::error::{Error, Problem};
use crate::event::{Event, EventKind, Interests};
use crate::recorder::{Recorder, RecorderError, RunInfo};
use crate::units::Bytes;
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{self, LoadedComponent};

/// How often a recorder that computes is asked to let the clock be read.
const TICK: Duration = Duration::from_millis(50);

/// How many of the host's things, such as timers, a recorder may hold.
const RESOURCES: usize = 1_000;

/// What a recorder may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Its memory, in bytes.
    pub memory: u64,
    /// How long one call may take, waiting included.
    pub call: Duration,
    /// How much it may hand over in one call, in bytes: its entries, or what it
    /// prints.
    pub handover: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            call: Duration::from_secs(10),
            handover: 64 << 20,
        }
    }
}

/// A recorder that is a component, on an engine of its own.
///
/// WASI is there and gives it nothing but clocks and random numbers; what it
/// prints goes to the host's diagnostics. Its calls block, so they must be made
/// outside of any asynchronous runtime: on the recorder's own thread.
pub struct WasmRecorder {
    name: String,
    limits: Limits,
    engine: Engine,
    component: RecorderPre<State>,
    _ticker: Ticker,
    instance: Option<Instance>,
    /// How many events it has been told were dropped.
    dropped: u64,
    /// The most memory that an instance of it has had.
    memory_peak: u64,
}

struct Instance {
    /// Drives the calls, which are asynchronous only so that one that takes too
    /// long can be given up wherever it is.
    runtime: Runtime,
    store: Store<State>,
    recorder: bindings::Recorder,
    output: Output,
}

impl WasmRecorder {
    /// Compiles a recorder, or takes what was compiled before.
    ///
    /// # Errors
    ///
    /// If it is not a valid component, or what it imports and exports has not
    /// the types it should have.
    pub fn new(
        component: &LoadedComponent,
        cache: &CompileCache,
        limits: Limits,
    ) -> Result<Self, Error> {
        let refuse = |error| component::refused_by_engine(&component.name, &error);
        let entry = cache.open(&component.bytes);
        let mut config = Config::new();
        config
            .cache(entry.cache())
            .concurrency_support(false)
            .epoch_interruption(true);
        let engine = Engine::new(&config).map_err(refuse)?;
        let compiled = Component::new(&engine, &component.bytes).map_err(refuse)?;
        entry.seal();
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(refuse)?;
        let pre = linker.instantiate_pre(&compiled).map_err(refuse)?;
        Ok(Self {
            name: component.name.clone(),
            limits,
            component: RecorderPre::new(pre).map_err(refuse)?,
            _ticker: Ticker::start(&engine).map_err(|error| {
                Error::Machine(Problem::new(format!(
                    "cannot start a thread for the recorder `{}`: {error}",
                    component.name
                )))
            })?,
            engine,
            instance: None,
            dropped: 0,
            memory_peak: 0,
        })
    }

    /// Forgets the run before, for another one.
    pub fn reset(&mut self) {
        self.instance = None;
        self.dropped = 0;
        self.memory_peak = 0;
    }

    /// The most memory that it has had at once since it was made or reset, in
    /// bytes. A component's memory grows and never shrinks.
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak
    }

    /// Makes a fresh instance; not yet the running one.
    fn instantiate(&self) -> Result<Instance, RecorderError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| RecorderError::Trapped(error.to_string()))?;
        let output = Output::new(&self.name);
        let wasi = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let state = State {
            wasi,
            table,
            memory: Memory {
                limit: self.limits.memory,
                used: 0,
                refused: false,
            },
        };
        let mut store = Store::new(&self.engine, state);
        store.set_hostcall_fuel(self.limits.handover);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let made = runtime.block_on(async {
            let call = self.component.instantiate_async(&mut store);
            tokio::time::timeout(self.limits.call, call).await
        });
        match made {
            Ok(Ok(recorder)) => Ok(Instance {
                runtime,
                store,
                recorder,
                output,
            }),
            Ok(Err(error)) => Err(explain(&error, store.data(), &output)),
            Err(_) => Err(RecorderError::TimedOut(self.limits.call)),
        }
    }

    /// Makes one call. After a failure the instance is gone.
    fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&bindings::Recorder, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, RecorderError> {
        let mut instance = self
            .instance
            .take()
            .ok_or_else(|| RecorderError::Trapped("it is not running".to_owned()))?;
        let Instance {
            runtime,
            store,
            recorder,
            ..
        } = &mut instance;
        let made = runtime.block_on(async {
            tokio::time::timeout(self.limits.call, call(recorder, store)).await
        });
        let used = instance.store.data().memory.used;
        self.memory_peak = self.memory_peak.max(used);
        match made {
            Ok(Ok(value)) => {
                self.instance = Some(instance);
                Ok(value)
            }
            Ok(Err(error)) if is_too_much(&error) => Err(RecorderError::Trapped(format!(
                "it handed over more than {} in one call",
                Bytes(self.limits.handover as u64)
            ))),
            Ok(Err(error)) => Err(explain(&error, instance.store.data(), &instance.output)),
            Err(_) => Err(RecorderError::TimedOut(self.limits.call)),
        }
    }
}

/// Whether the engine refused to copy so much out of a guest. It has no type
/// for that, but its words.
fn is_too_much(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
}

impl Recorder for WasmRecorder {
    fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError> {
        self.instance = Some(self.instantiate()?);
        let run = convert::run_info(run);
        self.call(async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_start(store, &run).await
        })?
        .map(convert::interests)
        .map_err(RecorderError::Refused)
    }

    fn handle(&mut self, events: &[Event]) -> Result<Vec<String>, RecorderError> {
        let mut converted = Vec::with_capacity(events.len());
        for event in events {
            if let EventKind::EventsDropped(count) = event.kind {
                self.dropped += count;
            }
            converted.push(convert::event(event, self.dropped));
        }
        self.call(async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_handle(store, &converted).await
        })
    }

    fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
        let entries = self.call(async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_finish(store).await
        });
        self.instance = None;
        entries
    }
}

/// Puts a failure into words: what happened, what the recorder printed last,
/// and which of its functions led there.
fn explain(error: &wasmtime::Error, state: &State, output: &Output) -> RecorderError {
    let mut text = error.root_cause().to_string();
    if state.memory.refused {
        text = format!(
            "it wanted more than {} of memory ({text})",
            Bytes(state.memory.limit)
        );
    }
    if let Some(words) = output.last_words() {
        return RecorderError::Trapped(format!("{text}; it printed: {words}"));
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
    RecorderError::Trapped(text)
}

/// What a recorder's store holds.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The memory of a recorder: all its memories and tables together.
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

/// A thread that advances an engine's epoch every [`TICK`], until it is
/// dropped.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.weak();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("recorder-ticker".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::JSON;
    use super::*;
    use crate::event::{DataQuality, RunSummary, Stats, StopReason};
    use crate::recorder::Role;
    use crate::wasm::component::load_recorder;

    fn run_info(options: &[(&str, &str)]) -> RunInfo {
        RunInfo {
            run_id: "run-1".to_owned(),
            test_plan: "checkout".to_owned(),
            host_version: "0.1.0".to_owned(),
            role: Role::Standalone,
            node: "standalone".into(),
            hostname: "here".to_owned(),
            process_id: 4711,
            scenarios: vec!["default".into()],
            tags: vec![("team".into(), "shop".into())],
            stats_interval: Duration::from_secs(2),
            plan: "{}".to_owned(),
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn json(cache: &CompileCache) -> WasmRecorder {
        let component = load_recorder(&JSON).expect("it is a recorder");
        WasmRecorder::new(&component, cache, Limits::default()).expect("it compiles")
    }

    fn event(kind: EventKind) -> Event {
        Event {
            time_ms: 1_700_000_000_000.0,
            elapsed: Duration::from_secs(1),
            node: "standalone".into(),
            kind,
        }
    }

    fn finished() -> Event {
        event(EventKind::RunFinished(Arc::new(RunSummary {
            passed: true,
            exit_code: 0,
            reason: StopReason::Completed,
            stats: Arc::new(Stats::default()),
            thresholds: Vec::new(),
            quality: DataQuality::default(),
        })))
    }

    #[test]
    fn the_embedded_recorder_turns_events_into_objects() {
        let mut recorder = json(&CompileCache::new(None));
        let interests = recorder.start(&run_info(&[])).expect("starts");
        assert!(interests.contains(Interests::STATS));
        let mut entries = recorder
            .handle(&[
                event(EventKind::RunStarted),
                event(EventKind::EventsDropped(5)),
                finished(),
            ])
            .expect("handles");
        entries.extend(recorder.finish().expect("finishes"));
        assert!(entries.len() >= 2, "{entries:?}");
        for entry in &entries {
            let value: serde_json::Value = serde_json::from_str(entry).expect("JSON");
            assert!(value.is_object(), "{entry}");
            assert!(entry.contains("run-1"), "{entry}");
        }
        // It may be started again.
        recorder.start(&run_info(&[])).expect("starts");
        recorder
            .handle(&[event(EventKind::RunStarted)])
            .expect("handles");
    }

    #[test]
    fn what_was_compiled_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = CompileCache::new(Some(dir.path().to_owned()));
        drop(json(&cache));
        let component = load_recorder(&JSON).expect("it is a recorder");
        let entry = cache.open(&component.bytes);
        let mut config = Config::new();
        config
            .cache(entry.cache())
            .concurrency_support(false)
            .epoch_interruption(true);
        let engine = Engine::new(&config).expect("valid settings");
        Component::new(&engine, &component.bytes).expect("valid");
        assert_eq!(entry.hits(), 1);
    }

    #[test]
    fn calls_out_of_turn_are_failures_and_no_more() {
        let mut recorder = json(&CompileCache::new(None));
        assert!(recorder.handle(&[finished()]).is_err());
        assert!(recorder.finish().is_err());
    }

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
