/* Base64 (RFC 4648, section 4): padded, without line ends, one text for each content.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_BASE64_H
#define FLEETMINT_BASE64_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How many characters so many bytes become. */
#define FM_BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Write FM_BASE64_SIZE(size) characters, and no zero behind them; returns how many. */
size_t fm_base64_encode(const uint8_t *data, size_t size, char *text);

/* The length of what the text says; FM_BAD, FM_TOO_LONG. `data` may be where `text` is. */
int fm_base64_decode(const char *text, size_t size, uint8_t *data, size_t room);

#ifdef __cplusplus
}
#endif

#endif
