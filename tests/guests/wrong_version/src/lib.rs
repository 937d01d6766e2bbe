//! A script for a version of `squall:script` that this host does not have.

wit_bindgen::generate!({ world: "script", path: "wit" });

struct FromTheFuture;

export!(FromTheFuture);

impl exports::squall::script::user::Guest for FromTheFuture {
    fn iterate() -> Result<(), String> {
        match squall::script::http::fetch("/") {
            200 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}
