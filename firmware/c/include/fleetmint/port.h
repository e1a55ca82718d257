/* What the core asks of a board: a store, cryptography, TLS, a clock and a network. Each is a struct of functions with
 * a context of the port's own, which the functions get as their first argument. The core keeps no state elsewhere.
 *
 * Whatever a function cannot do at once it does not wait for: it answers FM_PENDING, or 0 bytes, and is asked again.
 * Nothing here takes memory from a heap on behalf of the core.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_PORT_H
#define FLEETMINT_PORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a function answers that has no count to give. Errors are negative, so that a count and an error fit one int. */
enum fm_result {
    FM_OK = 0,
    /* not done yet: ask again */
    FM_PENDING = 1,
    /* no such value */
    FM_ABSENT = -1,
    /* it does not fit into the room that there is */
    FM_TOO_LONG = -2,
    /* the flash, the radio or the network failed */
    FM_IO = -3,
    /* it cannot be read as what it should be */
    FM_BAD = -4,
    /* somebody answered, and said no */
    FM_REFUSED = -5,
    /* the other side ended the connection */
    FM_CLOSED = -6,
    /* the server's certificate is of no CA that is trusted */
    FM_TRUST = -7,
    /* the server's certificate is for another name */
    FM_HOST = -8,
    /* the server's certificate is not valid at this time, or the time is not known */
    FM_TIME = -9,
    /* the server does not take this device's certificate: revoked, ended, or of another CA */
    FM_REVOKED = -10,
    /* the buffers or the heap of the TLS library are too small */
    FM_MEMORY = -11,
    /* no randomness yet */
    FM_ENTROPY = -12,
    /* TLS failed for another reason: no common version or cipher, a broken record */
    FM_TLS = -13,
    /* a signature, or a checksum, does not hold */
    FM_SIGNATURE = -14,
    /* it took too long */
    FM_TIMEOUT = -15
};

/* Bytes that belong to somebody else; none of them when `size` is 0. */
struct fm_bytes {
    const uint8_t *data;
    size_t size;
};

/* The longest key of a store, without its end: that of ESP-IDF's NVS. The names are those of nvs/keys.py. */
#define FM_KV_KEY 15

/* Values under short names: NVS on an ESP32, one file each on an ESP8266.
 *
 * A put is whole or not at all, whenever the power goes, and is in the flash when it returns. A number that was put as
 * such is read as such; no key is used for both. */
struct fm_kv {
    void *ctx;
    /* The length of the value, which is then in `data`; FM_ABSENT, FM_TOO_LONG (nothing is read), FM_IO. */
    int (*get)(void *ctx, const char *key, uint8_t *data, size_t room);
    /* FM_OK, FM_TOO_LONG, FM_IO. */
    int (*put)(void *ctx, const char *key, const uint8_t *data, size_t size);
    /* FM_OK, also when there was nothing; FM_IO. */
    int (*erase)(void *ctx, const char *key);
    /* FM_OK, FM_ABSENT, FM_BAD (no number), FM_IO. */
    int (*get_i32)(void *ctx, const char *key, int32_t *value);
    /* FM_OK, FM_IO. */
    int (*put_i32)(void *ctx, const char *key, int32_t value);
};

#define FM_PRIVATE 32
/* 0x04, x, y */
#define FM_PUBLIC 65
#define FM_HASH 32
/* r, s: big-endian, 32 bytes each */
#define FM_SIGNATURE_SIZE 64

