/* Dates as the gateway and certificates write them. All times are seconds since 2000-01-01 UTC.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_CALENDAR_H
#define FLEETMINT_CALENDAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fm_date {
    uint16_t year;
    uint8_t month, day, hour, minute, second;
};

/* Seconds of a date; the nearest that there is, 0 or UINT32_MAX, for one before 2000 or after February 2136.
 * FM_BAD when there is no such date. A leap second is the second after it. */
int fm_calendar_seconds(const struct fm_date *date, uint32_t *seconds);

void fm_calendar_date(uint32_t seconds, struct fm_date *date);

/* "Sun, 22 Nov 2026 01:28:00 GMT", the Date of an HTTP reply (IMF-fixdate of RFC 9110). FM_OK, FM_BAD. */
int fm_calendar_http(const char *text, size_t size, uint32_t *seconds);

/* "2027-07-28T00:00:00Z", a time in the gateway's JSON. FM_OK, FM_BAD. */
int fm_calendar_iso(const char *text, size_t size, uint32_t *seconds);

/* So many decimal digits as a number; -1 when one of them is none. At most 9. */
int32_t fm_calendar_digits(const char *text, size_t count);

#ifdef __cplusplus
}
#endif

#endif
