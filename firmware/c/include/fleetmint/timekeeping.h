/* What time it is, for a device that starts in the year 2000 and must judge certificates.
 *
 * The clock floor in the store is a time that has certainly passed. The device works from there until somebody tells it
 * better: NTP, which anybody can forge and is believed within bounds until a certificate contradicts it, and the Date of
 * the gateway over a verified connection. Only a time under which the gateway's certificate was valid, and which the
 * gateway itself then named, becomes the new floor.
 *
 * All times are seconds since 2000-01-01 UTC; 0 stands for none.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TIMEKEEPING_H
#define FLEETMINT_TIMEKEEPING_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FM_DAY 86400u
/* How far above the floor a time may lie: the years a device may wait on a shelf. */
#define FM_SHELF_LIFE (5u * 365u * FM_DAY)
/* A floor this much older is written anew; more often would wear the flash for nothing. */
#define FM_FLOOR_STEP (30u * FM_DAY)

#define FM_NTP_PORT 123
#define FM_NTP_SIZE 48
#define FM_NTP_NONCE 8

/* Write a question to an NTP server (SNTP, RFC 4330) that carries random bytes. */
void fm_ntp_ask(const uint8_t nonce[FM_NTP_NONCE], uint8_t packet[FM_NTP_SIZE]);

/* The time in the answer to that question, or 0 when it is none. */
uint32_t fm_ntp_read(const uint8_t *packet, size_t size, const uint8_t nonce[FM_NTP_NONCE]);

struct fm_timekeeper {
    const struct fm_port *port;
    uint32_t floor;
    /* The gateway itself has named the time over a connection that was judged by it. */
    bool confirmed;
    bool at_floor;
    /* Nobody has been asked yet; somebody is being asked, since these ticks; the question is out. */
    bool ask, asking, waiting;
    uint32_t asked;
    uint8_t nonce[FM_NTP_NONCE];
};

/* Read the floor and see whether the clock ran on through a reset. FM_ABSENT when the store has no floor. */
int fm_timekeeper_begin(struct fm_timekeeper *time, const struct fm_port *port);

/* Ask `server` for the time if nobody has told it yet: FM_PENDING until that is done, well or badly; then FM_OK. */
int fm_timekeeper_adjust(struct fm_timekeeper *time, const char *server);

/* A certificate was outside its dates: perhaps the clock is wrong. Changes what can be changed. */
void fm_timekeeper_doubt(struct fm_timekeeper *time);

/* Take the Date of a verified reply into account; 0 is none. */
void fm_timekeeper_confirm(struct fm_timekeeper *time, uint32_t told);

uint32_t fm_timekeeper_now(const struct fm_timekeeper *time);

#ifdef __cplusplus
}
#endif

#endif
