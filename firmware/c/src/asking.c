/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include <string.h>

#include "fleetmint/base64.h"
#include "fleetmint/cert.h"
#include "fleetmint/json.h"
#include "fleetmint/keys.h"

/* The identities in the slots. */

/* What is in `room` from here on is free while slots are written: replies are shorter. */
struct fm_slots fm_ask_slots(struct fm_credentials *self) {
    struct fm_slots slots = {&self->port->kv, (uint8_t *)self->room + sizeof self->room - FM_SLOT_CERTIFICATE};
    return slots;
}

int fm_ask_load(struct fm_credentials *self, int slot) {
    uint8_t der[FM_SLOT_KEY];
    struct fm_slots slots = fm_ask_slots(self);
    int size = fm_slots_certificate(&slots, slot, self->certificate, sizeof self->certificate);
    int key_size = fm_slots_key(&slots, slot, der, sizeof der);
    self->certificate_size = size > 0 ? (size_t)size : 0;
    if (size == FM_IO || key_size == FM_IO) {
        return FM_IO;
    }
    if ((size < 0 && size != FM_ABSENT) || key_size < 0) {
        return FM_BAD;
    }
    return fm_key_decode(&self->port->crypto, der, (size_t)key_size, self->key, self->point);
}

void fm_ask_setup(const struct fm_credentials *self, uint16_t port, bool shown, struct fm_tls_setup *setup) {
    memset(setup, 0, sizeof *setup);
    setup->host = self->identity->gateway;
    setup->port = port;
    setup->anchors = self->bundle.anchors;
    setup->anchor_count = self->bundle.anchor_count;
    setup->now = fm_timekeeper_now(self->time);
    if (shown) {
        setup->certificate.data = self->certificate;
        setup->certificate.size = self->certificate_size;
        setup->key = self->key;
    }
}

/* What the gateway is asked. `slot` is that of the identity which is shown, or of the key which gets a certificate. */

static int send(struct fm_credentials *self, const char *method, const char *path, const struct fm_text *body,
                bool shown) {
    struct fm_tls_setup setup;
    fm_ask_setup(self, self->identity->https_port, shown, &setup);
    if (self->phase == FM_PHASE_ASK_OFFERED) {
        setup.anchors = self->offered.anchors;
        setup.anchor_count = self->offered.anchor_count;
    }
    /* What goes wrong already is told by the next step. */
    fm_exchange_send(&self->exchange, method, path, body, &setup);
    return FM_PENDING;
}

/* Without a request: as if it had been sent, and this had come of it. */
static int come_to(struct fm_credentials *self, int result, const char *code) {
    fm_exchange_abandon(&self->exchange, result, code);
    return FM_PENDING;
}

static void begin(struct fm_credentials *self, enum fm_phase phase, int slot, struct fm_text *body) {
    /* A bundle that is offered stays where it is. */
    size_t kept = phase == FM_PHASE_ASK_OFFERED ? FM_BUNDLE_MOST : 0;
    self->phase = (uint8_t)phase;
    self->slot = slot;
    fm_exchange_begin(&self->exchange, self->port, self->room + kept, sizeof self->room - kept, body);
}

int fm_ask_whoami(struct fm_credentials *self, enum fm_phase phase, int slot) {
    struct fm_text none;
    int result = fm_ask_load(self, slot);
    begin(self, phase, slot, &none);
    return result == FM_OK ? send(self, "GET", "/v1/whoami", &none, true)
                           : come_to(self, result == FM_BAD ? FM_REFUSED : result, "damaged");
}

/* Add the request for the key that is loaded, and end the body. */
static int add_request(struct fm_credentials *self, struct fm_text *body) {
    uint8_t request[FM_CSR_MOST];
    int size = fm_csr_make(&self->port->crypto, self->key, self->point, request);
    if (size < 0) {
        return size;
    }
    memcpy(self->requested, self->point, sizeof self->requested);
    fm_text_add(body, "\"csr\": \"");
    fm_text_base64(body, request, (size_t)size);
    fm_text_add(body, "\"}");
    return FM_OK;
}

/* A key in the free slot: one that waits for its certificate, or a new one. */
static int free_key(struct fm_credentials *self, bool renewal, int *slot) {
    const struct fm_crypto *crypto = &self->port->crypto;
    struct fm_slots slots = fm_ask_slots(self);
    uint8_t der[FM_SLOT_KEY];
    int result = fm_slots_request(&slots, renewal, slot);
    if (result == FM_OK) {
        int size = fm_slots_key(&slots, *slot, der, sizeof der);
        return size < 0 ? size : fm_key_decode(crypto, der, (size_t)size, self->key, self->point);
    }
    if (result != FM_ABSENT) {
        return result;
    }
    result = crypto->keygen(crypto->ctx, self->key);
    if (result == FM_OK) {
        result = crypto->public_key(crypto->ctx, self->key, self->point);
    }
    if (result == FM_OK) {
        fm_key_encode(self->key, self->point, der);
        result = fm_slots_put_key(&slots, *slot, der, FM_KEY_DER);
    }
    return result;
}

