/* Reading the reply to an HTTP/1.1 request as it comes in (RFC 9112), in pieces of any size: a reply of known length or
 * in chunks, and of limited size.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_HTTP_H
#define FLEETMINT_HTTP_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All lines before the body together. */
#define FM_HTTP_HEAD 4096
/* What is kept of one of them; longer ones that matter are refused. */
#define FM_HTTP_LINE 96

struct fm_http {
    /* The reply, once it is there: the status, */
    uint16_t status;
    /* seconds that the gateway asks for, 0 when it does not, */
    uint32_t retry_after;
    /* its Date in seconds since 2000-01-01 UTC, 0 when it tells none, */
    uint32_t date;
    /* and how long its body is. */
    uint32_t size;

    /* All below belongs to the reader. */
    uint8_t *body;
    uint32_t room;
    int (*sink)(void *ctx, const uint8_t *data, size_t size);
    void *ctx;
    uint32_t left;
    int error;
    uint16_t head;
    uint8_t state;
    uint8_t line_size;
    bool line_cut, has_colon, has_length, chunked;
    char line[FM_HTTP_LINE];
};

/* Expect a reply with a body of at most `room` bytes, which come into `body`. */
void fm_http_begin(struct fm_http *http, uint8_t *body, uint32_t room);

/* Expect a reply with a body of at most `most` bytes, whose pieces `sink` takes in order: FM_OK, or an error, which
 * ends the reading. The status is known when the first one comes. */
void fm_http_begin_sink(struct fm_http *http, int (*sink)(void *ctx, const uint8_t *data, size_t size), void *ctx,
                        uint32_t most);

/* Read what has come. FM_PENDING: there is more to come. FM_OK: the reply is there; what follows it is passed over.
 * FM_BAD: this is no such reply. FM_TOO_LONG. An error stays. */
int fm_http_feed(struct fm_http *http, const uint8_t *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