/* P-256 and SHA-256. Private keys are 32 bytes, big-endian. FM_OK, or an error. */
struct fm_crypto {
    void *ctx;
    /* FM_ENTROPY when there is none; on a board the radio has to be on. */
    int (*random)(void *ctx, uint8_t *data, size_t size);
    int (*keygen)(void *ctx, uint8_t key[FM_PRIVATE]);
    /* FM_BAD when `key` is 0 or too large. */
    int (*public_key)(void *ctx, const uint8_t key[FM_PRIVATE], uint8_t point[FM_PUBLIC]);
    int (*sign)(void *ctx, const uint8_t key[FM_PRIVATE], const uint8_t hash[FM_HASH],
                uint8_t signature[FM_SIGNATURE_SIZE]);
    /* FM_OK, FM_SIGNATURE; FM_BAD when `point` is none. */
    int (*verify)(void *ctx, const uint8_t point[FM_PUBLIC], const uint8_t hash[FM_HASH],
                  const uint8_t signature[FM_SIGNATURE_SIZE]);
    int (*sha256)(void *ctx, const uint8_t *data, size_t size, uint8_t hash[FM_HASH]);
};

/* For whom a connection is and what is shown there. Everything in it has to live until `close`. */
struct fm_tls_setup {
    /* A name or an IP address; the server's certificate has to have it. */
    const char *host;
    uint16_t port;
    /* The server CAs to trust, certificates in DER. */
    const struct fm_bytes *anchors;
    size_t anchor_count;
    /* The device's own certificate in DER and its key; none when the size is 0. */
    struct fm_bytes certificate;
    const uint8_t *key;
    /* Seconds since 2000-01-01 UTC at which certificates are judged. */
    uint32_t now;
};

/* One TLS connection at a time, always verified. A core with two of them has two of these. */
struct fm_tls {
    void *ctx;
    /* FM_OK: begun. What was open before is closed. Looking up a name may take its time where the board has nothing
     * better. */
    int (*open)(void *ctx, const struct fm_tls_setup *setup);
    /* One step of the connection and the handshake: FM_PENDING until it is done, then FM_OK; an error ends it. */
    int (*step)(void *ctx);
    /* How many bytes were read or taken; 0: none now. FM_CLOSED at the end; also the errors of `step`, since a server
     * may refuse a certificate behind the handshake. */
    int (*read)(void *ctx, uint8_t *data, size_t room);
    int (*write)(void *ctx, const uint8_t *data, size_t size);
    /* Send what was taken: FM_OK when all of it is on its way, FM_PENDING. */
    int (*flush)(void *ctx);
    /* Also when nothing is open. Waits for nobody. */
    void (*close)(void *ctx);
};

struct fm_clock {
    void *ctx;
    /* Milliseconds, from anywhere, wrapping around. */
    uint32_t (*ticks)(void *ctx);
    /* Seconds since 2000-01-01 UTC; 0 when nobody has told the time since power-on. */
    uint32_t (*now)(void *ctx);
    void (*set)(void *ctx, uint32_t seconds);
};

struct fm_net {
    void *ctx;
    /* Begin to join a network; an empty passphrase is an open one. */
    int (*join)(void *ctx, const char *ssid, const char *passphrase);
    /* FM_OK: on a network with an address. FM_PENDING: joining. Otherwise why not: FM_ABSENT (no such network in range),
     * FM_REFUSED (the passphrase may be wrong), FM_IO (also before the first join). */
    int (*state)(void *ctx);
    void (*leave)(void *ctx);
    /* Send a datagram, forgetting what arrived before: FM_OK, FM_PENDING (the name is being looked up), an error. */
    int (*send)(void *ctx, const char *host, uint16_t port, const uint8_t *data, size_t size);
    /* The length of a datagram that came in answer; 0: none yet. */
    int (*receive)(void *ctx, uint8_t *data, size_t room);
};

/* Where the core says what it does: one line without its end. It never holds a key, a token or a passphrase. */
struct fm_log {
    void *ctx;
    void (*say)(void *ctx, const char *line);
};

#define FM_MAC 6

/* A board. */
struct fm_port {
    struct fm_kv kv;
    struct fm_crypto crypto;
    struct fm_tls tls;
    struct fm_clock clock;
    struct fm_net net;
    struct fm_log log;
    /* The address that the factory knows the board by, that of its station interface; zeros when the port knows none.
     * A token may be good on one board alone. */
    uint8_t mac[FM_MAC];
};

#ifdef __cplusplus
}
#endif

#endif
