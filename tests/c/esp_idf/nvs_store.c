#include "nvs_store.h"

#include <string.h>

#include "nvs.h"

enum { SECOND_VERSION = 0x80, MAX_SPACES = 254 };

static int matches(const struct entry *entry, unsigned space, unsigned type, const char *key, unsigned chunk) {
    return (space == ANY || entry->space == space) && (type == ANY || entry->type == type) &&
           (!key || strncmp(entry->key, key, sizeof entry->key) == 0) && (chunk == ANY || entry->chunk == chunk);
}

/* The first in the order of the pages. An entry that is damaged does not exist. */
int store_find(const struct pages *pages, unsigned space, unsigned type, const char *key, unsigned chunk,
               struct place *at, struct entry *entry) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    for (unsigned i = 0; i < used; i++) {
        for (struct place here = {order[i], 0}; here.index < PAGE_ENTRIES; here.index++) {
            if (entry_state(pages, here) != ENTRY_WRITTEN || !entry_read(pages, here, entry))
                continue;
            if (matches(entry, space, type, key, chunk)) {
                *at = here;
                return 1;
            }
            here.index += entry->span - 1u;
        }
    }
    return 0;
}

void store_forget(const struct pages *pages, struct place at) {
    struct entry entry;
    unsigned span = entry_read(pages, at, &entry) ? entry.span : 1u;
    entry_set_state(pages, at, span, ENTRY_ERASED);
}

static unsigned count_free(const struct pages *pages) {
    unsigned order[MAX_PAGES];
    return pages->count - pages_in_order(pages, order);
}

/* The page that is written to, or was until it was full. */
static unsigned current(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    return used && page_state(pages, order[used - 1]) != PAGE_FREEING ? order[used - 1] : page_activate(pages);
}

static unsigned next_entry(const struct pages *pages) {
    unsigned page = current(pages);
    return page_state(pages, page) == PAGE_ACTIVE ? page_next(pages, page) : PAGE_ENTRIES;
}

/* Bytes of data that fit behind an entry on this page; 0 when not even the entry does. */
static size_t room_for_data(const struct pages *pages) {
    unsigned next = next_entry(pages);
    return next + 1 < PAGE_ENTRIES ? (PAGE_ENTRIES - 1u - next) * ENTRY_BYTES : 0;
}

void store_copy_page(const struct pages *pages, unsigned from, unsigned to) {
    struct entry entry;
    uint8_t data[CHUNK_BYTES];
    for (struct place at = {from, 0}; at.index < PAGE_ENTRIES; at.index++) {
        if (entry_state(pages, at) != ENTRY_WRITTEN || !entry_read(pages, at, &entry))
            continue;
        size_t size = (entry.span - 1u) * ENTRY_BYTES;
        entry_read_data(pages, at, data, size);
        entry_write(pages, (struct place){to, page_next(pages, to)}, entry, data, size);
        at.index += entry.span - 1u;
    }
}

/* One page stays free: where only that one is left, the page with the most room in it is copied to it and erased. */
static esp_err_t turn_page(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order), best = 0, most = 0;
    if (page_state(pages, current(pages)) == PAGE_ACTIVE)
        page_set_state(pages, current(pages), PAGE_FULL);
    if (count_free(pages) >= 2) {
        page_activate(pages);
        return ESP_OK;
    }
    for (unsigned i = 0; i < used; i++) {
        unsigned room = PAGE_ENTRIES - page_used(pages, order[i]);
        if (room > most) {
            most = room;
            best = order[i];
        }
    }
    if (!most)
        return ESP_ERR_NVS_NOT_ENOUGH_SPACE;
    page_set_state(pages, best, PAGE_FREEING);
    store_copy_page(pages, best, page_activate(pages));
    page_erase(pages, best);
    return ESP_OK;
}

