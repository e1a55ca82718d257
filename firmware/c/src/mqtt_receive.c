/* SPDX-License-Identifier: MIT */
#include "mqtt_receive.h"

#include <string.h>

#include "fleetmint/utf8.h"

/* So much is read in one step at most, so that others have their turn. */
#define PIECE 1024

static int take_connack(struct fm_mqtt *mqtt) {
    const uint8_t *body = mqtt->setup.room;

    if (mqtt->kind != MQTT_CONNACK || mqtt->body != 2) {
        return FM_BAD;
    }
    mqtt->wanted = 0;
    mqtt->refusal = body[1];
    mqtt->open = body[1] == 0;
    if (mqtt->open) {
        return FM_OK;
    }
    /* 3: the server is unavailable. Everything else is about this client. */
    return body[1] == 3 ? FM_IO : FM_REFUSED;
}

static int take_answer(struct fm_mqtt *mqtt) {
    const uint8_t *body = mqtt->setup.room;

    if (mqtt->body != (mqtt->kind == MQTT_PUBACK ? 2 : 3)) {
        return FM_BAD;
    }
    mqtt->wanted = 0;
    mqtt->answer = mqtt->kind == MQTT_SUBACK && (body[2] & 0x80) ? FM_REFUSED : FM_OK;
    return FM_OK;
}

/* Where the packet id of a message is, or would be: behind its topic. */
static uint32_t behind_topic(const struct fm_mqtt *mqtt) {
    return 2u + ((uint32_t)mqtt->setup.room[0] << 8 | mqtt->setup.room[1]);
}

static unsigned qos_of(const struct fm_mqtt *mqtt) {
    return mqtt->kind >> 1 & 3u;
}

/* Whether the message is one: QoS 2 was never asked for, and what it says of its length has to fit. */
static bool is_message(const struct fm_mqtt *mqtt) {
    return mqtt->body >= 2 && qos_of(mqtt) < 2 && behind_topic(mqtt) + 2 * qos_of(mqtt) <= mqtt->body;
}

static void acknowledge(struct fm_mqtt *mqtt, const uint8_t *id) {
    if (qos_of(mqtt) > 0) {
        mqtt->ack_id = (uint16_t)(id[0] << 8 | id[1]);
        mqtt->ack_due = true;
    }
}

static int take_message(struct fm_mqtt *mqtt) {
    uint8_t *body = mqtt->setup.room;
    struct fm_bytes topic, payload;
    uint32_t end;

    if (!is_message(mqtt)) {
        return FM_BAD;
    }
    end = behind_topic(mqtt);
    topic.data = body + 2;
    topic.size = end - 2;
    payload.data = body + end + 2 * qos_of(mqtt);
    payload.size = mqtt->body - end - 2 * qos_of(mqtt);
    if (!fm_utf8_valid(topic.data, topic.size) || memchr(topic.data, 0, topic.size) != NULL) {
        return FM_BAD;
    }
    mqtt->setup.message(mqtt->setup.ctx, topic, payload);
    acknowledge(mqtt, body + end);
    return FM_OK;
}

static int take_packet(struct fm_mqtt *mqtt) {
    const uint8_t *body = mqtt->setup.room;

    if (!mqtt->open) {
        return take_connack(mqtt);
    }
    if ((mqtt->kind & 0xF0) == MQTT_PUBLISH) {
        return take_message(mqtt);
    }
    if (mqtt->kind == mqtt->wanted && mqtt->body >= 2 && (body[0] << 8 | body[1]) == mqtt->wanted_id) {
        return take_answer(mqtt);
    }
    if (mqtt->kind == MQTT_PINGRESP && mqtt->body == 0) {
        mqtt->ping_waits = false;
        return FM_OK;
    }
    /* What nobody asked for. */
    return FM_BAD;
}

/* The first half of the room has the beginning of a message that is too large, the second half what is passed over. */
static size_t kept(const struct fm_mqtt *mqtt) {
    return mqtt->setup.size / 2;
}

