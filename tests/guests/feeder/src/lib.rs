//! A script that asks for rows of the data `rows`, as `MODE` says, and sends
//! each to the server, so that the server's log tells who got which.
//!
//! `../README.md` lists the modes.

use std::cell::OnceCell;

use squall::script::data::{self, Source};
use squall::script::{execution, http, log, metrics, timing};

wit_bindgen::generate!({ world: "script-with-lifecycle", path: "../../../wit/script" });

struct Feeder;

thread_local! {
    static SOURCE: OnceCell<Source> = const { OnceCell::new() };
}

/// Uses the source, which is opened once.
fn with_source<R>(f: impl FnOnce(&Source) -> Result<R, String>) -> Result<R, String> {
    SOURCE.with(|source| {
        if source.get().is_none() {
            let opened = data::open(&variable("SOURCE").unwrap_or_else(|| "rows".to_owned()))?;
            // It was looked whether there is one.
            let _ = source.set(opened);
        }
        f(source.get().ok_or("a source that was opened is there")?)
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn mode() -> String {
    variable("MODE").unwrap_or_default()
}

/// Sends something to the server in words that a path can hold.
fn send(what: &str) {
    let plain = |it: char| {
        if it.is_ascii_alphanumeric() {
            it.to_string()
        } else {
            format!("_{:x}", it as u32)
        }
    };
    let what: String = what.chars().map(plain).collect();
    let params = http::Params {
        name: Some("row".to_owned()),
        headers: None,
        tags: None,
        timeout_ms: None,
        max_redirects: None,
        expect_status: None,
        catch_response: None,
        discard_body: None,
    };
    http::get(
        &format!("/row/{}/{what}", execution::vu_id()),
        Some(&params),
    );
}

/// The fields of a row as `name=value;`.
fn flat(row: &[(String, String)]) -> String {
    row.iter()
        .map(|(name, value)| format!("{name}={value};"))
        .collect()
}

impl exports::squall::script::user::Guest for Feeder {
    fn iterate() -> Result<(), String> {
        if let Some(pause) = variable("PAUSE_MS").and_then(|pause| pause.parse().ok()) {
            timing::sleep_ms(pause);
        }
        match mode().as_str() {
            // Sends one row, or ends by the `?` if there is none.
            "next" => send(&with_source(Source::next_row).map(|row| flat(&row))?),
            "json" => send(&with_source(Source::next_json)?),
            // What a script does that did not reckon with the end.
            "panic" => send(&flat(
                &with_source(Source::next_row).expect("there is always a row"),
            )),
            // A script that goes on without its row.
            "heedless" => {
                let _ = with_source(Source::next_row);
                send("any");
            }
            "index" => with_source(|source| {
                let len = source.len();
                let row = source.row(len - 1).ok_or("the last row is there")?;
                send(&format!("{len}:{}", flat(&row)));
                send(&source.json(0).ok_or("the first row is there")?);
                match (source.row(len), source.json(u64::MAX)) {
                    (None, None) => Ok(()),
                    _ => Err("there is no row behind the last".to_owned()),
                }
            })?,
            // A visitor who needs no row.
            "front" => {
                let page = http::get("/", None);
                metrics::check("the front page is there", page.status() == 200);
            }
            // A script that has a way of its own to the end.
            "all" => with_source(|source| {
                let mut rows = 0;
                while source.next_row().is_ok() {
                    rows += 1;
                }
                send(&rows.to_string());
                Ok(())
            })?,
            // The row was taken when the VU started.
            "start" => send("iteration"),
            other => return Err(format!("no such mode: {other}")),
        }
        Ok(())
    }
}

impl exports::squall::script::lifecycle::Guest for Feeder {
    fn setup() -> Result<String, String> {
        match variable("OPEN_IN_SETUP") {
            Some(name) => data::open(&name).map(|_| String::new()),
            None => Ok(String::new()),
        }
    }

    fn on_start(_: String) -> Result<(), String> {
        if mode() == "start" {
            send(&flat(&with_source(Source::next_row)?));
        }
        Ok(())
    }

    fn on_stop() {
        log::write(
            log::Level::Info,
            &format!("stop of VU {}", execution::vu_id()),
        );
    }

    fn teardown(_: String) {}
}

export!(Feeder);
