// Strings, between C's and the host's.

#ifndef TEXT_H
#define TEXT_H

#include <string.h>

#include "squall.h"

// A string of C's for the host to read, not copied: as a value, and as an argument.
static inline squall_string_t text(const char *s)
{
    return (squall_string_t){(uint8_t *)s, strlen(s)};
}
#define TEXT(s) (&(squall_string_t){(uint8_t *)(s), strlen(s)})

// A copy for C to read, with its NUL, to be freed.
char *c_string(const squall_string_t *string);

// A new string, as printf would print it.
__attribute__((format(printf, 2, 3))) void format(squall_string_t *string, const char *format, ...);

// The same for what an export returns with `false`, which is returned.
__attribute__((format(printf, 2, 3))) bool fail(squall_string_t *err, const char *format, ...);

#endif
