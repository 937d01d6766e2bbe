"""What is sent and where to, and what comes back."""

import json
from dataclasses import replace

from componentize_py_types import Err
from wit_world.imports import execution, http, timing
from wit_world.imports.http import (
    Body,
    Body_Bytes,
    Body_Form,
    Body_Json,
    Body_Text,
    ErrorKind,
    Params,
    Request,
    Response,
)

from claims import holds, lasts, same
from world import variable

PARAMS = Params(None, None, None, None, None, None, None, None)


def methods() -> None:
    body = Body_Text("hello")
    responses = {
        "GET": http.get("/echo", None),
        "DELETE": http.delete("/echo", None),
        "POST": http.post("/echo", body, None),
        "PUT": http.put("/echo", body, None),
        "PATCH": http.patch("/echo", body, None),
        "OPTIONS": http.send(Request("OPTIONS", "/echo", None, None)),
        "REPORT": http.send(Request("REPORT", "/echo", None, None)),
    }
    for method, response in responses.items():
        same(method, response.status(), 200)
        same(method, echoed(response, "/method"), method)
        sent = "hello" if method in ("POST", "PUT", "PATCH") else ""
        same(method, echoed(response, "/body"), sent)

    head = http.head("/echo", None)
    same("HEAD", head.status(), 200)
    same("the body of HEAD", head.body(), b"")

    nothing = http.post("/echo", None, None)
    same("POST of nothing", echoed(nothing, "/body"), "")


def bodies() -> None:
    fields = [("name", "Ann & Bob"), ("city", "Köln"), ("empty", "")]
    form = "application/x-www-form-urlencoded"
    sorts: list[tuple[Body, str | None, str]] = [
        (Body_Bytes(b"raw"), None, "raw"),
        (Body_Text("grüße"), "text/plain; charset=utf-8", "grüße"),
        # Not checked: it is sent as it is.
        (Body_Json("{ not json"), "application/json", "{ not json"),
        (Body_Form(fields), form, "name=Ann+%26+Bob&city=K%C3%B6ln&empty="),
    ]
    for body, content_type, sent in sorts:
        response = http.post("/echo", body, None)
        same("the body", echoed(response, "/body"), sent)
        same(sent, maybe_echoed(response, "/headers/content-type"), content_type)

        own = replace(PARAMS, headers=[("Content-Type", "application/mine")])
        response = http.put("/echo", body, own)
        got = echoed(response, "/headers/content-type")
        same("a content type of one's own", got, "application/mine")


def headers() -> None:
    def sent(params: Params | None) -> str | None:
        return maybe_echoed(http.get("/echo", params), "/headers/x-test")

    same("before", sent(None), None)

    http.set_header("X-Test", "default")
    same("after set-header", sent(None), "default")
    own = replace(PARAMS, headers=[("x-TEST", "own")])
    same("a header of the request's own", sent(own), "own")
    same("after a header of the request's own", sent(None), "default")

    http.set_header("x-test", "second")
    same("set again", sent(None), "second")
    http.set_header("x-test", None)
    same("removed", sent(None), None)


def redirects() -> None:
    def at_most(redirects: int) -> Params:
        return replace(PARAMS, max_redirects=redirects)

    followed = http.get("/redirect/3", None)
    same("three redirects", followed.status(), 200)
    holds("the URL is the last one", followed.url().endswith("/redirect/0"))

    relative = http.get("/redirect-relative", None)
    same("a relative redirect", relative.status(), 200)
    holds("it leads to /echo", relative.url().endswith("/echo"))

    first = http.get("/redirect/3", at_most(0))
    same("not followed", first.status(), 302)
    same("its target", first.header("location"), "/redirect/2")
    holds("a redirect is a success", first.ok())
    holds("the URL is the first one", first.url().endswith("/redirect/3"))

    same("exactly as many", http.get("/redirect/3", at_most(3)).status(), 200)
    one_too_many = http.get("/redirect/3", at_most(2))
    failed("one too many", one_too_many, ErrorKind.TOO_MANY_REDIRECTS)
    same("ten", http.get("/redirect/10", None).status(), 200)
    failed("eleven", http.get("/redirect/11", None), ErrorKind.TOO_MANY_REDIRECTS)


