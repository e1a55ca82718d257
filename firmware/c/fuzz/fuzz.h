/* What is fuzzed: functions that take any bytes. What one of them must never do ends the program.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_FUZZ_H
#define FLEETMINT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
    const char *name;
    /* `data` is memory of exactly this size: whatever reads behind it is seen. */
    void (*run)(const uint8_t *data, size_t size);
};

/* The last one has no name. */
extern const struct fuzz_target fuzz_targets[];

#endif
