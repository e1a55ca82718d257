/* The outbox and the back-off.
 *
 * SPDX-License-Identifier: MIT */
#include "fleetmint/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetmint/backoff.h"
#include "lines.h"

static struct lines in;
static struct fm_outbox outbox;
static uint8_t *storage;
static struct fm_backoff backoff;

/* All that is in it, oldest first, taken from a copy; then how many were lost. */
static void say_all(void) {
    struct fm_outbox copy = outbox;
    struct fm_outbox_item item;
    size_t size = outbox.used;

    copy.storage = malloc(size);
    memcpy(copy.storage, outbox.storage, size);
    while (fm_outbox_take(&copy, &item) == FM_OK) {
        lines_say_bytes(item.topic.data, item.topic.size);
        lines_say_bytes(item.payload.data, item.payload.size);
        fm_outbox_sent(&copy);
    }
    free(copy.storage);
    lines_say_number(outbox.lost);
}

int main(void) {
    struct fm_outbox_item item;

    while (lines_next(&in)) {
        if (strcmp(in.what, "begin") == 0) {
            uint16_t messages = (uint16_t)lines_number(&in, 0), bytes = (uint16_t)lines_number(&in, 1);

            free(storage);
            storage = malloc(FM_OUTBOX_STORAGE((size_t)messages, bytes));
            fm_outbox_begin(&outbox, storage, messages, bytes);
        } else if (strcmp(in.what, "add") == 0) {
            lines_say_result(fm_outbox_add(&outbox, lines_text(&in, 0), in.values[1].data, in.values[1].size));
        } else if (strcmp(in.what, "object") == 0) {
            enum fm_outbox_kind kind = lines_number(&in, 2) ? FM_OUTBOX_READING : FM_OUTBOX_MESSAGE;

            lines_say_result(fm_outbox_add_object(&outbox, lines_text(&in, 0), lines_text(&in, 1), kind, 7));
        } else if (strcmp(in.what, "take") == 0) {
            lines_say_result(fm_outbox_take(&outbox, &item));
        } else if (strcmp(in.what, "sent") == 0) {
            fm_outbox_sent(&outbox);
        } else if (strcmp(in.what, "release") == 0) {
            fm_outbox_release(&outbox);
        } else if (strcmp(in.what, "all") == 0) {
            say_all();
        } else if (strcmp(in.what, "reset") == 0) {
            backoff.failures = 0;
        } else if (strcmp(in.what, "after") == 0) {
            enum fm_failure failure = (enum fm_failure)lines_number(&in, 0);

            lines_say_number(fm_backoff_after(&backoff, failure, lines_number(&in, 1), (uint16_t)lines_number(&in, 2)));
        } else {
            fprintf(stderr, "nobody knows %s\n", in.what);
            return 2;
        }
        lines_end();
    }
    free(storage);
    return 0;
}
