/* Everything in the core that reads what others have written, and what has to hold whatever it was.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "../src/asking.h"
#include "fleetmint/base64.h"
#include "fleetmint/bundle.h"
#include "fleetmint/calendar.h"
#include "fleetmint/cert.h"
#include "fleetmint/csr.h"
#include "fleetmint/http.h"
#include "fleetmint/identity.h"
#include "fleetmint/json.h"
#include "fleetmint/mqtt.h"
#include "fleetmint/outbox.h"
#include "fleetmint/pem.h"
#include "fleetmint/standing.h"
#include "fleetmint/timekeeping.h"
#include "fleetmint/typed.h"
#include "fleetmint/utf8.h"
#include "fm_bearssl.h"
#include "fuzz.h"

#define HAS_TO(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The first byte of an input says how the rest is given. */
static uint8_t take_first(const uint8_t **data, size_t *size) {
    if (*size == 0) {
        return 0;
    }
    --*size;
    return *(*data)++;
}

static void is_within(const struct fm_bytes *part, const uint8_t *data, size_t size) {
    HAS_TO(part->data >= data && part->size <= size && part->data + part->size <= data + size);
}

static void fuzz_base64(const uint8_t *data, size_t size) {
    uint8_t decoded[64];
    char again[FM_BASE64_SIZE(sizeof decoded)];
    int length = fm_base64_decode((const char *)data, size, decoded, sizeof decoded);

    if (length >= 0) {
        /* One text for each content. */
        HAS_TO(fm_base64_encode(decoded, (size_t)length, again) == size && memcmp(again, data, size) == 0);
    }
}

static void fuzz_pem(const uint8_t *data, size_t size) {
    struct fm_bytes text;
    uint8_t room[200];
    int length;

    text.data = data;
    text.size = size;
    do {
        length = fm_pem_next(&text, FM_PEM_CERTIFICATE, room, sizeof room);
        HAS_TO(length <= (int)sizeof room);
        is_within(&text, data, size);
    } while (length >= 0);
}

static void fuzz_utf8(const uint8_t *data, size_t size) {
    size_t at = 0, length;

    while ((length = fm_utf8_length(data + at, size - at)) > 0) {
        at += length;
    }
    HAS_TO((at == size) == fm_utf8_valid(data, size));
}

static void fuzz_calendar(const uint8_t *data, size_t size) {
    struct fm_date date;
    uint32_t seconds, again;

    if (fm_calendar_http((const char *)data, size, &seconds) == FM_OK ||
        fm_calendar_iso((const char *)data, size, &seconds) == FM_OK) {
        fm_calendar_date(seconds, &date);
        HAS_TO(fm_calendar_seconds(&date, &again) == FM_OK && again == seconds);
    }
}

static void fuzz_cert(const uint8_t *data, size_t size) {
    struct fm_cert cert;

    if (fm_cert_read(data, size, &cert) == FM_OK) {
        is_within(&cert.serial, data, size);
        is_within(&cert.issuer, data, size);
        is_within(&cert.subject, data, size);
        is_within(&cert.public_key_info, data, size);
        HAS_TO(cert.point == NULL || (cert.point > data && cert.point + FM_PUBLIC <= data + size));
    }
}

/* The first byte says for which address; the certificate comes in one piece, or byte by byte. */
static void fuzz_address(const uint8_t *data, size_t size) {
    static const char *const hosts[] = {"127.0.0.1", "192.0.2.1", "::1", "2001:db8::7"};
    const char *host = hosts[take_first(&data, &size) % 4];
    struct fm_bearssl_address whole, pieces;
    size_t at;

    fm_bearssl_address_of(&whole, host);
    fm_bearssl_address_of(&pieces, host);
    fm_bearssl_address_look(&whole, data, size);
    for (at = 0; at < size; at++) {
        fm_bearssl_address_look(&pieces, data + at, 1);
    }
    HAS_TO(whole.found == pieces.found && whole.broken == pieces.broken);
}

/* A reply that should have a certificate in it. */
static void fuzz_certificate(const uint8_t *data, size_t size) {
    static struct fm_credentials credentials;
    char *room = malloc(size + 1);
    int length;

    memcpy(room, data, size);
    credentials.exchange.room = room;
    credentials.exchange.reply.size = (uint32_t)size;
    length = fm_ask_certificate_of(&credentials);
    HAS_TO(length < 0 || (size_t)length < size);
    free(room);
}

static void fuzz_bundle(const uint8_t *data, size_t size) {
    char label[FM_BUNDLE_LABEL];
    struct fm_bundle bundle;
    size_t at;

    if (fm_bundle_read(data, size, &bundle) == FM_OK) {
        is_within(&bundle.site, data, size);
        is_within(&bundle.keys, data, size);
        HAS_TO(bundle.signature + FM_SIGNATURE_SIZE == data + size);
        for (at = 0; at < bundle.anchor_count; at++) {
            is_within(&bundle.anchors[at], data, size);
        }
        fm_bundle_label(&bundle, label);
        HAS_TO(fm_bundle_compare(label, &bundle) == 0);
    }
}

