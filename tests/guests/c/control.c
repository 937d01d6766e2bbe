// The run as the script sees it, and what the script adds to it.

#include "behaviour.h"

#include <inttypes.h>
#include <math.h>

// Three of four hold in every iteration.
bool checks(void)
{
    HOLDS("a check returns what held", metrics_check(TEXT("holds"), true));
    HOLDS("and what did not", !metrics_check(TEXT("fails"), false));
    metrics_check(TEXT("holds"), true);
    metrics_check(TEXT("holds"), true);
    return true;
}

bool custom_metrics(void)
{
    metrics_counter_add(TEXT("items"), 2);
    metrics_counter_add(TEXT("items"), 0.5);
    metrics_gauge_set(TEXT("basket"), 7);
    metrics_gauge_set(TEXT("basket"), 3);
    for (int i = 0; i < 4; i++)
        metrics_rate_add(TEXT("hits"), i < 3);
    for (int value = 10; value <= 30; value += 10)
        metrics_trend_add(TEXT("price"), value);
    // What cannot be added up is left out, and harms nobody.
    metrics_trend_add(TEXT("price"), NAN);
    metrics_counter_add(TEXT("items"), INFINITY);
    return true;
}

// Globals last from one iteration to the next, and are this VU's own.
bool globals(void)
{
    static uint32_t iterations;
    SAME_NUMBER("the iterations so far", iterations++, execution_iteration());
    return true;
}

// The VU ends after its second iteration.
bool stop_vu(void)
{
    if (execution_iteration() == 1) {
        execution_stop_vu();
        // This iteration still comes to its end.
        SAME_NUMBER("after stop-vu", status_of(get("/echo")), 200);
        return true;
    }
    HOLDS("no iteration after stop-vu", execution_iteration() == 0);
    return true;
}

// The first VU ends the run in its third iteration.
bool abort_run(void)
{
    if (execution_vu_id() == 1 && execution_iteration() == 2)
        execution_abort_run(TEXT("the shop is on fire"));
    SAME_NUMBER("the status", status_of(get("/echo")), 200);
    return true;
}

__attribute__((noinline)) static size_t count_items(const uint32_t *basket, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += basket[i];
    if (count == 0) {
        fputs("the basket is empty\n", stderr);
        abort();
    }
    return count;
}

__attribute__((noinline)) static void look_into_basket(void)
{
    log_info(print("%zu items", count_items(NULL, 0)));
}

// The first iteration of each VU aborts, two functions further in.
bool throw(void)
{
    if (execution_iteration() == 0)
        look_into_basket();
    SAME_NUMBER("the status", status_of(get("/echo")), 200);
    return true;
}

// Logs what the host's source gives, to be compared between VUs and runs.
bool random_numbers(void)
{
    double uniform = random_uniform();
    int32_t between = random_between(-3, 3);
    squall_list_u8_t bytes, none;
    random_bytes(16, &bytes);
    char digits[16 * 5 + 1] = "";
    size_t count = bytes.len;
    for (size_t i = 0; i < count && i < 16; i++)
        sprintf(digits + strlen(digits), i ? ", %u" : "%u", bytes.ptr[i]);
    squall_list_u8_free(&bytes);
    HOLDS("from 0 to 1", 0 <= uniform && uniform < 1);
    HOLDS("from -3 to 3", -3 <= between && between <= 3);
    SAME_NUMBER("the number of bytes", count, 16);
    random_bytes(0, &none);
    count = none.len;
    squall_list_u8_free(&none);
    SAME_NUMBER("no bytes", count, 0);
    SAME_NUMBER("between a number and itself", random_between(5, 5), 5);
    bool seen[3] = {false};
    for (int i = 0; i < 200; i++) {
        double number = random_uniform();
        HOLDS("from 0 to 1", 0 <= number && number < 1);
        seen[random_between(0, 2)] = true;
    }
    HOLDS("both bounds are included", seen[0] && seen[1] && seen[2]);
    int32_t whole = random_between(INT32_MIN, INT32_MAX);
    log_info(print("random: %.17g %" PRId32 " %" PRId32 " [%s]", uniform, between, whole, digits));
    return true;
}

bool log_levels(void)
{
    log_write(LOG_LEVEL_DEBUG, TEXT("log: debug"));
    log_write(LOG_LEVEL_INFO, TEXT("log: info"));
    log_write(LOG_LEVEL_WARN, TEXT("log: warn"));
    log_write(LOG_LEVEL_ERROR, TEXT("log: error"));
    return true;
}
