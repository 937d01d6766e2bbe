//! What a component may use that is called now and then, on a thread of its own,
//! and how its failures are put into words.
//!
//! WASI is there and gives it nothing but clocks and random numbers. Its memory,
//! what it holds of the host's things, and what it hands over in one call are
//! limited; the time of a call is for the caller to limit.

use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::units::Bytes;
use crate::wasm::output::Printer;
use crate::wasm::recorder::Output;

/// How many of the host's things, such as timers, a guest may hold.
const RESOURCES: usize = 1_000;

/// What the store of such a guest holds.
pub(super) struct Confined<T> {
    /// What its kind of guest needs beside.
    pub(super) own: T,
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
}

impl<T: Send + 'static> Confined<T> {
    /// A store with at most so much memory, and so many bytes in one handover. All
    /// that is random in it follows from `seed`, if there is one.
    pub(super) fn store(
        engine: &Engine,
        output: &Output,
        memory: u64,
        handover: usize,
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
                limit: memory,
                used: 0,
                refused: false,
            },
        };
        let mut store = Store::new(engine, confined);
        store.set_hostcall_fuel(handover);
        store.limiter(|confined| &mut confined.memory);
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
pub(super) fn explain<T>(
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
