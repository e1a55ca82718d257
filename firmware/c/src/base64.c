/* SPDX-License-Identifier: MIT */
#include "fleetmint/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t fm_base64_encode(const uint8_t *data, size_t size, char *text) {
    char *start = text;

    while (size > 0) {
        uint32_t bits = (uint32_t)data[0] << 16;

        if (size > 1) {
            bits |= (uint32_t)data[1] << 8;
        }
        if (size > 2) {
            bits |= data[2];
        }
        *text++ = digits[bits >> 18];
        *text++ = digits[bits >> 12 & 63];
        *text++ = '=';
        *text++ = '=';
        if (size > 1) {
            text[-2] = digits[bits >> 6 & 63];
        }
        if (size > 2) {
            text[-1] = digits[bits & 63];
        }
        data += size < 3 ? size : 3;
        size -= size < 3 ? size : 3;
    }
    return (size_t)(text - start);
}

static int value(char digit) {
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    if (digit == '+') {
        return 62;
    }
    return digit == '/' ? 63 : -1;
}

int fm_base64_decode(const char *text, size_t size, uint8_t *data, size_t room) {
    size_t padding = 0, written = 0, at, part;

    if (size % 4 != 0) {
        return FM_BAD;
    }
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=') {
        padding++;
    }
    if (size / 4 * 3 - padding > room) {
        return FM_TOO_LONG;
    }
    for (at = 0; at < size; at += 4) {
        size_t count = at + 4 < size ? 3 : 3 - padding;
        uint32_t bits = 0;

        for (part = 0; part < 4; part++) {
            int digit = part <= count ? value(text[at + part]) : 0;

            if (digit < 0) {
                return FM_BAD;
            }
            bits = bits << 6 | (uint32_t)digit;
        }
        for (part = 0; part < count; part++, bits = bits << 8 & 0xFFFFFF) {
            data[written++] = (uint8_t)(bits >> 16);
        }
        /* What the padding leaves over has to be nothing. */
        if (bits != 0) {
            return FM_BAD;
        }
    }
    return (int)written;
}
