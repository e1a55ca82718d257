/* SPDX-License-Identifier: MIT */
#include "fleetmint/backoff.h"

#define FIRST 2u
#define FIRST_REFUSED 30u
#define LONGEST 600u
#define LONGEST_NETWORK 60u
/* A gateway may ask for patience, not for a device that never comes back. */
#define LONGEST_ASKED 3600u
/* By then the longest time has long been reached. */
#define MOST_DOUBLED 16

static uint32_t least(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

uint32_t fm_backoff_after(struct fm_backoff *backoff, enum fm_failure failure, uint32_t asked, uint16_t chance) {
    uint32_t first = failure == FM_FAILURE_REFUSED ? FIRST_REFUSED : FIRST;
    uint32_t longest = failure == FM_FAILURE_NETWORK ? LONGEST_NETWORK : LONGEST;
    uint32_t wait = least(first << backoff->failures, longest);

    if (backoff->failures < MOST_DOUBLED) {
        backoff->failures++;
    }
    asked = least(asked, LONGEST_ASKED);
    if (asked > 0) {
        return asked + (least(asked, wait) * chance >> 16);
    }
    return (wait + 1) / 2 + ((wait / 2 + 1) * chance >> 16);
}
