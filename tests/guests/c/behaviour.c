// A script that tries one thing a script may do, chosen by the environment variable
// CASE, and fails the iteration with a message when it does not go as wit/script
// promises. ../README.md lists the cases, and what the server has to answer.

#include "behaviour.h"

#include <stdarg.h>

char problem[1024];

static bool err(void)
{
    FAIL("the script says no");
}

static const struct {
    const char *name;
    bool (*run)(void);
} cases[] = {
    {"methods", methods},
    {"bodies", bodies},
    {"headers", headers},
    {"redirects", redirects},
    {"timeout", timeout},
    {"refused", refused},
    {"batch", batch},

    {"json", json},
    {"soak", soak},

    {"sleep", sleeps},
    {"transactions", transactions},

    {"checks", checks},
    {"metrics", custom_metrics},
    {"stop-vu", stop_vu},
    {"abort-run", abort_run},
    {"random", random_numbers},
    {"log", log_levels},
    {"globals", globals},
    {"throw", throw},
    {"err", err},

    {"environment", environment},
    {"print", print_lines},

    {"lifecycle", iterate_after_start},
    {"setup-err", iterate_after_start},
    {"start-err", iterate_after_start},
};

static bool iterate(void)
{
    const char *name = variable("CASE");
    TRY(name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i].name) == 0)
            return cases[i].run();
    FAIL("no such case: %s", name);
}

bool exports_user_iterate(squall_string_t *err)
{
    bool went_well = iterate();
    if (!went_well)
        squall_string_dup(err, problem);
    let_go();
    return went_well;
}

bool same_number(const char *what, double got, double want)
{
    if (got != want)
        FAIL("%s: got %.17g, want %.17g", what, got, want);
    return true;
}

bool same_text(const char *what, const char *got, const char *want)
{
    if (got && want ? strcmp(got, want) != 0 : got != want)
        FAIL("%s: got \"%s\", want \"%s\"", what, got ? got : "(none)", want ? want : "(none)");
    return true;
}

static http_own_response_t responses[64];
static size_t response_count;
static void *memory[256];
static size_t memory_count;

http_own_response_t keep(http_own_response_t response)
{
    if (response_count == sizeof responses / sizeof *responses)
        abort();
    return responses[response_count++] = response;
}

static void *keep_memory(void *piece)
{
    if (!piece || memory_count == sizeof memory / sizeof *memory)
        abort();
    return memory[memory_count++] = piece;
}

void let_go(void)
{
    while (response_count > 0)
        http_response_drop_own(responses[--response_count]);
    while (memory_count > 0)
        free(memory[--memory_count]);
}

const char *take(squall_string_t *string)
{
    char *copy = keep_memory(malloc(string->len + 1));
    if (string->len > 0)
        memcpy(copy, string->ptr, string->len);
    copy[string->len] = '\0';
    squall_string_free(string);
    return copy;
}

const char *print(const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = vsnprintf(NULL, 0, format, again) + 1;
    va_end(again);
    char *printed = keep_memory(malloc(size));
    vsnprintf(printed, size, format, arguments);
    va_end(arguments);
    return printed;
}

const char *variable(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        snprintf(problem, sizeof problem, "`%s`: environment variable not found", name);
    return value;
}

void log_info(const char *message)
{
    log_write(LOG_LEVEL_INFO, TEXT(message));
}

http_request_t request(const char *method, const char *url)
{
    return (http_request_t){.method = text(method), .url = text(url)};
}

http_own_response_t get(const char *url)
{
    return keep(http_get(TEXT(url), NULL));
}

unsigned status_of(http_own_response_t response)
{
    return http_method_response_status(http_borrow_response(response));
}

const char *url_of(http_own_response_t response)
{
    squall_string_t url;
    http_method_response_url(http_borrow_response(response), &url);
    return take(&url);
}

const char *text_of(http_own_response_t response)
{
    squall_string_t body;
    http_method_response_text(http_borrow_response(response), &body);
    return take(&body);
}

const char *header_of(http_own_response_t response, const char *name)
{
    squall_string_t value;
    bool is_there = http_method_response_header(http_borrow_response(response), TEXT(name), &value);
    return is_there ? take(&value) : NULL;
}

const char *json_of(http_own_response_t response, const char *pointer)
{
    squall_string_t value;
    bool is_there = http_method_response_json(http_borrow_response(response), TEXT(pointer), &value);
    return is_there ? take(&value) : NULL;
}

double duration_of(http_own_response_t response)
{
    return http_method_response_duration_ms(http_borrow_response(response));
}

bool is_ok(http_own_response_t response)
{
    return http_method_response_ok(http_borrow_response(response));
}

const char *echoed(http_own_response_t response, const char *pointer)
{
    const char *json = json_of(response, pointer);
    if (!json) {
        snprintf(problem, sizeof problem, "no %s in %.800s", pointer, text_of(response));
        return NULL;
    }
    size_t length = strlen(json);
    if (length < 2 || json[0] != '"' || json[length - 1] != '"') {
        snprintf(problem, sizeof problem, "%s is %.800s", pointer, json);
        return NULL;
    }
    // What the cases send has nothing that would have to be escaped but quotes.
    char *string = keep_memory(malloc(length)), *end = string;
    for (const char *at = json + 1; at < json + length - 1; at++)
        if (at[0] != '\\' || at[1] != '"')
            *end++ = *at;
    *end = '\0';
    return string;
}

bool ends_with(const char *s, const char *end)
{
    size_t length = strlen(s), wanted = strlen(end);
    return length >= wanted && strcmp(s + length - wanted, end) == 0;
}
