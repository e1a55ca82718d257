/* UTF-8 as it has to be (RFC 3629): no overlong forms, no surrogates.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_UTF8_H
#define FLEETMINT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many bytes the character at the front has, 1 to 4; 0 when there is none, or none that is whole. */
size_t fm_utf8_length(const uint8_t *data, size_t size);

bool fm_utf8_valid(const uint8_t *data, size_t size);

/* Write a code point, at most 4 bytes; returns how many. 0 for what is no character. */
size_t fm_utf8_write(uint32_t code, uint8_t *data);

#ifdef __cplusplus
}
#endif

#endif
