// Writes a line for each interval: its time, how many requests were sent, how many failed.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "squall.h"

bool exports_event_handler_start(exports_event_handler_run_info_t *run,
                                 exports_event_handler_interests_t *interests, squall_string_t *err)
{
    (void)err; // To refuse, set it with squall_string_dup and return false.
    exports_event_handler_run_info_free(run);
    *interests = EVENTS_INTERESTS_STATS;
    return true;
}

void exports_event_handler_handle(exports_event_handler_list_event_t *events,
                                  exports_event_handler_list_log_entry_t *lines)
{
    // The bindings free what is returned; what was received is for us to free.
    lines->ptr = NULL;
    lines->len = 0;
    for (size_t i = 0; i < events->len; i++) {
        const events_event_t *event = &events->ptr[i];
        if (event->kind.tag != EVENTS_EVENT_KIND_STATS)
            continue;
        const events_request_stats_t *all = &event->kind.val.stats.interval.all;
        char line[120];
        snprintf(line, sizeof line, "{\"time\":%.3f,\"sent\":%" PRIu64 ",\"failed\":%" PRIu64 "}",
                 event->time_ms, all->requests, all->failures);
        lines->ptr = realloc(lines->ptr, (lines->len + 1) * sizeof *lines->ptr);
        squall_string_dup(&lines->ptr[lines->len++], line);
    }
    exports_event_handler_list_event_free(events);
}

void exports_event_handler_finish(exports_event_handler_list_log_entry_t *lines)
{
    lines->ptr = NULL;
    lines->len = 0;
}
