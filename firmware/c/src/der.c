/* SPDX-License-Identifier: MIT */
#include "fleetmint/der.h"

int fm_der_next(struct fm_bytes *from, struct fm_der *element) {
    size_t start = 2, size;

    /* Tags of more than one byte are in nothing that is read here. */
    if (from->size < 2 || (from->data[0] & 0x1F) == 0x1F) {
        return FM_BAD;
    }
    size = from->data[1];
    if (size >= 0x80) {
        size_t count = size & 0x7F;

        if (count < 1 || count > 2 || from->size < 2 + count) {
            return FM_BAD;
        }
        for (size = 0; start < 2 + count; start++) {
            size = size << 8 | from->data[start];
        }
        if (size < (count == 1 ? 0x80u : 0x100u)) {
            return FM_BAD;
        }
    }
    if (size > from->size - start) {
        return FM_BAD;
    }
    element->tag = from->data[0];
    element->whole.data = from->data;
    element->whole.size = start + size;
    element->content.data = from->data + start;
    element->content.size = size;
    from->data += start + size;
    from->size -= start + size;
    return FM_OK;
}

int fm_der_take(struct fm_bytes *from, uint8_t tag, struct fm_der *element) {
    int result = fm_der_next(from, element);

    return result == FM_OK && element->tag != tag ? FM_BAD : result;
}
