/* The cryptography of a port, a request and a key: crypto KEY < MESSAGE
 *
 * Prints, in hex and a line each: a new key in DER, its request, the request of KEY (DER), the hash of the message, its
 * signature by KEY. Fails when something that must be refused is not.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "fleetmint/csr.h"

static void print(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        printf("%02x", data[i]);
    }
    printf("\n");
}

#define MUST(what)                        \
    if (!(what)) {                        \
        fprintf(stderr, "not: " #what); \
        return 1;                         \
    }

int main(int count, char **argument) {
    struct fm_crypto crypto = board()->crypto;
    uint8_t key[FM_PRIVATE], point[FM_PUBLIC], der[FM_KEY_DER], request[FM_CSR_MOST], message[1024], hash[FM_HASH];
    uint8_t signature[FM_SIGNATURE_SIZE];
    MUST(count == 2);
    MUST(crypto.keygen(crypto.ctx, key) == FM_OK && crypto.public_key(crypto.ctx, key, point) == FM_OK);
    fm_key_encode(key, point, der);
    print(der, sizeof der);
    int size = fm_csr_make(&crypto, key, point, request);
    MUST(size > 0);
    print(request, (size_t)size);

    FILE *file = fopen(argument[1], "rb");
    MUST(file && fread(der, 1, sizeof der, file) == sizeof der);
    fclose(file);
    MUST(fm_key_decode(&crypto, der, sizeof der, key, point) == FM_OK);
    size = fm_csr_make(&crypto, key, point, request);
    MUST(size > 0);
    print(request, (size_t)size);
    MUST(crypto.sha256(crypto.ctx, message, fread(message, 1, sizeof message, stdin), hash) == FM_OK);
    print(hash, sizeof hash);
    MUST(crypto.sign(crypto.ctx, key, hash, signature) == FM_OK);
    print(signature, sizeof signature);

    MUST(crypto.verify(crypto.ctx, point, hash, signature) == FM_OK);
    signature[63] ^= 1;
    MUST(crypto.verify(crypto.ctx, point, hash, signature) == FM_SIGNATURE);
    memset(key, 0, sizeof key);
    MUST(crypto.public_key(crypto.ctx, key, point) == FM_BAD);
    memset(key, 0xff, sizeof key);
    MUST(crypto.public_key(crypto.ctx, key, point) == FM_BAD);
    for (size_t i = 0; i < sizeof der; i++) {
        der[i] ^= 1;
        MUST(fm_key_decode(&crypto, der, sizeof der, key, point) == FM_BAD);
        der[i] ^= 1;
    }
    MUST(fm_key_decode(&crypto, der, sizeof der - 1, key, point) == FM_BAD);
    return 0;
}
