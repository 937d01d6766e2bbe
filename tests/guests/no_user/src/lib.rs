//! A component like any other, but neither a script nor a recorder.

wit_bindgen::generate!({ world: "tool", path: "wit" });

struct Tool;

export!(Tool);

impl exports::acme::tool::greeter::Guest for Tool {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}