/* Writes one entry with its data, on the next page when it does not fit on this one. */
static esp_err_t append(const struct pages *pages, struct entry entry, const uint8_t *data, size_t size) {
    if (next_entry(pages) + entry.span > PAGE_ENTRIES &&
        (turn_page(pages) || next_entry(pages) + entry.span > PAGE_ENTRIES))
        return ESP_ERR_NVS_NOT_ENOUGH_SPACE;
    entry_write(pages, (struct place){current(pages), next_entry(pages)}, entry, data, size);
    return ESP_OK;
}

static struct entry make(uint8_t space, uint8_t type, const char *key, size_t size, uint8_t chunk) {
    struct entry entry = {.space = space, .type = type, .chunk = chunk};
    entry.span = (uint8_t)(1 + (size + ENTRY_BYTES - 1) / ENTRY_BYTES);
    strncpy(entry.key, key, sizeof entry.key - 1);
    memset(entry.value, 0xff, sizeof entry.value);
    return entry;
}

esp_err_t store_namespace(const struct pages *pages, const char *name, int create, uint8_t *space) {
    struct place at;
    struct entry entry;
    if (store_find(pages, 0, U8, name, ANY, &at, &entry)) {
        *space = entry.value[0];
        return ESP_OK;
    }
    if (!create)
        return ESP_ERR_NVS_NOT_FOUND;
    uint8_t taken[256] = {0}, next = 1;
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    for (unsigned i = 0; i < used; i++)
        for (at = (struct place){order[i], 0}; at.index < PAGE_ENTRIES; at.index++)
            if (entry_state(pages, at) == ENTRY_WRITTEN && entry_read(pages, at, &entry)) {
                if (entry.space == 0)
                    taken[entry.value[0]] = 1;
                at.index += entry.span - 1u;
            }
    while (taken[next])
        if (++next > MAX_SPACES)
            return ESP_ERR_NVS_NOT_ENOUGH_SPACE;
    entry = make(0, U8, name, 0, NO_CHUNK);
    entry.value[0] = *space = next;
    return append(pages, entry, NULL, 0);
}

esp_err_t store_get_i32(const struct pages *pages, uint8_t space, const char *key, int32_t *value) {
    struct place at;
    struct entry entry;
    if (!store_find(pages, space, I32, key, ANY, &at, &entry))
        return ESP_ERR_NVS_NOT_FOUND;
    memcpy(value, entry.value, sizeof *value);
    return ESP_OK;
}

esp_err_t store_set_i32(const struct pages *pages, uint8_t space, const char *key, int32_t value) {
    struct place at;
    struct entry found, entry = make(space, I32, key, 0, NO_CHUNK);
    int old = store_find(pages, space, I32, key, ANY, &at, &found);
    memcpy(entry.value, &value, sizeof value);
    if (old && memcmp(found.value, entry.value, sizeof value) == 0)
        return ESP_OK;
    esp_err_t error = append(pages, entry, NULL, 0);
    /* it may lie elsewhere now */
    if (!error && old && store_find(pages, space, I32, key, ANY, &at, &found))
        store_forget(pages, at);
    return error;
}

static uint32_t blob_size(const struct entry *index) {
    uint32_t size;
    memcpy(&size, index->value, sizeof size);
    return size;
}

esp_err_t store_get_blob(const struct pages *pages, uint8_t space, const char *key, uint8_t *data, size_t *length) {
    struct place at;
    struct entry index, chunk;
    if (!store_find(pages, space, BLOB_INDEX, key, ANY, &at, &index))
        return ESP_ERR_NVS_NOT_FOUND;
    size_t size = blob_size(&index), room = *length, got = 0;
    *length = size;
    if (!data)
        return ESP_OK;
    if (room < size)
        return ESP_ERR_NVS_INVALID_LENGTH;
    for (unsigned i = 0; i < index.value[4]; i++) {
        uint16_t part;
        uint32_t crc;
        if (!store_find(pages, space, BLOB_DATA, key, index.value[5] + i, &at, &chunk))
            return ESP_ERR_NVS_NOT_FOUND;
        memcpy(&part, chunk.value, sizeof part);
        memcpy(&crc, chunk.value + 4, sizeof crc);
        if (part > size - got)
            return ESP_ERR_NVS_NOT_FOUND;
        entry_read_data(pages, at, data + got, part);
        if (crc != nvs_crc(0xffffffff, data + got, part)) {
            store_forget(pages, at);
            return ESP_ERR_NVS_NOT_FOUND;
        }
        got += part;
    }
    return got == size ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}

