/* SPDX-License-Identifier: MIT */
#include "fleetmint/slots.h"

#include <string.h>

#include "fleetmint/keys.h"

#define RENEWAL 2

static const char *const keys[] = {FM_KEY_KEY0, FM_KEY_KEY1};
static const char *const certificates[] = {FM_KEY_CERT0, FM_KEY_CERT1};

/* 0 to 3, or FM_ABSENT, also when the value says nothing; FM_IO. */
static int state_of(const struct fm_slots *slots) {
    int32_t state;
    int result = slots->kv->get_i32(slots->kv->ctx, FM_KEY_SLOT, &state);

    if (result == FM_BAD || (result == FM_OK && (state < 0 || state > 3))) {
        return FM_ABSENT;
    }
    return result == FM_OK ? (int)state : result;
}

static int set_state(const struct fm_slots *slots, int slot, bool renewal) {
    int wanted = renewal ? slot + RENEWAL : slot, state = state_of(slots);

    if (state == wanted || state == FM_IO) {
        return state == FM_IO ? FM_IO : FM_OK;
    }
    return slots->kv->put_i32(slots->kv->ctx, FM_KEY_SLOT, wanted);
}

/* 1 when there is such a value, 0 when there is none. */
static int has(const struct fm_slots *slots, const char *key) {
    uint8_t nothing;
    /* Without room for it nothing is read. */
    int result = slots->kv->get(slots->kv->ctx, key, &nothing, 0);

    if (result == FM_TOO_LONG) {
        return 1;
    }
    return result == FM_ABSENT ? 0 : result;
}

/* 1 when a slot holds both, 0 when it does not. */
static int is_complete(const struct fm_slots *slots, int slot) {
    int result = has(slots, certificates[slot]);

    return result == 1 ? has(slots, keys[slot]) : result;
}

static int put(const struct fm_slots *slots, const char *key, const uint8_t *data, size_t size) {
    int result;

    if (size > FM_SLOT_CERTIFICATE) {
        return FM_TOO_LONG;
    }
    result = slots->kv->put(slots->kv->ctx, key, data, size);
    if (result != FM_OK) {
        return result;
    }
    /* Nothing may be sent out for a key that the flash did not take. */
    result = slots->kv->get(slots->kv->ctx, key, slots->scratch, FM_SLOT_CERTIFICATE);
    return result == (int)size && memcmp(slots->scratch, data, size) == 0 ? FM_OK : FM_IO;
}

int fm_slots_active(const struct fm_slots *slots) {
    int state = state_of(slots);

    return state < 0 ? state : state & 1;
}

int fm_slots_identities(const struct fm_slots *slots, int order[2]) {
    int state = state_of(slots), first, count = 0, turn;

    if (state == FM_IO) {
        return FM_IO;
    }
    first = state < 0 ? 0 : state & 1;
    if (state >= RENEWAL) {
        first = 1 - first;
    }
    for (turn = 0; turn < 2; turn++) {
        int slot = turn == 0 ? first : 1 - first, complete = is_complete(slots, slot);

        if (complete < 0) {
            return complete;
        }
        if (complete) {
            order[count++] = slot;
        }
    }
    return count;
}

int fm_slots_key(const struct fm_slots *slots, int slot, uint8_t *der, size_t room) {
    return slots->kv->get(slots->kv->ctx, keys[slot], der, room);
}

int fm_slots_certificate(const struct fm_slots *slots, int slot, uint8_t *der, size_t room) {
    return slots->kv->get(slots->kv->ctx, certificates[slot], der, room);
}

static int free_slot(const struct fm_slots *slots, int state) {
    return state >= 0 ? 1 - (state & 1) : is_complete(slots, 0);
}

int fm_slots_request(const struct fm_slots *slots, bool renewal, int *slot) {
    int state = state_of(slots), key, certificate, result;

    *slot = state == FM_IO ? FM_IO : free_slot(slots, state);
    if (*slot < 0) {
        return *slot;
    }
    key = has(slots, keys[*slot]);
    certificate = has(slots, certificates[*slot]);
    if (key < 0 || certificate < 0) {
        return FM_IO;
    }
    if (key && !certificate && (state >= RENEWAL) == renewal) {
        return FM_OK;
    }
    result = fm_slots_discard(slots, *slot);
    if (result == FM_OK && state >= 0) {
        result = set_state(slots, state & 1, renewal);
    }
    return result == FM_OK ? FM_ABSENT : result;
}

int fm_slots_put_key(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size) {
    return size > FM_SLOT_KEY ? FM_TOO_LONG : put(slots, keys[slot], der, size);
}

int fm_slots_keep(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size) {
    return put(slots, certificates[slot], der, size);
}

/* Whether the slot has exactly this certificate; what cannot be read is another one. */
static bool has_certificate(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size) {
    return fm_slots_certificate(slots, slot, slots->scratch, FM_SLOT_CERTIFICATE) == (int)size &&
           memcmp(slots->scratch, der, size) == 0;
}

int fm_slots_keep_beside(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size) {
    uint8_t key[FM_SLOT_KEY], beside[FM_SLOT_KEY];
    int other = 1 - slot, length, result = FM_OK;

    if (has_certificate(slots, slot, der, size)) {
        return slot;
    }
    length = fm_slots_key(slots, slot, key, sizeof key);
    if (length <= 0) {
        return length < 0 ? length : FM_ABSENT;
    }
    if (!has_certificate(slots, other, der, size) || fm_slots_key(slots, other, beside, sizeof beside) != length ||
        memcmp(beside, key, (size_t)length) != 0) {
        result = fm_slots_discard(slots, other);
        if (result == FM_OK) {
            result = set_state(slots, slot, true);
        }
        /* The certificate goes first: a key alone would be taken for one that waits. */
        if (result == FM_OK) {
            result = fm_slots_keep(slots, other, der, size);
        }
        if (result == FM_OK) {
            result = put(slots, keys[other], key, (size_t)length);
        }
    }
    return result == FM_OK ? other : result;
}

int fm_slots_activate(const struct fm_slots *slots, int slot) {
    int active = fm_slots_active(slots);

    if (active == slot || active == FM_IO) {
        return active == FM_IO ? FM_IO : FM_OK;
    }
    return set_state(slots, slot, false);
}

int fm_slots_discard(const struct fm_slots *slots, int slot) {
    int result = slots->kv->erase(slots->kv->ctx, keys[slot]);

    return result == FM_OK ? slots->kv->erase(slots->kv->ctx, certificates[slot]) : result;
}
