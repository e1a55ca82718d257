/* The two slots for a key and its certificate.
 *
 * One slot is in use, the other is where the next identity grows, until it has been proven on a connection and the
 * switch is made. Every step is one put of the store, whole or not at all, and each leaves a device that works when the
 * power goes: the slot in use is not touched before that.
 *
 * The value `slot` is 0 or 1. With 2 added, the other slot belongs to a renewal: what is complete there is newer than
 * what is in use, and the gateway may have seen it already.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_SLOTS_H
#define FLEETMINT_SLOTS_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A private key as the store has it, ECPrivateKey in DER, has at most so many bytes, */
#define FM_SLOT_KEY 160
/* and a certificate so many. */
#define FM_SLOT_CERTIFICATE 2048

struct fm_slots {
    const struct fm_kv *kv;
    /* FM_SLOT_CERTIFICATE bytes, where a certificate is read back; nothing that is passed to a function may be there.
     */
    uint8_t *scratch;
};

/* The slot in use; FM_ABSENT before the first one was proven, FM_IO. */
int fm_slots_active(const struct fm_slots *slots);

/* How many slots hold both a key and a certificate; `order` has them in the order in which to try them. FM_IO. */
int fm_slots_identities(const struct fm_slots *slots, int order[2]);

/* The length of the key or the certificate in a slot; FM_ABSENT, FM_TOO_LONG, FM_IO. */
int fm_slots_key(const struct fm_slots *slots, int slot, uint8_t *der, size_t room);
int fm_slots_certificate(const struct fm_slots *slots, int slot, uint8_t *der, size_t room);

/* Find the free slot for a certificate request.
 *
 * FM_OK: a key waits there for its certificate. It is to be used again: the reply to its request may have been lost,
 * and the same key gets the same certificate. FM_ABSENT: the slot is empty now, and a new key is to be put into it
 * before anything is sent. A key of a renewal is no key for a token, nor the other way round. FM_IO. */
int fm_slots_request(const struct fm_slots *slots, bool renewal, int *slot);

/* Put a new key into a slot that `fm_slots_request` has emptied. FM_OK; FM_TOO_LONG; FM_IO, also when the store does
 * not keep it. */
int fm_slots_put_key(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size);

/* Put the certificate for the key in a slot beside it; the slot in use stays the same. As above. */
int fm_slots_keep(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size);

/* Put a newer certificate for the key of `slot` into the other slot, with that key; returns the other slot, or `slot`
 * when it has this certificate already. `slot` is the one in use then, if it was not before. What is there already is
 * not written again. FM_ABSENT when there is no key, FM_TOO_LONG, FM_IO. */
int fm_slots_keep_beside(const struct fm_slots *slots, int slot, const uint8_t *der, size_t size);

/* Use this slot from now on: its identity was proven on a connection. FM_OK, FM_IO. */
int fm_slots_activate(const struct fm_slots *slots, int slot);

/* Empty a slot that is not in use. FM_OK, FM_IO. */
int fm_slots_discard(const struct fm_slots *slots, int slot);

#ifdef __cplusplus
}
#endif

#endif
