// The hooks. They log that they ran only if the case is about them.

#include "behaviour.h"

#include <inttypes.h>

static char *start_data;
static unsigned starts;

static bool is_case(const char *name)
{
    const char *value = getenv("CASE");
    return value && strcmp(value, name) == 0;
}

bool exports_lifecycle_setup(squall_string_t *data, squall_string_t *err)
{
    if (is_case("setup-err")) {
        squall_string_dup(err, "the setup says no");
        return false;
    }
    if (is_case("lifecycle"))
        log_info("lifecycle: setup");
    const char *setup_data = getenv("SETUP_DATA");
    squall_string_dup(data, setup_data ? setup_data : "");
    return true;
}

static bool start(const char *data)
{
    if (is_case("start-err"))
        FAIL("the start says no");
    if (is_case("lifecycle")) {
        SAME_TEXT("the data", data, variable("SETUP_DATA"));
        log_info(print("lifecycle: start of VU %" PRIu32, execution_vu_id()));
        // What is done here lasts: the iterations look for the header.
        http_set_header(TEXT("x-started"), TEXT("yes"));
    }
    start_data = strdup(data);
    starts++;
    return true;
}

bool exports_lifecycle_on_start(squall_string_t *data, squall_string_t *err)
{
    bool went_well = start(take(data));
    if (!went_well)
        squall_string_dup(err, problem);
    let_go();
    return went_well;
}

void exports_lifecycle_on_stop(void)
{
    if (is_case("lifecycle"))
        log_info(print("lifecycle: stop of VU %" PRIu32, execution_vu_id()));
    let_go();
}

void exports_lifecycle_teardown(squall_string_t *data)
{
    const char *said = take(data);
    if (is_case("lifecycle"))
        log_info(print("lifecycle: teardown with %s", said));
    let_go();
}

bool iterate_after_start(void)
{
    const char *setup_data = variable("SETUP_DATA");
    TRY(setup_data);
    SAME_TEXT("the data", start_data, setup_data);
    SAME_NUMBER("the number of starts", starts, 1);
    const char *started = echoed(get("/echo"), "/headers/x-started");
    SAME_TEXT("the header set at the start", started, "yes");
    return true;
}