def timeout() -> None:
    start_ms = timing.now_ms()
    late = http.get("/delay/5000", replace(PARAMS, timeout_ms=100))
    took_ms = timing.now_ms() - start_ms
    failed("a late answer", late, ErrorKind.TIMEOUT)
    lasts("about 100", took_ms, 95, 3_000)
    lasts("so is the duration", late.duration_ms(), 95, 3_000)

    in_time = http.get("/delay/50", replace(PARAMS, timeout_ms=10_000))
    same("in time", in_time.status(), 200)


def refused() -> None:
    response = http.get(variable("REFUSED_URL"), None)
    failed("a port on which nobody listens", response, ErrorKind.CONNECT)


def batch() -> None:
    """Ten requests of 100 ms each take about 100 ms together."""
    requests = [Request("GET", f"/delay/100?n={n}", None, None) for n in range(10)]
    start_ms = timing.now_ms()
    responses = http.batch(requests)
    took_ms = timing.now_ms() - start_ms
    same("the number of responses", len(responses), 10)
    for n, response in enumerate(responses):
        same("the status", response.status(), 200)
        holds("the order is kept", response.url().endswith(f"?n={n}"))
        lasts("each", response.duration_ms(), 99, 500)
    lasts("all", took_ms, 99, 500)


def json_values() -> None:
    document = (
        r'{"a":{"b":[1,2.5,"x\"y",null,true,{}]},"m~n":"tilde","s/t":"slash","":"empty",'
        r'"big":12345678901234567890}'
    )
    response = reflect(Body_Json(document))
    for pointer, value in {
        "/a/b/0": "1",
        "/a/b/1": "2.5",
        "/a/b/2": r'"x\"y"',
        "/a/b/3": "null",
        "/a/b/4": "true",
        "/a/b/5": "{}",
        "/a/b/6": None,
        "/a/b/-": None,
        "/a/b/00": None,
        "/m~0n": '"tilde"',
        "/s~1t": '"slash"',
        "/": '"empty"',
        "/big": "12345678901234567890",
        "/none": None,
        "no-slash": None,
    }.items():
        same(pointer, response.json(pointer), value)
    whole = response.json("") or ""
    holds("the whole document", whole.startswith("{") and '"tilde"' in whole)
    same("the text is untouched", response.text(), document)

    broken = reflect(Body_Json('{"a":1'))
    same("a body that is no JSON", broken.json("/a"), None)
    same("as a whole", broken.json(""), None)
    same("its text", broken.text(), '{"a":1')


def soak() -> None:
    """Sends 8 headers and 1 KiB, reads both back, and keeps nothing: over thousands of
    iterations a VU's memory stays what it was."""
    iteration = execution.iteration()
    start = f'{{"iteration":{iteration},"fill":"'
    document = start.ljust(1_022, "x") + '"}'
    sent = [(f"x-soak-{n}", f"value {n} of {iteration}") for n in range(8)]
    response = http.post("/reflect", Body_Json(document), replace(PARAMS, headers=sent))
    same("the status", response.status(), 200)
    headers = response.headers()
    for header in sent:
        holds(f"{header[0]} came back", header in headers)
    same("the body", response.body(), document.encode())


def reflect(body: Body) -> Response:
    """Sends a body that the server sends back."""
    return http.post("/reflect", body, None)


def echoed(response: Response, pointer: str) -> str:
    """A string in what `/echo` answered."""
    value = maybe_echoed(response, pointer)
    if value is None:
        raise Err(f"no {pointer} in {response.text()}")
    return value


def maybe_echoed(response: Response, pointer: str) -> str | None:
    """A string in what `/echo` answered, if it is there."""
    value = response.json(pointer)
    return None if value is None else json.loads(value)


def failed(what: str, response: Response, kind: ErrorKind) -> None:
    """Raises unless a request failed in the expected way, as data."""
    error = response.error()
    if error is None:
        raise Err(f"{what}: no error")
    same(what, error.kind, kind)
    holds("an error has a message", error.message != "")
    same("the status", response.status(), 0)
    holds("it is no success", not response.ok())
    same("the headers", response.headers(), [])
    same("the body", response.body(), b"")
    same("the text", response.text(), "")
    same("the JSON", response.json(""), None)
