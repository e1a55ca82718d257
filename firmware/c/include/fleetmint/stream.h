/* What TLS of a port works on.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_STREAM_H
#define FLEETMINT_STREAM_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A byte stream that waits for nobody, as TCP of the board gives it. */
struct fm_stream {
    void *ctx;
    /* Begin to connect; what was open is closed. */
    int (*open)(void *ctx, const char *host, uint16_t port);
    /* How many bytes; 0: none now, or not connected yet. FM_CLOSED, FM_IO. */
    int (*read)(void *ctx, uint8_t *data, size_t room);
    int (*write)(void *ctx, const uint8_t *data, size_t size);
    void (*close)(void *ctx);
};

#ifdef __cplusplus
}
#endif

#endif
