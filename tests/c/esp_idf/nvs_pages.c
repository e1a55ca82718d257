#include "nvs_pages.h"

#include <string.h>

#include "board.h"

enum { HEAD_BYTES = 32, BITMAP_AT = 32, ENTRIES_AT = 64, VERSION_2 = 0xfe };

struct head {
    uint32_t state, sequence;
    uint8_t version, unused[19];
    uint32_t crc;
};

static const uint32_t states[] = {0xfffffffe, 0xfffffffc, 0xfffffff8, 0xffffffff};

uint32_t nvs_crc(uint32_t crc, const void *data, size_t size) {
    crc = ~crc;
    for (const uint8_t *byte = data; size--; byte++) {
        crc ^= *byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static uint32_t page_at(const struct pages *pages, unsigned page) {
    return pages->base + page * BOARD_SECTOR;
}

static uint32_t head_crc(const struct head *head) {
    return nvs_crc(0xffffffff, &head->sequence, HEAD_BYTES - 8);
}

/* A page whose head is damaged is as good as a free one: it is erased before it is used. */
static enum page_state read_head(const struct pages *pages, unsigned page, struct head *head) {
    board_read(page_at(pages, page), head, sizeof *head);
    for (int state = PAGE_ACTIVE; state < PAGE_FREE; state++)
        if (head->state == states[state] && head->crc == head_crc(head) && head->version == VERSION_2)
            return (enum page_state)state;
    return PAGE_FREE;
}

enum page_state page_state(const struct pages *pages, unsigned page) {
    struct head head;
    return read_head(pages, page, &head);
}

unsigned pages_in_order(const struct pages *pages, unsigned order[MAX_PAGES]) {
    uint32_t sequences[MAX_PAGES];
    unsigned found = 0;
    for (unsigned page = 0; page < pages->count; page++) {
        struct head head;
        if (read_head(pages, page, &head) == PAGE_FREE)
            continue;
        unsigned at = found++;
        for (; at && sequences[at - 1] > head.sequence; at--) {
            sequences[at] = sequences[at - 1];
            order[at] = order[at - 1];
        }
        sequences[at] = head.sequence;
        order[at] = page;
    }
    return found;
}

void page_set_state(const struct pages *pages, unsigned page, enum page_state state) {
    board_write(page_at(pages, page), &states[state], sizeof states[state]);
}

void page_erase(const struct pages *pages, unsigned page) {
    board_erase(page_at(pages, page), BOARD_SECTOR);
}

static int is_blank(uint32_t at, size_t size) {
    uint8_t byte;
    for (; size; size--, at++) {
        board_read(at, &byte, 1);
        if (byte != 0xff)
            return 0;
    }
    return 1;
}

unsigned page_activate(const struct pages *pages) {
    unsigned order[MAX_PAGES], used = pages_in_order(pages, order);
    struct head head = {.state = states[PAGE_ACTIVE], .version = VERSION_2};
    unsigned page = 0;
    if (used) {
        struct head last;
        read_head(pages, order[used - 1], &last);
        head.sequence = last.sequence + 1;
        page = (order[used - 1] + 1) % pages->count;
    }
    while (page_state(pages, page) != PAGE_FREE)
        page = (page + 1) % pages->count;
    if (!is_blank(page_at(pages, page), BOARD_SECTOR))
        page_erase(pages, page);
    memset(head.unused, 0xff, sizeof head.unused);
    head.crc = head_crc(&head);
    board_write(page_at(pages, page), &head, sizeof head);
    return page;
}

enum entry_state entry_state(const struct pages *pages, struct place at) {
    uint8_t four;
    board_read(page_at(pages, at.page) + BITMAP_AT + at.index / 4, &four, 1);
    return (enum entry_state)(four >> 2 * (at.index % 4) & 3);
}

/* Word by word, as the flash is written. */
void entry_set_state(const struct pages *pages, struct place at, unsigned count, enum entry_state state) {
    unsigned end = at.index + count;
    for (unsigned word = at.index / 16; word * 16 < end; word++) {
        uint32_t place = page_at(pages, at.page) + BITMAP_AT + word * 4, bits;
        board_read(place, &bits, sizeof bits);
        for (unsigned i = 0; i < 16; i++)
            if (word * 16 + i >= at.index && word * 16 + i < end)
                bits = (bits & ~(3u << 2 * i)) | (uint32_t)state << 2 * i;
        board_write(place, &bits, sizeof bits);
    }
}

static uint32_t entry_at(const struct pages *pages, struct place at) {
    return page_at(pages, at.page) + ENTRIES_AT + at.index * ENTRY_BYTES;
}

/* An entry is a data unit of XTS; its offset in the partition is the tweak. */
static void crypt(const struct pages *pages, struct place at, uint8_t data[ENTRY_BYTES], int mode) {
    uint32_t offset = entry_at(pages, at) - pages->base;
    uint8_t tweak[16] = {(uint8_t)offset, (uint8_t)(offset >> 8), (uint8_t)(offset >> 16), (uint8_t)(offset >> 24)};
    mbedtls_aes_xts_context *context =
        (mbedtls_aes_xts_context *)(mode == MBEDTLS_AES_ENCRYPT ? &pages->encrypt : &pages->decrypt);
    if (pages->encrypted)
        mbedtls_aes_crypt_xts(context, mode, ENTRY_BYTES, tweak, data, data);
}

static uint32_t entry_crc(const struct entry *entry) {
    const uint8_t *raw = (const uint8_t *)entry;
    uint32_t crc = nvs_crc(0xffffffff, raw, 4);
    return nvs_crc(crc, raw + 8, ENTRY_BYTES - 8);
}

int entry_read(const struct pages *pages, struct place at, struct entry *entry) {
    board_read(entry_at(pages, at), entry, sizeof *entry);
    crypt(pages, at, (uint8_t *)entry, MBEDTLS_AES_DECRYPT);
    return entry->crc == entry_crc(entry) && entry->span && at.index + entry->span <= PAGE_ENTRIES;
}

void entry_read_data(const struct pages *pages, struct place at, uint8_t *data, size_t size) {
    uint8_t unit[ENTRY_BYTES];
    while (size) {
        size_t part = size < ENTRY_BYTES ? size : ENTRY_BYTES;
        at.index++;
        board_read(entry_at(pages, at), unit, sizeof unit);
        crypt(pages, at, unit, MBEDTLS_AES_DECRYPT);
        memcpy(data, unit, part);
        data += part;
        size -= part;
    }
}

int entry_is_erased(const struct pages *pages, struct place at) {
    return is_blank(entry_at(pages, at), ENTRY_BYTES);
}

void entry_write(const struct pages *pages, struct place at, struct entry entry, const uint8_t *data, size_t size) {
    uint8_t units[CHUNK_BYTES];
    unsigned count = (unsigned)((size + ENTRY_BYTES - 1) / ENTRY_BYTES);
    entry.crc = entry_crc(&entry);
    crypt(pages, at, (uint8_t *)&entry, MBEDTLS_AES_ENCRYPT);
    board_write(entry_at(pages, at), &entry, sizeof entry);
    entry_set_state(pages, at, 1, ENTRY_WRITTEN);
    if (!count)
        return;
    at.index++;
    memset(units, 0xff, sizeof units);
    memcpy(units, data, size);
    for (unsigned i = 0; i < count; i++)
        crypt(pages, (struct place){at.page, at.index + i}, units + i * ENTRY_BYTES, MBEDTLS_AES_ENCRYPT);
    board_write(entry_at(pages, at), units, count * ENTRY_BYTES);
    entry_set_state(pages, at, count, ENTRY_WRITTEN);
}

unsigned page_next(const struct pages *pages, unsigned page) {
    unsigned next = PAGE_ENTRIES;
    while (next && entry_state(pages, (struct place){page, next - 1}) == ENTRY_EMPTY)
        next--;
    return next;
}

unsigned page_used(const struct pages *pages, unsigned page) {
    unsigned used = 0;
    for (unsigned index = 0; index < PAGE_ENTRIES; index++)
        used += entry_state(pages, (struct place){page, index}) == ENTRY_WRITTEN;
    return used;
}