/* What the device itself has found: nobody need be asked whether a damaged key is good. */
static int spoiled(struct fm_credentials *self, int result) {
    return come_to(self, result == FM_BAD ? FM_REFUSED : result, result == FM_BAD ? "damaged" : "");
}

/* Add which board this is, for a token that is good on one alone. */
static void add_mac(const struct fm_credentials *self, struct fm_text *body) {
    static const uint8_t none[FM_MAC];
    if (memcmp(self->port->mac, none, sizeof none) != 0) {
        fm_text_add(body, "\"mac\": \"");
        fm_text_hex(body, self->port->mac, FM_MAC, ":");
        fm_text_add(body, "\", ");
    }
}

int fm_ask_enrol(struct fm_credentials *self) {
    char token[FM_TOKEN];
    struct fm_text body;
    int slot = 0;
    int result = free_key(self, false, &slot);
    begin(self, FM_PHASE_ENROL, slot, &body);
    if (result == FM_OK && fm_identity_token(&self->port->kv, token) < 0) {
        return come_to(self, FM_REFUSED, "no_token");
    }
    if (result == FM_OK) {
        fm_text_add(&body, "{\"device\": ");
        fm_text_quoted(&body, self->identity->device_id);
        fm_text_add(&body, ", \"token\": ");
        fm_text_quoted(&body, token);
        fm_text_add(&body, ", ");
        add_mac(self, &body);
        memset(token, 0, sizeof token);
        result = add_request(self, &body);
    }
    return result == FM_OK ? send(self, "POST", "/v1/enrol", &body, false) : spoiled(self, result);
}

int fm_ask_recover(struct fm_credentials *self, int slot) {
    struct fm_text body;
    int result = fm_ask_load(self, slot);
    begin(self, FM_PHASE_RECOVER, slot, &body);
    if (result == FM_OK) {
        fm_text_add(&body, "{\"certificate\": \"");
        fm_text_base64(&body, self->certificate, self->certificate_size);
        fm_text_add(&body, "\", ");
        result = add_request(self, &body);
    }
    return result == FM_OK ? send(self, "POST", "/v1/recover", &body, false) : spoiled(self, result);
}

/* With a new key the request is for the other slot than the one whose identity is shown. */
int fm_ask_renew(struct fm_credentials *self) {
    bool new_key = self->new_key || self->standing.new_key;
    struct fm_text body;
    int shown = self->slot, slot = shown;
    fm_say(&self->port->log, "renewing", new_key ? " with a new key" : "");
    int result = new_key ? free_key(self, true, &slot) : fm_ask_load(self, shown);
    begin(self, FM_PHASE_RENEW, slot, &body);
    self->renewed = shown;
    fm_text_add(&body, "{");
    if (result == FM_OK) {
        result = add_request(self, &body);
    }
    if (result == FM_OK) {
        result = fm_ask_load(self, shown);
    }
    return result == FM_OK ? send(self, "POST", "/v1/renew", &body, true) : spoiled(self, result);
}

int fm_ask_bundle(struct fm_credentials *self) {
    struct fm_text none;
    begin(self, FM_PHASE_FETCH_BUNDLE, self->slot, &none);
    return send(self, "GET", "/v1/trust-bundle", &none, true);
}

/* The certificate of a reply, decoded where it came in; its length. */
int fm_ask_certificate_of(struct fm_credentials *self) {
    struct fm_json told, value;
    struct fm_cert cert;
    uint8_t *room = (uint8_t *)self->exchange.room;
    if (fm_json_read(room, self->exchange.reply.size, &told) != FM_OK ||
        fm_json_member(&told, "certificate", &value) != FM_OK) {
        return FM_BAD;
    }
    int size = fm_json_text(&value, self->exchange.room, self->exchange.reply.size + 1);
    size = size < 0 ? size : fm_base64_decode(self->exchange.room, (size_t)size, room, FM_CERTIFICATE);
    if (size < 0 || fm_cert_read(room, (size_t)size, &cert) != FM_OK) {
        return FM_BAD;
    }
    /* A certificate for a foreign key would fail in every handshake. */
    return cert.point && memcmp(cert.point, self->requested, FM_PUBLIC) == 0 ? size : FM_BAD;
}

void fm_ask_say(const struct fm_credentials *self, const char *what, const char *which, const char *then,
                const struct fm_error *failure) {
    char reason[FM_LINE];
    struct fm_text text;
    fm_text_begin(&text, reason, sizeof reason);
    fm_error_text(failure, &text);
    fm_say(&self->port->log, what, which, then, reason);
}
