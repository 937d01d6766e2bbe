//! Bindings to `squall:script`. What leaves this file is listed at its end.

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit/script",
        world: "squall:script/script",
        imports: {
            "squall:script/http.get": async | trappable,
            "squall:script/http.head": async | trappable,
            "squall:script/http.delete": async | trappable,
            "squall:script/http.post": async | trappable,
            "squall:script/http.put": async | trappable,
            "squall:script/http.patch": async | trappable,
            "squall:script/http.send": async | trappable,
            "squall:script/http.batch": async | trappable,
            "squall:script/http.[method]prepared-request.send": async | trappable,
            "squall:script/timing.sleep-ms": async | trappable,
            "squall:script/timing.sleep-between-ms": async | trappable,
            "squall:script/timing.pace-ms": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "squall:script/http.response": super::super::http::Response,
            "squall:script/http.prepared-request": super::super::http::PreparedRequest,
            "squall:script/data.source": super::super::data::Source,
            "squall:script/timing.transaction": super::super::timing::Transaction,
        },
    });
}

pub(super) use generated::squall::script::{data, execution, http, log, metrics, random, timing};
pub(super) use generated::{Script, ScriptIndices};

/// The optional hooks around the iterations.
pub(super) mod lifecycle {
    mod generated {
        wasmtime::component::bindgen!({
            path: "../wit/script",
            inline: "package squall:hooks; world hooks { export squall:script/lifecycle@0.1.0; }",
            world: "squall:hooks/hooks",
            exports: { default: async },
        });
    }

    pub(in super::super) use generated::{Hooks, HooksIndices};
}

/// The optional defaults.
pub(super) mod options {
    mod generated {
        wasmtime::component::bindgen!({
            path: "../wit/script",
            inline: "package squall:probe; world defaults { export squall:script/options@0.1.0; }",
            world: "squall:probe/defaults",
            exports: { default: async },
        });
    }

    pub(in super::super) use generated::DefaultsIndices;
}
