// Visits the front page, again and again.

#include <string.h>

#include "squall.h"

// A string of C's as the host wants it.
#define TEXT(s) (&(squall_string_t){(uint8_t *)(s), strlen(s)})

bool exports_user_iterate(squall_string_t *err)
{
    (void)err; // To fail the iteration, set it with squall_string_dup and return false.

    http_own_response_t page = http_get(TEXT("/"), NULL);
    uint16_t status = http_method_response_status(http_borrow_response(page));
    metrics_check(TEXT("the front page is there"), status == 200);
    http_response_drop_own(page);
    return true;
}
