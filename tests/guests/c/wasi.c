// What reaches the world by the C library.

#include "behaviour.h"

extern char **environ;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Logs the whole environment, which is what was granted.
bool environment(void)
{
    const char *granted = variable("GRANTED");
    TRY(granted);
    const char *names[64];
    size_t count = 0;
    for (; environ[count] && count < 64; count++)
        names[count] = print("%.*s", (int)strcspn(environ[count], "="), environ[count]);
    qsort(names, count, sizeof *names, by_name);
    const char *line = "environment: ";
    for (size_t i = 0; i < count; i++)
        line = print("%s%s%s", line, i ? "," : "", names[i]);
    log_info(line);
    HOLDS("it is the value that was granted", strcmp(granted, "a value = with, signs") == 0);
    return true;
}

bool print_lines(void)
{
    printf("print: to stdout\n");
    fprintf(stderr, "print: to stderr\n");
    printf("print: two\nprint: lines\n");
    printf("print: in ");
    printf("pieces\n");
    printf("print: without an end");
    return fflush(stdout) == 0;
}
