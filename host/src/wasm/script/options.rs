//! The defaults that a script brings for its own run.
//!
//! They are asked for before there is a plan, so the instance that gives them
//! is no VU: it has WASI with nothing granted, and what it imports of ours
//! traps.

use std::time::Duration;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::options::DefaultsIndices;
use crate::error::{Error, Problem};
use crate::plan::Limits;
use crate::wasm::cache::CompileCache;
use crate::wasm::component::LoadedComponent;
use crate::wasm::engine::{self, TICK, Ticker};

/// How long a script may take to tell its defaults.
const PATIENCE: Duration = Duration::from_secs(5);

struct Asked {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Asked {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Asks a script for its default options: a JSON text, or `None` if it brings
/// none. Blocks for as long as compiling takes.
///
/// # Errors
///
/// If the component is invalid, or the script traps or takes longer than five
/// seconds.
pub fn default_options(
    component: &LoadedComponent,
    limits: &Limits,
    cache: &CompileCache,
    ticker: &Ticker,
) -> Result<Option<String>, Error> {
    let name = &component.name;
    let refused = |error: wasmtime::Error| {
        Error::Component(
            Problem::new(format!(
                "script `{name}` cannot tell its options: {}",
                error.root_cause()
            ))
            .hint("`options.defaults` must return at once, and may call nothing of squall's"),
        )
    };
    let entry = cache.open(&component.bytes);
    let engine =
        Engine::new(&engine::settings(limits.vu_memory, entry.cache())).map_err(refused)?;
    let compiled = entry
        .compile(&engine, &component.name, &component.bytes)
        .map_err(refused)?;
    entry.seal();
    ticker.drive(&engine);
    let mut linker = Linker::<Asked>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(refused)?;
    refuse_ours(&mut linker, &engine, &compiled).map_err(refused)?;
    let pre = linker.instantiate_pre(&compiled).map_err(refused)?;
    let Ok(defaults) = DefaultsIndices::new(&pre) else {
        return Ok(None);
    };
    let asked = Asked {
        wasi: WasiCtx::builder().build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, asked);
    let ticks = PATIENCE.as_millis() / TICK.as_millis();
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| refused(error.into()))?;
    let json = runtime.block_on(async {
        let instance = pre.instantiate_async(&mut store).await?;
        let defaults = defaults.load(&mut store, &instance)?;
        defaults
            .squall_script_options()
            .call_defaults(&mut store)
            .await
    });
    json.map(Some).map_err(refused)
}

/// Something of ours that a script holds while it tells its defaults: there is
/// no such thing.
struct Nothing;

/// Defines what a script imports of ours, and what it sends requests by, so that
/// it links, as traps.
fn refuse_ours(
    linker: &mut Linker<Asked>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !interface.starts_with("squall:") && !interface.starts_with("wasi:http/") {
            continue;
        }
        let mut linked = linker.instance(interface)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let refusal = format!("it calls `{interface}` `{name}`");
                    linked.func_new(name, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(refusal.clone()))
                    })?;
                }
                ComponentItem::Resource(_) => {
                    linked.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
