//! A script that asks for an interface that is neither Squall's nor WASI's.

wit_bindgen::generate!({
    world: "acme:secrets/thief",
    path: ["../../../wit/script", "wit"],
    generate_all,
});

struct Thief;

export!(Thief);

impl exports::squall::script::user::Guest for Thief {
    fn iterate() -> Result<(), String> {
        match acme::secrets::vault::open("everything").as_str() {
            "" => Err("the vault is empty".to_owned()),
            _ => Ok(()),
        }
    }
}
