/* What the core has to know of a certificate (X.509, RFC 5280): when it is valid, whose it is, for which key. It judges
 * nothing: chains and signatures are verified by the TLS library.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_CERT_H
#define FLEETMINT_CERT_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All of it points into the certificate. */
struct fm_cert {
    /* The number, big-endian, as DER has it. */
    struct fm_bytes serial;
    /* Names, as DER, SEQUENCE included. */
    struct fm_bytes issuer, subject;
    /* Seconds since 2000-01-01 UTC; 0 for what began before, UINT32_MAX for what ends after February 2136. */
    uint32_t not_before, not_after;
    /* SubjectPublicKeyInfo, as DER. */
    struct fm_bytes public_key_info;
    /* The point of a P-256 key, FM_PUBLIC bytes; NULL for a key of another kind. */
    const uint8_t *point;
};

/* FM_OK; FM_BAD when the `size` bytes are not one certificate of version 3. */
int fm_cert_read(const uint8_t *der, size_t size, struct fm_cert *cert);

#ifdef __cplusplus
}
#endif

#endif
