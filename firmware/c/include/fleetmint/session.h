/* One session with the broker: presence, what is in the outbox, messages to the device.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_SESSION_H
#define FLEETMINT_SESSION_H

#include "fleetmint/credentials.h"
#include "fleetmint/mqtt.h"
#include "fleetmint/outbox.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What follows devices/<id>/in/ in the topic of a message, and its end. */
#define FM_TOPIC 128
/* What the device says of itself. */
#define FM_STATUS 256
/* An identifier of somebody who tells the device other settings. */
#define FM_ASKED 65

/* What the product tells the agent. All of it may be NULL. */
struct fm_product {
    /* The version of the product, and why the board has started, for the device's status. */
    const char *firmware, *reset;
    /* Called for each message to this device: `topic` is what follows devices/<id>/in/. */
    void (*message)(void *ctx, const char *topic, const uint8_t *payload, size_t size);
    void *ctx;
};

struct fm_session {
    const struct fm_port *port;
    struct fm_credentials *credentials;
    struct fm_outbox *outbox;
    const struct fm_product *product;
    struct fm_mqtt mqtt;
    /* devices/<id>/out/ and devices/<id>/in/#, and how long they are without the #. */
    char out[FM_DEVICE_ID + 14], in[FM_DEVICE_ID + 14];
    size_t in_size;
    char will_topic[FM_DEVICE_ID + 20];
    char status[FM_STATUS];
    /* Whose settings have to be answered. */
    char asked[FM_ASKED];
    uint8_t state, sending;
    bool opened, ending, leaving, told, sent;
    uint32_t began, lost;
};

/* Begin a session with the identity that is proven. FM_OK, or an error. */
int fm_session_open(struct fm_session *session, const struct fm_port *port, struct fm_credentials *credentials,
                    struct fm_outbox *outbox, const struct fm_product *product);

/* FM_PENDING while it lasts, FM_OK when it was ended from here, or what it has failed of. `uptime` is in seconds. */
int fm_session_step(struct fm_session *session, uint32_t uptime);

/* End it as soon as that is possible: the device comes back at once, or says good-bye for a while. */
void fm_session_end(struct fm_session *session);
void fm_session_leave(struct fm_session *session);

/* Close the connection. */
void fm_session_close(struct fm_session *session);

/* Whether the broker has let the device in. */
bool fm_session_is_open(const struct fm_session *session);

/* Whether that is a minute ago, or something got through. */
bool fm_session_has_lasted(const struct fm_session *session);

#ifdef __cplusplus
}
#endif

#endif
