//! A component as a [`Recorder`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use super::bindings::{self, RecorderPre};
use super::convert;
use super::output::Output;
use crate::error::Error;
use crate::event::Interests;
use crate::recorder::priority::Stretch;
use crate::recorder::{Batch, Recorder, RecorderError, RunInfo};
use crate::wasm::cache::CompileCache;
use crate::wasm::component::{self, LoadedComponent};
use crate::wasm::confined::{Confined, Failure, Instance, Limits, prepare};
use crate::wasm::engine::{TICK, Ticker};

/// How long a recorder may compute for one batch before it has to rest, in
/// ticks. So much is two milliseconds for each event of a full batch.
const GRACE: u32 = 50;

/// How long it then rests after each tick it has computed for, so that one that
/// never returns takes a twentieth of a core.
const REST: Duration = Duration::from_millis(19 * TICK.as_millis() as u64);

/// What a recorder may use.
pub const LIMITS: Limits = Limits {
    memory: 256 << 20,
    call: Duration::from_secs(10),
    handover: 64 << 20,
};

/// A recorder that is a component, on an engine of its own.
///
/// WASI is there and gives it nothing but clocks and random numbers; what it
/// prints goes to the host's diagnostics. Its calls block, so they must be made
/// outside of any asynchronous runtime: on the recorder's own thread.
pub struct WasmRecorder {
    name: String,
    limits: Limits,
    component: RecorderPre<Confined<Pace>>,
    /// Tells it for how long it has computed.
    _ticker: Arc<Ticker>,
    is_proven: bool,
    instance: Option<Instance<Pace, bindings::Recorder>>,
    /// How many events it has been told were dropped.
    dropped: u64,
    /// The most memory that an instance of it has had.
    memory_peak: u64,
}

impl WasmRecorder {
    /// Compiles a recorder, or takes what was compiled before. `ticker` tells it
    /// for how long it has computed.
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
            component: RecorderPre::new(prepared).map_err(refuse)?,
            _ticker: ticker.clone(),
            // What is part of the program.
            is_proven: matches!(component.bytes, Cow::Borrowed(_)),
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
    fn instantiate(&self) -> Result<Instance<Pace, bindings::Recorder>, RecorderError> {
        let output = Output::new(&self.name);
        let engine = self.component.engine();
        let mut store = Confined::store(engine, &output, self.limits, None, Pace::default());
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().own.tick()));
        let instantiate =
            async |store: &mut Store<_>| self.component.instantiate_async(store).await;
        Ok(Instance::new(store, output, self.limits, instantiate)?)
    }

    /// Makes one call. After a failure the instance is gone.
    fn call<T>(
        &mut self,
        pace: Pace,
        call: impl AsyncFnOnce(&bindings::Recorder, &mut Store<Confined<Pace>>) -> wasmtime::Result<T>,
    ) -> Result<T, RecorderError> {
        let mut instance = self
            .instance
            .take()
            .ok_or_else(|| RecorderError::Trapped("it is not running".to_owned()))?;
        instance.data().own = pace;
        let made = instance.call(call);
        self.memory_peak = self.memory_peak.max(instance.data().memory_used());
        let value = made?;
        self.instance = Some(instance);
        Ok(value)
    }
}

impl From<Failure> for RecorderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Trapped(reason) => Self::Trapped(reason),
            Failure::TimedOut(limit) => Self::TimedOut(limit),
        }
    }
}

impl Recorder for WasmRecorder {
    fn start(&mut self, run: &RunInfo) -> Result<Interests, RecorderError> {
        self.instance = Some(self.instantiate()?);
        let run = convert::run_info(run);
        self.call(Pace::Free, async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_start(store, &run).await
        })?
        .map(convert::interests)
        .map_err(RecorderError::Refused)
    }

    fn handle(&mut self, events: &Batch) -> Result<Vec<String>, RecorderError> {
        let converted = convert::events(events, &mut self.dropped);
        let pace = Pace::Bounded {
            ticks: 0,
            stretch: Stretch::begin(),
        };
        self.call(pace, async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_handle(store, &converted).await
        })
    }

    fn finish(&mut self) -> Result<Vec<String>, RecorderError> {
        let entries = self.call(Pace::Free, async |recorder, store| {
            let handler = recorder.squall_recorder_event_handler();
            handler.call_finish(store).await
        });
        self.instance = None;
        entries
    }

    fn is_proven(&self) -> bool {
        self.is_proven
    }
}

/// How long a call may compute without a rest.
#[derive(Debug, Clone, Copy, Default)]
enum Pace {
    /// As long as it likes: there is no load yet, or no longer.
    #[default]
    Free,
    /// For [`GRACE`], and then a twentieth of the time.
    Bounded {
        /// For how many ticks it has computed.
        ticks: u32,
        /// Since when.
        stretch: Stretch,
    },
}

impl Pace {
    /// The call has computed for a tick more: what is to come before it goes on.
    fn tick(&mut self) -> UpdateDeadline {
        if let Self::Bounded { ticks, stretch } = self {
            stretch.look();
            *ticks += 1;
            if *ticks > GRACE {
                return UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(REST)));
            }
        }
        // Its time may be over.
        UpdateDeadline::Yield(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::JSON;
    use super::*;
    use crate::event::{DataQuality, Event, EventKind, RunSummary, Stats, StopReason};
    use crate::recorder::Role;
    use crate::wasm::component::load_recorder;
    use crate::wasm::confined;

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
        let ticker = Ticker::start().map(Arc::new).expect("a thread");
        WasmRecorder::new(&component, cache, LIMITS, &ticker).expect("it compiles")
    }

    fn event(kind: EventKind) -> Event {
        Event {
            time_ms: 1_700_000_000_000.0,
            elapsed: Duration::from_secs(1),
            node: "standalone".into(),
            kind,
        }
    }

    fn batch<const N: usize>(events: [Event; N]) -> Batch {
        events.into_iter().collect()
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
            .handle(&batch([
                event(EventKind::RunStarted),
                event(EventKind::EventsDropped(5)),
                finished(),
            ]))
            .expect("handles");
        entries.extend(recorder.finish().expect("finishes"));
        let entries: Vec<_> = entries.iter().flat_map(|text| text.lines()).collect();
        assert!(entries.len() >= 2, "{entries:?}");
        for entry in entries {
            let value: serde_json::Value = serde_json::from_str(entry).expect("JSON");
            assert!(value.is_object(), "{entry}");
            assert!(entry.contains("run-1"), "{entry}");
        }
        // It may be started again.
        recorder.start(&run_info(&[])).expect("starts");
        recorder
            .handle(&batch([event(EventKind::RunStarted)]))
            .expect("handles");
    }

    #[test]
    fn what_was_compiled_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = CompileCache::new(Some(dir.path().to_owned()));
        drop(json(&cache));
        let component = load_recorder(&JSON).expect("it is a recorder");
        let entry = cache.open(&component.bytes);
        let engine = confined::engine(&entry).expect("valid settings");
        entry
            .compile(&engine, &component.name, &component.bytes)
            .expect("valid");
        assert_eq!(entry.hits(), 1);
    }

    #[test]
    fn calls_out_of_turn_are_failures_and_no_more() {
        let mut recorder = json(&CompileCache::new(None));
        assert!(recorder.handle(&batch([finished()])).is_err());
        assert!(recorder.finish().is_err());
    }
}