static int end_pass(struct fm_mqtt *mqtt) {
    struct fm_bytes topic;

    if (!is_message(mqtt)) {
        return FM_BAD;
    }
    topic.data = mqtt->setup.room + 2;
    topic.size = behind_topic(mqtt) - 2;
    if (topic.size > kept(mqtt) - 2) {
        topic.size = kept(mqtt) - 2;
    }
    if (mqtt->setup.too_large != NULL) {
        mqtt->setup.too_large(mqtt->setup.ctx, topic, mqtt->body);
    }
    acknowledge(mqtt, mqtt->drop_id);
    return FM_OK;
}

static int hear(struct fm_mqtt *mqtt, uint8_t *data, size_t size) {
    int count = mqtt->setup.tls->read(mqtt->setup.tls->ctx, data, size);

    if (count > 0) {
        mqtt->heard = mqtt->now;
    }
    return count;
}

static int read_body(struct fm_mqtt *mqtt, size_t size) {
    int count = hear(mqtt, mqtt->setup.room + mqtt->at, size);

    if (count > 0) {
        mqtt->at += (uint32_t)count;
    }
    return count;
}

/* Read a part of a message that is too large, and keep the beginning and the packet id of it. */
static int read_past(struct fm_mqtt *mqtt, size_t size) {
    size_t keep = kept(mqtt);
    uint8_t *to = mqtt->setup.room + (mqtt->at < keep ? mqtt->at : keep);
    size_t most = mqtt->at < keep ? keep - mqtt->at : mqtt->setup.size - keep;
    int count = hear(mqtt, to, size < most ? size : most), at;

    for (at = 0; at < count; at++, mqtt->at++) {
        /* The length is there before anything that is behind the topic. */
        if (mqtt->at >= 2 && mqtt->at - behind_topic(mqtt) < 2) {
            mqtt->drop_id[mqtt->at - behind_topic(mqtt)] = to[at];
        }
    }
    return count;
}

/* The first byte of a packet, or one of its length. */
static int read_head(struct fm_mqtt *mqtt) {
    uint8_t byte;
    int count = hear(mqtt, &byte, 1);

    if (count <= 0) {
        return count;
    }
    if (mqtt->state == MQTT_KIND) {
        mqtt->kind = byte;
        mqtt->body = mqtt->at = 0;
        mqtt->shift = 0;
        mqtt->state = MQTT_SIZE;
        /* Whoever does not speak MQTT is known by the first byte. */
        return mqtt->open || byte == MQTT_CONNACK ? count : FM_BAD;
    }
    mqtt->body |= (uint32_t)(byte & 0x7F) << mqtt->shift;
    mqtt->shift = (uint8_t)(mqtt->shift + 7);
    if (byte & 0x80) {
        return mqtt->shift > 21 ? FM_BAD : count;
    }
    mqtt->state = MQTT_BODY;
    if (mqtt->body > mqtt->setup.size) {
        mqtt->state = MQTT_PASS;
        return mqtt->open && (mqtt->kind & 0xF0) == MQTT_PUBLISH ? count : FM_BAD;
    }
    return count;
}

int fm_mqtt_receive(struct fm_mqtt *mqtt) {
    size_t budget = PIECE;

    /* An acknowledgement that cannot be sent yet has to go first. */
    while (budget > 0 && !mqtt->ack_due) {
        size_t left = mqtt->body - mqtt->at;
        int count;

        if (mqtt->state < MQTT_BODY) {
            count = read_head(mqtt);
        } else if (left > 0) {
            left = left < budget ? left : budget;
            count = mqtt->state == MQTT_BODY ? read_body(mqtt, left) : read_past(mqtt, left);
        } else {
            count = mqtt->state == MQTT_BODY ? take_packet(mqtt) : end_pass(mqtt);
            mqtt->state = MQTT_KIND;
            return count;
        }
        if (count <= 0) {
            return count;
        }
        budget -= (size_t)count;
    }
    return FM_OK;
}
