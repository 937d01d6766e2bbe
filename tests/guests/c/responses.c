// What comes back.

#include "behaviour.h"

#include <inttypes.h>

// Sends a body that the server sends back.
static http_own_response_t reflect(const char *json, http_params_t *params)
{
    http_body_t body = {.tag = HTTP_BODY_JSON, .val.json = text(json)};
    return keep(http_post(TEXT("/reflect"), &body, params));
}

bool json(void)
{
    const char *document = "{\"a\":{\"b\":[1,2.5,\"x\\\"y\",null,true,{}]},\"m~n\":\"tilde\","
                           "\"s/t\":\"slash\",\"\":\"empty\",\"big\":12345678901234567890}";
    http_own_response_t response = reflect(document, NULL);
    const struct {
        const char *pointer, *value;
    } all[] = {
        {"/a/b/0", "1"},
        {"/a/b/1", "2.5"},
        {"/a/b/2", "\"x\\\"y\""},
        {"/a/b/3", "null"},
        {"/a/b/4", "true"},
        {"/a/b/5", "{}"},
        {"/a/b/6", NULL},
        {"/a/b/-", NULL},
        {"/a/b/00", NULL},
        {"/m~0n", "\"tilde\""},
        {"/s~1t", "\"slash\""},
        {"/", "\"empty\""},
        {"/big", "12345678901234567890"},
        {"/none", NULL},
        {"no-slash", NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        SAME_TEXT(all[i].pointer, json_of(response, all[i].pointer), all[i].value);
    const char *whole = json_of(response, "");
    HOLDS("the whole document", whole && whole[0] == '{' && strstr(whole, "\"tilde\""));
    SAME_TEXT("the text is untouched", text_of(response), document);

    http_own_response_t broken = reflect("{\"a\":1", NULL);
    SAME_TEXT("a body that is no JSON", json_of(broken, "/a"), NULL);
    SAME_TEXT("as a whole", json_of(broken, ""), NULL);
    SAME_TEXT("its text", text_of(broken), "{\"a\":1");
    return true;
}

static bool is_same(squall_string_t a, squall_string_t b)
{
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

// Sends 8 headers and 1 KiB, reads both back, and keeps nothing: over thousands of
// iterations a VU's memory stays what it was.
bool soak(void)
{
    uint32_t iteration = execution_iteration();
    char document[1024 + 1];
    int start = snprintf(document, sizeof document, "{\"iteration\":%" PRIu32 ",\"fill\":\"", iteration);
    memset(document + start, 'x', 1024 - start - 2);
    strcpy(document + 1024 - 2, "\"}");
    http_header_t sent[8];
    for (int n = 0; n < 8; n++) {
        sent[n].f0 = text(print("x-soak-%d", n));
        sent[n].f1 = text(print("value %d of %" PRIu32, n, iteration));
    }
    http_params_t params = {.headers = {true, {sent, 8}}};
    http_own_response_t response = reflect(document, &params);
    SAME_NUMBER("the status", status_of(response), 200);

    http_list_header_t headers;
    http_method_response_headers(http_borrow_response(response), &headers);
    unsigned found = 0;
    for (size_t i = 0; i < headers.len; i++)
        for (int n = 0; n < 8; n++)
            if (is_same(headers.ptr[i].f0, sent[n].f0) && is_same(headers.ptr[i].f1, sent[n].f1))
                found |= 1u << n;
    http_list_header_free(&headers);
    for (int n = 0; n < 8; n++)
        HOLDS(print("x-soak-%d came back", n), found & 1u << n);

    squall_list_u8_t body;
    http_method_response_body(http_borrow_response(response), &body);
    bool is_whole = body.len == 1024 && memcmp(body.ptr, document, 1024) == 0;
    squall_list_u8_free(&body);
    HOLDS("the body came back", is_whole);
    return true;
}
