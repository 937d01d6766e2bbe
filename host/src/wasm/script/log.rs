//! `squall:script/log`: messages for the run's log.

use super::bindings::log as wit;
use super::state::State;
use crate::measure::LogLevel;

impl wit::Host for State {
    fn write(&mut self, level: wit::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Debug => LogLevel::Debug,
            wit::Level::Info => LogLevel::Info,
            wit::Level::Warn => LogLevel::Warn,
            wit::Level::Error => LogLevel::Error,
        };
        self.seat.run.log(self.origin(), level, &message);
        Ok(())
    }
}
