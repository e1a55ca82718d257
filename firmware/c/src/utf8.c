/* SPDX-License-Identifier: MIT */
#include "fleetmint/utf8.h"

static bool in(uint8_t byte, uint8_t least, uint8_t most) {
    return least <= byte && byte <= most;
}

size_t fm_utf8_length(const uint8_t *data, size_t size) {
    uint8_t first, least = 0x80, most = 0xBF;
    size_t length, at;

    if (size == 0) {
        return 0;
    }
    first = data[0];
    if (first < 0x80) {
        return 1;
    }
    /* The table of RFC 3629, section 4: only the second byte has bounds of its own. */
    if (in(first, 0xC2, 0xDF)) {
        length = 2;
    } else if (in(first, 0xE0, 0xEF)) {
        length = 3;
    } else if (in(first, 0xF0, 0xF4)) {
        length = 4;
    } else {
        return 0;
    }
    if (first == 0xE0) {
        least = 0xA0;
    }
    if (first == 0xED) {
        most = 0x9F;
    }
    if (first == 0xF0) {
        least = 0x90;
    }
    if (first == 0xF4) {
        most = 0x8F;
    }
    if (length > size || !in(data[1], least, most)) {
        return 0;
    }
    for (at = 2; at < length; at++) {
        if (!in(data[at], 0x80, 0xBF)) {
            return 0;
        }
    }
    return length;
}

bool fm_utf8_valid(const uint8_t *data, size_t size) {
    while (size > 0) {
        size_t length = fm_utf8_length(data, size);

        if (length == 0) {
            return false;
        }
        data += length;
        size -= length;
    }
    return true;
}

size_t fm_utf8_write(uint32_t code, uint8_t *data) {
    if (code < 0x80) {
        data[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        data[0] = (uint8_t)(0xC0 | code >> 6);
        data[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return 0;
    }
    if (code < 0x10000) {
        data[0] = (uint8_t)(0xE0 | code >> 12);
        data[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        data[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    data[0] = (uint8_t)(0xF0 | code >> 18);
    data[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    data[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    data[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}
