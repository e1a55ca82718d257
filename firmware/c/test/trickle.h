/* A stream that moves three bytes at most, and nothing at all every other time, when TRICKLE is set.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_TRICKLE_H
#define FLEETMINT_TEST_TRICKLE_H

#include "fleetmint/stream.h"

struct fm_stream trickling(struct fm_stream stream);

#endif
