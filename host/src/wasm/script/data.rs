//! `squall:script/data`: rows of the run's files.
//!
//! A handle is the number of its source: it holds nothing, so that nothing has
//! to be kept for it.

use rand_core::Rng;
use wasmtime::component::Resource;

use super::bindings::data as wit;
use super::state::State;
use crate::data::{self, Shape};
use crate::error::Problem;
use crate::plan::AtEnd;

/// The type of a source's handle.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Source {}

type Fields = Vec<(String, String)>;

impl State {
    /// The source of a handle, which only `open` makes.
    fn source(&self, handle: &Resource<Source>) -> wasmtime::Result<&data::Source> {
        let source = self.sources.get(handle.rep() as usize);
        source.ok_or_else(|| wasmtime::Error::msg("there is no such source of data"))
    }

    /// The next row, or that there is none: then this VU ends, or the run.
    fn next_of<S: Shape>(
        &mut self,
        handle: &Resource<Source>,
    ) -> wasmtime::Result<Result<S, String>> {
        let sources = self.sources.clone();
        let source = sources.get(handle.rep() as usize);
        let source =
            source.ok_or_else(|| wasmtime::Error::msg("there is no such source of data"))?;
        let random = &mut self.random_rows;
        // The high half of a product spreads 64 bits evenly over the rows.
        let pick = |rows| ((u128::from(random.next_u64()) * u128::from(rows)) >> 64) as u64;
        if let Some(number) = source.next(pick) {
            let row = source.row(number).map_err(|gone| self.unreadable(gone))?;
            return Ok(Ok(row.expect("the next row is one that there is")));
        }
        let why = source.used_up();
        // A VU ends once, however often it asks.
        if !std::mem::replace(&mut self.without_rows, true) {
            source.refuse(self.seat.run.clock().elapsed());
        }
        if source.at_end() == AtEnd::EndRun {
            self.seat.run.end(why.as_str().into());
        }
        Ok(Err(why))
    }

    fn row_of<S: Shape>(
        &self,
        handle: &Resource<Source>,
        index: u64,
    ) -> wasmtime::Result<Option<S>> {
        let row = self.source(handle)?.row(index);
        row.map_err(|gone| self.unreadable(gone))
    }

    /// A row that cannot be read any more ends the run: it would go on with
    /// other data than it was given, or with none.
    fn unreadable(&self, problem: Problem) -> wasmtime::Error {
        self.seat.run.break_off(problem.what.as_str().into());
        wasmtime::Error::msg(problem.what)
    }
}

impl wit::Host for State {
    fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Source>, String>> {
        Ok(self.sources.find(&name).map(|number| {
            let handle = u32::try_from(number).expect("the command line has an end");
            Resource::new_own(handle)
        }))
    }
}

impl wit::HostSource for State {
    fn next_row(&mut self, handle: Resource<Source>) -> wasmtime::Result<Result<Fields, String>> {
        self.next_of(&handle)
    }

    fn next_json(&mut self, handle: Resource<Source>) -> wasmtime::Result<Result<String, String>> {
        self.next_of(&handle)
    }

    fn len(&mut self, handle: Resource<Source>) -> wasmtime::Result<u64> {
        Ok(self.source(&handle)?.len())
    }

    fn row(&mut self, handle: Resource<Source>, index: u64) -> wasmtime::Result<Option<Fields>> {
        self.row_of(&handle, index)
    }

    fn json(&mut self, handle: Resource<Source>, index: u64) -> wasmtime::Result<Option<String>> {
        self.row_of(&handle, index)
    }

    fn drop(&mut self, _: Resource<Source>) -> wasmtime::Result<()> {
        Ok(())
    }
}
