/* What the gateway says about an identity (GET /v1/whoami): how long it lasts, and when it is to be renewed.
 *
 * The times are compared with the Date of the same reply, so a wrong clock of the device renews nothing too early or
 * too late.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_STANDING_H
#define FLEETMINT_STANDING_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A serial number in hexadecimal, the label of a trust bundle (generation.version), a time: each with its end. */
#define FM_SERIAL 42
#define FM_LABEL 22
#define FM_TIME_TEXT 21

struct fm_standing {
    char serial[FM_SERIAL];
    char bundle[FM_LABEL];
    char not_after[FM_TIME_TEXT], renew_at[FM_TIME_TEXT];
    /* The gateway wants it renewed with another key. */
    bool new_key;
    /* Seconds until it is to be renewed; 0: now. */
    uint32_t left;
};

/* Read the body of the reply, and its Date. FM_OK; FM_BAD when it cannot be understood. */
int fm_standing_read(struct fm_standing *standing, const struct fm_crypto *crypto, const char *device_id,
                     const uint8_t *body, size_t size, uint32_t date);

/* Seconds after `renew_at` at which this device renews a certificate that ends `left` seconds after that: a share of a
 * tenth of that time and of a week at most, always the same for a certificate and another one for each device. */
uint32_t fm_standing_jitter(const struct fm_crypto *crypto, const char *device_id, const char *serial, uint32_t left);

#ifdef __cplusplus
}
#endif

#endif
