//! A script that only sleeps, an hour at a time: what is left is what a VU
//! costs.

use squall::script::timing;

wit_bindgen::generate!({ world: "script", path: "../../../wit/script" });

struct Idle;

impl exports::squall::script::user::Guest for Idle {
    fn iterate() -> Result<(), String> {
        timing::sleep_ms(3_600_000.0);
        Ok(())
    }
}

export!(Idle);
