/* A store in memory that loses power at a write, before or after that write took effect.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_MEMORY_KV_H
#define FLEETMINT_TEST_MEMORY_KV_H

#include <setjmp.h>
#include <stdbool.h>

#include "fleetmint/port.h"

#define MEMORY_KV_VALUES 16

struct memory_kv {
    struct {
        char key[FM_KV_KEY + 1];
        bool is_number;
        int32_t number;
        uint8_t *data;
        size_t size;
    } values[MEMORY_KV_VALUES];
    /* The write at which the power goes, counted from 1; 0 is none. Then `off` is jumped to. */
    unsigned dies_at, writes;
    bool survives;
    jmp_buf off;
};

/* `memory` has to be zero in the beginning. */
struct fm_kv memory_kv_of(struct memory_kv *memory);
void memory_kv_clear(struct memory_kv *memory);

#endif
