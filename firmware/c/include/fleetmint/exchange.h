/* One request to the gateway over a verified connection of its own, and the reply.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_EXCHANGE_H
#define FLEETMINT_EXCHANGE_H

#include "fleetmint/http.h"
#include "fleetmint/port.h"
#include "fleetmint/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An error code of the gateway's, and its end. */
#define FM_CODE 41
/* The status of a request that somebody has to approve: the same one is to come again. */
#define FM_STATUS_WAITING 202
/* Milliseconds that an exchange may take. */
#define FM_EXCHANGE_WITHIN 20000u

/* Why something did not work. */
struct fm_error {
    int result;
    /* Of the gateway's answer: its status and code, and the seconds that it asks for; 0 and "" when there is none. */
    uint16_t status;
    char code[FM_CODE];
    uint32_t retry_after;
};

struct fm_exchange {
    const struct fm_port *port;
    /* The request; when it is out, the body of the reply. Both end with a zero. */
    char *room;
    size_t size;
    size_t sent, length;
    uint32_t began;
    uint8_t state;
    struct fm_http reply;
    struct fm_error failure;
};

/* Begin a request in `room`, which is used until the exchange is over, with a body of the caller's: what `body` gets has
 * to fit behind the lines that come before it. */
void fm_exchange_begin(struct fm_exchange *exchange, const struct fm_port *port, char *room, size_t size,
                       struct fm_text *body);

/* Connect, and send the request: the body if there is one, as `setup` says whom to. */
int fm_exchange_send(struct fm_exchange *exchange, const char *method, const char *path, const struct fm_text *body,
                     const struct fm_tls_setup *setup);

/* End it before it is sent: the next step answers this, and the code is in `failure`. */
void fm_exchange_abandon(struct fm_exchange *exchange, int result, const char *code);

/* Go on: FM_PENDING until the reply is there. FM_OK: its status is 200, its body is in `room`. Anything else is in
 * `failure`, too: FM_REFUSED when the gateway answers and does not want this request, FM_IO when it cannot now. */
int fm_exchange_step(struct fm_exchange *exchange);

/* Say in a few words why something did not work. */
void fm_error_text(const struct fm_error *failure, struct fm_text *text);

#ifdef __cplusplus
}
#endif

#endif
