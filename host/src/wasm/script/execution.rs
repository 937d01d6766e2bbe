//! `squall:script/execution`: where in the run a script is, and its say in it.

use super::bindings::execution as wit;
use super::state::State;

impl wit::Host for State {
    fn vu_id(&mut self) -> wasmtime::Result<u32> {
        Ok(self.seat.vu)
    }

    fn iteration(&mut self) -> wasmtime::Result<u32> {
        Ok(self.iteration)
    }

    fn scenario(&mut self) -> wasmtime::Result<String> {
        Ok(self.seat.scenario.to_string())
    }

    fn set_tag(&mut self, name: String, value: Option<String>) -> wasmtime::Result<()> {
        State::set_tag(self, name, value);
        Ok(())
    }

    fn stop_vu(&mut self) -> wasmtime::Result<()> {
        self.stop_vu = true;
        Ok(())
    }

    fn abort_run(&mut self, reason: String) -> wasmtime::Result<()> {
        self.seat.run.abort(reason.into());
        Ok(())
    }
}
