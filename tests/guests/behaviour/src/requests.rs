//! What is sent, and where to.

use std::cell::OnceCell;

use crate::squall::script::http::{
    self, Body, ErrorKind, Params, PreparedRequest, Request, Response,
};
use crate::squall::script::{execution, timing};
use crate::{holds, same, variable};

pub fn methods() -> Result<(), String> {
    let body = Body::Text("hello".into());
    let responses = [
        ("GET", http::get("/echo", None)),
        ("DELETE", http::delete("/echo", None)),
        ("POST", http::post("/echo", Some(&body), None)),
        ("PUT", http::put("/echo", Some(&body), None)),
        ("PATCH", http::patch("/echo", Some(&body), None)),
        ("OPTIONS", http::send(&request("OPTIONS", "/echo"))),
        ("REPORT", http::send(&request("REPORT", "/echo"))),
    ];
    for (method, response) in responses {
        same(method, response.status(), 200)?;
        same(method, echoed(&response, "/method")?, method)?;
        let body = if matches!(method, "POST" | "PUT" | "PATCH") {
            "hello"
        } else {
            ""
        };
        same(method, echoed(&response, "/body")?, body)?;
    }

    let head = http::head("/echo", None);
    same("HEAD", head.status(), 200)?;
    same("the body of HEAD", head.body().len(), 0)?;

    let nothing = http::post("/echo", None, None);
    same("POST of nothing", echoed(&nothing, "/body")?, "")
}

pub fn bodies() -> Result<(), String> {
    let fields = [("name", "Ann & Bob"), ("city", "Köln"), ("empty", "")];
    let form = fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    for (body, content_type, sent) in [
        (Body::Bytes(b"raw".to_vec()), None, "raw"),
        (
            Body::Text("grüße".into()),
            Some("text/plain; charset=utf-8"),
            "grüße",
        ),
        // Not checked: it is sent as it is.
        (
            Body::Json("{ not json".into()),
            Some("application/json"),
            "{ not json",
        ),
        (
            Body::Form(form),
            Some("application/x-www-form-urlencoded"),
            "name=Ann+%26+Bob&city=K%C3%B6ln&empty=",
        ),
    ] {
        let response = http::post("/echo", Some(&body), None);
        same("the body", echoed(&response, "/body")?, sent)?;
        let got = echoed(&response, "/headers/content-type").ok();
        same(sent, got.as_deref(), content_type)?;

        let own = Params {
            headers: Some(vec![("Content-Type".into(), "application/mine".into())]),
            ..Params::default()
        };
        let response = http::put("/echo", Some(&body), Some(&own));
        let got = echoed(&response, "/headers/content-type")?;
        same(
            "a content type of one's own",
            got.as_str(),
            "application/mine",
        )?;
    }
    Ok(())
}

pub fn headers() -> Result<(), String> {
    let sent =
        |params: Option<&Params>| echoed(&http::get("/echo", params), "/headers/x-test").ok();
    same("before", sent(None), None)?;

    http::set_header("X-Test", Some("default"));
    same("after set-header", sent(None).as_deref(), Some("default"))?;
    let own = Params {
        headers: Some(vec![("x-TEST".into(), "own".into())]),
        ..Params::default()
    };
    same(
        "a header of the request's own",
        sent(Some(&own)).as_deref(),
        Some("own"),
    )?;
    same(
        "after a header of the request's own",
        sent(None).as_deref(),
        Some("default"),
    )?;

    http::set_header("x-test", Some("second"));
    same("set again", sent(None).as_deref(), Some("second"))?;
    http::set_header("x-test", None);
    same("removed", sent(None), None)
}

/// Every VU has a cookie of its own, from its first iteration on.
pub fn cookies() -> Result<(), String> {
    let sent = || echoed(&http::get("/echo", None), "/headers/cookie").ok();
    let mine = format!("vu={}", execution::vu_id());
    if execution::iteration() == 0 {
        same("before", sent(), None)?;
        let response = http::get(&format!("/cookies/set?{mine}"), None);
        same("the cookie is set", response.status(), 200)?;
    }
    same("the cookie", sent(), Some(mine))
}

