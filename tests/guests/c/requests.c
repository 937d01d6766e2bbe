// What is sent, and where to.

#include "behaviour.h"

bool methods(void)
{
    http_body_t body = {.tag = HTTP_BODY_TEXT, .val.text = text("hello")};
    http_request_t options = request("OPTIONS", "/echo"), report = request("REPORT", "/echo");
    const struct {
        const char *method;
        http_own_response_t response;
    } sent[] = {
        {"GET", get("/echo")},
        {"DELETE", keep(http_delete(TEXT("/echo"), NULL))},
        {"POST", keep(http_post(TEXT("/echo"), &body, NULL))},
        {"PUT", keep(http_put(TEXT("/echo"), &body, NULL))},
        {"PATCH", keep(http_patch(TEXT("/echo"), &body, NULL))},
        {"OPTIONS", keep(http_send(&options))},
        {"REPORT", keep(http_send(&report))},
    };
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        const char *method = sent[i].method;
        SAME_NUMBER(method, status_of(sent[i].response), 200);
        SAME_TEXT(method, echoed(sent[i].response, "/method"), method);
        const char *want = method[0] == 'P' ? "hello" : "";
        SAME_TEXT(method, echoed(sent[i].response, "/body"), want);
    }

    http_own_response_t head = keep(http_head(TEXT("/echo"), NULL));
    SAME_NUMBER("HEAD", status_of(head), 200);
    SAME_TEXT("the body of HEAD", text_of(head), "");

    http_own_response_t nothing = keep(http_post(TEXT("/echo"), NULL, NULL));
    SAME_TEXT("POST of nothing", echoed(nothing, "/body"), "");
    return true;
}

bool bodies(void)
{
    squall_tuple2_string_string_t fields[] = {
        {text("name"), text("Ann & Bob")},
        {text("city"), text("Köln")},
        {text("empty"), text("")},
    };
    const struct {
        http_body_t body;
        const char *content_type;
        const char *sent;
    } bodies[] = {
        {{.tag = HTTP_BODY_BYTES, .val.bytes = {(uint8_t *)"raw", 3}}, NULL, "raw"},
        {{.tag = HTTP_BODY_TEXT, .val.text = text("grüße")}, "text/plain; charset=utf-8", "grüße"},
        // Not checked: it is sent as it is.
        {{.tag = HTTP_BODY_JSON, .val.json = text("{ not json")}, "application/json", "{ not json"},
        {{.tag = HTTP_BODY_FORM, .val.form = {fields, 3}},
         "application/x-www-form-urlencoded",
         "name=Ann+%26+Bob&city=K%C3%B6ln&empty="},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        http_body_t body = bodies[i].body;
        http_own_response_t response = keep(http_post(TEXT("/echo"), &body, NULL));
        SAME_TEXT("the body", echoed(response, "/body"), bodies[i].sent);
        const char *content_type = echoed(response, "/headers/content-type");
        SAME_TEXT(bodies[i].sent, content_type, bodies[i].content_type);

        http_header_t header = {text("Content-Type"), text("application/mine")};
        http_params_t own = {.headers = {true, {&header, 1}}};
        response = keep(http_put(TEXT("/echo"), &body, &own));
        content_type = echoed(response, "/headers/content-type");
        SAME_TEXT("a content type of one's own", content_type, "application/mine");
    }
    return true;
}

static const char *sent_header(http_params_t *params)
{
    return echoed(keep(http_get(TEXT("/echo"), params)), "/headers/x-test");
}

bool headers(void)
{
    SAME_TEXT("before", sent_header(NULL), NULL);

    http_set_header(TEXT("X-Test"), TEXT("default"));
    SAME_TEXT("after set-header", sent_header(NULL), "default");
    http_header_t header = {text("x-TEST"), text("own")};
    http_params_t own = {.headers = {true, {&header, 1}}};
    SAME_TEXT("a header of the request's own", sent_header(&own), "own");
    SAME_TEXT("after a header of the request's own", sent_header(NULL), "default");

    http_set_header(TEXT("x-test"), TEXT("second"));
    SAME_TEXT("set again", sent_header(NULL), "second");
    http_set_header(TEXT("x-test"), NULL);
    SAME_TEXT("removed", sent_header(NULL), NULL);
    return true;
}

