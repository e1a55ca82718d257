/* Private keys (ECPrivateKey, RFC 5915) and certificate requests (PKCS #10, RFC 2986) of P-256, in DER.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_CSR_H
#define FLEETMINT_CSR_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An encoded key with its public point has always so many bytes. */
#define FM_KEY_DER 121
/* A request has at most so many: its signature is a little shorter sometimes. */
#define FM_CSR_MOST 193

/* Write the form in which a store holds a key, and in which the factory writes it. */
void fm_key_encode(const uint8_t key[FM_PRIVATE], const uint8_t point[FM_PUBLIC], uint8_t der[FM_KEY_DER]);

/* Read a key and work out its public point, which is not taken on trust. FM_OK, FM_BAD when it is no key of P-256, or
 * an error of `crypto`. */
int fm_key_decode(const struct fm_crypto *crypto, const uint8_t *der, size_t size, uint8_t key[FM_PRIVATE],
                  uint8_t point[FM_PUBLIC]);

/* Work out the SHA-256 of a public key (SubjectPublicKeyInfo), by which the gateway calls it. FM_OK, or an error of
 * `crypto`. */
int fm_key_hash(const struct fm_crypto *crypto, const uint8_t point[FM_PUBLIC], uint8_t hash[FM_HASH]);

/* Write a signed request for the key pair with an empty subject: the gateway knows who asks. Returns its length, or an
 * error of `crypto`. */
int fm_csr_make(const struct fm_crypto *crypto, const uint8_t key[FM_PRIVATE], const uint8_t point[FM_PUBLIC],
                uint8_t der[FM_CSR_MOST]);

#ifdef __cplusplus
}
#endif

#endif
