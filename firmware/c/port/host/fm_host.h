/* The double of a board on a POSIX system, for tests: sockets, a clock of its own, Wi-Fi that is always there.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_HOST_H
#define FLEETMINT_HOST_H

#include <stdbool.h>

#include "fleetmint/port.h"
#include "fm_bearssl.h"

struct fm_host_stream {
    int socket;
};

struct fm_stream fm_host_stream(struct fm_host_stream *stream);

/* What the network and the clock of the double do. */
struct fm_host {
    /* Seconds since 2000 at ticks 0; 0: not set. */
    int64_t ahead;
    bool is_set;
    /* Wi-Fi as it is here: another name or passphrase finds nothing. NULL: any will do. */
    const char *ssid, *passphrase;
    bool joined, refused;
    /* Where NTP questions go instead of the gateway's port 123; 0: nowhere. */
    uint16_t ntp_port;
    int socket;
};

struct fm_clock fm_host_clock(struct fm_host *host);
struct fm_net fm_host_net(struct fm_host *host);
struct fm_log fm_host_log(struct fm_host *host);
int fm_host_entropy(void *ctx, uint8_t *data, size_t size);

#endif
