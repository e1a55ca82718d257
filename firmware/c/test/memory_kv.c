/* SPDX-License-Identifier: MIT */
#include "memory_kv.h"

#include <stdlib.h>
#include <string.h>

/* Where a value is, or would be; NULL when there is no place left. */
static int find(const struct memory_kv *memory, const char *key) {
    int at, place = -1;

    for (at = MEMORY_KV_VALUES - 1; at >= 0; at--) {
        if (strcmp(memory->values[at].key, key) == 0) {
            return at;
        }
        if (memory->values[at].key[0] == 0) {
            place = at;
        }
    }
    if (place < 0) {
        abort();
    }
    return place;
}

/* Whether this write takes effect. */
static bool begin_write(struct memory_kv *memory) {
    return ++memory->writes != memory->dies_at || memory->survives;
}

static int end_write(struct memory_kv *memory) {
    if (memory->writes == memory->dies_at) {
        longjmp(memory->off, 1);
    }
    return FM_OK;
}

static void drop(struct memory_kv *memory, int at) {
    free(memory->values[at].data);
    memset(&memory->values[at], 0, sizeof memory->values[at]);
}

static int get(void *ctx, const char *key, uint8_t *data, size_t room) {
    struct memory_kv *memory = ctx;
    int at = find(memory, key);

    if (memory->values[at].key[0] == 0 || memory->values[at].is_number) {
        return FM_ABSENT;
    }
    if (memory->values[at].size > room) {
        return FM_TOO_LONG;
    }
    memcpy(data, memory->values[at].data, memory->values[at].size);
    return (int)memory->values[at].size;
}

static int put(void *ctx, const char *key, const uint8_t *data, size_t size) {
    struct memory_kv *memory = ctx;
    int at = find(memory, key);

    if (begin_write(memory)) {
        drop(memory, at);
        strcpy(memory->values[at].key, key);
        memory->values[at].data = malloc(size + 1);
        memory->values[at].size = size;
        memcpy(memory->values[at].data, data, size);
    }
    return end_write(memory);
}

static int erase(void *ctx, const char *key) {
    struct memory_kv *memory = ctx;
    int at = find(memory, key);

    if (memory->values[at].key[0] == 0) {
        return FM_OK;
    }
    if (begin_write(memory)) {
        drop(memory, at);
    }
    return end_write(memory);
}

static int get_i32(void *ctx, const char *key, int32_t *value) {
    struct memory_kv *memory = ctx;
    int at = find(memory, key);

    if (memory->values[at].key[0] == 0 || !memory->values[at].is_number) {
        return FM_ABSENT;
    }
    *value = memory->values[at].number;
    return FM_OK;
}

static int put_i32(void *ctx, const char *key, int32_t value) {
    struct memory_kv *memory = ctx;
    int at = find(memory, key);

    if (begin_write(memory)) {
        drop(memory, at);
        strcpy(memory->values[at].key, key);
        memory->values[at].is_number = true;
        memory->values[at].number = value;
    }
    return end_write(memory);
}

struct fm_kv memory_kv_of(struct memory_kv *memory) {
    struct fm_kv kv = {memory, get, put, erase, get_i32, put_i32};

    return kv;
}

void memory_kv_clear(struct memory_kv *memory) {
    int at;

    for (at = 0; at < MEMORY_KV_VALUES; at++) {
        drop(memory, at);
    }
    memory->dies_at = memory->writes = 0;
}
