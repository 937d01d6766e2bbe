// What the cases share. A case returns whether all went as promised, and if not has
// said in `problem` what did not.

#ifndef BEHAVIOUR_H
#define BEHAVIOUR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "squall.h"

// A string of C's for the host to read, not copied: as a value, and as an argument.
static inline squall_string_t text(const char *s)
{
    return (squall_string_t){(uint8_t *)s, strlen(s)};
}
#define TEXT(s) (&(squall_string_t){(uint8_t *)(s), strlen(s)})

// Why the case failed.
extern char problem[1024];

// Ends the case with a problem, as printf would print it.
#define FAIL(...) return snprintf(problem, sizeof problem, __VA_ARGS__), false

// Ends the case unless something is so.
#define HOLDS(what, is_so)              \
    do {                                \
        if (!(is_so))                   \
            FAIL("not so: %s", (what)); \
    } while (0)

// Ends the case unless a part of it went well.
#define TRY(part)         \
    do {                  \
        if (!(part))      \
            return false; \
    } while (0)

// Ends the case unless two numbers, or two texts, are the same. NULL is an absent text.
#define SAME_NUMBER(what, got, want) TRY(same_number((what), (got), (want)))
#define SAME_TEXT(what, got, want) TRY(same_text((what), (got), (want)))
bool same_number(const char *what, double got, double want);
bool same_text(const char *what, const char *got, const char *want);

// These last to the end of the call from the host: a response, a string of the host's
// as C reads it, and a new one as printf would print it.
http_own_response_t keep(http_own_response_t response);
const char *take(squall_string_t *string);
__attribute__((format(printf, 1, 2))) const char *print(const char *format, ...);

// Drops and frees all of them.
void let_go(void);

// An environment variable that the case needs; NULL, and a problem, if it is not set.
const char *variable(const char *name);

void log_info(const char *message);

// A request with nothing but a method and a URL, and one sent with GET.
http_request_t request(const char *method, const char *url);
http_own_response_t get(const char *url);

unsigned status_of(http_own_response_t response);
const char *url_of(http_own_response_t response);
const char *text_of(http_own_response_t response);
const char *header_of(http_own_response_t response, const char *name);
const char *json_of(http_own_response_t response, const char *pointer);
double duration_of(http_own_response_t response);
bool is_ok(http_own_response_t response);

// A string in what /echo answered; NULL, and a problem, if there is none.
const char *echoed(http_own_response_t response, const char *pointer);

bool ends_with(const char *s, const char *end);

bool methods(void);
bool bodies(void);
bool headers(void);
bool redirects(void);
bool timeout(void);
bool refused(void);
bool batch(void);

bool json(void);
bool soak(void);

bool sleeps(void);
bool transactions(void);

bool checks(void);
bool custom_metrics(void);
bool stop_vu(void);
bool abort_run(void);
bool random_numbers(void);
bool log_levels(void);
bool globals(void);
bool throw(void);

bool environment(void);
bool print_lines(void);

bool iterate_after_start(void);

#endif