pub fn redirects() -> Result<(), String> {
    let at_most = |redirects| Params {
        max_redirects: Some(redirects),
        ..Params::default()
    };

    let followed = http::get("/redirect/3", None);
    same("three redirects", followed.status(), 200)?;
    holds(
        "the URL is the last one",
        followed.url().ends_with("/redirect/0"),
    )?;

    let relative = http::get("/redirect-relative", None);
    same("a relative redirect", relative.status(), 200)?;
    holds("it leads to /echo", relative.url().ends_with("/echo"))?;

    let first = http::get("/redirect/3", Some(&at_most(0)));
    same("not followed", first.status(), 302)?;
    same(
        "its target",
        first.header("location").as_deref(),
        Some("/redirect/2"),
    )?;
    holds("a redirect is a success", first.ok())?;
    holds(
        "the URL is the first one",
        first.url().ends_with("/redirect/3"),
    )?;

    same(
        "exactly as many",
        http::get("/redirect/3", Some(&at_most(3))).status(),
        200,
    )?;
    failed(
        "one too many",
        &http::get("/redirect/3", Some(&at_most(2))),
        ErrorKind::TooManyRedirects,
    )?;
    same("ten", http::get("/redirect/10", None).status(), 200)?;
    failed(
        "eleven",
        &http::get("/redirect/11", None),
        ErrorKind::TooManyRedirects,
    )
}

pub fn timeout() -> Result<(), String> {
    let params = Params {
        timeout_ms: Some(100.0),
        ..Params::default()
    };
    let start_ms = timing::now_ms();
    let late = http::get("/delay/5000", Some(&params));
    let took_ms = timing::now_ms() - start_ms;
    failed("a late answer", &late, ErrorKind::Timeout)?;
    holds(
        &format!("{took_ms} ms is about 100"),
        (95.0..3_000.0).contains(&took_ms),
    )?;
    holds(
        "so is the duration",
        (95.0..3_000.0).contains(&late.duration_ms()),
    )?;

    let params = Params {
        timeout_ms: Some(10_000.0),
        ..Params::default()
    };
    same(
        "in time",
        http::get("/delay/50", Some(&params)).status(),
        200,
    )
}

pub fn refused() -> Result<(), String> {
    let response = http::get(&variable("REFUSED_URL")?, None);
    failed(
        "a port on which nobody listens",
        &response,
        ErrorKind::Connect,
    )
}

pub fn invalid() -> Result<(), String> {
    failed(
        "a broken URL",
        &http::get("http://[", None),
        ErrorKind::InvalidRequest,
    )?;
    failed(
        "a URL without a host",
        &http::get("http://", None),
        ErrorKind::InvalidRequest,
    )?;
    let method = http::send(&request("GE T", "/echo"));
    failed("a method with a space", &method, ErrorKind::InvalidRequest)?;
    for (name, value) in [
        ("bad name", "value"),
        ("", "value"),
        ("x-bad", "two\nlines"),
    ] {
        let params = Params {
            headers: Some(vec![(name.into(), value.into())]),
            ..Params::default()
        };
        let response = http::get("/echo", Some(&params));
        failed(
            &format!("header {name:?}: {value:?}"),
            &response,
            ErrorKind::InvalidRequest,
        )?;
    }
    let prepared = PreparedRequest::new(&request("GET", "http://["));
    failed(
        "a prepared broken URL",
        &prepared.send(),
        ErrorKind::InvalidRequest,
    )?;
    // The VU goes on as if nothing had been.
    same("a good request", http::get("/echo", None).status(), 200)
}

pub fn relative() -> Result<(), String> {
    let response = http::get("/echo?a=1&b=%20", None);
    same("the path", echoed(&response, "/path")?, "/echo")?;
    same("the query", echoed(&response, "/query")?, "a=1&b=%20")?;
    let url = response.url();
    holds(
        "the URL is absolute",
        url.starts_with("http://") && url.ends_with("/echo?a=1&b=%20"),
    )?;

    let again = http::get(&url, None);
    same("an absolute URL", again.status(), 200)?;
    same("it is kept", again.url(), url)
}

/// Three URLs reported as one endpoint, and one under its path.
pub fn names() -> Result<(), String> {
    let params = Params {
        name: Some("/item/[id]".into()),
        ..Params::default()
    };
    for id in 1..=3 {
        let url = format!("/echo?item={id}");
        same(
            "a named request",
            http::get(&url, Some(&params)).status(),
            200,
        )?;
    }
    same(
        "an unnamed request",
        http::get("/echo?unnamed=1", None).status(),
        200,
    )
}

pub fn tags() -> Result<(), String> {
    let params = Params {
        tags: Some(vec![
            ("kind".into(), "asset".into()),
            ("size".into(), "small".into()),
        ]),
        ..Params::default()
    };
    same(
        "a tagged request",
        http::get("/echo", Some(&params)).status(),
        200,
    )?;
    same(
        "an untagged request",
        http::get("/echo", None).status(),
        200,
    )
}

