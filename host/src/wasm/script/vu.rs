//! One VU: a script's instance, and a fresh one after a trap.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use super::Inner;
use super::bindings::Script;
use super::bindings::lifecycle::Hooks;
use super::driver::{Desk, drive};
use super::failure::{describe, told};
use super::state::State;
use crate::data::Sources;
use crate::http::Client;
use crate::measure::ScriptError;
use crate::vu::{Next, Seat, VirtualUser};

/// A virtual user that runs a script.
pub struct ScriptVu {
    template: Arc<Inner>,
    seat: Seat,
    client: Arc<Client>,
    sources: Arc<Sources>,
    desk: Arc<Desk>,
    /// What `setup` returned.
    data: Arc<str>,
    /// How many instances this VU, and those before it, have had.
    instances: u32,
    live: Option<Box<Live>>,
}

/// How many instances a VU can have before it shares the random numbers of the
/// next one with its number.
const LIVES_APART: u32 = 1 << 12;

/// An instance and its store.
struct Live {
    store: Store<State>,
    script: Script,
    hooks: Option<Hooks>,
}

/// Why a call into a guest did not return.
type Trapped = wasmtime::Error;

impl ScriptVu {
    /// A VU without an instance: [`prepare`](VirtualUser::prepare) makes it.
    pub(super) fn new(
        template: Arc<Inner>,
        seat: Seat,
        client: Client,
        sources: Arc<Sources>,
    ) -> Self {
        let desk = Arc::new(Desk::new(template.ticks.clone()));
        Self {
            template,
            client: Arc::new(client),
            sources,
            desk,
            data: Arc::default(),
            // A VU that takes over a number must not repeat the random numbers
            // of those that had it.
            instances: seat.life.wrapping_mul(LIVES_APART),
            seat,
            live: None,
        }
    }

    /// Makes the instance, unless there is one. Fails if the component's own
    /// start code does, or takes too long.
    async fn instantiate(&mut self) -> Result<(), ScriptError> {
        if self.live.is_some() {
            return Ok(());
        }
        let state = State::new(
            self.seat.clone(),
            self.desk.clone(),
            self.client.clone(),
            self.template.clone(),
            self.sources.clone(),
            self.instances,
        );
        self.instances += 1;
        let mut store = Store::new(&self.template.engine, state);
        store.limiter(|state| &mut state.memory);
        let limit = self.template.call_ticks;
        store.epoch_deadline_callback(move |context| {
            let desk = &context.data().desk;
            Ok(if desk.computed() >= limit {
                UpdateDeadline::Interrupt
            } else if desk.computed_since_poll() > 0 {
                // The runtime's own way to yield looks at the sockets before it
                // goes on. A plain one would leave the other VUs' answers lying
                // for dozens of ticks.
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
            } else {
                // The deadline passed while the guest was waiting.
                UpdateDeadline::Continue(1)
            })
        });
        store.set_epoch_deadline(1);
        let instance = {
            let making = self.template.pre.instantiate_async(&mut store);
            drive(making, &self.desk, &self.client, &self.seat.leave).await
        };
        let made = instance.and_then(|instance| {
            let script = self.template.script.load(&mut store, &instance)?;
            let hooks = match &self.template.hooks {
                Some(hooks) => Some(hooks.load(&mut store, &instance)?),
                None => None,
            };
            Ok((script, hooks))
        });
        match made {
            Ok((script, hooks)) => {
                self.live = Some(Box::new(Live {
                    store,
                    script,
                    hooks,
                }));
                Ok(())
            }
            Err(error) => Err(describe(&error, store.data_mut())),
        }
    }

    /// What a call returned. After a trap the instance cannot be used again
    /// and is let go.
    fn returned<T>(&mut self, returned: Result<T, Trapped>) -> Result<T, ScriptError> {
        let live = self
            .live
            .as_mut()
            .expect("a call was made into the instance");
        match returned {
            Ok(value) => {
                live.store.data_mut().end_responses();
                Ok(value)
            }
            Err(error) => {
                let state = live.store.data_mut();
                state.end_responses();
                state.end_requests();
                let failure = describe(&error, state);
                self.live = None;
                Err(failure)
            }
        }
    }

