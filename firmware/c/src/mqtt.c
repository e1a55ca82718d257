/* SPDX-License-Identifier: MIT */
#include "fleetmint/mqtt.h"

#include <string.h>

#include "mqtt_receive.h"

#define QOS_1 0x02
#define RETAIN 0x01
/* The broker starts from nothing; the will goes out with QoS 1, and is retained. */
#define CLEAN_SESSION 0x02
#define WILL 0x2C

#define LONGEST_STRING 65535
#define LONGEST_PACKET 268435455u

static bool is_sending(const struct fm_mqtt *mqtt) {
    return mqtt->part < mqtt->part_count;
}

static void add(struct fm_mqtt *mqtt, const void *data, size_t size) {
    if (size == 0) {
        return;
    }
    mqtt->parts[mqtt->part_count].data = data;
    mqtt->parts[mqtt->part_count].size = size;
    mqtt->part_count++;
}

static uint8_t *number(uint8_t *to, size_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

/* Begin a packet whose body has so many bytes; returns where the body begins. */
static uint8_t *begin_packet(struct fm_mqtt *mqtt, unsigned kind, uint32_t size) {
    uint8_t *to = mqtt->own;

    mqtt->part = mqtt->part_count = 0;
    mqtt->moved = mqtt->now;
    *to++ = (uint8_t)kind;
    do {
        *to++ = (uint8_t)((size & 0x7F) | (size > 0x7F ? 0x80u : 0));
        size >>= 7;
    } while (size > 0);
    return to;
}

/* The first part is what has been written into `own` up to here. */
static void add_own(struct fm_mqtt *mqtt, const uint8_t *end) {
    add(mqtt, mqtt->own, (size_t)(end - mqtt->own));
}

static void begin_connect(struct fm_mqtt *mqtt) {
    const struct fm_mqtt_setup *setup = &mqtt->setup;
    size_t client = strlen(setup->client_id), topic = setup->will_topic == NULL ? 0 : strlen(setup->will_topic);
    size_t size = 10 + 2 + client + (setup->will_topic == NULL ? 0 : 2 + topic + 2 + setup->will.size);
    uint8_t *to;

    if (client > LONGEST_STRING || topic > LONGEST_STRING || setup->will.size > LONGEST_STRING) {
        mqtt->failure = FM_TOO_LONG;
        return;
    }
    to = begin_packet(mqtt, MQTT_CONNECT, (uint32_t)size);
    memcpy(to, "\0\4MQTT\4", 7);
    to[7] = setup->will_topic == NULL ? CLEAN_SESSION : CLEAN_SESSION | WILL;
    to = number(to + 8, setup->keepalive);
    to = number(to, client);
    add_own(mqtt, to);
    add(mqtt, setup->client_id, client);
    if (setup->will_topic != NULL) {
        add(mqtt, to, 2);
        to = number(to, topic);
        add(mqtt, setup->will_topic, topic);
        add(mqtt, to, 2);
        number(to, setup->will.size);
        add(mqtt, setup->will.data, setup->will.size);
    }
    mqtt->wanted = MQTT_CONNACK;
}

/* Whether a question can be asked now; when it can it gets a packet id. */
static int begin_question(struct fm_mqtt *mqtt, uint8_t wanted) {
    if (mqtt->failure != FM_OK) {
        return mqtt->failure;
    }
    if (!mqtt->open || mqtt->leaving || mqtt->wanted != 0 || is_sending(mqtt)) {
        return FM_PENDING;
    }
    mqtt->last_id = (uint16_t)(mqtt->last_id == 0xFFFF ? 1 : mqtt->last_id + 1);
    mqtt->wanted = wanted;
    mqtt->wanted_id = mqtt->last_id;
    mqtt->answer = FM_PENDING;
    return FM_OK;
}

int fm_mqtt_publish(struct fm_mqtt *mqtt, const struct fm_mqtt_message *message) {
    size_t topic = message->topic.size + message->topic_end.size;
    int result;
    uint8_t *to;

    if (topic > LONGEST_STRING || message->payload.size > LONGEST_PACKET - topic - 4) {
        return FM_TOO_LONG;
    }
    result = begin_question(mqtt, MQTT_PUBACK);
    if (result != FM_OK) {
        return result;
    }
    to = begin_packet(mqtt, MQTT_PUBLISH | QOS_1 | (message->retain ? RETAIN : 0u),
                      (uint32_t)(2 + topic + 2 + message->payload.size));
    to = number(to, topic);
    add_own(mqtt, to);
    add(mqtt, message->topic.data, message->topic.size);
    add(mqtt, message->topic_end.data, message->topic_end.size);
    add(mqtt, to, 2);
    number(to, mqtt->wanted_id);
    add(mqtt, message->payload.data, message->payload.size);
    return FM_OK;
}

int fm_mqtt_subscribe(struct fm_mqtt *mqtt, const char *filter) {
    size_t size = strlen(filter);
    int result;
    uint8_t *to;

    if (size > LONGEST_STRING) {
        return FM_TOO_LONG;
    }
    result = begin_question(mqtt, MQTT_SUBACK);
    if (result != FM_OK) {
        return result;
    }
    to = number(begin_packet(mqtt, MQTT_SUBSCRIBE, (uint32_t)(2 + 2 + size + 1)), mqtt->wanted_id);
    to = number(to, size);
    add_own(mqtt, to);
    add(mqtt, filter, size);
    *to = 1;
    add(mqtt, to, 1);
    return FM_OK;
}

int fm_mqtt_answer(const struct fm_mqtt *mqtt) {
    return mqtt->failure != FM_OK ? mqtt->failure : mqtt->answer;
}

/* Between two packets of the product: what the session itself has to say. */
static void begin_own(struct fm_mqtt *mqtt) {
    if (mqtt->leaving) {
        return;
    }
    if (mqtt->ack_due) {
        add_own(mqtt, number(begin_packet(mqtt, MQTT_PUBACK, 2), mqtt->ack_id));
        mqtt->ack_due = false;
    } else if (mqtt->open && !mqtt->ping_waits && mqtt->setup.keepalive > 0 &&
               mqtt->now - mqtt->sent >= mqtt->setup.keepalive * 500u) {
        add_own(mqtt, begin_packet(mqtt, MQTT_PINGREQ, 0));
        mqtt->ping_waits = true;
        mqtt->ping_sent = mqtt->now;
    }
}

/* Write what is to be sent: FM_OK when nothing is left, FM_PENDING, or an error. */
static int drain(struct fm_mqtt *mqtt) {
    const struct fm_tls *tls = mqtt->setup.tls;

    for (;;) {
        struct fm_bytes *part = &mqtt->parts[mqtt->part];
        int count;

        if (!is_sending(mqtt)) {
            begin_own(mqtt);
            if (!is_sending(mqtt)) {
                return tls->flush(tls->ctx);
            }
            continue;
        }
        count = tls->write(tls->ctx, part->data, part->size);
        if (count < 0) {
            return count;
        }
        if (count == 0) {
            count = tls->flush(tls->ctx);
            return count < 0 ? count : FM_PENDING;
        }
        part->data += count;
        part->size -= (size_t)count;
        mqtt->moved = mqtt->sent = mqtt->asked = mqtt->now;
        if (part->size == 0) {
            mqtt->part++;
        }
    }
}

void fm_mqtt_begin(struct fm_mqtt *mqtt, const struct fm_mqtt_setup *setup, uint32_t ticks) {
    memset(mqtt, 0, sizeof *mqtt);
    mqtt->setup = *setup;
    mqtt->now = mqtt->sent = mqtt->moved = mqtt->heard = mqtt->asked = ticks;
    mqtt->answer = FM_PENDING;
    begin_connect(mqtt);
}

/* Whether something is overdue. */
static bool is_late(const struct fm_mqtt *mqtt) {
    uint32_t within = mqtt->setup.within;

    if (is_sending(mqtt)) {
        return mqtt->now - mqtt->moved >= within;
    }
    return (mqtt->wanted != 0 && mqtt->now - mqtt->asked >= within) ||
           (mqtt->ping_waits && mqtt->now - mqtt->ping_sent >= within) ||
           (mqtt->state != MQTT_KIND && mqtt->now - mqtt->heard >= within);
}

int fm_mqtt_step(struct fm_mqtt *mqtt, uint32_t ticks) {
    int result;

    if (mqtt->failure != FM_OK) {
        return mqtt->failure;
    }
    mqtt->now = ticks;
    result = drain(mqtt);
    if (result >= 0) {
        result = fm_mqtt_receive(mqtt);
    }
    if (result >= 0 && mqtt->ack_due) {
        result = drain(mqtt);
    }
    if (result >= 0 && is_late(mqtt)) {
        result = FM_TIMEOUT;
    }
    if (result < 0) {
        mqtt->failure = result;
        return result;
    }
    return mqtt->open ? FM_OK : FM_PENDING;
}

int fm_mqtt_leave(struct fm_mqtt *mqtt) {
    int result;

    if (mqtt->failure != FM_OK) {
        return mqtt->failure;
    }
    if (!mqtt->leaving && !is_sending(mqtt)) {
        mqtt->leaving = true;
        add_own(mqtt, begin_packet(mqtt, MQTT_DISCONNECT, 0));
    }
    result = drain(mqtt);
    if (result < 0) {
        mqtt->failure = result;
        return result;
    }
    return result == FM_OK && mqtt->leaving && !is_sending(mqtt) ? FM_OK : FM_PENDING;
}
