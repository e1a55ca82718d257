/* The pages of an NVS partition, format version 2, as components/nvs_flash of ESP-IDF reads and writes them.
 *
 * src/fleetmint/nvs/layout.py describes the format. Nothing is kept beside the flash but where the partition is and
 * its keys: what is asked for is read from there.
 */
#ifndef NVS_PAGES_H
#define NVS_PAGES_H

#include <mbedtls/aes.h>
#include <stdint.h>

enum {
    PAGE_ENTRIES = 126,
    ENTRY_BYTES = 32,
    CHUNK_BYTES = (PAGE_ENTRIES - 1) * ENTRY_BYTES,
    MAX_PAGES = 64,
    NO_CHUNK = 0xff,
    ANY = 0x100,
};
enum page_state { PAGE_ACTIVE, PAGE_FULL, PAGE_FREEING, PAGE_FREE };
enum entry_state { ENTRY_ERASED = 0, ENTRY_ILLEGAL = 1, ENTRY_WRITTEN = 2, ENTRY_EMPTY = 3 };
enum type { U8 = 0x01, I32 = 0x14, STRING = 0x21, BLOB_DATA = 0x42, BLOB_INDEX = 0x48 };

struct entry {
    uint8_t space, type, span, chunk;
    uint32_t crc;
    char key[16];
    uint8_t value[8];
};

struct pages {
    uint32_t base;
    unsigned count;
    int encrypted;
    mbedtls_aes_xts_context encrypt, decrypt;
};

/* Where an entry is. */
struct place {
    unsigned page, index;
};

uint32_t nvs_crc(uint32_t crc, const void *data, size_t size);

enum page_state page_state(const struct pages *pages, unsigned page);
/* The pages that are in use, the oldest first; returns how many. */
unsigned pages_in_order(const struct pages *pages, unsigned order[MAX_PAGES]);
void page_set_state(const struct pages *pages, unsigned page, enum page_state state);
void page_erase(const struct pages *pages, unsigned page);
/* Takes the next free page into use, whatever that leaves; returns it. */
unsigned page_activate(const struct pages *pages);

enum entry_state entry_state(const struct pages *pages, struct place at);
void entry_set_state(const struct pages *pages, struct place at, unsigned count, enum entry_state state);
/* Whether there is an entry with a right checksum. */
int entry_read(const struct pages *pages, struct place at, struct entry *entry);
/* The data behind an entry, up to `size` bytes of it. */
void entry_read_data(const struct pages *pages, struct place at, uint8_t *data, size_t size);
int entry_is_erased(const struct pages *pages, struct place at);
/* Writes an entry with its data to a place that is empty, each followed by its state. */
void entry_write(const struct pages *pages, struct place at, struct entry entry, const uint8_t *data, size_t size);

/* The first empty entry behind all written ones: PAGE_ENTRIES when there is none. */
unsigned page_next(const struct pages *pages, unsigned page);
/* How many entries of a page are written. */
unsigned page_used(const struct pages *pages, unsigned page);

#endif
