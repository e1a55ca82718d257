// The store in the LittleFS that the factory burned, one file for each value.
//
// SPDX-License-Identifier: MIT
#include <LittleFS.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetmint/keys.h"
#include "fm_esp8266.h"

namespace {

struct Path {
    char text[sizeof "/" FM_NAMESPACE "/" + FM_KV_KEY];
    explicit Path(const char *key) { snprintf(text, sizeof text, "/" FM_NAMESPACE "/%s", key); }
};

int get(void *, const char *key, uint8_t *data, size_t room) {
    File file = LittleFS.open(Path(key).text, "r");
    // A new file is there, empty, before its content is: until then there is no value.
    if (!file || file.size() == 0) {
        return FM_ABSENT;
    }
    size_t size = file.size();
    if (size > room) {
        return FM_TOO_LONG;
    }
    return file.read(data, size) == static_cast<int>(size) ? static_cast<int>(size) : FM_IO;
}

// LittleFS shows the new content when the file is closed, and until then the old one. Closing tells nothing, so what
// is there is read again.
bool holds(const char *key, const uint8_t *data, size_t size) {
    File file = LittleFS.open(Path(key).text, "r");
    if (!file || file.size() != size) {
        return false;
    }
    uint8_t part[64];
    while (size > 0) {
        size_t step = size < sizeof part ? size : sizeof part;
        if (file.read(part, step) != static_cast<int>(step) || memcmp(part, data, step) != 0) {
            return false;
        }
        data += step;
        size -= step;
    }
    return true;
}

int put(void *, const char *key, const uint8_t *data, size_t size) {
    File file = LittleFS.open(Path(key).text, "w");
    if (!file) {
        return FM_IO;
    }
    bool whole = file.write(data, size) == size;
    file.close();
    return whole && holds(key, data, size) ? FM_OK : FM_IO;
}

int erase(void *, const char *key) {
    Path path(key);
    return !LittleFS.exists(path.text) || LittleFS.remove(path.text) ? FM_OK : FM_IO;
}

int get_i32(void *ctx, const char *key, int32_t *value) {
    char text[12];
    int size = get(ctx, key, reinterpret_cast<uint8_t *>(text), sizeof text - 1);
    if (size < 0) {
        return size == FM_TOO_LONG ? FM_BAD : size;
    }
    text[size] = 0;
    char *end;
    long number = strtol(text, &end, 10);
    if (*end) {
        return FM_BAD;
    }
    *value = static_cast<int32_t>(number);
    return FM_OK;
}

int put_i32(void *ctx, const char *key, int32_t value) {
    char text[12];
    int size = snprintf(text, sizeof text, "%ld", static_cast<long>(value));
    return put(ctx, key, reinterpret_cast<const uint8_t *>(text), static_cast<size_t>(size));
}

}  // namespace

int fm_esp8266_kv(struct fm_kv *kv) {
    LittleFS.setConfig(LittleFSConfig(false));
    if (!LittleFS.begin()) {
        return FM_IO;
    }
    *kv = fm_kv{nullptr, get, put, erase, get_i32, put_i32};
    return FM_OK;
}
