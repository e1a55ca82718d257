/* What ESP-IDF does at the start with what a power cut left behind. */

#include <string.h>

#include "nvs.h"
#include "nvs_store.h"

/* What was written before its state was: the place is of no use any more. */
static void skip_half_written(const struct pages *pages, unsigned page) {
    for (struct place at = {page, page_next(pages, page)}; at.index < PAGE_ENTRIES; at.index++) {
        if (entry_is_erased(pages, at))
            return;
        entry_set_state(pages, at, 1, ENTRY_ERASED);
    }
}

static int is_whole(const struct pages *pages, struct place at, const struct entry *entry) {
    for (unsigned i = 0; i < entry->span; i++)
        if (entry_state(pages, (struct place){at.page, at.index + i}) != ENTRY_WRITTEN)
            return 0;
    return 1;
}

static void forget_incomplete(const struct pages *pages, unsigned page) {
    struct entry entry;
    for (struct place at = {page, 0}; at.index < PAGE_ENTRIES; at.index++) {
        enum entry_state state = entry_state(pages, at);
        if (state == ENTRY_ILLEGAL)
            entry_set_state(pages, at, 1, ENTRY_ERASED);
        if (state != ENTRY_WRITTEN)
            continue;
        if (!entry_read(pages, at, &entry))
            entry_set_state(pages, at, 1, ENTRY_ERASED);
        else if (!is_whole(pages, at, &entry))
            store_forget(pages, at);
        else
            at.index += entry.span - 1u;
    }
}

/* The newest entry of all may be the new version of one that was to be erased next. */
static void forget_older(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    struct entry last = {0}, entry;
    struct place newest = {0, 0}, at;
    if (!used)
        return;
    for (at = (struct place){order[used - 1], 0}; at.index < PAGE_ENTRIES; at.index++)
        if (entry_state(pages, at) == ENTRY_WRITTEN && entry_read(pages, at, &entry)) {
            last = entry;
            newest = at;
            at.index += entry.span - 1u;
        }
    if (!last.span || !store_find(pages, last.space, last.type, last.key, last.chunk, &at, &entry))
        return;
    if ((at.page != newest.page || at.index != newest.index) && page_state(pages, at.page) != PAGE_FREEING)
        store_forget(pages, at);
}

/* A page that was being copied is copied anew. */
static void finish_move(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    for (unsigned i = 0; i < used; i++) {
        if (page_state(pages, order[i]) != PAGE_FREEING)
            continue;
        unsigned newest = order[used - 1];
        if (page_state(pages, newest) == PAGE_ACTIVE)
            page_erase(pages, newest);
        store_copy_page(pages, order[i], page_activate(pages));
        page_erase(pages, order[i]);
        return;
    }
}

/* Calls `each` for every whole entry; it may forget the entry. */
static void walk(const struct pages *pages, void (*each)(const struct pages *, struct place, const struct entry *)) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    struct entry entry;
    for (unsigned i = 0; i < used; i++)
        for (struct place at = {order[i], 0}; at.index < PAGE_ENTRIES; at.index++)
            if (entry_state(pages, at) == ENTRY_WRITTEN && entry_read(pages, at, &entry)) {
                unsigned span = entry.span;
                each(pages, at, &entry);
                at.index += span - 1u;
            }
}

static void forget_empty_index(const struct pages *pages, struct place at, const struct entry *entry) {
    struct place part;
    struct entry chunk;
    if (entry->type != BLOB_INDEX)
        return;
    for (unsigned i = 0; i < entry->value[4]; i++)
        if (!store_find(pages, entry->space, BLOB_DATA, entry->key, entry->value[5] + i, &part, &chunk)) {
            store_forget(pages, at);
            return;
        }
}

static void forget_orphan(const struct pages *pages, struct place at, const struct entry *entry) {
    struct place of;
    struct entry index;
    if (entry->type != BLOB_DATA)
        return;
    if (store_find(pages, entry->space, BLOB_INDEX, entry->key, ANY, &of, &index) && entry->chunk >= index.value[5] &&
        entry->chunk < index.value[5] + index.value[4])
        return;
    store_forget(pages, at);
}

esp_err_t store_open(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    for (unsigned i = 0; i < used; i++) {
        if (page_state(pages, order[i]) == PAGE_ACTIVE)
            skip_half_written(pages, order[i]);
        forget_incomplete(pages, order[i]);
    }
    forget_older(pages);
    finish_move(pages);
    if (pages_in_order(pages, order) == pages->count)
        return ESP_ERR_NVS_NO_FREE_PAGES;
    walk(pages, forget_empty_index);
    walk(pages, forget_orphan);
    return ESP_OK;
}
