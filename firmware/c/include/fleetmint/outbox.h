/* What goes out: kept in order until a broker has acknowledged it, through lost connections and restarts of the broker.
 *
 * It has bounds. When it is full the oldest message goes, and the loss is counted. A message that a broker took without
 * an acknowledgement getting through is sent again: its `n` marks the second copy.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_OUTBOX_H
#define FLEETMINT_OUTBOX_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What `storage` needs for so many messages with so many bytes of topics and payloads together. */
#define FM_OUTBOX_HEADER 4
#define FM_OUTBOX_STORAGE(messages, bytes) ((messages) * FM_OUTBOX_HEADER + (bytes))

/* Readings and other messages are counted by themselves. */
enum fm_outbox_kind { FM_OUTBOX_READING, FM_OUTBOX_MESSAGE };

struct fm_outbox_item {
    struct fm_bytes topic, payload;
};

struct fm_outbox {
    /* Messages that had to go for want of room, and those counted so far by kind. */
    uint32_t lost;
    uint32_t counts[2];

    /* All below belongs to the outbox. */
    uint8_t *storage;
    uint16_t most, messages;
    uint32_t bytes, used;
    bool taken;
};

/* `storage` holds FM_OUTBOX_STORAGE(messages, bytes) bytes; at most 65,535 of `bytes`. */
void fm_outbox_begin(struct fm_outbox *outbox, uint8_t *storage, uint16_t messages, uint16_t bytes);

/* Send `payload` to `topic`, below devices/<id>/out/, when that is possible. FM_OK; FM_BAD when this is no topic to
 * send to, FM_TOO_LONG when it could never be sent: neither costs another message. The message under way stays in any
 * case; what does not fit beside it is counted as lost. */
int fm_outbox_add(struct fm_outbox *outbox, const char *topic, const uint8_t *payload, size_t size);

/* The same with a JSON object, to which the count `n` of its kind and the `uptime` in seconds are added. FM_BAD also
 * when `object` is none, or has one of these already. */
int fm_outbox_add_object(struct fm_outbox *outbox, const char *topic, const char *object, enum fm_outbox_kind kind,
                         uint32_t uptime);

/* The oldest message, to be sent and then told by `fm_outbox_sent`; it stays where it is until then. FM_OK, FM_ABSENT.
 */
int fm_outbox_take(struct fm_outbox *outbox, struct fm_outbox_item *item);

/* The message taken last was acknowledged. */
void fm_outbox_sent(struct fm_outbox *outbox);

/* The session is over; the message taken last stays, and is as old as it is. */
void fm_outbox_release(struct fm_outbox *outbox);

#ifdef __cplusplus
}
#endif

#endif
