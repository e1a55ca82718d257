/* Cryptography and TLS of the core by BearSSL, for boards with little memory: the code for 32-bit processors without a
 * wide multiplication, P-256 and SHA-256 alone, TLS 1.2 with records of 512 bytes.
 *
 * The stream below TLS and the source of entropy are the board's. Not one byte is allocated.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_BEARSSL_H
#define FLEETMINT_BEARSSL_H

#include <bearssl/bearssl.h>
#include <stdbool.h>

#include "fleetmint/port.h"
#include "fleetmint/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* So many server CAs can be in a trust bundle. */
#define FM_BEARSSL_ANCHORS 4
/* Connections that may be taken up again: one with the signing service and one with the broker. */
#define FM_BEARSSL_SESSIONS 2
/* From these BearSSL works out that it can take records of 512 bytes, and asks the server for them. */
#define FM_BEARSSL_INPUT 837
#define FM_BEARSSL_OUTPUT 597

struct fm_bearssl_crypto {
    /* Fill `data` from the hardware: FM_OK or FM_ENTROPY. */
    int (*entropy)(void *ctx, uint8_t *data, size_t size);
    void *entropy_ctx;
    br_hmac_drbg_context random;
    bool seeded;
};

/* Everything but `entropy` and `entropy_ctx` is zero at first. */
struct fm_crypto fm_bearssl_crypto(struct fm_bearssl_crypto *crypto);

/* Looks for an IP address among the names in a certificate, of which it sees one byte at a time. */
struct fm_bearssl_address {
    uint8_t wanted[16];
    uint8_t size;
    /* The elements around the byte: how much of each there is still to come. */
    uint16_t left[8];
    uint8_t depth;
    /* The header that is being read, and how much of what it announced, if nothing in that is looked at. */
    uint8_t header, tag;
    uint16_t length, content;
    /* Whether the last OBJECT IDENTIFIER of an extension is that of the subject alternative names. */
    uint8_t matched;
    bool is_names;
    bool equal, found, broken;
};

/* Whether `host` is an address, which is then looked for. */
bool fm_bearssl_address_of(struct fm_bearssl_address *address, const char *host);
/* The next bytes of the certificate; at its end `found` says whether it has the address, unless it is `broken`. */
void fm_bearssl_address_look(struct fm_bearssl_address *address, const uint8_t *data, size_t size);

struct fm_bearssl_tls {
    struct fm_stream stream;
    const struct fm_crypto *crypto;
    br_ssl_client_context client;
    br_x509_minimal_context minimal;
    /* What BearSSL calls for a chain: `minimal`, and a look at addresses, which that does not match. */
    struct {
        const br_x509_class *vtable;
        struct fm_bearssl_tls *tls;
    } judge;
    struct fm_bearssl_address address;
    bool by_address, leaf;
    br_x509_trust_anchor anchors[FM_BEARSSL_ANCHORS];
    br_x509_certificate chain;
    br_ec_private_key key;
    uint8_t input[FM_BEARSSL_INPUT];
    uint8_t output[FM_BEARSSL_OUTPUT];
    bool is_open, done;
    /* The error that the stream gave when something was to be sent. */
    int deaf;
    struct fm_bearssl_session {
        br_ssl_session_parameters parameters;
        /* Of everything that the connection depended on: it is taken up for that alone. */
        uint8_t digest[FM_HASH];
    } sessions[FM_BEARSSL_SESSIONS];
    uint8_t digest[FM_HASH];
    uint8_t oldest;
};

/* Everything but `stream` and `crypto` is zero at first. */
struct fm_tls fm_bearssl_tls(struct fm_bearssl_tls *tls);

/* What an error of BearSSL means. */
int fm_bearssl_result(int error);

#ifdef __cplusplus
}
#endif

#endif