static void forget_chunks(const struct pages *pages, uint8_t space, const char *key, unsigned first) {
    struct place at;
    struct entry entry;
    for (unsigned i = first; i < first + SECOND_VERSION; i++)
        while (store_find(pages, space, BLOB_DATA, key, i, &at, &entry))
            store_forget(pages, at);
}

static esp_err_t write_blob(const struct pages *pages, uint8_t space, const char *key, const uint8_t *data,
                            size_t length, unsigned first) {
    unsigned count = 0;
    size_t rest = length;
    esp_err_t error = ESP_OK;
    do {
        size_t room = room_for_data(pages);
        /* a small rest of a page is no place for the beginning of a blob that goes on elsewhere */
        if (!room || (!count && room < length && room < CHUNK_BYTES / 10)) {
            error = turn_page(pages);
            room = room_for_data(pages);
            if (error || !room)
                return ESP_ERR_NVS_NOT_ENOUGH_SPACE;
        }
        size_t part = rest < room ? rest : room;
        struct entry entry = make(space, BLOB_DATA, key, part, (uint8_t)(first + count));
        uint32_t crc = nvs_crc(0xffffffff, data, part);
        entry.value[0] = (uint8_t)part;
        entry.value[1] = (uint8_t)(part >> 8);
        memcpy(entry.value + 4, &crc, sizeof crc);
        error = append(pages, entry, data, part);
        count++;
        data += part;
        rest -= part;
    } while (!error && rest);
    if (error)
        return error;
    struct entry index = make(space, BLOB_INDEX, key, 0, NO_CHUNK);
    uint32_t size = (uint32_t)length;
    memcpy(index.value, &size, sizeof size);
    index.value[4] = (uint8_t)count;
    index.value[5] = (uint8_t)first;
    return append(pages, index, NULL, 0);
}

static int same_blob(const struct pages *pages, uint8_t space, const char *key, const uint8_t *data, size_t length) {
    static uint8_t old[64 * 1024];
    size_t size = sizeof old;
    return !store_get_blob(pages, space, key, old, &size) && size == length && memcmp(old, data, length) == 0;
}

esp_err_t store_set_blob(const struct pages *pages, uint8_t space, const char *key, const uint8_t *data,
                         size_t length) {
    struct place at;
    struct entry index;
    int old = store_find(pages, space, BLOB_INDEX, key, ANY, &at, &index);
    unsigned before = old ? index.value[5] : SECOND_VERSION, next = before ? 0 : SECOND_VERSION;
    if (old && same_blob(pages, space, key, data, length))
        return ESP_OK;
    esp_err_t error = write_blob(pages, space, key, data, length, next);
    if (error) {
        forget_chunks(pages, space, key, next);
        return error;
    }
    if (old && store_find(pages, space, BLOB_INDEX, key, ANY, &at, &index)) {
        store_forget(pages, at);
        forget_chunks(pages, space, key, before);
    }
    return ESP_OK;
}

esp_err_t store_erase(const struct pages *pages, uint8_t space, const char *key) {
    struct place at;
    struct entry entry;
    if (!store_find(pages, space, ANY, key, ANY, &at, &entry))
        return ESP_ERR_NVS_NOT_FOUND;
    if (entry.type == BLOB_DATA || entry.type == BLOB_INDEX) {
        if (!store_find(pages, space, BLOB_INDEX, key, ANY, &at, &entry))
            return ESP_ERR_NVS_NOT_FOUND;
        store_forget(pages, at);
        forget_chunks(pages, space, key, entry.value[5]);
        return ESP_OK;
    }
    store_forget(pages, at);
    return ESP_OK;
}
