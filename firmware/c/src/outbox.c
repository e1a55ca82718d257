/* SPDX-License-Identifier: MIT */
#include "fleetmint/outbox.h"

#include <string.h>

#include "fleetmint/json.h"
#include "fleetmint/text.h"

/* A message in the storage, one behind the other: both lengths in two bytes each, the topic, the payload. */

void fm_outbox_begin(struct fm_outbox *outbox, uint8_t *storage, uint16_t messages, uint16_t bytes) {
    memset(outbox, 0, sizeof *outbox);
    outbox->storage = storage;
    outbox->most = messages;
    outbox->bytes = bytes;
}

static uint32_t length_at(const uint8_t *data) {
    return (uint32_t)data[0] << 8 | data[1];
}

static uint8_t *write_length(uint8_t *data, size_t length) {
    data[0] = (uint8_t)(length >> 8);
    data[1] = (uint8_t)length;
    return data + 2;
}

/* The size of the message at `offset`, with its lengths. */
static uint32_t size_at(const struct fm_outbox *outbox, uint32_t offset) {
    const uint8_t *message = outbox->storage + offset;

    return FM_OUTBOX_HEADER + length_at(message) + length_at(message + 2);
}

static void remove_at(struct fm_outbox *outbox, uint32_t offset) {
    uint32_t size = size_at(outbox, offset);

    memmove(outbox->storage + offset, outbox->storage + offset + size, outbox->used - offset - size);
    outbox->used -= size;
    outbox->messages--;
}

/* Let old messages go until one with so many bytes fits; false when only the one under way is left, and in the way. */
static bool make_room(struct fm_outbox *outbox, uint32_t size) {
    for (;;) {
        uint32_t held = outbox->used - (uint32_t)outbox->messages * FM_OUTBOX_HEADER;
        /* The one under way may have arrived already. */
        uint32_t oldest = outbox->taken ? size_at(outbox, 0) : 0;

        if (outbox->messages < outbox->most && held + size <= outbox->bytes) {
            return true;
        }
        if (oldest == outbox->used) {
            return false;
        }
        remove_at(outbox, oldest);
        outbox->lost++;
    }
}

static uint8_t *append(uint8_t *to, const void *data, size_t size) {
    memcpy(to, data, size);
    return to + size;
}

/* Put a message of two parts behind the others. */
static int put(struct fm_outbox *outbox, const char *topic, const uint8_t *head, size_t head_size, const char *tail) {
    size_t topic_size = strlen(topic), tail_size = strlen(tail);
    uint32_t size;
    uint8_t *at;

    if (topic_size == 0 || strchr(topic, '+') != NULL || strchr(topic, '#') != NULL) {
        return FM_BAD;
    }
    if (topic_size > outbox->bytes || head_size > outbox->bytes - topic_size ||
        tail_size > outbox->bytes - topic_size - head_size) {
        return FM_TOO_LONG;
    }
    size = (uint32_t)(topic_size + head_size + tail_size);
    if (!make_room(outbox, size)) {
        outbox->lost++;
        return FM_OK;
    }
    at = write_length(outbox->storage + outbox->used, topic_size);
    at = write_length(at, head_size + tail_size);
    at = append(append(append(at, topic, topic_size), head, head_size), tail, tail_size);
    outbox->used = (uint32_t)(at - outbox->storage);
    outbox->messages++;
    return FM_OK;
}

int fm_outbox_add(struct fm_outbox *outbox, const char *topic, const uint8_t *payload, size_t size) {
    int result = put(outbox, topic, payload, size, "");

    if (result == FM_OK) {
        outbox->counts[FM_OUTBOX_MESSAGE]++;
    }
    return result;
}

int fm_outbox_add_object(struct fm_outbox *outbox, const char *topic, const char *object, enum fm_outbox_kind kind,
                         uint32_t uptime) {
    struct fm_json value, member;
    char tail[sizeof ", \"n\": , \"uptime\": }" + 2 * FM_DECIMAL];
    struct fm_text text;
    const uint8_t *end;
    int result;

    if (fm_json_read((const uint8_t *)object, strlen(object), &value) != FM_OK ||
        fm_json_member(&value, "n", &member) != FM_ABSENT || fm_json_member(&value, "uptime", &member) != FM_ABSENT) {
        return FM_BAD;
    }
    /* What is behind the last member, or behind the brace of an object without one. */
    for (end = value.end - 1; strchr(" \t\r\n", end[-1]) != NULL;) {
        end--;
    }
    fm_text_begin(&text, tail, sizeof tail);
    fm_text_add(&text, end[-1] == '{' ? "\"n\": " : ", \"n\": ");
    fm_text_number(&text, outbox->counts[kind] + 1);
    fm_text_add(&text, ", \"uptime\": ");
    fm_text_number(&text, uptime);
    fm_text_add(&text, "}");
    result = put(outbox, topic, value.at, (size_t)(end - value.at), tail);
    if (result == FM_OK) {
        outbox->counts[kind]++;
    }
    return result;
}

int fm_outbox_take(struct fm_outbox *outbox, struct fm_outbox_item *item) {
    if (outbox->messages == 0) {
        return FM_ABSENT;
    }
    outbox->taken = true;
    item->topic.size = length_at(outbox->storage);
    item->payload.size = length_at(outbox->storage + 2);
    item->topic.data = outbox->storage + FM_OUTBOX_HEADER;
    item->payload.data = item->topic.data + item->topic.size;
    return FM_OK;
}

void fm_outbox_sent(struct fm_outbox *outbox) {
    if (outbox->taken) {
        remove_at(outbox, 0);
    }
    outbox->taken = false;
}

void fm_outbox_release(struct fm_outbox *outbox) {
    outbox->taken = false;
}