// Whether a request failed in the expected way, as data.
static bool failed(const char *what, http_own_response_t response, http_error_kind_t kind)
{
    http_error_t error;
    if (!http_method_response_error(http_borrow_response(response), &error))
        FAIL("%s: no error", what);
    const char *message = take(&error.message);
    SAME_NUMBER(what, error.kind, kind);
    HOLDS("an error has a message", *message);
    SAME_NUMBER("the status", status_of(response), 0);
    HOLDS("it is no success", !is_ok(response));
    http_list_header_t headers;
    http_method_response_headers(http_borrow_response(response), &headers);
    size_t count = headers.len;
    http_list_header_free(&headers);
    SAME_NUMBER("the headers", count, 0);
    squall_list_u8_t body;
    http_method_response_body(http_borrow_response(response), &body);
    count = body.len;
    squall_list_u8_free(&body);
    SAME_NUMBER("the body", count, 0);
    SAME_TEXT("the text", text_of(response), "");
    SAME_TEXT("the JSON", json_of(response, ""), NULL);
    return true;
}

static http_own_response_t get_at_most(const char *url, uint32_t redirects)
{
    http_params_t params = {.max_redirects = {true, redirects}};
    return keep(http_get(TEXT(url), &params));
}

bool redirects(void)
{
    http_own_response_t followed = get("/redirect/3");
    SAME_NUMBER("three redirects", status_of(followed), 200);
    HOLDS("the URL is the last one", ends_with(url_of(followed), "/redirect/0"));

    http_own_response_t relative = get("/redirect-relative");
    SAME_NUMBER("a relative redirect", status_of(relative), 200);
    HOLDS("it leads to /echo", ends_with(url_of(relative), "/echo"));

    http_own_response_t first = get_at_most("/redirect/3", 0);
    SAME_NUMBER("not followed", status_of(first), 302);
    SAME_TEXT("its target", header_of(first, "location"), "/redirect/2");
    HOLDS("a redirect is a success", is_ok(first));
    HOLDS("the URL is the first one", ends_with(url_of(first), "/redirect/3"));

    SAME_NUMBER("exactly as many", status_of(get_at_most("/redirect/3", 3)), 200);
    TRY(failed("one too many", get_at_most("/redirect/3", 2), HTTP_ERROR_KIND_TOO_MANY_REDIRECTS));
    SAME_NUMBER("ten", status_of(get("/redirect/10")), 200);
    return failed("eleven", get("/redirect/11"), HTTP_ERROR_KIND_TOO_MANY_REDIRECTS);
}

bool timeout(void)
{
    http_params_t soon = {.timeout_ms = {true, 100}}, later = {.timeout_ms = {true, 10000}};
    double start_ms = timing_now_ms();
    http_own_response_t late = keep(http_get(TEXT("/delay/5000"), &soon));
    double took_ms = timing_now_ms() - start_ms;
    TRY(failed("a late answer", late, HTTP_ERROR_KIND_TIMEOUT));
    HOLDS(print("%g ms is about 100", took_ms), 95 <= took_ms && took_ms < 3000);
    HOLDS("so is the duration", 95 <= duration_of(late) && duration_of(late) < 3000);

    SAME_NUMBER("in time", status_of(keep(http_get(TEXT("/delay/50"), &later))), 200);
    return true;
}

bool refused(void)
{
    const char *url = variable("REFUSED_URL");
    TRY(url);
    return failed("a port on which nobody listens", get(url), HTTP_ERROR_KIND_CONNECT);
}

// Ten requests of 100 ms each take about 100 ms together.
bool batch(void)
{
    http_request_t requests[10];
    for (int n = 0; n < 10; n++)
        requests[n] = request("GET", print("/delay/100?n=%d", n));
    http_list_own_response_t responses;
    double start_ms = timing_now_ms();
    http_batch(&(http_list_request_t){requests, 10}, &responses);
    double took_ms = timing_now_ms() - start_ms;
    for (size_t n = 0; n < responses.len; n++)
        keep(responses.ptr[n]);
    http_own_response_t first_ten[10];
    size_t count = responses.len;
    memcpy(first_ten, responses.ptr, sizeof *first_ten * (count < 10 ? count : 10));
    free(responses.ptr);
    SAME_NUMBER("the number of responses", count, 10);
    for (int n = 0; n < 10; n++) {
        SAME_NUMBER("the status", status_of(first_ten[n]), 200);
        HOLDS("the order is kept", ends_with(url_of(first_ten[n]), print("?n=%d", n)));
        double duration_ms = duration_of(first_ten[n]);
        HOLDS(print("%g ms each", duration_ms), 99 <= duration_ms && duration_ms < 500);
    }
    HOLDS(print("%g ms for all", took_ms), 99 <= took_ms && took_ms < 500);
    return true;
}
