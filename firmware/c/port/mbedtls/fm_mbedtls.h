/* Cryptography and TLS of the core by mbedTLS, 2.28 or 3: what ESP-IDF and Arduino for ESP32 bring along. TLS 1.3 where
 * the library was built with it, otherwise 1.2.
 *
 * The library takes memory from the heap while a connection is open; nothing here does on its own.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_MBEDTLS_H
#define FLEETMINT_MBEDTLS_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>

#include "fleetmint/port.h"
#include "fleetmint/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Connections that may be taken up again: one with the signing service and one with the broker. */
#define FM_MBEDTLS_SESSIONS 2
/* Bytes that are taken before they are sent, as one record. */
#define FM_MBEDTLS_OUTPUT 1024

/* All zero at first. Randomness is that of the library's own entropy source, the hardware on an ESP32. */
struct fm_mbedtls_crypto {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    bool seeded;
};

struct fm_crypto fm_mbedtls_crypto(struct fm_mbedtls_crypto *crypto);

/* A session that may be taken up again. */
struct fm_mbedtls_session {
    mbedtls_ssl_session session;
    bool is_kept;
    /* Of everything that the connection depended on: it is taken up for that alone, while its certificates last. */
    uint8_t digest[FM_HASH];
    uint32_t ends;
};

/* Everything but `stream` and `crypto` is zero at first. */
struct fm_mbedtls_tls {
    struct fm_stream stream;
    struct fm_mbedtls_crypto *crypto;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt anchors, certificate;
    mbedtls_pk_context key;
    /* `deaf`: the server takes nothing any more. */
    bool is_open, done, deaf;
    /* The server has to have this address; none when `address_size` is 0. */
    uint8_t address[16], address_size;
    /* When certificates are judged, and the first end of one that was seen. */
    uint32_t now, ends;
    uint8_t output[FM_MBEDTLS_OUTPUT];
    size_t taken, sending;
    struct fm_mbedtls_session sessions[FM_MBEDTLS_SESSIONS];
    uint8_t digest[FM_HASH];
    uint8_t oldest;
};

struct fm_tls fm_mbedtls_tls(struct fm_mbedtls_tls *tls);

/* "TLSv1.3", of an open connection; for people. */
const char *fm_mbedtls_version(const struct fm_mbedtls_tls *tls);

#ifdef __cplusplus
}
#endif

#endif
