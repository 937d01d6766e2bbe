//! The world of shapes, generated from `wit/shape`.

wasmtime::component::bindgen!({
    path: "../wit/shape",
    world: "shape",
    exports: { default: async },
});
