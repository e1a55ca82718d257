/* nvs.h and nvs_flash.h over the flash of a board, plain or encrypted as it was burned. */

#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "nvs_flash.h"
#include "nvs_store.h"

enum { TABLE_AT = 0x8000, ROW_BYTES = 32, ROWS = 95, DATA = 1, NVS = 2, NVS_KEYS = 4, HANDLES = 8 };

struct row {
    uint16_t magic;
    uint8_t type, subtype;
    uint32_t offset, size;
    char label[16];
    uint32_t flags;
};

static struct pages partition;
static int ready;
static struct {
    uint8_t space;
    int open, writes;
} handles[HANDLES];

static int find_partition(uint8_t subtype, struct row *row) {
    for (uint32_t i = 0; i < ROWS; i++) {
        board_read(TABLE_AT + i * ROW_BYTES, row, sizeof *row);
        if (row->magic != 0x50aa)
            return 0;
        if (row->type == DATA && row->subtype == subtype)
            return 1;
    }
    return 0;
}

static int is_blank(const uint8_t *data, size_t size) {
    for (; size; size--)
        if (*data++ != 0xff)
            return 0;
    return 1;
}

/* The keys by which this board's NVS is encrypted; found: whether there are any. */
static esp_err_t read_keys(uint8_t keys[64], int *found) {
    static const uint8_t seeds[2][4] = {{0x5a, 0x5a, 0xbe, 0xae}, {0xa5, 0xa5, 0xde, 0xce}};
    struct row row;
    *found = 1;
    if (board_hmac_key()) {
        for (int key = 0; key < 2; key++) {
            uint8_t seed[32];
            for (size_t i = 0; i < sizeof seed; i++)
                seed[i] = seeds[key][i % 4];
            mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), board_hmac_key(), 32, seed, sizeof seed,
                            keys + 32 * key);
        }
        return ESP_OK;
    }
    *found = 0;
    if (!find_partition(NVS_KEYS, &row))
        return ESP_OK;
    uint8_t stored[68];
    uint32_t crc;
    board_read(row.offset, stored, sizeof stored);
    if (is_blank(stored, sizeof stored))
        return ESP_OK;
    memcpy(&crc, stored + 64, sizeof crc);
    if (crc != nvs_crc(0xffffffff, stored, 64))
        return ESP_ERR_NVS_CORRUPT_KEY_PART;
    memcpy(keys, stored, 64);
    *found = 1;
    return ESP_OK;
}

esp_err_t nvs_flash_init(void) {
    struct row row;
    uint8_t keys[64];
    if (ready)
        return ESP_OK;
    if (!find_partition(NVS, &row) || row.size / BOARD_SECTOR > MAX_PAGES)
        return ESP_ERR_NVS_PART_NOT_FOUND;
    memset(&partition, 0, sizeof partition);
    partition.base = row.offset;
    partition.count = row.size / BOARD_SECTOR;
    esp_err_t error = read_keys(keys, &partition.encrypted);
    if (error)
        return error;
    if (partition.encrypted) {
        mbedtls_aes_xts_init(&partition.encrypt);
        mbedtls_aes_xts_init(&partition.decrypt);
        mbedtls_aes_xts_setkey_enc(&partition.encrypt, keys, 512);
        mbedtls_aes_xts_setkey_dec(&partition.decrypt, keys, 512);
    }
    error = store_open(&partition);
    ready = !error;
    return error;
}

esp_err_t nvs_flash_deinit(void) {
    memset(handles, 0, sizeof handles);
    if (ready && partition.encrypted) {
        mbedtls_aes_xts_free(&partition.encrypt);
        mbedtls_aes_xts_free(&partition.decrypt);
    }
    ready = 0;
    return ESP_OK;
}

static esp_err_t check_name(const char *name) {
    size_t length = name ? strlen(name) : 0;
    if (!length)
        return ESP_ERR_NVS_INVALID_NAME;
    return length < NVS_KEY_NAME_MAX_SIZE ? ESP_OK : ESP_ERR_NVS_KEY_TOO_LONG;
}

esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *out) {
    esp_err_t error = check_name(name);
    if (!ready)
        return ESP_ERR_NVS_NOT_INITIALIZED;
    if (error)
        return error;
    for (nvs_handle_t i = 0; i < HANDLES; i++) {
        if (handles[i].open)
            continue;
        error = store_namespace(&partition, name, mode == NVS_READWRITE, &handles[i].space);
        handles[i].open = !error;
        handles[i].writes = mode == NVS_READWRITE;
        *out = i + 1;
        return error;
    }
    return ESP_ERR_NO_MEM;
}

void nvs_close(nvs_handle_t handle) {
    if (handle && handle <= HANDLES)
        handles[handle - 1].open = 0;
}

static esp_err_t check(nvs_handle_t handle, const char *key, int writes, uint8_t *space) {
    if (!ready || !handle || handle > HANDLES || !handles[handle - 1].open)
        return ESP_ERR_NVS_INVALID_HANDLE;
    if (writes && !handles[handle - 1].writes)
        return ESP_ERR_NVS_READ_ONLY;
    *space = handles[handle - 1].space;
    return check_name(key);
}

esp_err_t nvs_commit(nvs_handle_t handle) {
    uint8_t space;
    return check(handle, "any", 0, &space);
}

esp_err_t nvs_erase_key(nvs_handle_t handle, const char *key) {
    uint8_t space;
    esp_err_t error = check(handle, key, 1, &space);
    return error ? error : store_erase(&partition, space, key);
}

esp_err_t nvs_set_i32(nvs_handle_t handle, const char *key, int32_t value) {
    uint8_t space;
    esp_err_t error = check(handle, key, 1, &space);
    return error ? error : store_set_i32(&partition, space, key, value);
}

esp_err_t nvs_get_i32(nvs_handle_t handle, const char *key, int32_t *value) {
    uint8_t space;
    esp_err_t error = check(handle, key, 0, &space);
    return error ? error : store_get_i32(&partition, space, key, value);
}

esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t length) {
    uint8_t space;
    esp_err_t error = check(handle, key, 1, &space);
    return error ? error : store_set_blob(&partition, space, key, value, length);
}

esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *value, size_t *length) {
    uint8_t space;
    esp_err_t error = check(handle, key, 0, &space);
    return error ? error : store_get_blob(&partition, space, key, value, length);
}

const char *esp_err_to_name(esp_err_t code) {
    static char name[16];
    if (code == ESP_OK)
        return "ESP_OK";
    snprintf(name, sizeof name, "0x%x", (unsigned)code);
    return name;
}
