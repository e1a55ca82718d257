/* A session with a broker over plain TCP: what is asked for is done before it is answered.
 *
 * SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L

#include "fleetmint/mqtt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lines.h"

static struct lines in;
static struct fm_mqtt mqtt;
static int connection = -1;
/* At most so many bytes go through in one call, and nothing in every other one. */
static size_t piece;
static unsigned reads, writes;

static uint32_t ticks(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static int moved(ssize_t count) {
    if (count >= 0) {
        return (int)count;
    }
    return errno == EAGAIN ? 0 : errno == ECONNRESET || errno == EPIPE ? FM_CLOSED : FM_IO;
}

static size_t share(size_t size, unsigned *turn) {
    if (piece == 0) {
        return size;
    }
    return ++*turn % 2 ? 0 : size < piece ? size : piece;
}

static int plain_read(void *ctx, uint8_t *data, size_t room) {
    ssize_t count;

    (void)ctx;
    room = share(room, &reads);
    count = room == 0 ? 0 : recv(connection, data, room, 0);
    return room > 0 && count == 0 ? FM_CLOSED : moved(count);
}

static int plain_write(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    size = share(size, &writes);
    return size == 0 ? 0 : moved(send(connection, data, size, MSG_NOSIGNAL));
}

static int plain_flush(void *ctx) {
    (void)ctx;
    return FM_OK;
}

static const struct fm_tls plain = {NULL, NULL, NULL, plain_read, plain_write, plain_flush, NULL};

static void say_message(void *ctx, struct fm_bytes topic, struct fm_bytes payload) {
    (void)ctx;
    lines_say("message");
    lines_say_bytes(topic.data, topic.size);
    lines_say_bytes(payload.data, payload.size);
}

static void say_too_large(void *ctx, struct fm_bytes topic, uint32_t size) {
    (void)ctx;
    lines_say("large");
    lines_say_bytes(topic.data, topic.size);
    lines_say_number(size);
}

/* One step, after waiting for something to read or, when it goes in pieces, for nothing. */
static int step(void) {
    struct pollfd wait = {connection, POLLIN, 0};

    poll(&wait, 1, piece == 0 ? 5 : 0);
    return fm_mqtt_step(&mqtt, ticks());
}

/* port, client id, topic and payload of the will, keepalive in s, milliseconds to wait, size of the room, pieces */
static void begin(void) {
    static char client[FM_MQTT_ROOM], topic[FM_MQTT_ROOM], will[FM_MQTT_ROOM];
    static uint8_t *room;
    struct sockaddr_in address;
    struct fm_mqtt_setup setup;
    int result;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)lines_number(&in, 0));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(2);
    }
    fcntl(connection, F_SETFL, O_NONBLOCK);
    memset(&setup, 0, sizeof setup);
    setup.tls = &plain;
    setup.client_id = strcpy(client, lines_text(&in, 1));
    setup.will_topic = in.values[2].size == 0 ? NULL : strcpy(topic, lines_text(&in, 2));
    setup.will.data = (uint8_t *)strcpy(will, lines_text(&in, 3));
    setup.will.size = in.values[3].size;
    setup.keepalive = (uint16_t)lines_number(&in, 4);
    setup.within = lines_number(&in, 5);
    setup.size = lines_number(&in, 6);
    setup.room = room = realloc(room, setup.size);
    setup.message = say_message;
    setup.too_large = say_too_large;
    piece = lines_number(&in, 7);
    fm_mqtt_begin(&mqtt, &setup, ticks());
    do {
        result = step();
    } while (result == FM_PENDING);
    lines_say_result(result);
    lines_say_number(mqtt.refusal);
}

static void say_answer(int result) {
    while (result == FM_OK && fm_mqtt_answer(&mqtt) == FM_PENDING) {
        step();
    }
    lines_say_result(result == FM_OK ? fm_mqtt_answer(&mqtt) : result);
}

/* topic, payload, retained or not */
static void publish(void) {
    struct fm_mqtt_message message;
    size_t half = in.values[0].size / 2;

    message.topic.data = in.values[0].data;
    message.topic.size = half;
    message.topic_end.data = in.values[0].data + half;
    message.topic_end.size = in.values[0].size - half;
    message.payload.data = in.values[1].data;
    message.payload.size = in.values[1].size;
    message.retain = lines_number(&in, 2) != 0;
    say_answer(fm_mqtt_publish(&mqtt, &message));
}

/* Live for so many milliseconds. */
static void live(void) {
    uint32_t since = ticks();
    int result;

    do {
        result = step();
    } while (result == FM_OK && ticks() - since < lines_number(&in, 0));
    lines_say_result(result);
}

static void leave(void) {
    int result;

    do {
        result = fm_mqtt_leave(&mqtt);
    } while (result == FM_PENDING);
    lines_say_result(result);
}

int main(void) {
    while (lines_next(&in)) {
        if (strcmp(in.what, "begin") == 0) {
            begin();
        } else if (strcmp(in.what, "publish") == 0) {
            publish();
        } else if (strcmp(in.what, "subscribe") == 0) {
            say_answer(fm_mqtt_subscribe(&mqtt, lines_text(&in, 0)));
        } else if (strcmp(in.what, "live") == 0) {
            live();
        } else if (strcmp(in.what, "leave") == 0) {
            leave();
        } else if (strcmp(in.what, "close") == 0) {
            close(connection);
        } else {
            fprintf(stderr, "nobody knows %s\n", in.what);
            return 2;
        }
        lines_end();
    }
    return 0;
}
