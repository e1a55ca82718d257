/* Whom this device trusts: the trust bundle in the store, and when a newer one may take its place.
 *
 * The factory writes the first bundle. The gateway delivers newer ones, but only the release key makes them: that key's
 * signature, the site and the order of versions are checked here, and the new anchors have to carry a connection to the
 * gateway before they replace the old ones. Until that one put everything stays as it was.
 *
 * docs/trust-bundle.md has the format as a table.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_BUNDLE_H
#define FLEETMINT_BUNDLE_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No device takes a larger one. */
#define FM_BUNDLE_MOST 3072
#define FM_BUNDLE_ANCHORS 4
/* "65535.4294967295" and its end. */
#define FM_BUNDLE_LABEL 17

/* All of it points into the bundle. */
struct fm_bundle {
    struct fm_bytes whole;
    struct fm_bytes site;
    /* By both together, the generation first, a bundle is newer than another one. */
    uint16_t generation;
    uint32_t version;
    /* Seconds since 2000-01-01 UTC at which it was made. For people: a device goes by the version. */
    uint32_t created;
    /* Generation, release key and spare as the spare of the generation before has signed them. */
    struct fm_bytes keys;
    /* The points, x and y. */
    const uint8_t *release_key, *spare;
    /* Signatures: of that spare, and of the release key over everything before it. */
    const uint8_t *endorsement, *signature;
    /* The server CAs to trust, certificates in DER. */
    size_t anchor_count;
    struct fm_bytes anchors[FM_BUNDLE_ANCHORS];
};

/* What comes of a bundle that is offered. */
enum fm_bundle_verdict {
    FM_BUNDLE_TAKEN = 0,
    FM_BUNDLE_OTHER_SITE,
    FM_BUNDLE_NOT_NEWER,
    FM_BUNDLE_OTHER_KEYS,
    FM_BUNDLE_NOT_ENDORSED,
    FM_BUNDLE_NOT_SIGNED
};

/* FM_OK; FM_BAD when it is no trust bundle, or has anything behind its end. The signatures are not looked at. */
int fm_bundle_read(const uint8_t *data, size_t size, struct fm_bundle *bundle);

/* Read the bundle in use into `room`, of FM_BUNDLE_MOST bytes. FM_OK; FM_ABSENT, FM_BAD, FM_IO. What the store holds
 * was judged before it was put there. */
int fm_bundle_load(const struct fm_kv *kv, uint8_t *room, struct fm_bundle *bundle);

/* How its generation and version are said: "0.7". */
void fm_bundle_label(const struct fm_bundle *bundle, char label[FM_BUNDLE_LABEL]);

/* How the bundle that the gateway tells of by its label stands to the one held: 1 newer, -1 older, 0 the same, or not
 * to be understood. */
int fm_bundle_compare(const char *label, const struct fm_bundle *held);

/* Whether a device that holds one bundle may take another one: a verdict, or an error of `crypto`. Verifies one
 * signature, or two when the release keys are others. */
int fm_bundle_judge(const struct fm_crypto *crypto, const struct fm_bundle *held, const struct fm_bundle *offered);

/* A verdict in words: "it is of another site". */
const char *fm_bundle_reason(int verdict);

/* Put a bundle that was taken, and whose anchors have been proven, in the place of the one in use, and read it back
 * into `room`, as `fm_bundle_load` does. FM_OK; FM_IO, then `room` may hold nothing of use. */
int fm_bundle_keep(const struct fm_kv *kv, const struct fm_bundle *taken, uint8_t *room);

#ifdef __cplusplus
}
#endif

#endif
