//! Visits the front page, again and again.

wit_bindgen::generate!({ world: "script", path: "../../../wit/script" });

use squall::script::{http, metrics};

struct Hello;

impl exports::squall::script::user::Guest for Hello {
    fn iterate() -> Result<(), String> {
        let page = http::get("/", None);
        metrics::check("the front page is there", page.status() == 200);
        Ok(())
    }
}

export!(Hello);
