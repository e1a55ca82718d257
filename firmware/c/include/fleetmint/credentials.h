/* Which identity the device uses, and how it comes to the next one, by itself and for life.
 *
 * In this order: what is in the slots; what the gateway gives for an identity that has ended or is not accepted any more
 * (recovery); what it gives for a token. Whether an identity is good and when it is to be renewed, the gateway says. So
 * it does of a newer trust bundle, which is taken when the release key has signed it and its anchors have carried a
 * connection to the gateway.
 *
 * A new identity has to carry a connection before it replaces the old one. To the gateway that connection is the sign
 * that the device has it: hours later the old one is worth nothing, so what was renewed is tried before what is in use.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_CREDENTIALS_H
#define FLEETMINT_CREDENTIALS_H

#include "fleetmint/bundle.h"
#include "fleetmint/csr.h"
#include "fleetmint/exchange.h"
#include "fleetmint/identity.h"
#include "fleetmint/slots.h"
#include "fleetmint/standing.h"
#include "fleetmint/timekeeping.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest certificate of a device. */
#define FM_CERTIFICATE 1024
/* A trust bundle that is being looked at, and behind it room for a question to the gateway and its answer. */
#define FM_ROOM (FM_BUNDLE_MOST + 1280)

struct fm_credentials {
    const struct fm_port *port;
    const struct fm_identity *identity;
    struct fm_timekeeper *time;
    /* Each renewal brings a new key; otherwise only when the gateway asks for one. */
    bool new_key;

    /* The bundle in use, and the anchors in it. */
    uint8_t bundle_data[FM_BUNDLE_MOST];
    struct fm_bundle bundle;
    /* Of the slot looked at last. */
    uint8_t certificate[FM_CERTIFICATE];
    size_t certificate_size;
    uint8_t key[FM_PRIVATE], point[FM_PUBLIC];
    /* The slot that the exchange under way is about, the one that is being renewed, and the point of the key for which
     * a certificate was asked. */
    int slot, renewed;
    uint8_t requested[FM_PUBLIC];

    char room[FM_ROOM];
    struct fm_bundle offered;
    struct fm_exchange exchange;
    /* What the exchange under way is for. */
    uint8_t phase;
    /* The slots to try, those of them that recovery may bring back, and why the first one was not accepted. */
    int order[2];
    uint8_t count, next, ended;
    struct fm_error refused, superseded;

    struct fm_standing standing;
    /* The slot whose identity the gateway has accepted since the last doubt, or -1. */
    int proven;
    /* Ticks, and milliseconds from then on, until the gateway is asked again; the same after a renewal that failed. */
    uint32_t asked, pause, failed_at, delay;
    uint8_t failures;
    /* Why the last step failed. */
    struct fm_error failure;
};

/* FM_OK; FM_ABSENT or FM_BAD when the trust bundle in the store is none. The others have to live as long as this. */
int fm_credentials_begin(struct fm_credentials *credentials, const struct fm_port *port,
                         const struct fm_identity *identity, struct fm_timekeeper *time);

/* Come to an identity that the gateway accepts: FM_PENDING until there is one, then FM_OK. Otherwise `failure` says why
 * there is none now. */
int fm_credentials_step(struct fm_credentials *credentials);

/* Whether there is a reason to ask the gateway again: a day has passed, or the identity is to be renewed. */
bool fm_credentials_due(const struct fm_credentials *credentials);

/* The identity in use was turned away: it has to be proven anew. */
void fm_credentials_doubt(struct fm_credentials *credentials);

/* End what is under way. */
void fm_credentials_stop(struct fm_credentials *credentials);

/* What a connection to `port` of the gateway shows and trusts: the proven identity. */
int fm_credentials_setup(struct fm_credentials *credentials, uint16_t port, struct fm_tls_setup *setup);

#ifdef __cplusplus
}
#endif

#endif
