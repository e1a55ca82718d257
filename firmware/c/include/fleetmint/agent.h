/* The loop of a device: network, clock, identity, broker. Whatever fails, it says why, waits, and starts again.
 *
 *     static struct fm_agent agent;
 *     fm_agent_begin(&agent, &port, &product);
 *     while (true) {
 *         fm_agent_loop(&agent);
 *         if (it is time) fm_agent_read(&agent, "{\"temperature\": 21.5}");
 *     }
 *
 * `fm_agent_loop` waits for nobody. It takes some milliseconds at most, but for the steps of a handshake and the
 * arithmetic for a key, a request and the signature of a trust bundle, which no TLS library divides.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_AGENT_H
#define FLEETMINT_AGENT_H

#include "fleetmint/backoff.h"
#include "fleetmint/credentials.h"
#include "fleetmint/outbox.h"
#include "fleetmint/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How much waits while there is no connection: messages, and bytes of topics and payloads. */
#ifndef FM_AGENT_MESSAGES
#define FM_AGENT_MESSAGES 32
#endif
#ifndef FM_AGENT_BYTES
#define FM_AGENT_BYTES 2048
#endif

struct fm_agent {
    const struct fm_port *port;
    const struct fm_product *product;
    struct fm_identity identity;
    struct fm_timekeeper time;
    struct fm_credentials credentials;
    struct fm_outbox outbox;
    uint8_t outbox_storage[FM_OUTBOX_STORAGE(FM_AGENT_MESSAGES, FM_AGENT_BYTES)];
    struct fm_backoff backoff;
    struct fm_session session;

    uint8_t state;
    bool opened, leaving, hurry, was_up;
    /* The network that is being joined, and how many of the best to pass over: the gateway was not reached from there. */
    uint8_t network, tried, passed;
    uint16_t failures;
    /* Ticks at which the state began, and milliseconds that it may or has to take. */
    uint32_t began, within;
    uint32_t last_ticks, uptime, uptime_ms;
};

/* Everything in these has to live as long as the agent. */
void fm_agent_begin(struct fm_agent *agent, const struct fm_port *port, const struct fm_product *product);

/* Do what can be done now. */
void fm_agent_loop(struct fm_agent *agent);

/* Send a message to devices/<id>/out/<topic>, now or as soon as there is a connection. FM_OK; FM_BAD, FM_TOO_LONG. */
int fm_agent_publish(struct fm_agent *agent, const char *topic, const uint8_t *payload, size_t size);

/* Send a reading, a JSON object, to devices/<id>/out/readings: a count `n` and the `uptime` are added. As above. */
int fm_agent_read(struct fm_agent *agent, const char *object);

/* End a back-off: the product knows that there is a reason to try again now. */
void fm_agent_retry(struct fm_agent *agent);

/* Say good-bye to the broker and end; go on with `fm_agent_loop` until `fm_agent_has_ended`. */
void fm_agent_stop(struct fm_agent *agent);

/* Whether the broker has let this device in and the session is open. */
bool fm_agent_is_connected(const struct fm_agent *agent);

/* By `fm_agent_stop`, or because the store lacks what only the factory can write. */
bool fm_agent_has_ended(const struct fm_agent *agent);

#ifdef __cplusplus
}
#endif

#endif
