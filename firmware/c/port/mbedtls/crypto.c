/* SPDX-License-Identifier: MIT */
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <string.h>

#include "fm_mbedtls.h"

/* A key pair of P-256, or the public half of one. */
struct pair {
    mbedtls_ecp_group group;
    mbedtls_mpi key;
    mbedtls_ecp_point point;
    mbedtls_mpi r, s;
};

static int begin(struct pair *pair) {
    mbedtls_ecp_group_init(&pair->group);
    mbedtls_mpi_init(&pair->key);
    mbedtls_ecp_point_init(&pair->point);
    mbedtls_mpi_init(&pair->r);
    mbedtls_mpi_init(&pair->s);
    return mbedtls_ecp_group_load(&pair->group, MBEDTLS_ECP_DP_SECP256R1);
}

static void end(struct pair *pair) {
    mbedtls_ecp_group_free(&pair->group);
    mbedtls_mpi_free(&pair->key);
    mbedtls_ecp_point_free(&pair->point);
    mbedtls_mpi_free(&pair->r);
    mbedtls_mpi_free(&pair->s);
}

static int result_of(int error) {
    switch (error) {
    case 0:
        return FM_OK;
    case MBEDTLS_ERR_MPI_ALLOC_FAILED:
    case MBEDTLS_ERR_ECP_ALLOC_FAILED:
        return FM_MEMORY;
    case MBEDTLS_ERR_ECP_VERIFY_FAILED:
        return FM_SIGNATURE;
    default:
        return FM_BAD;
    }
}

static int load_key(struct pair *pair, const uint8_t key[FM_PRIVATE]) {
    int error = mbedtls_mpi_read_binary(&pair->key, key, FM_PRIVATE);
    return error ? error : mbedtls_ecp_check_privkey(&pair->group, &pair->key);
}

static int seed(struct fm_mbedtls_crypto *crypto) {
    if (crypto->seeded) {
        return FM_OK;
    }
    mbedtls_entropy_init(&crypto->entropy);
    mbedtls_ctr_drbg_init(&crypto->random);
    if (mbedtls_ctr_drbg_seed(&crypto->random, mbedtls_entropy_func, &crypto->entropy, NULL, 0) != 0) {
        mbedtls_ctr_drbg_free(&crypto->random);
        mbedtls_entropy_free(&crypto->entropy);
        return FM_ENTROPY;
    }
    crypto->seeded = true;
    return FM_OK;
}

static int make_random(void *ctx, uint8_t *data, size_t size) {
    struct fm_mbedtls_crypto *crypto = (struct fm_mbedtls_crypto *)ctx;
    int result = seed(crypto);
    while (result == FM_OK && size) {
        size_t part = size < MBEDTLS_CTR_DRBG_MAX_REQUEST ? size : MBEDTLS_CTR_DRBG_MAX_REQUEST;
        if (mbedtls_ctr_drbg_random(&crypto->random, data, part) != 0) {
            return FM_ENTROPY;
        }
        data += part;
        size -= part;
    }
    return result;
}

static int keygen(void *ctx, uint8_t key[FM_PRIVATE]) {
    struct fm_mbedtls_crypto *crypto = (struct fm_mbedtls_crypto *)ctx;
    struct pair pair;
    int result = seed(crypto);
    if (result != FM_OK) {
        return result;
    }
    int error = begin(&pair);
    if (!error) {
        error = mbedtls_ecp_gen_privkey(&pair.group, &pair.key, mbedtls_ctr_drbg_random, &crypto->random);
    }
    if (!error) {
        error = mbedtls_mpi_write_binary(&pair.key, key, FM_PRIVATE);
    }
    end(&pair);
    return result_of(error);
}