static void walk(const struct fm_json *value, unsigned depth) {
    char text[24];
    struct fm_json inner;
    int32_t number;
    size_t index;
    bool truth;
    int length = fm_json_text(value, text, sizeof text);

    HAS_TO(length < (int)sizeof text);
    HAS_TO(length < 0 || (text[length] == 0 && fm_utf8_valid((uint8_t *)text, (size_t)length)));
    fm_json_number(value, &number);
    fm_json_bool(value, &truth);
    HAS_TO(depth <= FM_JSON_DEPTH);
    for (index = 0; index < 4 && fm_json_item(value, index, &inner) == FM_OK; index++) {
        HAS_TO(inner.at > value->at && inner.end < value->end && inner.at < inner.end);
        walk(&inner, depth + 1);
    }
    if (fm_json_member(value, "a", &inner) == FM_OK || fm_json_member(value, "error", &inner) == FM_OK) {
        HAS_TO(inner.at > value->at && inner.end < value->end && inner.at < inner.end);
        walk(&inner, depth + 1);
    }
}

static void fuzz_json(const uint8_t *data, size_t size) {
    struct fm_json value;

    if (fm_json_read(data, size, &value) == FM_OK) {
        walk(&value, 0);
    }
}

static size_t sunk;

static int sink(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    HAS_TO(data != NULL && size > 0);
    sunk += size;
    return FM_OK;
}

static void fuzz_http(const uint8_t *data, size_t size) {
    uint8_t body[48], first = take_first(&data, &size);
    struct fm_http http, other;
    size_t piece = (first & 0x1F) + 1u, at;
    int result = FM_PENDING, again;

    sunk = 0;
    fm_http_begin(&http, body, sizeof body);
    fm_http_begin_sink(&other, sink, NULL, sizeof body);
    for (at = 0; at < size; at += piece) {
        result = fm_http_feed(&http, data + at, size - at < piece ? size - at : piece);
    }
    again = fm_http_feed(&other, data, size);
    HAS_TO(http.size <= sizeof body);
    /* In one piece or in many, it is the same reply. */
    HAS_TO(size == 0 || (result == again && http.status == other.status && http.size == other.size));
    HAS_TO(sunk == other.size);
}

/* What the broker says, in pieces; what is said to it goes nowhere, and not always at once. */
struct pretended {
    struct fm_bytes left;
    size_t piece;
    unsigned turn;
};

static int pretended_read(void *ctx, uint8_t *data, size_t room) {
    struct pretended *broker = ctx;
    size_t size = room < broker->piece ? room : broker->piece;

    if (size > broker->left.size) {
        size = broker->left.size;
    }
    memcpy(data, broker->left.data, size);
    broker->left.data += size;
    broker->left.size -= size;
    return size == 0 ? FM_CLOSED : (int)size;
}

static int pretended_write(void *ctx, const uint8_t *data, size_t size) {
    struct pretended *broker = ctx;

    HAS_TO(data != NULL && size > 0);
    return ++broker->turn % 3 == 0 ? 0 : (int)(size < 40 ? size : 40);
}

static int pretended_flush(void *ctx) {
    (void)ctx;
    return FM_OK;
}

static void take_message(void *ctx, struct fm_bytes topic, struct fm_bytes payload) {
    const struct fm_mqtt_setup *setup = ctx;

    is_within(&topic, setup->room, setup->size);
    is_within(&payload, setup->room, setup->size);
    HAS_TO(fm_utf8_valid(topic.data, topic.size));
}

static void take_large(void *ctx, struct fm_bytes topic, uint32_t size) {
    const struct fm_mqtt_setup *setup = ctx;

    is_within(&topic, setup->room, setup->size);
    HAS_TO(size > setup->size);
}

static void fuzz_mqtt(const uint8_t *data, size_t size) {
    uint8_t first = take_first(&data, &size), room[FM_MQTT_ROOM + 7];
    struct pretended broker = {{data, size}, 1u + first % 64, 0};
    struct fm_tls tls = {&broker, NULL, NULL, pretended_read, pretended_write, pretended_flush, NULL};
    struct fm_mqtt_message message = {{room, 3}, {NULL, 0}, {data, size}, false};
    struct fm_mqtt_setup setup;
    struct fm_mqtt mqtt;
    uint32_t ticks = 0;

    memset(&setup, 0, sizeof setup);
    setup.tls = &tls;
    setup.client_id = "pump";
    setup.will_topic = first & 0x80 ? "gone" : NULL;
    setup.keepalive = 1;
    setup.within = 200000;
    setup.room = room;
    setup.size = sizeof room;
    setup.message = take_message;
    setup.too_large = take_large;
    setup.ctx = &setup;
    fm_mqtt_begin(&mqtt, &setup, ticks);
    while (fm_mqtt_step(&mqtt, ticks += 100) >= 0) {
        if (fm_mqtt_answer(&mqtt) != FM_PENDING || mqtt.last_id == 0) {
            if (first & 0x40) {
                fm_mqtt_subscribe(&mqtt, "#");
            } else {
                fm_mqtt_publish(&mqtt, &message);
            }
        }
    }
}

