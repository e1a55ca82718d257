/* How long to wait after a failure: doubling, with jitter, so that a fleet does not come back all at once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_BACKOFF_H
#define FLEETMINT_BACKOFF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What has failed. Who was refused has nothing to hurry for; a router that comes back is found soon. */
enum fm_failure { FM_FAILURE_PROBLEM, FM_FAILURE_REFUSED, FM_FAILURE_NETWORK };

/* Zero in the beginning, and again after a success. */
struct fm_backoff {
    uint8_t failures;
};

/* Seconds to wait after one more failure: half to all of the doubled time, or the `asked` seconds of the gateway (0 for
 * none) and a little more. `chance` is 16 random bits. */
uint32_t fm_backoff_after(struct fm_backoff *backoff, enum fm_failure failure, uint32_t asked, uint16_t chance);

#ifdef __cplusplus
}
#endif

#endif
