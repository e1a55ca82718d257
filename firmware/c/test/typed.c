/* What is made of a line that was typed: typed < BYTES. For each line: the number of the result, then name and
 * passphrase in hex, or why not; then what the store was asked to keep.
 *
 * SPDX-License-Identifier: MIT */
#include "fleetmint/typed.h"

#include <stdio.h>

static void print(const char *text) {
    printf(" ");
    for (; *text; text++) {
        printf("%02x", (unsigned)(uint8_t)*text);
    }
}

static int put(void *ctx, const char *key, const uint8_t *data, size_t size) {
    (void)ctx;
    (void)data;
    printf(" %s:%zu", key, size);
    return FM_OK;
}

static int erase(void *ctx, const char *key) {
    (void)ctx;
    printf(" -%s", key);
    return FM_OK;
}

int main(void) {
    struct fm_typed_line line = {.length = 0};
    struct fm_typed_wifi wifi;
    struct fm_kv kv = {.put = put, .erase = erase};
    int byte;
    while ((byte = getchar()) != EOF) {
        if (!fm_typed_byte(&line, (uint8_t)byte)) {
            continue;
        }
        enum fm_typed_result result = line.too_long ? FM_TYPED_TOO_LONG : fm_typed_wifi(line.text, &wifi);
        printf("%d", (int)result);
        if (result == FM_TYPED_OK) {
            print(wifi.ssid);
            print(wifi.passphrase);
            fm_typed_keep(&kv, &wifi);
        } else {
            printf(" %s", fm_typed_why(result));
        }
        printf("\n");
    }
    return 0;
}
