//! Logs in with an account of its own each time: `--data users=users.csv,order=unique`.

wit_bindgen::generate!({ world: "script", path: "../../../wit/script" });

use squall::script::{data, http, metrics};

struct Logins;

impl exports::squall::script::user::Guest for Logins {
    fn iterate() -> Result<(), String> {
        // When the accounts are used up the `?` returns, and the VU ends.
        let account = data::open("users")?.next_row()?;
        let page = http::post("/login", Some(&http::Body::Form(account)), None);
        metrics::check("logged in", page.status() == 200);
        Ok(())
    }
}

export!(Logins);
