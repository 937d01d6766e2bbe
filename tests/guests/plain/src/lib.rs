//! A script that knows nothing of squall's HTTP: its requests go through an
//! ordinary client, by `wasi:http`, or by that interface itself where a client
//! would not do what the case needs. `CASE` says which, `BASE` where the server
//! is.

use std::env;

use squall::script::execution;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingRequest, Scheme,
};
use wstd::http::{Body, Client, Request};
use wstd::runtime::block_on;
use wstd::time::Duration;

wit_bindgen::generate!({ world: "script", path: "../../../wit/script" });

struct Plain;

export!(Plain);

impl exports::squall::script::user::Guest for Plain {
    fn iterate() -> Result<(), String> {
        match &*variable("CASE") {
            "get" => block_on(get()),
            "post" => block_on(post()),
            "large" => block_on(large()),
            "status" => block_on(status()),
            "redirect" => block_on(redirect()),
            "cookies" => block_on(cookies()),
            "timeout" => block_on(timeout()),
            "several" => several(),
            "fails" => block_on(fails()),
            "unread" => unread(),
            "given-up" => given_up(),
            "unfinished" => unfinished(),
            "kept" => kept(),
            case => Err(format!("no such case: {case}")),
        }
    }
}

/// A request of which the server tells what came.
async fn get() -> Result<(), String> {
    execution::set_tag("kind", Some("plain"));
    let request = Request::get(url("/echo/items?page=2"))
        .header("x-own", "a value")
        .body(Body::empty());
    let (status, body) = sent(request).await?;
    let body = String::from_utf8(body).map_err(|error| error.to_string())?;
    same(status, 200)?;
    for part in [
        r#""method":"GET""#,
        r#""query":"page=2""#,
        r#""x-own":"a value""#,
        r#""user-agent":"squall/"#,
    ] {
        if !body.contains(part) {
            return Err(format!("no {part} in {body}"));
        }
    }
    Ok(())
}

async fn post() -> Result<(), String> {
    let request = Request::post(url("/reflect"))
        .header("content-type", "text/plain")
        .body(Body::from("three apples"));
    same(sent(request).await?, (200, b"three apples".to_vec()))
}

/// Bodies of many pieces, there and back.
async fn large() -> Result<(), String> {
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    let request = Request::post(url("/reflect")).body(Body::from(body.clone()));
    let (status, back) = sent(request).await?;
    same((status, back.len()), (200, body.len()))?;
    same(back == body, true)
}

/// Statuses are answers, whatever they say.
async fn status() -> Result<(), String> {
    let request = Request::get(url("/status/503")).body(Body::empty());
    same(sent(request).await?.0, 503)
}

/// A client follows redirects itself, or does not.
async fn redirect() -> Result<(), String> {
    let request = Request::get(url("/redirect/1")).body(Body::empty());
    same(sent(request).await?.0, 302)
}

async fn cookies() -> Result<(), String> {
    sent(Request::get(url("/cookies/set?basket=7")).body(Body::empty())).await?;
    let (_, body) = sent(Request::get(url("/cookies")).body(Body::empty())).await?;
    same(body, br#"{"basket":"7"}"#.to_vec())
}

async fn timeout() -> Result<(), String> {
    let mut client = Client::new();
    client.set_first_byte_timeout(Duration::from_millis(100));
    let request = Request::get(url("/delay/20000")).body(Body::empty());
    let request = request.map_err(|error| error.to_string())?;
    match client.send(request).await {
        Ok(response) => Err(format!("answered with {}", response.status())),
        Err(_) => Ok(()),
    }
}

/// Two at once.
fn several() -> Result<(), String> {
    let send = || outgoing_handler::handle(request("/delay/200"), None);
    let (first, second) = (send(), send());
    for future in [first, second] {
        same(
            answered(future.map_err(|code| format!("{code:?}"))?)?.status(),
            200,
        )?;
    }
    Ok(())
}

/// A request that is to fail: to `URL`.
async fn fails() -> Result<(), String> {
    let request = Request::get(variable("URL")).body(Body::empty());
    match sent(request).await {
        Ok((status, _)) => Err(format!("answered with {status}")),
        Err(_) => Ok(()),
    }
}

/// A response of which nobody reads the body.
fn unread() -> Result<(), String> {
    let response = asked("/bytes/2000000")?;
    same(response.status(), 200)
}

/// A request that nobody waits for.
fn given_up() -> Result<(), String> {
    let future = outgoing_handler::handle(request("/delay/20000"), None);
    drop(future.map_err(|code| format!("{code:?}"))?);
    Ok(())
}

/// A body that is dropped before it is finished: nothing is sent.
fn unfinished() -> Result<(), String> {
    let request = request("/reflect");
    request
        .set_method(&Method::Post)
        .map_err(|()| "no such method")?;
    let body = request.body().map_err(|()| "no body")?;
    let future = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    let stream = body.write().map_err(|()| "no stream")?;
    stream
        .blocking_write_and_flush(b"half of it")
        .map_err(|error| error.to_string())?;
    drop(stream);
    drop(body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(Err(_))) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Responses that are kept, iteration after iteration, until there is no room.
fn kept() -> Result<(), String> {
    thread_local! {
        static KEPT: std::cell::RefCell<Vec<IncomingResponse>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let response = asked("/bytes/1000000")?;
    KEPT.with_borrow_mut(|kept| kept.push(response));
    Ok(())
}

/// Sends a request and reads all of the response.
async fn sent<E: std::fmt::Display>(
    request: Result<Request<Body>, E>,
) -> Result<(u16, Vec<u8>), String> {
    let request = request.map_err(|error| error.to_string())?;
    let response = Client::new().send(request).await;
    let mut response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = response.body_mut().contents().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_vec()))
}

/// A GET of a path, by the interface itself.
fn request(path: &str) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    let base = variable("BASE");
    let authority = base.strip_prefix("http://").unwrap_or(&base);
    request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .expect("it is well formed");
    request
}

fn asked(path: &str) -> Result<IncomingResponse, String> {
    let future = outgoing_handler::handle(request(path), None);
    answered(future.map_err(|code| format!("{code:?}"))?)
}

fn answered(future: FutureIncomingResponse) -> Result<IncomingResponse, String> {
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => Ok(response),
        other => Err(format!("{other:?}")),
    }
}

fn url(path: &str) -> String {
    variable("BASE") + path
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found:?} and not {expected:?}"))
}
