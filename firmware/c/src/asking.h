/* What the gateway is asked about the identities of a device: the requests of `credentials`.
 *
 * Each begins an exchange, of which `fm_exchange_step` tells the end, and answers FM_PENDING. What stands in its way on
 * the device, such as a damaged key, is the result of that exchange, too.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_ASKING_H
#define FLEETMINT_ASKING_H

#include "fleetmint/credentials.h"

enum fm_phase {
    /* nothing is under way */
    FM_PHASE_IDLE,
    /* whoami, for an identity from the slots, for one that is new, for the one that has taken the place of another */
    FM_PHASE_ASK_HELD,
    FM_PHASE_ASK_NEW,
    FM_PHASE_ASK_RENEWED,
    FM_PHASE_ASK_OTHER,
    FM_PHASE_RECOVER,
    FM_PHASE_ENROL,
    FM_PHASE_RENEW,
    FM_PHASE_FETCH_BUNDLE,
    /* whoami under the anchors of the bundle that is offered */
    FM_PHASE_ASK_OFFERED
};

/* The slots. What they need of `room` is behind whatever a reply with a certificate has in it. */
struct fm_slots fm_ask_slots(struct fm_credentials *self);

/* Load the identity in a slot. FM_BAD when its key is none. */
int fm_ask_load(struct fm_credentials *self, int slot);

/* What a connection to `port` trusts, and, if `shown`, the identity that is loaded. */
void fm_ask_setup(const struct fm_credentials *self, uint16_t port, bool shown, struct fm_tls_setup *setup);

/* What the gateway says of the identity in a slot; in the last phase it is asked under the anchors that are offered. */
int fm_ask_whoami(struct fm_credentials *self, enum fm_phase phase, int slot);

/* A certificate for a token; for the identity in a slot that is not accepted any more; for that in `slot` of `self`. */
int fm_ask_enrol(struct fm_credentials *self);
int fm_ask_recover(struct fm_credentials *self, int slot);
int fm_ask_renew(struct fm_credentials *self);

/* The certificate in the reply to one of these, decoded where it came in: its length. FM_BAD when there is none, or it
 * is for another key than that of the request. */
int fm_ask_certificate_of(struct fm_credentials *self);

/* The gateway's trust bundle. */
int fm_ask_bundle(struct fm_credentials *self);

/* Say what does not work, and why. */
void fm_ask_say(const struct fm_credentials *self, const char *what, const char *which, const char *then,
                const struct fm_error *error);

/* Whether the gateway tells of a newer trust bundle than the one held. */
bool fm_follow_is_newer(const struct fm_credentials *self);

/* Whether the bundle that was fetched may be taken, once its anchors have carried a connection. */
bool fm_follow_is_good(struct fm_credentials *self, int result);

/* They have, or not: use it from now on. FM_OK whatever came of it, unless there is no bundle at all any more. */
int fm_follow_take(struct fm_credentials *self, int result);

#endif
