// Waiting and measuring.

#include "behaviour.h"

#include <math.h>

static double slept(double duration_ms)
{
    double start_ms = timing_now_ms();
    timing_sleep_ms(duration_ms);
    return timing_now_ms() - start_ms;
}

static double slept_between(double min_ms, double max_ms)
{
    double start_ms = timing_now_ms();
    timing_sleep_between_ms(min_ms, max_ms);
    return timing_now_ms() - start_ms;
}

bool sleeps(void)
{
    double took_ms = slept(50);
    HOLDS(print("%g ms is about 50", took_ms), 49 <= took_ms && took_ms < 1000);
    took_ms = slept_between(30, 60);
    HOLDS(print("%g ms is about 30 to 60", took_ms), 29 <= took_ms && took_ms < 1000);
    const double odd_ms[] = {0, -5, NAN, -INFINITY};
    for (int i = 0; i < 4; i++) {
        took_ms = slept(odd_ms[i]);
        HOLDS(print("%g ms for %g", took_ms, odd_ms[i]), took_ms < 500);
        took_ms = slept_between(odd_ms[i], odd_ms[i]);
        HOLDS(print("%g ms between %g", took_ms, odd_ms[i]), took_ms < 500);
    }
    return true;
}

static double stop(timing_own_transaction_t transaction, const char *failure)
{
    timing_borrow_transaction_t running = timing_borrow_transaction(transaction);
    return failure ? timing_method_transaction_fail_ms(running, TEXT(failure))
                   : timing_method_transaction_finish_ms(running);
}

// One that finishes, one that fails, one that is stopped twice and one that is
// dropped before it is stopped.
bool transactions(void)
{
    timing_own_transaction_t finished = timing_constructor_transaction(TEXT("finished"));
    timing_sleep_ms(30);
    double first_ms = stop(finished, NULL);
    timing_transaction_drop_own(finished);
    HOLDS(print("%g ms is about 30", first_ms), 29 <= first_ms && first_ms < 1000);

    timing_own_transaction_t failed = timing_constructor_transaction(TEXT("failed"));
    timing_sleep_ms(10);
    double failed_ms = stop(failed, "no luck");
    timing_transaction_drop_own(failed);
    HOLDS(print("%g ms is about 10", failed_ms), 9 <= failed_ms && failed_ms < 1000);

    timing_own_transaction_t twice = timing_constructor_transaction(TEXT("twice"));
    first_ms = stop(twice, NULL);
    timing_sleep_ms(30);
    double second_ms = stop(twice, "too late");
    timing_transaction_drop_own(twice);
    SAME_NUMBER("a second stop changes nothing", second_ms, first_ms);

    timing_transaction_drop_own(timing_constructor_transaction(TEXT("dropped")));
    return true;
}
