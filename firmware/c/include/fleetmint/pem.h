/* PEM (RFC 7468): what certificates are handed around as.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_PEM_H
#define FLEETMINT_PEM_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FM_PEM_CERTIFICATE "CERTIFICATE"
#define FM_PEM_KEY "EC PRIVATE KEY"

/* Decode the first block with this label in `text` into `data` and take everything up to its end off `text`. The
 * length; FM_ABSENT when there is no such block, FM_BAD, FM_TOO_LONG. What stands between blocks is passed over. */
int fm_pem_next(struct fm_bytes *text, const char *label, uint8_t *data, size_t room);

/* Write one block, with a zero behind it; returns its length without that, or FM_TOO_LONG. */
int fm_pem_write(const char *label, const uint8_t *data, size_t size, char *text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