/* The library blinds the multiplication, so it wants randomness for it. */
static int public_key(void *ctx, const uint8_t key[FM_PRIVATE], uint8_t point[FM_PUBLIC]) {
    struct fm_mbedtls_crypto *crypto = (struct fm_mbedtls_crypto *)ctx;
    struct pair pair;
    size_t size = 0;
    int result = seed(crypto);
    if (result != FM_OK) {
        return result;
    }
    int error = begin(&pair);
    if (!error) {
        error = load_key(&pair, key);
    }
    if (!error) {
        error = mbedtls_ecp_mul(&pair.group, &pair.point, &pair.key, &pair.group.G, mbedtls_ctr_drbg_random,
                                &crypto->random);
    }
    if (!error) {
        error = mbedtls_ecp_point_write_binary(&pair.group, &pair.point, MBEDTLS_ECP_PF_UNCOMPRESSED, &size, point,
                                               FM_PUBLIC);
    }
    end(&pair);
    return result_of(error);
}

static int make_signature(struct fm_mbedtls_crypto *crypto, struct pair *pair, const uint8_t hash[FM_HASH]) {
#if defined(MBEDTLS_ECDSA_DETERMINISTIC)
    /* RFC 6979: not even a bad source of randomness reveals the key. */
    return mbedtls_ecdsa_sign_det_ext(&pair->group, &pair->r, &pair->s, &pair->key, hash, FM_HASH, MBEDTLS_MD_SHA256,
                                      mbedtls_ctr_drbg_random, &crypto->random);
#else
    return mbedtls_ecdsa_sign(&pair->group, &pair->r, &pair->s, &pair->key, hash, FM_HASH, mbedtls_ctr_drbg_random,
                              &crypto->random);
#endif
}

static int sign(void *ctx, const uint8_t key[FM_PRIVATE], const uint8_t hash[FM_HASH],
                uint8_t signature[FM_SIGNATURE_SIZE]) {
    struct fm_mbedtls_crypto *crypto = (struct fm_mbedtls_crypto *)ctx;
    struct pair pair;
    int result = seed(crypto);
    if (result != FM_OK) {
        return result;
    }
    int error = begin(&pair);
    if (!error) {
        error = load_key(&pair, key);
    }
    if (!error) {
        error = make_signature(crypto, &pair, hash);
    }
    if (!error) {
        error = mbedtls_mpi_write_binary(&pair.r, signature, FM_SIGNATURE_SIZE / 2);
    }
    if (!error) {
        error = mbedtls_mpi_write_binary(&pair.s, signature + FM_SIGNATURE_SIZE / 2, FM_SIGNATURE_SIZE / 2);
    }
    end(&pair);
    return result_of(error);
}

static int verify(void *ctx, const uint8_t point[FM_PUBLIC], const uint8_t hash[FM_HASH],
                  const uint8_t signature[FM_SIGNATURE_SIZE]) {
    struct pair pair;
    (void)ctx;
    int error = begin(&pair);
    if (!error) {
        error = mbedtls_ecp_point_read_binary(&pair.group, &pair.point, point, FM_PUBLIC);
    }
    if (!error) {
        error = mbedtls_ecp_check_pubkey(&pair.group, &pair.point);
    }
    if (!error) {
        error = mbedtls_mpi_read_binary(&pair.r, signature, FM_SIGNATURE_SIZE / 2);
    }
    if (!error) {
        error = mbedtls_mpi_read_binary(&pair.s, signature + FM_SIGNATURE_SIZE / 2, FM_SIGNATURE_SIZE / 2);
    }
    if (!error) {
        error = mbedtls_ecdsa_verify(&pair.group, hash, FM_HASH, &pair.point, &pair.r, &pair.s);
    }
    end(&pair);
    return result_of(error);
}

static int sha256(void *ctx, const uint8_t *data, size_t size, uint8_t hash[FM_HASH]) {
    (void)ctx;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return result_of(mbedtls_sha256(data, size, hash, 0));
#else
    return result_of(mbedtls_sha256_ret(data, size, hash, 0));
#endif
}

struct fm_crypto fm_mbedtls_crypto(struct fm_mbedtls_crypto *crypto) {
    struct fm_crypto made = {crypto, make_random, keygen, public_key, sign, verify, sha256};
    return made;
}