/* What a product says: a byte for what it does, then the message up to the next zero. */
static void fuzz_outbox(const uint8_t *data, size_t size) {
    uint8_t storage[FM_OUTBOX_STORAGE(4, 90)];
    struct fm_outbox outbox;
    struct fm_outbox_item item;
    char text[100];

    fm_outbox_begin(&outbox, storage, 4, 90);
    while (size > 0) {
        uint8_t what = take_first(&data, &size);
        const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
        size_t length = end == NULL ? size : (size_t)(end - data);

        if (length < sizeof text) {
            memcpy(text, data, length);
            text[length] = 0;
            if (what & 1) {
                fm_outbox_add(&outbox, what & 8 ? text : "topic", data, length);
            } else {
                fm_outbox_add_object(&outbox, "topic", text, FM_OUTBOX_READING, 0xFFFFFFFF);
            }
        }
        if ((what & 2) && fm_outbox_take(&outbox, &item) == FM_OK) {
            is_within(&item.topic, storage, sizeof storage);
            is_within(&item.payload, storage, sizeof storage);
        }
        if (what & 4) {
            fm_outbox_sent(&outbox);
        }
        if (what & 16) {
            fm_outbox_release(&outbox);
        }
        HAS_TO(outbox.messages <= 4 && outbox.used <= sizeof storage);
        data += length;
        size -= length;
    }
}

/* Enough of cryptography for what only has to be some number. */
static int some_hash(void *ctx, const uint8_t *data, size_t size, uint8_t hash[FM_HASH]) {
    (void)ctx;
    (void)data;
    memset(hash, (int)size, FM_HASH);
    return FM_OK;
}

static int some_point(void *ctx, const uint8_t key[FM_PRIVATE], uint8_t point[FM_PUBLIC]) {
    (void)ctx;
    memset(point, key[0], FM_PUBLIC);
    return FM_OK;
}

static const struct fm_crypto some_crypto = {NULL, NULL, NULL, some_point, NULL, NULL, some_hash};

static void fuzz_standing(const uint8_t *data, size_t size) {
    struct fm_standing standing;

    if (fm_standing_read(&standing, &some_crypto, "pump", data, size, 850000000) == FM_OK) {
        HAS_TO(strlen(standing.serial) < FM_SERIAL && strlen(standing.bundle) < FM_LABEL);
    }
}

static void fuzz_key(const uint8_t *data, size_t size) {
    uint8_t key[FM_PRIVATE], point[FM_PUBLIC];

    fm_key_decode(&some_crypto, data, size, key, point);
}

static void fuzz_ntp(const uint8_t *data, size_t size) {
    static const uint8_t nonce[FM_NTP_NONCE] = {1, 2, 3, 4, 5, 6, 7, 8};

    fm_ntp_read(data, size, nonce);
}

/* A store in which every value is the input. */
struct same {
    const uint8_t *data;
    size_t size;
};

static int same_get(void *ctx, const char *key, uint8_t *data, size_t room) {
    const struct same *same = ctx;

    (void)key;
    if (same->size > room) {
        return FM_TOO_LONG;
    }
    memcpy(data, same->data, same->size);
    return (int)same->size;
}

static int same_get_i32(void *ctx, const char *key, int32_t *value) {
    const struct same *same = ctx;

    (void)key;
    *value = (int32_t)same->size * 7919;
    return FM_OK;
}

static void fuzz_identity(const uint8_t *data, size_t size) {
    struct same same = {data, size};
    struct fm_kv kv = {&same, same_get, NULL, NULL, same_get_i32, NULL};
    struct fm_identity identity;
    struct fm_network network;
    char token[FM_TOKEN];
    size_t index;

    fm_identity_read(&identity, &kv);
    fm_identity_token(&kv, token);
    for (index = 0; index < 5; index++) {
        fm_identity_network(&kv, index, &network);
    }
}

static void fuzz_typed(const uint8_t *data, size_t size) {
    struct fm_typed_line line;
    struct fm_typed_wifi wifi;

    memset(&line, 0, sizeof line);
    while (size-- > 0) {
        if (fm_typed_byte(&line, *data++)) {
            HAS_TO(strlen(line.text) <= FM_TYPED_LINE);
            fm_typed_wifi(line.text, &wifi);
        }
    }
}

const struct fuzz_target fuzz_targets[] = {
    {"address", fuzz_address},   {"base64", fuzz_base64},     {"bundle", fuzz_bundle},
    {"calendar", fuzz_calendar}, {"cert", fuzz_cert},         {"certificate", fuzz_certificate},
    {"http", fuzz_http},         {"identity", fuzz_identity}, {"json", fuzz_json},
    {"key", fuzz_key},           {"mqtt", fuzz_mqtt},         {"ntp", fuzz_ntp},
    {"outbox", fuzz_outbox},     {"pem", fuzz_pem},           {"standing", fuzz_standing},
    {"typed", fuzz_typed},       {"utf8", fuzz_utf8},         {NULL, NULL},
};