    /// Makes an instance and runs `on-start` in it.
    async fn begin(&mut self) -> Result<Next, ScriptError> {
        self.instantiate().await?;
        let live = self.live.as_mut().expect("an instance was just made");
        let Some(hooks) = &live.hooks else {
            return Ok(Next::Continue);
        };
        live.store.data_mut().begin_iteration(0, None);
        live.store.set_epoch_deadline(1);
        let call = hooks
            .squall_script_lifecycle()
            .call_on_start(&mut live.store, &self.data);
        let returned = drive(call, &self.desk, &self.client, &self.seat.leave).await;
        let without_rows = self.is_without_rows();
        let outcome = self.returned(returned);
        if without_rows {
            return Ok(Next::NoRow);
        }
        outcome?.map_err(|text| told(&text, self.seat.vu))?;
        Ok(Next::Continue)
    }

    /// Whether the script asked for a row and there was none: then the VU ends,
    /// in whichever way the call did.
    fn is_without_rows(&self) -> bool {
        let live = self.live.as_ref();
        live.is_some_and(|live| live.store.data().without_rows)
    }
}

impl VirtualUser for ScriptVu {
    async fn prepare(&mut self) -> Result<(), ScriptError> {
        // Boxed, here and below: a VU's task keeps room for all that it ever
        // waits for, and this is large and rare.
        Box::pin(self.instantiate()).await
    }

    async fn setup(&mut self) -> Result<Arc<str>, ScriptError> {
        self.instantiate().await?;
        let live = self.live.as_mut().expect("an instance was just made");
        let Some(hooks) = &live.hooks else {
            return Ok(Arc::default());
        };
        live.store.data_mut().begin_iteration(0, None);
        live.store.set_epoch_deadline(1);
        let call = hooks.squall_script_lifecycle().call_setup(&mut live.store);
        let returned = drive(call, &self.desk, &self.client, &self.seat.leave).await;
        match self.returned(returned)? {
            Ok(data) => Ok(data.into()),
            Err(text) => Err(told(&text, self.seat.vu)),
        }
    }

    async fn teardown(&mut self, data: &str) -> Result<(), ScriptError> {
        self.instantiate().await?;
        let live = self.live.as_mut().expect("an instance was just made");
        let Some(hooks) = &live.hooks else {
            return Ok(());
        };
        live.store.data_mut().begin_iteration(0, None);
        live.store.set_epoch_deadline(1);
        let call = hooks
            .squall_script_lifecycle()
            .call_teardown(&mut live.store, data);
        let returned = drive(call, &self.desk, &self.client, &self.seat.leave).await;
        self.returned(returned)
    }

    async fn start(&mut self, data: Arc<str>) -> Result<Next, ScriptError> {
        self.data = data;
        Box::pin(self.begin()).await
    }

    async fn iterate(&mut self, number: u32, lag: Option<Duration>) -> Result<Next, ScriptError> {
        if self.live.is_none() {
            // The instance before trapped: this one starts as the first did.
            let next = Box::pin(self.begin()).await?;
            if next != Next::Continue {
                return Ok(next);
            }
        }
        let live = self.live.as_mut().expect("an instance was just made");
        live.store.data_mut().begin_iteration(number, lag);
        live.store.set_epoch_deadline(1);
        let call = live
            .script
            .squall_script_user()
            .call_iterate(&mut live.store);
        let returned = drive(call, &self.desk, &self.client, &self.seat.leave).await;
        let without_rows = self.is_without_rows();
        let outcome = match self.returned(returned) {
            Err(_) if without_rows => return Ok(Next::NoRow),
            outcome => outcome?,
        };
        let live = self
            .live
            .as_mut()
            .expect("the call returned, so the instance lives");
        let state = live.store.data_mut();
        state.output.end();
        let stop = std::mem::take(&mut state.stop_vu);
        match outcome {
            Err(_) if without_rows => return Ok(Next::NoRow),
            outcome => outcome.map_err(|text| told(&text, self.seat.vu))?,
        }
        Ok(match (without_rows, stop) {
            (true, _) => Next::NoMoreRows,
            (false, true) => Next::StopVu,
            (false, false) => Next::Continue,
        })
    }

    async fn stop(&mut self) -> Result<(), ScriptError> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        if let Some(hooks) = &live.hooks {
            live.store.set_epoch_deadline(1);
            let call = hooks
                .squall_script_lifecycle()
                .call_on_stop(&mut live.store);
            let returned = drive(call, &self.desk, &self.client, &self.seat.leave).await;
            self.returned(returned)?;
        }
        if let Some(live) = &self.live {
            live.store.data().end_requests();
        }
        Ok(())
    }
}
