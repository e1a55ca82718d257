/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fm_bearssl.h"

static int seed(struct fm_bearssl_crypto *crypto) {
    uint8_t entropy[32];
    if (crypto->seeded) {
        return FM_OK;
    }
    int result = crypto->entropy(crypto->entropy_ctx, entropy, sizeof entropy);
    if (result == FM_OK) {
        br_hmac_drbg_init(&crypto->random, &br_sha256_vtable, entropy, sizeof entropy);
        crypto->seeded = true;
    }
    return result;
}

static int make_random(void *ctx, uint8_t *data, size_t size) {
    struct fm_bearssl_crypto *crypto = ctx;
    int result = seed(crypto);
    if (result == FM_OK) {
        br_hmac_drbg_generate(&crypto->random, data, size);
    }
    return result;
}

static int keygen(void *ctx, uint8_t key[FM_PRIVATE]) {
    struct fm_bearssl_crypto *crypto = ctx;
    int result = seed(crypto);
    if (result != FM_OK) {
        return result;
    }
    uint8_t buffer[BR_EC_KBUF_PRIV_MAX_SIZE];
    br_ec_private_key made;
    if (br_ec_keygen(&crypto->random.vtable, &br_ec_p256_m15, &made, buffer, BR_EC_secp256r1) != FM_PRIVATE) {
        return FM_BAD;
    }
    memcpy(key, made.x, FM_PRIVATE);
    return FM_OK;
}

static br_ec_private_key private_key(const uint8_t key[FM_PRIVATE]) {
    br_ec_private_key made;
    /* BearSSL reads from where it may write. */
    made.curve = BR_EC_secp256r1;
    made.x = (unsigned char *)(uintptr_t)key;
    made.xlen = FM_PRIVATE;
    return made;
}

static int public_key(void *ctx, const uint8_t key[FM_PRIVATE], uint8_t point[FM_PUBLIC]) {
    (void)ctx;
    uint8_t buffer[BR_EC_KBUF_PUB_MAX_SIZE];
    br_ec_private_key own = private_key(key);
    br_ec_public_key made;
    size_t size;
    const uint8_t *order = br_ec_p256_m15.order(BR_EC_secp256r1, &size);
    bool zero = true;
    for (size_t i = 0; i < FM_PRIVATE; i++) {
        zero = zero && key[i] == 0;
    }
    /* BearSSL takes that for granted. */
    if (zero || size != FM_PRIVATE || memcmp(key, order, FM_PRIVATE) >= 0) {
        return FM_BAD;
    }
    if (br_ec_compute_pub(&br_ec_p256_m15, &made, buffer, &own) != FM_PUBLIC) {
        return FM_BAD;
    }
    memcpy(point, made.q, FM_PUBLIC);
    return FM_OK;
}

static int sign(void *ctx, const uint8_t key[FM_PRIVATE], const uint8_t hash[FM_HASH],
                uint8_t signature[FM_SIGNATURE_SIZE]) {
    (void)ctx;
    br_ec_private_key own = private_key(key);
    size_t size = br_ecdsa_i15_sign_raw(&br_ec_p256_m15, &br_sha256_vtable, hash, &own, signature);
    return size == FM_SIGNATURE_SIZE ? FM_OK : FM_BAD;
}

static int verify(void *ctx, const uint8_t point[FM_PUBLIC], const uint8_t hash[FM_HASH],
                  const uint8_t signature[FM_SIGNATURE_SIZE]) {
    (void)ctx;
    br_ec_public_key other;
    other.curve = BR_EC_secp256r1;
    other.q = (unsigned char *)(uintptr_t)point;
    other.qlen = FM_PUBLIC;
    uint32_t good = br_ecdsa_i15_vrfy_raw(&br_ec_p256_m15, hash, FM_HASH, &other, signature, FM_SIGNATURE_SIZE);
    return good ? FM_OK : FM_SIGNATURE;
}

static int sha256(void *ctx, const uint8_t *data, size_t size, uint8_t hash[FM_HASH]) {
    (void)ctx;
    br_sha256_context context;
    br_sha256_init(&context);
    br_sha256_update(&context, data, size);
    br_sha256_out(&context, hash);
    return FM_OK;
}

struct fm_crypto fm_bearssl_crypto(struct fm_bearssl_crypto *crypto) {
    struct fm_crypto made = {crypto, make_random, keygen, public_key, sign, verify, sha256};
    return made;
}
