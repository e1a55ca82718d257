/* A session with an MQTT 3.1.1 broker (OASIS standard): connect with a last will, publish and receive with QoS 1,
 * subscribe, ping. Nothing in it waits: `fm_mqtt_step` sends and reads what can be sent and read at once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_MQTT_H
#define FLEETMINT_MQTT_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The least that packets are read into. */
#define FM_MQTT_ROOM 64

/* What a session is made of. Everything in it has to live as long as the session. */
struct fm_mqtt_setup {
    /* An open connection. */
    const struct fm_tls *tls;
    const char *client_id;
    /* What the broker publishes, and keeps, when the session ends without a farewell; none when the topic is NULL. */
    const char *will_topic;
    struct fm_bytes will;
    /* Seconds after which the broker may end a silent session; half of that after the last packet it gets a ping. */
    uint16_t keepalive;
    /* Milliseconds in which every answer, and the rest of every packet, has to come. */
    uint32_t within;
    /* Where packets are read into, FM_MQTT_ROOM at least: the largest that is not too large for this device. */
    uint8_t *room;
    size_t size;
    /* A message; both point into `room`. The topic is UTF-8 without a zero. It is acknowledged after this returns. */
    void (*message)(void *ctx, struct fm_bytes topic, struct fm_bytes payload);
    /* A message of `size` bytes was too large, and passed over. It is acknowledged too, or the broker would send it
     * again in every session. `topic` may be cut, and be anything. May be NULL. */
    void (*too_large)(void *ctx, struct fm_bytes topic, uint32_t size);
    void *ctx;
};

struct fm_mqtt {
    /* The return code of a broker that did not want this client; 0 before. */
    uint8_t refusal;

    /* All below belongs to the session. */
    struct fm_mqtt_setup setup;
    int failure, answer;
    uint32_t now, sent, moved, heard, asked, ping_sent;
    uint16_t wanted_id, last_id, ack_id;
    uint8_t wanted;
    bool open, ack_due, ping_waits, leaving;
    /* The packet that goes out, in parts. */
    struct fm_bytes parts[6];
    uint8_t own[24], part, part_count;
    /* The packet that comes in. */
    uint8_t state, kind, shift, drop_id[2];
    uint32_t body, at;
};

/* A message to publish; its topic is both parts, one behind the other. */
struct fm_mqtt_message {
    struct fm_bytes topic, topic_end, payload;
    bool retain;
};

/* Begin a session without a past. `ticks` are milliseconds, here and below. */
void fm_mqtt_begin(struct fm_mqtt *mqtt, const struct fm_mqtt_setup *setup, uint32_t ticks);

/* Send and read what is there, at most one message. FM_PENDING until the broker has accepted the session, then FM_OK.
 * An error ends the session, for good: FM_REFUSED (the broker does not want this client), FM_IO (it is not available),
 * FM_BAD (it does not speak MQTT), FM_TIMEOUT (it does not answer), FM_CLOSED, or another one of the connection. */
int fm_mqtt_step(struct fm_mqtt *mqtt, uint32_t ticks);

/* Publish with QoS 1, or ask for messages with at most that. FM_OK: it is on its way, and has to stay where it is until
 * `fm_mqtt_answer` tells. FM_PENDING: something is on its way already, or the session is not open yet. FM_TOO_LONG; or
 * what the session has failed of. */
int fm_mqtt_publish(struct fm_mqtt *mqtt, const struct fm_mqtt_message *message);
int fm_mqtt_subscribe(struct fm_mqtt *mqtt, const char *filter);

/* What came of it: FM_PENDING; FM_OK, the broker has taken it over; FM_REFUSED, it does not want the subscription; or
 * what the session has failed of. */
int fm_mqtt_answer(const struct fm_mqtt *mqtt);

/* Say farewell, so that the broker forgets the will. FM_PENDING until that is sent; FM_OK, then the connection can be
 * closed; or what the session has failed of. */
int fm_mqtt_leave(struct fm_mqtt *mqtt);

#ifdef __cplusplus
}
#endif

#endif
