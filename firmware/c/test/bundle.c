/* A device that is offered trust bundles, with a store that loses power at a write.
 *
 * SPDX-License-Identifier: MIT */
#include "fleetmint/bundle.h"

#include <stdio.h>
#include <string.h>

#include "board.h"
#include "lines.h"
#include "memory_kv.h"

static struct lines in;
static struct memory_kv memory;
static struct fm_kv kv;
static uint8_t held_room[FM_BUNDLE_MOST];
static struct fm_bundle held, offered;

static void say_bundle(const struct fm_bundle *bundle) {
    char label[FM_BUNDLE_LABEL];
    size_t at;

    fm_bundle_label(bundle, label);
    lines_say(label);
    lines_say_bytes(bundle->site.data, bundle->site.size);
    lines_say_number(bundle->created);
    lines_say_bytes(bundle->keys.data, bundle->keys.size);
    lines_say_bytes(bundle->endorsement, FM_SIGNATURE_SIZE);
    lines_say_bytes(bundle->signature, FM_SIGNATURE_SIZE);
    for (at = 0; at < bundle->anchor_count; at++) {
        lines_say_bytes(bundle->anchors[at].data, bundle->anchors[at].size);
    }
}

static void offer(void) {
    int result = fm_bundle_load(&kv, held_room, &held);

    if (result == FM_OK) {
        result = fm_bundle_read(in.values[0].data, in.values[0].size, &offered);
    }
    if (result == FM_OK) {
        result = fm_bundle_judge(&board()->crypto, &held, &offered);
        lines_say_bytes((const uint8_t *)fm_bundle_reason(result), strlen(fm_bundle_reason(result)));
    }
    if (result == FM_OK) {
        result = fm_bundle_keep(&kv, &offered, held_room);
    }
    lines_say_result(result);
}

static void answer(void) {
    int result;

    if (strcmp(in.what, "burn") == 0) {
        memory_kv_clear(&memory);
        kv.put(kv.ctx, "bundle", in.values[0].data, in.values[0].size);
    } else if (strcmp(in.what, "cut") == 0) {
        memory.writes = 0;
        memory.dies_at = lines_number(&in, 0);
        memory.survives = lines_number(&in, 1) != 0;
    } else if (strcmp(in.what, "read") == 0) {
        result = fm_bundle_read(in.values[0].data, in.values[0].size, &offered);
        lines_say_result(result);
        if (result == FM_OK) {
            say_bundle(&offered);
        }
    } else if (strcmp(in.what, "held") == 0) {
        result = fm_bundle_load(&kv, held_room, &held);
        lines_say_result(result);
        if (result == FM_OK) {
            lines_say_bytes(held.whole.data, held.whole.size);
        }
    } else if (strcmp(in.what, "told") == 0) {
        fm_bundle_load(&kv, held_room, &held);
        lines_say_number((uint32_t)(1 + fm_bundle_compare(lines_text(&in, 0), &held)));
    } else if (strcmp(in.what, "offer") == 0) {
        offer();
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
