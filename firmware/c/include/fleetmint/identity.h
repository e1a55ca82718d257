/* Who this device is, and where its gateway is: what the factory wrote into the store. Secrets are read when they are
 * used, and are not kept.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_IDENTITY_H
#define FLEETMINT_IDENTITY_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each with its end. */
#define FM_DEVICE_ID 64
#define FM_HOST_NAME 254
#define FM_TOKEN 65
#define FM_SSID 33
#define FM_PASSPHRASE 65
/* So many networks can be in the store, and so many bytes of JSON are they at most. */
#define FM_NETWORKS 4
#define FM_NETWORKS_JSON 768

struct fm_identity {
    char device_id[FM_DEVICE_ID];
    char gateway[FM_HOST_NAME];
    uint16_t https_port, mqtt_port;
    /* Where a value is missing, or is none of its kind: its key. */
    const char *missing;
};

struct fm_network {
    char ssid[FM_SSID];
    char passphrase[FM_PASSPHRASE];
};

/* FM_OK; FM_ABSENT or FM_BAD, `missing` says what. */
int fm_identity_read(struct fm_identity *identity, const struct fm_kv *kv);

/* The network with this index, the first is 0; FM_ABSENT behind the last one, FM_BAD. */
int fm_identity_network(const struct fm_kv *kv, size_t index, struct fm_network *network);

/* The one-time token, with its end: its length; FM_ABSENT. */
int fm_identity_token(const struct fm_kv *kv, char token[FM_TOKEN]);

#ifdef __cplusplus
}
#endif

#endif
