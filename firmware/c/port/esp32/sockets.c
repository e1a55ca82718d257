/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fm_esp32.h"

#if !defined(MSG_NOSIGNAL)
#define MSG_NOSIGNAL 0
#endif

static void hang_up(struct fm_esp32_stream *stream) {
    if (stream->socket) {
        (void)close(stream->socket - 1);
    }
    stream->socket = 0;
    stream->connected = false;
}

static void stream_close(void *ctx) {
    struct fm_esp32_stream *stream = (struct fm_esp32_stream *)ctx;
    hang_up(stream);
    if (stream->found) {
        freeaddrinfo(stream->found);
    }
    stream->found = stream->next = NULL;
}

/* Begin with the next address that a socket can be had for. */
static int dial(struct fm_esp32_stream *stream) {
    hang_up(stream);
    while (stream->next) {
        const struct addrinfo *address = stream->next;
        stream->next = address->ai_next;
        int made = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
        if (made < 0) {
            continue;
        }
        if (fcntl(made, F_SETFL, O_NONBLOCK) == 0 &&
            (connect(made, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            stream->socket = made + 1;
            return FM_OK;
        }
        (void)close(made);
    }
    return FM_IO;
}

static int stream_open(void *ctx, const char *host, uint16_t port) {
    struct fm_esp32_stream *stream = (struct fm_esp32_stream *)ctx;
    struct addrinfo wanted;
    char service[6];
    stream_close(stream);
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &wanted, &stream->found) != 0) {
        stream->found = NULL;
        return FM_IO;
    }
    stream->next = stream->found;
    return dial(stream);
}

/* What a call that moved nothing means: 0 for later. */
static int waiting(struct fm_esp32_stream *stream) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS || errno == ENOTCONN || errno == EINTR) {
        return 0;
    }
    if (stream->connected) {
        return FM_IO;
    }
    return dial(stream);
}

static int stream_read(void *ctx, uint8_t *data, size_t room) {
    struct fm_esp32_stream *stream = (struct fm_esp32_stream *)ctx;
    if (!stream->socket) {
        return FM_CLOSED;
    }
    ssize_t got = recv(stream->socket - 1, data, room, 0);
    if (got < 0) {
        return waiting(stream);
    }
    stream->connected = true;
    return got ? (int)got : FM_CLOSED;
}

static int stream_write(void *ctx, const uint8_t *data, size_t size) {
    struct fm_esp32_stream *stream = (struct fm_esp32_stream *)ctx;
    if (!stream->socket) {
        return FM_CLOSED;
    }
    ssize_t sent = send(stream->socket - 1, data, size, MSG_NOSIGNAL);
    if (sent < 0) {
        return waiting(stream);
    }
    stream->connected = true;
    return (int)sent;
}

struct fm_stream fm_esp32_stream(struct fm_esp32_stream *stream) {
    struct fm_stream made = {stream, stream_open, stream_read, stream_write, stream_close};
    return made;
}
