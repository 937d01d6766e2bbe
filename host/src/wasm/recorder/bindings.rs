//! The world of recorders, generated from `wit/recorder`.

wasmtime::component::bindgen!({
    path: "../wit/recorder",
    world: "recorder",
    exports: { default: async },
});
