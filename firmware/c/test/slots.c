/* The slots, in a store that loses power at a write. A key is any bytes here, and its certificate begins with them.
 *
 * SPDX-License-Identifier: MIT */
#include "fleetmint/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"
#include "memory_kv.h"

static struct lines in;
static struct memory_kv memory;
static struct fm_kv kv;
static uint8_t scratch[FM_SLOT_CERTIFICATE];
static struct fm_slots slots = {&kv, scratch};

/* Put a certificate that begins with the key of a slot, and ends with what distinguishes it. */
static size_t certificate_of(const uint8_t *key, size_t size, const char *more, uint8_t *certificate) {
    memcpy(certificate, key, size);
    strcpy((char *)certificate + size, more);
    return size + strlen(more);
}

/* A certificate for a key of its own: whether it is a renewal, the key if one is to be made, the rest of the
 * certificate */
static void new_key(void) {
    uint8_t key[FM_SLOT_KEY], certificate[FM_SLOT_CERTIFICATE];
    int slot, size, result = fm_slots_request(&slots, lines_number(&in, 0) != 0, &slot);

    if (result == FM_ABSENT) {
        result = fm_slots_put_key(&slots, slot, in.values[1].data, in.values[1].size);
    }
    size = fm_slots_key(&slots, slot, key, sizeof key);
    if (result == FM_OK && size > 0) {
        result = fm_slots_keep(&slots, slot, certificate,
                               certificate_of(key, (size_t)size, lines_text(&in, 2), certificate));
    }
    if (result == FM_OK) {
        result = fm_slots_activate(&slots, slot);
    }
    lines_say_result(result);
}

/* Another certificate for the key that is tried first: the rest of it */
static void same_key(void) {
    uint8_t key[FM_SLOT_KEY], certificate[FM_SLOT_CERTIFICATE];
    int order[2] = {0, 0}, size, result;

    fm_slots_identities(&slots, order);
    size = fm_slots_key(&slots, order[0], key, sizeof key);
    if (size < 0) {
        lines_say_result(size);
        return;
    }
    result = fm_slots_keep_beside(&slots, order[0], certificate,
                                  certificate_of(key, (size_t)size, lines_text(&in, 0), certificate));
    if (result >= 0) {
        result = fm_slots_activate(&slots, result);
    }
    lines_say_result(result);
}

static void say_store(void) {
    int order[2], count = fm_slots_identities(&slots, order), at;

    lines_say_result(fm_slots_active(&slots));
    lines_say_number((uint32_t)count);
    for (at = 0; at < count; at++) {
        lines_say_number((uint32_t)order[at]);
    }
    for (at = 0; at < MEMORY_KV_VALUES; at++) {
        if (memory.values[at].key[0] != 0) {
            lines_say(memory.values[at].key);
            if (memory.values[at].is_number) {
                lines_say_number((uint32_t)memory.values[at].number);
            } else {
                lines_say_bytes(memory.values[at].data, memory.values[at].size);
            }
        }
    }
}

static void answer(void) {
    if (strcmp(in.what, "clear") == 0) {
        memory_kv_clear(&memory);
    } else if (strcmp(in.what, "put") == 0) {
        kv.put(kv.ctx, lines_text(&in, 0), in.values[1].data, in.values[1].size);
    } else if (strcmp(in.what, "put-number") == 0) {
        kv.put_i32(kv.ctx, lines_text(&in, 0), (int32_t)lines_number(&in, 1));
    } else if (strcmp(in.what, "cut") == 0) {
        memory.writes = 0;
        memory.dies_at = lines_number(&in, 0);
        memory.survives = lines_number(&in, 1) != 0;
    } else if (strcmp(in.what, "new-key") == 0) {
        new_key();
    } else if (strcmp(in.what, "same-key") == 0) {
        same_key();
    } else if (strcmp(in.what, "discard") == 0) {
        lines_say_result(fm_slots_discard(&slots, (int)lines_number(&in, 0)));
    } else if (strcmp(in.what, "store") == 0) {
        say_store();
    } else {
        fprintf(stderr, "nobody knows %s\n", in.what);
        exit(2);
    }
}

int main(void) {
    kv = memory_kv_of(&memory);
    while (lines_next(&in)) {
        if (setjmp(memory.off) == 0) {
            answer();
        } else {
            lines_say("CUT");
        }
        lines_end();
    }
    memory_kv_clear(&memory);
    return 0;
}
