/* SPDX-License-Identifier: MIT */
#include "fleetmint/csr.h"

#include <string.h>

/* All lengths are below 128 but those of the whole request and of its content, so the frames are constant. */

/* SEQUENCE { INTEGER 1, OCTET STRING of 32 bytes */
static const uint8_t KEY_HEAD[] = {0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20};
/* [0] { prime256v1 }, [1] { BIT STRING of 65 bytes */
static const uint8_t KEY_MIDDLE[] = {0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                     0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00};

/* SEQUENCE { INTEGER 0, an empty name, SubjectPublicKeyInfo with a BIT STRING of 65 bytes */
static const uint8_t INFO_HEAD[] = {0x30, 0x62, 0x02, 0x01, 0x00, 0x30, 0x00, 0x30, 0x59, 0x30, 0x13, 0x06,
                                    0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
/* Where the SubjectPublicKeyInfo begins. */
#define SPKI_AT 7
/* [0] with no attributes ends the content */
static const uint8_t INFO_TAIL[] = {0xa0, 0x00};
/* SEQUENCE { ecdsa-with-SHA256 } */
static const uint8_t ALGORITHM[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

#define INFO_SIZE (sizeof INFO_HEAD + FM_PUBLIC + sizeof INFO_TAIL)

static uint8_t *put(uint8_t *at, const uint8_t *data, size_t size) {
    memcpy(at, data, size);
    return at + size;
}

/* A non-negative INTEGER of at most 32 bytes. */
static uint8_t *put_integer(uint8_t *at, const uint8_t number[32]) {
    size_t skipped = 0;
    while (skipped < 31 && number[skipped] == 0) {
        skipped++;
    }
    size_t size = 32 - skipped;
    size_t sign = number[skipped] >> 7;
    *at++ = 0x02;
    *at++ = (uint8_t)(size + sign);
    if (sign) {
        *at++ = 0;
    }
    return put(at, number + skipped, size);
}

void fm_key_encode(const uint8_t key[FM_PRIVATE], const uint8_t point[FM_PUBLIC], uint8_t der[FM_KEY_DER]) {
    der = put(der, KEY_HEAD, sizeof KEY_HEAD);
    der = put(der, key, FM_PRIVATE);
    der = put(der, KEY_MIDDLE, sizeof KEY_MIDDLE);
    put(der, point, FM_PUBLIC);
}

int fm_key_decode(const struct fm_crypto *crypto, const uint8_t *der, size_t size, uint8_t key[FM_PRIVATE],
                  uint8_t point[FM_PUBLIC]) {
    /* Whoever makes keys for devices writes them like this, and nothing else is a key of a device. */
    const uint8_t *middle = der + sizeof KEY_HEAD + FM_PRIVATE;
    if (size != FM_KEY_DER || memcmp(der, KEY_HEAD, sizeof KEY_HEAD) != 0 ||
        memcmp(middle, KEY_MIDDLE, sizeof KEY_MIDDLE) != 0) {
        return FM_BAD;
    }
    memcpy(key, der + sizeof KEY_HEAD, FM_PRIVATE);
    int result = crypto->public_key(crypto->ctx, key, point);
    if (result == FM_OK && memcmp(point, middle + sizeof KEY_MIDDLE, FM_PUBLIC) != 0) {
        return FM_BAD;
    }
    return result;
}

int fm_key_hash(const struct fm_crypto *crypto, const uint8_t point[FM_PUBLIC], uint8_t hash[FM_HASH]) {
    uint8_t spki[sizeof INFO_HEAD - SPKI_AT + FM_PUBLIC];
    put(put(spki, INFO_HEAD + SPKI_AT, sizeof INFO_HEAD - SPKI_AT), point, FM_PUBLIC);
    return crypto->sha256(crypto->ctx, spki, sizeof spki, hash);
}

int fm_csr_make(const struct fm_crypto *crypto, const uint8_t key[FM_PRIVATE], const uint8_t point[FM_PUBLIC],
                uint8_t der[FM_CSR_MOST]) {
    uint8_t info[INFO_SIZE];
    uint8_t *at = put(info, INFO_HEAD, sizeof INFO_HEAD);
    at = put(at, point, FM_PUBLIC);
    put(at, INFO_TAIL, sizeof INFO_TAIL);
    uint8_t hash[FM_HASH];
    uint8_t signature[FM_SIGNATURE_SIZE];
    int result = crypto->sha256(crypto->ctx, info, sizeof info, hash);
    if (result == FM_OK) {
        result = crypto->sign(crypto->ctx, key, hash, signature);
    }
    if (result != FM_OK) {
        return result;
    }
    uint8_t numbers[2 * 35];
    uint8_t *end = put_integer(put_integer(numbers, signature), signature + 32);
    size_t size = (size_t)(end - numbers);
    /* BIT STRING { no unused bits, SEQUENCE { r, s } } */
    size_t content = sizeof info + sizeof ALGORITHM + 2 + 1 + 2 + size;
    at = der;
    *at++ = 0x30;
    *at++ = 0x81;
    *at++ = (uint8_t)content;
    at = put(at, info, sizeof info);
    at = put(at, ALGORITHM, sizeof ALGORITHM);
    *at++ = 0x03;
    *at++ = (uint8_t)(size + 3);
    *at++ = 0x00;
    *at++ = 0x30;
    *at++ = (uint8_t)size;
    at = put(at, numbers, size);
    return (int)(at - der);
}
