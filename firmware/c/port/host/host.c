/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L

#include "fm_host.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A socket connected to `host`, or one that is being connected; negative when there is none. */
static int connected(const char *host, uint16_t port, int type) {
    struct addrinfo wanted, *found;
    char service[6];
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_family = AF_INET;
    wanted.ai_socktype = type;
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &wanted, &found) != 0) {
        return -1;
    }
    int made = socket(found->ai_family, type, 0);
    if (made >= 0) {
        fcntl(made, F_SETFL, O_NONBLOCK);
        if (connect(made, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
            close(made);
            made = -1;
        }
    }
    freeaddrinfo(found);
    return made;
}

static void stream_close(void *ctx) {
    struct fm_host_stream *stream = ctx;
    if (stream->socket > 0) {
        close(stream->socket);
    }
    stream->socket = 0;
}

static int stream_open(void *ctx, const char *host, uint16_t port) {
    struct fm_host_stream *stream = ctx;
    stream_close(stream);
    stream->socket = connected(host, port, SOCK_STREAM);
    return stream->socket > 0 ? FM_OK : FM_IO;
}

static int of_errno(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN || errno == EINPROGRESS ? 0 : FM_IO;
}

static int stream_read(void *ctx, uint8_t *data, size_t room) {
    struct fm_host_stream *stream = ctx;
    ssize_t got = recv(stream->socket, data, room, 0);
    return got > 0 ? (int)got : got == 0 ? FM_CLOSED : of_errno();
}

static int stream_write(void *ctx, const uint8_t *data, size_t size) {
    struct fm_host_stream *stream = ctx;
    ssize_t sent = send(stream->socket, data, size, MSG_NOSIGNAL);
    return sent >= 0 ? (int)sent : of_errno();
}

struct fm_stream fm_host_stream(struct fm_host_stream *stream) {
    struct fm_stream made = {stream, stream_open, stream_read, stream_write, stream_close};
    return made;
}

int fm_host_entropy(void *ctx, uint8_t *data, size_t size) {
    (void)ctx;
    int file = open("/dev/urandom", O_RDONLY);
    ssize_t got = file < 0 ? -1 : read(file, data, size);
    close(file);
    return got == (ssize_t)size ? FM_OK : FM_ENTROPY;
}

static int64_t monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static uint32_t ticks(void *ctx) {
    (void)ctx;
    return (uint32_t)monotonic();
}

static uint32_t now(void *ctx) {
    const struct fm_host *host = ctx;
    return host->is_set ? (uint32_t)(host->ahead + monotonic() / 1000) : 0;
}

static void set(void *ctx, uint32_t seconds) {
    struct fm_host *host = ctx;
    host->ahead = (int64_t)seconds - monotonic() / 1000;
    host->is_set = true;
}

struct fm_clock fm_host_clock(struct fm_host *host) {
    struct fm_clock made = {host, ticks, now, set};
    return made;
}

static int join(void *ctx, const char *ssid, const char *passphrase) {
    struct fm_host *host = ctx;
    host->joined = !host->ssid || strcmp(ssid, host->ssid) == 0;
    host->refused = host->joined && host->passphrase && strcmp(passphrase, host->passphrase) != 0;
    return FM_OK;
}

static int state(void *ctx) {
    const struct fm_host *host = ctx;
    return host->refused ? FM_REFUSED : host->joined ? FM_OK : FM_ABSENT;
}

static void leave(void *ctx) {
    struct fm_host *host = ctx;
    host->joined = host->refused = false;
}

static int send_datagram(void *ctx, const char *name, uint16_t port, const uint8_t *data, size_t size) {
    struct fm_host *host = ctx;
    (void)port;
    if (host->socket > 0) {
        close(host->socket);
        host->socket = 0;
    }
    if (!host->ntp_port) {
        return FM_IO;
    }
    host->socket = connected(name, host->ntp_port, SOCK_DGRAM);
    return host->socket > 0 && send(host->socket, data, size, 0) == (ssize_t)size ? FM_OK : FM_IO;
}

static int receive(void *ctx, uint8_t *data, size_t room) {
    const struct fm_host *host = ctx;
    ssize_t got = recv(host->socket, data, room, 0);
    return got >= 0 ? (int)got : of_errno();
}

struct fm_net fm_host_net(struct fm_host *host) {
    struct fm_net made = {host, join, state, leave, send_datagram, receive};
    return made;
}

static void say(void *ctx, const char *line) {
    (void)ctx;
    printf("fleetmint: %s\n", line);
    fflush(stdout);
}

struct fm_log fm_host_log(struct fm_host *host) {
    struct fm_log made = {host, say};
    return made;
}