/// Ten requests of 100 ms each take about 100 ms together.
pub fn batch() -> Result<(), String> {
    let requests: Vec<Request> = (0..10)
        .map(|n| request("GET", &format!("/delay/100?n={n}")))
        .collect();
    let start_ms = timing::now_ms();
    let responses = http::batch(&requests);
    let took_ms = timing::now_ms() - start_ms;
    same("the number of responses", responses.len(), 10)?;
    for (n, response) in responses.iter().enumerate() {
        same("the status", response.status(), 200)?;
        holds(
            "the order is kept",
            response.url().ends_with(&format!("?n={n}")),
        )?;
        let duration_ms = response.duration_ms();
        holds(
            &format!("{duration_ms} ms each"),
            (99.0..500.0).contains(&duration_ms),
        )?;
    }
    holds(
        &format!("{took_ms} ms for all"),
        (99.0..500.0).contains(&took_ms),
    )
}

/// As many requests at once as `CROWD` says, each of them `MILLIS` long.
pub fn crowd() -> Result<(), String> {
    let crowd: u32 = crate::number("CROWD")?;
    let millis: u32 = crate::number("MILLIS")?;
    let requests: Vec<Request> = (0..crowd)
        .map(|_| request("GET", &format!("/delay/{millis}")))
        .collect();
    http::batch(&requests);
    Ok(())
}

/// A hundred requests, none of which any VU has sent before.
pub fn distinct_urls() -> Result<(), String> {
    let before = execution::iteration() * 100;
    let vu = execution::vu_id();
    for number in before..before + 100 {
        same(
            "the status",
            http::get(&format!("/item/{vu}/{number}"), None).status(),
            200,
        )?;
    }
    Ok(())
}

/// One bad request spoils no other, and none at all is fine.
pub fn batch_mixed() -> Result<(), String> {
    let requests = [
        request("GET", "/status/404"),
        request("GET", "http://["),
        Request {
            body: Some(Body::Text("three".into())),
            ..request("POST", "/echo")
        },
    ];
    let responses = http::batch(&requests);
    same("the number of responses", responses.len(), 3)?;
    same("the first", responses[0].status(), 404)?;
    failed("the second", &responses[1], ErrorKind::InvalidRequest)?;
    same("the third", echoed(&responses[2], "/body")?, "three")?;
    same("an empty batch", http::batch(&[]).len(), 0)
}

thread_local! {
    static PREPARED: OnceCell<PreparedRequest> = const { OnceCell::new() };
}

/// Lives as long as the VU, and minds what changed after it was prepared.
pub fn prepared() -> Result<(), String> {
    PREPARED.with(|prepared| {
        let prepared = prepared.get_or_init(|| {
            PreparedRequest::new(&Request {
                method: "POST".into(),
                url: "/echo?prepared=1".into(),
                body: Some(Body::Json("{}".into())),
                params: Some(Params {
                    headers: Some(vec![("x-own".into(), "1".into())]),
                    name: Some("prepared".into()),
                    ..Params::default()
                }),
            })
        });
        let iteration = execution::iteration().to_string();
        http::set_header("x-iteration", Some(&iteration));
        for _ in 0..3 {
            let response = prepared.send();
            same("the status", response.status(), 200)?;
            same("the method", echoed(&response, "/method")?, "POST")?;
            same("the query", echoed(&response, "/query")?, "prepared=1")?;
            same("the body", echoed(&response, "/body")?, "{}")?;
            same("its header", echoed(&response, "/headers/x-own")?, "1")?;
            let type_ = echoed(&response, "/headers/content-type")?;
            same("its type", type_, "application/json")?;
            let sent = echoed(&response, "/headers/x-iteration")?;
            same("the VU's header", sent, iteration.as_str())?;
        }
        Ok(())
    })
}

/// A request with nothing but a method and a URL.
fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        body: None,
        params: None,
    }
}

/// A string in what `/echo` answered.
pub fn echoed(response: &Response, pointer: &str) -> Result<String, String> {
    let json = response.json(pointer);
    let json = json.ok_or_else(|| format!("no {pointer} in {:?}", response.text()))?;
    // What the cases send has nothing that would have to be escaped but quotes.
    let text = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    text.map(|text| text.replace("\\\"", "\""))
        .ok_or_else(|| format!("{pointer} is {json}"))
}

/// Errs unless a request failed in the expected way, as data.
fn failed(what: &str, response: &Response, kind: ErrorKind) -> Result<(), String> {
    let error = response
        .error()
        .ok_or_else(|| format!("{what}: no error"))?;
    same(what, error.kind, kind)?;
    holds("an error has a message", !error.message.is_empty())?;
    same("the status", response.status(), 0)?;
    holds("it is no success", !response.ok())?;
    same("the headers", response.headers().len(), 0)?;
    same("the body", response.body().len(), 0)?;
    same("the text", response.text(), "")?;
    same("the JSON", response.json(""), None)
}
