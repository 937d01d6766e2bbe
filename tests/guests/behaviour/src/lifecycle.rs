//! The hooks. They log that they ran only if the case is about them.

use std::cell::{Cell, RefCell};

use crate::exports::squall::script::lifecycle::Guest;
use crate::squall::script::{execution, http, log};
use crate::{Behaviour, same, variable};

thread_local! {
    static DATA: RefCell<Option<String>> = const { RefCell::new(None) };
    static STARTS: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Behaviour {
    fn setup() -> Result<String, String> {
        match variable("CASE")?.as_str() {
            "setup-err" => return Err("the setup says no".to_owned()),
            "setup-trap" => panic!("the setup panics"),
            "lifecycle" => write("lifecycle: setup"),
            "requests-in-hooks" => request("setup")?,
            _ => {}
        }
        Ok(std::env::var("SETUP_DATA").unwrap_or_default())
    }

    fn on_start(data: String) -> Result<(), String> {
        match variable("CASE")?.as_str() {
            "start-err" => return Err("the start says no".to_owned()),
            "start-trap" => panic!("the start panics"),
            "lifecycle" => {
                same("the data", data.as_str(), variable("SETUP_DATA")?)?;
                write(&format!("lifecycle: start of VU {}", execution::vu_id()));
                // What is done here lasts: the iterations look for the header.
                http::set_header("x-started", Some("yes"));
            }
            "requests-in-hooks" => request("on-start")?,
            _ => {}
        }
        DATA.set(Some(data));
        STARTS.set(STARTS.get() + 1);
        Ok(())
    }

    fn on_stop() {
        if is_case("requests-in-hooks") {
            request("on-stop").expect("the server answers");
        }
        if is_case("lifecycle") {
            write(&format!("lifecycle: stop of VU {}", execution::vu_id()));
        }
    }

    fn teardown(data: String) {
        if is_case("requests-in-hooks") {
            request("teardown").expect("the server answers");
        }
        if is_case("lifecycle") {
            write(&format!("lifecycle: teardown with {data}"));
        }
    }
}

pub fn iterate() -> Result<(), String> {
    same("the data", DATA.take(), Some(variable("SETUP_DATA")?))?;
    DATA.set(Some(variable("SETUP_DATA")?));
    same("the number of starts", STARTS.get(), 1)?;
    let response = http::get("/echo", None);
    let started = crate::requests::echoed(&response, "/headers/x-started")?;
    same("the header set at the start", started, "yes")
}

/// Sends a request under the name of where it is sent.
pub fn request(place: &str) -> Result<(), String> {
    let params = http::Params {
        name: Some(place.to_owned()),
        ..http::Params::default()
    };
    same(
        "the status",
        http::get("/echo", Some(&params)).status(),
        200,
    )
}

fn is_case(name: &str) -> bool {
    std::env::var("CASE").is_ok_and(|case| case == name)
}

fn write(message: &str) {
    log::write(log::Level::Info, message);
}
