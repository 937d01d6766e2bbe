//! Visits the front page and pauses, again and again: most VUs wait, as people do,
//! so that the load does not depend on how fast a machine is.

wit_bindgen::generate!({ world: "script", path: "../../../wit/script" });

use squall::script::{http, metrics, timing};

/// The pause, in milliseconds.
const THINK_TIME: f64 = 20.0;

struct Visitor;

impl exports::squall::script::user::Guest for Visitor {
    fn iterate() -> Result<(), String> {
        let page = http::get("/", None);
        metrics::check("the front page is there", page.status() == 200);
        timing::sleep_ms(THINK_TIME);
        Ok(())
    }
}

export!(Visitor);
