#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *c_string(const squall_string_t *string)
{
    char *copy = malloc(string->len + 1);
    memcpy(copy, string->ptr, string->len);
    copy[string->len] = '\0';
    return copy;
}

static void print(squall_string_t *string, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    string->len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    string->ptr = malloc(string->len + 1);
    vsnprintf((char *)string->ptr, string->len + 1, format, arguments);
}

void format(squall_string_t *string, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(string, format, arguments);
    va_end(arguments);
}

bool fail(squall_string_t *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(err, format, arguments);
    va_end(arguments);
    return false;
}
