//! What comes back, and how it is judged.

use std::cell::RefCell;

use crate::requests::echoed;
use crate::squall::script::execution;
use crate::squall::script::http::{self, Body, Params, Response};
use crate::{holds, same};

pub fn expect_status() -> Result<(), String> {
    let expecting = |statuses: &[u16]| Params {
        expect_status: Some(statuses.to_vec()),
        ..Params::default()
    };
    for (status, params, ok) in [
        (200, None, true),
        (399, None, true),
        (400, None, false),
        (503, None, false),
        (404, Some(expecting(&[404])), true),
        (404, Some(expecting(&[200, 404])), true),
        (200, Some(expecting(&[404])), false),
    ] {
        let response = http::get(&format!("/status/{status}"), params.as_ref());
        same("the status", response.status(), status)?;
        same(
            &format!("{status} is a success with {params:?}"),
            response.ok(),
            ok,
        )?;
    }
    Ok(())
}

/// Two requests that the script judges against their status.
pub fn catch() -> Result<(), String> {
    let unavailable = http::get("/status/503", Some(&caught()));
    holds("so far it is a failure", !unavailable.ok())?;
    unavailable.success();
    holds("the script made it a success", unavailable.ok())?;

    let fine = http::get("/echo", Some(&caught()));
    holds("so far it is a success", fine.ok())?;
    fine.failure("the basket is empty");
    holds("the script made it a failure", !fine.ok())
}

/// The script asks to judge, and never does: the status decides.
pub fn catch_forgotten() -> Result<(), String> {
    same(
        "the first",
        http::get("/echo", Some(&caught())).status(),
        200,
    )?;
    same(
        "the second",
        http::get("/status/503", Some(&caught())).status(),
        503,
    )
}

/// The script judges without having asked to: nothing but a warning.
pub fn catch_uncaught() -> Result<(), String> {
    let fine = http::get("/echo", None);
    fine.failure("not asked for");
    holds("it is still a success", fine.ok())?;
    let unavailable = http::get("/status/503", None);
    unavailable.success();
    holds("it is still a failure", !unavailable.ok())
}

fn caught() -> Params {
    Params {
        catch_response: Some(true),
        ..Params::default()
    }
}

pub fn discard_body() -> Result<(), String> {
    let params = Params {
        discard_body: Some(true),
        ..Params::default()
    };
    let response = http::post(
        "/reflect",
        Some(&Body::Json("{\"a\":1}".into())),
        Some(&params),
    );
    same("the status", response.status(), 200)?;
    same("the body", response.body().len(), 0)?;
    same("the text", response.text(), "")?;
    same("the JSON", response.json("/a"), None)?;
    let content_type = response.header("content-type");
    same(
        "the headers are kept",
        content_type.as_deref(),
        Some("application/json"),
    )
}

