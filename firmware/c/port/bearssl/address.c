/* IP addresses among the names in a certificate, which BearSSL does not match. A board has no room for the certificate:
 * it is seen one byte at a time.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "fm_bearssl.h"

#define SEQUENCE 0x30
#define OID 0x06
#define OCTET_STRING 0x04
/* [3] of a certificate and [7] of a name */
#define EXTENSIONS 0xa3
#define IP_ADDRESS 0x87

static bool is_v4(const char *host, uint8_t out[4]) {
    for (int part = 0; part < 4; part++) {
        unsigned value = 0;
        int count = 0;
        while (*host >= '0' && *host <= '9' && count < 3) {
            value = value * 10 + (unsigned)(*host++ - '0');
            count++;
        }
        /* to a resolver 010 is eight */
        bool octal = count > 1 && host[-count] == '0';
        if (!count || octal || value > 255 || *host++ != (part < 3 ? '.' : '\0')) {
            return false;
        }
        out[part] = (uint8_t)value;
    }
    return true;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_v6(const char *host, uint8_t out[16]) {
    int size = 0;
    int gap = -1;
    if (host[0] == ':') {
        if (host[1] != ':') {
            return false;
        }
        host++;
    }
    memset(out, 0, 16);
    while (*host) {
        if (*host == ':') {
            if (gap >= 0) {
                return false;
            }
            gap = size;
            host++;
            continue;
        }
        unsigned value = 0;
        int count = 0;
        while (hex(*host) >= 0 && count < 4) {
            value = value << 4 | (unsigned)hex(*host++);
            count++;
        }
        if (!count || size == 16) {
            return false;
        }
        out[size++] = (uint8_t)(value >> 8);
        out[size++] = (uint8_t)value;
        if (*host == ':') {
            host++;
            if (!*host) {
                return false;
            }
        } else if (*host) {
            return false;
        }
    }
    if (gap < 0) {
        return size == 16;
    }
    memmove(out + 16 - (size - gap), out + gap, (size_t)(size - gap));
    memset(out + gap, 0, (size_t)(16 - size));
    return size < 16;
}

bool fm_bearssl_address_of(struct fm_bearssl_address *address, const char *host) {
    memset(address, 0, sizeof *address);
    if (is_v4(host, address->wanted)) {
        address->size = 4;
    } else if (is_v6(host, address->wanted)) {
        address->size = 16;
    }
    return address->size != 0;
}

/* Where the names are: a certificate is a SEQUENCE, in it the SEQUENCE that is signed, [3], the SEQUENCE of extensions,
 * one of them as a SEQUENCE of its OID, perhaps a BOOLEAN and an OCTET STRING, in that the SEQUENCE of names. */
#define EXTENSION 5
#define NAMES 7

static bool is_way_in(const struct fm_bearssl_address *address) {
    switch (address->depth) {
    case 2:
        return address->tag == EXTENSIONS;
    case EXTENSION:
        return address->tag == OCTET_STRING && address->is_names;
    default:
        return address->tag == SEQUENCE && address->depth < NAMES;
    }
}

/* The header of an element is complete. */
static void begin(struct fm_bearssl_address *address) {
    if (address->depth && address->length > address->left[address->depth - 1]) {
        address->broken = true;
    } else if (is_way_in(address)) {
        address->left[address->depth++] = address->length;
        address->is_names = false;
    } else {
        address->matched = 0;
        address->content = address->length;
        address->equal =
            address->depth == NAMES && address->tag == IP_ADDRESS && address->length == address->size;
    }
}

static void header(struct fm_bearssl_address *address, uint8_t byte) {
    if (address->header == 0) {
        address->tag = byte;
        address->header = 1;
        return;
    }
    if (address->header == 1 && byte & 0x80) {
        address->header = (uint8_t)(1 + (byte & 0x7f));
        address->length = 0;
        address->broken = address->header < 2 || address->header > 3;
        return;
    }
    unsigned before = address->header == 1 ? 0 : address->length;
    address->length = (uint16_t)(before << 8 | byte);
    /* of a long length the bytes behind the first one: 3 is the first of two, 2 the last */
    address->header = address->header == 3 ? 2 : 0;
    if (!address->header) {
        begin(address);
    }
}

static void content(struct fm_bearssl_address *address, uint8_t byte) {
    static const uint8_t SUBJECT_ALTERNATIVE_NAMES[] = {0x55, 0x1d, 0x11};
    if (address->depth == EXTENSION && address->tag == OID) {
        bool same = address->matched < 3 && byte == SUBJECT_ALTERNATIVE_NAMES[address->matched];
        address->matched = same ? (uint8_t)(address->matched + 1) : 4;
        address->is_names = address->matched == 3 && address->content == 1;
    } else if (address->equal) {
        address->equal = byte == address->wanted[address->size - address->content];
        address->found = address->found || (address->equal && address->content == 1);
    }
    address->content--;
}

void fm_bearssl_address_look(struct fm_bearssl_address *address, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size && !address->broken; i++) {
        for (int at = 0; at < address->depth; at++) {
            address->left[at]--;
        }
        if (address->content) {
            content(address, data[i]);
        } else {
            header(address, data[i]);
        }
        while (address->depth && !address->left[address->depth - 1] && !address->content) {
            address->broken = address->broken || address->header;
            address->depth--;
        }
    }
}
