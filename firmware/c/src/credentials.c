/* SPDX-License-Identifier: MIT */
#include "fleetmint/credentials.h"

#include <string.h>

#include "asking.h"
#include "fleetmint/keys.h"

/* Seconds between two tries to renew. */
#define FIRST_RETRY 60u
#define LONGEST_RETRY 86400u
#define DAY_MS 86400000u
#define HOUR_MS 3600000u

static const char *const SLOT_NAMES[] = {"0", "1"};

static uint32_t ticks(const struct fm_credentials *self) {
    return self->port->clock.ticks(self->port->clock.ctx);
}

static uint32_t random16(const struct fm_credentials *self) {
    uint8_t bytes[2] = {0, 0};
    self->port->crypto.random(self->port->crypto.ctx, bytes, sizeof bytes);
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool is_code(const struct fm_error *failure, const char *code) {
    return strcmp(failure->code, code) == 0;
}

/* No certificate will ever be had for this key. */
static bool is_unusable(const struct fm_error *failure) {
    return is_code(failure, "damaged") || is_code(failure, "key_in_use") || is_code(failure, "key_retired") ||
           is_code(failure, "weak_key") || is_code(failure, "new_key_needed");
}

static void set_failure(struct fm_error *failure, int result, const char *code) {
    struct fm_text text;
    memset(failure, 0, sizeof *failure);
    failure->result = result;
    fm_text_begin(&text, failure->code, sizeof failure->code);
    fm_text_add(&text, code);
}

/* End with what is in `failure`. */
static int fail(struct fm_credentials *self) {
    self->phase = FM_PHASE_IDLE;
    return self->failure.result;
}

static int fail_with(struct fm_credentials *self, int result) {
    set_failure(&self->failure, result, "");
    return fail(self);
}

/* When the gateway is asked again. */

static void sleep_for(struct fm_credentials *self, uint32_t milliseconds) {
    self->asked = ticks(self);
    self->pause = milliseconds;
}

static uint32_t left_of(const struct fm_credentials *self, uint32_t from, uint32_t milliseconds) {
    uint32_t gone = ticks(self) - from;
    return gone < milliseconds ? milliseconds - gone : 0;
}

static uint32_t left_of_delay(struct fm_credentials *self) {
    /* Ticks start again after some weeks: what is over must not come back. */
    self->delay = self->delay && left_of(self, self->failed_at, self->delay) ? self->delay : 0;
    return self->delay ? left_of(self, self->failed_at, self->delay) : 0;
}

static uint32_t patience(const struct fm_credentials *self) {
    return DAY_MS - (HOUR_MS >> 16) * random16(self);
}

static void put_off(struct fm_credentials *self, const char *what) {
    uint32_t wait = self->failures < 11 ? FIRST_RETRY << self->failures : LONGEST_RETRY;
    char reason[FM_LINE], seconds[FM_DECIMAL];
    struct fm_text text;
    wait = wait < LONGEST_RETRY ? wait : LONGEST_RETRY;
    wait = self->failure.retry_after > wait ? self->failure.retry_after : wait;
    wait = wait < LONGEST_RETRY ? wait : LONGEST_RETRY;
    self->failures = self->failures < 11 ? (uint8_t)(self->failures + 1) : 11;
    wait += (uint32_t)((uint64_t)wait * random16(self) >> 17);
    fm_text_begin(&text, reason, sizeof reason);
    fm_error_text(&self->failure, &text);
    fm_say(&self->port->log, what, reason, "; trying again in ", fm_decimal(wait, seconds), " s");
    sleep_for(self, wait * 1000);
}

/* What comes of it. */

static bool has_token(struct fm_credentials *self) {
    char token[FM_TOKEN];
    bool found = fm_identity_token(&self->port->kv, token) > 0;
    memset(token, 0, sizeof token);
    return found;
}

/* Ask about the next identity in the slots, or go on to what can be done without one. */
static int look_on(struct fm_credentials *self) {
    struct fm_slots slots = fm_ask_slots(self);
    if (self->next < self->count) {
        return fm_ask_whoami(self, FM_PHASE_ASK_HELD, self->order[self->next++]);
    }
    int active = fm_slots_active(&slots);
    if (active == FM_IO) {
        return fail_with(self, FM_IO);
    }
    /* What is in use comes first here: what was renewed from it is made good again by the same answer. */
    for (int i = 0; i < 2; i++) {
        int slot = active == 1 ? 1 - i : i;
        if (self->ended & 1 << slot) {
            self->ended = (uint8_t)(self->ended & ~(1 << slot));
            fm_say(&self->port->log, "asking for recovery with the identity in slot ", SLOT_NAMES[slot]);
            return fm_ask_recover(self, slot);
        }
    }
    if (self->refused.result) {
        /* Without a slot in use the token was that of the identity which is refused. */
        if (active < 0 || !has_token(self)) {
            self->failure = self->refused;
            return fail(self);
        }
        fm_say(&self->port->log, "there is another token: enrolling with a new key");
    }
    return fm_ask_enrol(self);
}

static int look(struct fm_credentials *self) {
    struct fm_slots slots = fm_ask_slots(self);
    int count = fm_slots_identities(&slots, self->order);
    if (count < 0) {
        return fail_with(self, count);
    }
    self->count = (uint8_t)count;
    self->next = self->ended = 0;
    memset(&self->refused, 0, sizeof self->refused);
    return look_on(self);
}

/* The end of a look: this identity is the one to use. */
static int proven(struct fm_credentials *self) {
    self->phase = FM_PHASE_IDLE;
    self->proven = self->slot;
    return FM_OK;
}

static int after_bundle(struct fm_credentials *self) {
    if (self->standing.left) {
        self->failures = 0;
        return proven(self);
    }
    if (left_of_delay(self)) {
        return proven(self);
    }
    return fm_ask_renew(self);
}

/* The identity in use is good, and there is time to try again. */
static int not_renewed(struct fm_credentials *self) {
    put_off(self, "not renewed: ");
    self->failed_at = self->asked;
    self->delay = self->pause;
    self->slot = self->renewed;
    return proven(self);
}

static void not_accepted(const struct fm_credentials *self) {
    fm_ask_say(self, "identity in slot ", SLOT_NAMES[self->slot], " is not accepted: ", &self->failure);
    if (is_code(&self->failure, "superseded")) {
        fm_say(&self->port->log, "it was renewed already: by this device, or by a copy of it");
    }
}

/* Make the identity that the gateway accepts the one in use. */
static int accept(struct fm_credentials *self) {
    const struct fm_kv *kv = &self->port->kv;
    struct fm_slots slots = fm_ask_slots(self);
    struct fm_standing standing;
    const struct fm_http *reply = &self->exchange.reply;
    int result = fm_standing_read(&standing, &self->port->crypto, self->identity->device_id,
                                  (const uint8_t *)self->exchange.room, reply->size, reply->date);
    if (result != FM_OK) {
        return result;
    }
    if (strcmp(standing.serial, self->standing.serial) != 0) {
        standing.not_after[10] = 0;
        standing.renew_at[10] = 0;
        fm_say(&self->port->log, "the gateway accepts this device until ", standing.not_after,
               ", to be renewed from ", standing.renew_at, " on");
    }
    self->standing = standing;
    uint32_t most = patience(self);
    uint32_t pause = standing.left < most / 1000 ? standing.left * 1000 : most;
    uint32_t delay = left_of_delay(self);
    delay = delay < most ? delay : most;
    sleep_for(self, pause > delay ? pause : delay);
    result = fm_slots_activate(&slots, self->slot);
    /* It has done its work. Enrolling again takes a new one anyway. */
    if (result == FM_OK && has_token(self)) {
        result = kv->erase(kv->ctx, FM_KEY_TOKEN);
    }
    return result;
}

/* A certificate has come: store it, and ask whether the gateway accepts it. */
static int take(struct fm_credentials *self, const char *how, bool beside, enum fm_phase next) {
    struct fm_slots slots = fm_ask_slots(self);
    int size = fm_ask_certificate_of(self);
    const uint8_t *der = (const uint8_t *)self->exchange.room;
    int result = size < 0    ? size
                 : beside ? fm_slots_keep_beside(&slots, self->slot, der, (size_t)size)
                          : fm_slots_keep(&slots, self->slot, der, (size_t)size);
    if (result < 0) {
        return result;
    }
    int slot = beside ? result : self->slot;
    fm_say(&self->port->log, how, ", certificate in slot ", SLOT_NAMES[slot]);
    return fm_ask_whoami(self, next, slot);
}

/* Asking about an identity that was in the slots has come to this. */
static int after_held(struct fm_credentials *self, int result) {
    if (result != FM_REFUSED) {
        return fail(self);
    }
    /* Other statuses than these are about the gateway. */
    uint16_t status = self->failure.status;
    if (status && status != 401 && status != 403) {
        return fail(self);
    }
    not_accepted(self);
    if (!self->refused.result) {
        self->refused = self->failure;
    }
    if (status && !is_code(&self->failure, "superseded")) {
        self->ended = (uint8_t)(self->ended | 1 << self->slot);
    }
    return look_on(self);
}

static int after_renewal(struct fm_credentials *self, int result) {
    if (result == FM_REFUSED && is_unusable(&self->failure)) {
        self->new_key = true;
    }
    if (result == FM_REFUSED && is_code(&self->failure, "superseded")) {
        struct fm_slots slots = fm_ask_slots(self);
        int order[2];
        int count = fm_slots_identities(&slots, order);
        self->slot = self->renewed;
        not_accepted(self);
        if (count == 2) {
            self->superseded = self->failure;
            return fm_ask_whoami(self, FM_PHASE_ASK_OTHER, 1 - self->renewed);
        }
    }
    return not_renewed(self);
}

/* The trust bundle. Whatever is wrong with what the gateway has, the device works on with the one that it holds. */

static int follow(struct fm_credentials *self) {
    return fm_follow_is_newer(self) ? fm_ask_bundle(self) : after_bundle(self);
}

static int after_fetch(struct fm_credentials *self, int result) {
    return fm_follow_is_good(self, result) ? fm_ask_whoami(self, FM_PHASE_ASK_OFFERED, self->slot)
                                           : after_bundle(self);
}

static int after_offer(struct fm_credentials *self, int result) {
    result = fm_follow_take(self, result);
    return result == FM_OK ? after_bundle(self) : fail_with(self, result);
}

/* An operator sees the key beside the device's name. */
static void say_waiting(const struct fm_credentials *self) {
    char shown[2 * 8 + 1];
    uint8_t hash[FM_HASH];
    struct fm_text text;
    fm_text_begin(&text, shown, sizeof shown);
    if (fm_key_hash(&self->port->crypto, self->requested, hash) == FM_OK) {
        fm_text_hex(&text, hash, 8, "");
    }
    fm_say(&self->port->log, "waiting for approval of the key ", shown);
}

/* What an exchange has come to. */
static int go_on(struct fm_credentials *self, int result) {
    const struct fm_http *reply = &self->exchange.reply;
    if (reply->status) {
        fm_timekeeper_confirm(self->time, reply->date);
    }
    self->failure = self->exchange.failure;
    enum fm_phase phase = (enum fm_phase)self->phase;
    bool certified = phase == FM_PHASE_ENROL || phase == FM_PHASE_RECOVER || phase == FM_PHASE_RENEW;
    if (result == FM_OK && certified) {
        bool beside = phase == FM_PHASE_RECOVER || (phase == FM_PHASE_RENEW && self->slot == self->renewed);
        const char *how = phase == FM_PHASE_ENROL ? "enrolled" : phase == FM_PHASE_RENEW ? "renewed" : "recovered";
        result = take(self, how, beside, phase == FM_PHASE_RENEW ? FM_PHASE_ASK_RENEWED : FM_PHASE_ASK_NEW);
    } else if (result == FM_OK && phase != FM_PHASE_FETCH_BUNDLE && phase != FM_PHASE_ASK_OFFERED) {
        result = accept(self);
    }
    if (result == FM_PENDING) {
        return result;
    }
    if (result != self->exchange.failure.result) {
        set_failure(&self->failure, result, "");
    }
    switch (phase) {
    case FM_PHASE_ASK_HELD:
        return result == FM_OK ? follow(self) : after_held(self, result);
    case FM_PHASE_ASK_NEW:
        return result == FM_OK ? follow(self) : fail(self);
    case FM_PHASE_RECOVER:
        if (result == FM_REFUSED) {
            fm_ask_say(self, "no recovery", "", ": ", &self->failure);
            return look_on(self);
        }
        return fail(self);
    case FM_PHASE_ENROL:
        if (self->failure.status == FM_STATUS_WAITING) {
            say_waiting(self);
        }
        if (result == FM_REFUSED && is_unusable(&self->failure)) {
            struct fm_slots slots = fm_ask_slots(self);
            fm_slots_discard(&slots, self->slot);
            fm_say(&self->port->log, "this key will never have a certificate; a new one is made");
            self->failure.result = FM_IO;
        }
        return fail(self);
    case FM_PHASE_FETCH_BUNDLE:
        return after_fetch(self, result);
    case FM_PHASE_ASK_OFFERED:
        return after_offer(self, result);
    case FM_PHASE_RENEW:
        return after_renewal(self, result);
    case FM_PHASE_ASK_RENEWED:
        if (result == FM_OK && self->standing.left) {
            self->failures = 0;
            return proven(self);
        }
        if (result == FM_OK) {
            /* The gateway wants the new identity renewed, too. */
            self->renewed = self->slot;
            set_failure(&self->failure, FM_REFUSED, "");
        }
        return not_renewed(self);
    case FM_PHASE_ASK_OTHER:
        if (result == FM_OK) {
            return proven(self);
        }
        not_accepted(self);
        self->failure = self->superseded;
        return not_renewed(self);
    default:
        return fail_with(self, FM_BAD);
    }
}

int fm_credentials_begin(struct fm_credentials *self, const struct fm_port *port, const struct fm_identity *identity,
                         struct fm_timekeeper *time) {
    memset(self, 0, sizeof *self);
    self->port = port;
    self->identity = identity;
    self->time = time;
    self->proven = -1;
    return fm_bundle_load(&port->kv, self->bundle_data, &self->bundle);
}

int fm_credentials_step(struct fm_credentials *self) {
    if (self->phase == FM_PHASE_IDLE) {
        return self->proven >= 0 && !fm_credentials_due(self) ? FM_OK : look(self);
    }
    int result = fm_exchange_step(&self->exchange);
    if (result == FM_PENDING) {
        return result;
    }
    result = go_on(self, result);
    if (result < 0 && self->proven >= 0) {
        /* There is an identity that was good a moment ago, and what fails is no reason to stop. */
        put_off(self, "nothing new from the gateway: ");
        return FM_OK;
    }
    return result;
}

bool fm_credentials_due(const struct fm_credentials *self) {
    return self->proven < 0 || !left_of(self, self->asked, self->pause);
}

void fm_credentials_doubt(struct fm_credentials *self) {
    self->proven = -1;
}

void fm_credentials_stop(struct fm_credentials *self) {
    const struct fm_tls *tls = &self->port->tls;
    tls->close(tls->ctx);
    self->phase = FM_PHASE_IDLE;
}

int fm_credentials_setup(struct fm_credentials *self, uint16_t port, struct fm_tls_setup *setup) {
    int result = fm_ask_load(self, self->proven);
    fm_ask_setup(self, port, true, setup);
    return result;
}