pub fn json() -> Result<(), String> {
    let document = r#"{"a":{"b":[1,2.5,"x\"y",null,true,{}]},"m~n":"tilde","s/t":"slash","":"empty","big":12345678901234567890}"#;
    let response = reflect(&Body::Json(document.into()));
    for (pointer, value) in [
        ("/a/b/0", Some("1")),
        ("/a/b/1", Some("2.5")),
        ("/a/b/2", Some(r#""x\"y""#)),
        ("/a/b/3", Some("null")),
        ("/a/b/4", Some("true")),
        ("/a/b/5", Some("{}")),
        ("/a/b/6", None),
        ("/a/b/-", None),
        ("/a/b/00", None),
        ("/m~0n", Some("\"tilde\"")),
        ("/s~1t", Some("\"slash\"")),
        ("/", Some("\"empty\"")),
        ("/big", Some("12345678901234567890")),
        ("/none", None),
        ("no-slash", None),
    ] {
        same(pointer, response.json(pointer).as_deref(), value)?;
    }
    let whole = response.json("").unwrap_or_default();
    holds(
        "the whole document",
        whole.starts_with('{') && whole.contains("\"tilde\""),
    )?;
    same("the text is untouched", response.text(), document)?;

    let broken = reflect(&Body::Json("{\"a\":1".into()));
    same("a body that is no JSON", broken.json("/a"), None)?;
    same("as a whole", broken.json(""), None)?;
    same("its text", broken.text(), "{\"a\":1")
}

pub fn headers() -> Result<(), String> {
    let response = reflect(&Body::Json("{}".into()));
    for name in ["content-type", "Content-Type", "CONTENT-TYPE"] {
        same(
            name,
            response.header(name).as_deref(),
            Some("application/json"),
        )?;
    }
    same(
        "a header that is not there",
        response.header("x-none"),
        None,
    )?;
    same("a name that cannot be", response.header("bad name"), None)?;
    let headers = response.headers();
    let types = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    same("all headers", types.count(), 1)?;

    let response = http::get("/cookies/set?first=1&second=2", None);
    let headers = response.headers();
    let cookies: Vec<&str> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    same("a header that came twice", cookies.len(), 2)?;
    holds(
        "in order",
        cookies[0].starts_with("first=1") && cookies[1].starts_with("second=2"),
    )?;
    same(
        "the first of them",
        response.header("set-cookie").as_deref(),
        Some(cookies[0]),
    )
}

pub fn text() -> Result<(), String> {
    let bytes = vec![b'f', 0xff, b'g', 0xc3, 0xbc];
    let response = reflect(&Body::Bytes(bytes.clone()));
    same("the bytes", response.body(), bytes.clone())?;
    same("the bytes again", response.body(), bytes)?;
    same("the text", response.text(), "f\u{fffd}gü")
}

pub fn large() -> Result<(), String> {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let response = reflect(&Body::Bytes(bytes.clone()));
    holds("a megabyte comes back as it went", response.body() == bytes)
}

pub fn durations() -> Result<(), String> {
    let response = http::get("/delay/100", None);
    let (first_byte_ms, duration_ms) = (response.first_byte_ms(), response.duration_ms());
    holds(
        &format!("{first_byte_ms} ms to the headers"),
        (99.0..2_000.0).contains(&first_byte_ms),
    )?;
    holds(
        &format!("then {duration_ms} ms"),
        (first_byte_ms..2_000.0).contains(&duration_ms),
    )
}

thread_local! {
    static KEPT: RefCell<Option<Response>> = const { RefCell::new(None) };
}

/// Uses a response of the iteration before, which is not allowed: the second
/// iteration traps.
pub fn kept() -> Result<(), String> {
    if execution::iteration() == 0 {
        let response = http::get("/echo", None);
        same("the path", echoed(&response, "/path")?, "/echo")?;
        KEPT.set(Some(response));
        return Ok(());
    }
    match KEPT.take() {
        Some(response) => Err(format!(
            "a response of the past has status {}",
            response.status()
        )),
        // A fresh instance, after the trap.
        None => Ok(()),
    }
}

/// Sends 8 headers and 1 KiB, reads both back, and keeps nothing: over thousands of
/// iterations a VU's memory stays what it was.
pub fn soak() -> Result<(), String> {
    let iteration = execution::iteration();
    let document = format!(r#"{{"iteration":{iteration},"fill":""#);
    let fill = "x".repeat(1_024 - document.len() - 2);
    let document = document + &fill + "\"}";
    let sent: Vec<(String, String)> = (0..8)
        .map(|n| (format!("x-soak-{n}"), format!("value {n} of {iteration}")))
        .collect();
    let params = Params {
        headers: Some(sent.clone()),
        ..Params::default()
    };
    let response = http::post(
        "/reflect",
        Some(&Body::Json(document.clone())),
        Some(&params),
    );
    same("the status", response.status(), 200)?;
    let headers = response.headers();
    for header in &sent {
        holds(&format!("{} came back", header.0), headers.contains(header))?;
    }
    same("the body", response.body(), document.into_bytes())
}

/// Sends a body that the server sends back.
fn reflect(body: &Body) -> Response {
    http::post("/reflect", Some(body), None)
}
