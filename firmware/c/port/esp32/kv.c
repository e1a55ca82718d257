/* SPDX-License-Identifier: MIT */
#include "fm_esp32.h"

#include <nvs_flash.h>

static int result(struct fm_esp32_kv *self, esp_err_t error) {
    self->error = error;
    switch (error) {
    case ESP_OK:
        return FM_OK;
    case ESP_ERR_NVS_NOT_FOUND:
        return FM_ABSENT;
    case ESP_ERR_NVS_TYPE_MISMATCH:
        return FM_BAD;
    case ESP_ERR_NVS_INVALID_LENGTH:
    case ESP_ERR_NVS_NOT_ENOUGH_SPACE:
    case ESP_ERR_NVS_VALUE_TOO_LONG:
        return FM_TOO_LONG;
    default:
        return FM_IO;
    }
}

static int committed(struct fm_esp32_kv *self, esp_err_t error) {
    return result(self, error == ESP_OK ? nvs_commit(self->nvs) : error);
}

static int get(void *ctx, const char *key, uint8_t *data, size_t room) {
    struct fm_esp32_kv *self = (struct fm_esp32_kv *)ctx;
    size_t length = room;
    /* without a buffer it tells the length of what it has */
    int error = result(self, nvs_get_blob(self->nvs, key, room ? data : NULL, &length));
    if (error != FM_OK)
        return error;
    return length <= room && length <= INT32_MAX ? (int)length : FM_TOO_LONG;
}

static int put(void *ctx, const char *key, const uint8_t *data, size_t size) {
    static const uint8_t nothing = 0;
    struct fm_esp32_kv *self = (struct fm_esp32_kv *)ctx;
    return committed(self, nvs_set_blob(self->nvs, key, size ? data : &nothing, size));
}

static int erase(void *ctx, const char *key) {
    struct fm_esp32_kv *self = (struct fm_esp32_kv *)ctx;
    int error = committed(self, nvs_erase_key(self->nvs, key));
    return error == FM_ABSENT ? FM_OK : error;
}

static int get_i32(void *ctx, const char *key, int32_t *value) {
    struct fm_esp32_kv *self = (struct fm_esp32_kv *)ctx;
    return result(self, nvs_get_i32(self->nvs, key, value));
}

static int put_i32(void *ctx, const char *key, int32_t value) {
    struct fm_esp32_kv *self = (struct fm_esp32_kv *)ctx;
    return committed(self, nvs_set_i32(self->nvs, key, value));
}

int fm_esp32_kv_open(struct fm_esp32_kv *self, struct fm_kv *kv) {
    self->nvs = 0;
    self->error = nvs_flash_init();
    if (self->error == ESP_OK)
        self->error = nvs_open("fleetmint", NVS_READWRITE, &self->nvs);
    kv->ctx = self;
    kv->get = get;
    kv->put = put;
    kv->erase = erase;
    kv->get_i32 = get_i32;
    kv->put_i32 = put_i32;
    return self->error == ESP_OK ? FM_OK : FM_IO;
}
