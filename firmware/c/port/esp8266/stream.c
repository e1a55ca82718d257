/* TCP by the callbacks of lwIP, which Arduino's core calls between two turns of the loop, so that nothing waits: not for
 * a connection, and not for a name either.
 *
 * SPDX-License-Identifier: MIT */
#include <lwip/dns.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "fm_esp8266.h"

static struct {
    struct tcp_pcb *tcp;
    struct pbuf *received;
    uint16_t port;
    bool looking, connected, ended;
    /* Which connection it is: an answer to a question of an earlier one comes too late. */
    uint32_t number;
    int failure;
} stream;

static err_t on_connected(void *arg, struct tcp_pcb *tcp, err_t error) {
    (void)arg;
    (void)tcp;
    stream.connected = error == ERR_OK;
    return ERR_OK;
}

static err_t on_received(void *arg, struct tcp_pcb *tcp, struct pbuf *data, err_t error) {
    (void)arg;
    (void)tcp;
    (void)error;
    if (!data) {
        stream.ended = true;
    } else if (stream.received) {
        pbuf_cat(stream.received, data);
    } else {
        stream.received = data;
    }
    return ERR_OK;
}

static void on_error(void *arg, err_t error) {
    (void)arg;
    /* lwIP has freed the connection already. */
    stream.tcp = NULL;
    stream.failure = error == ERR_CLSD ? FM_CLOSED : FM_IO;
}

static int dial(const ip_addr_t *address) {
    stream.tcp = tcp_new();
    if (!stream.tcp) {
        return FM_MEMORY;
    }
    tcp_recv(stream.tcp, on_received);
    tcp_err(stream.tcp, on_error);
    return tcp_connect(stream.tcp, address, stream.port, on_connected) == ERR_OK ? FM_OK : FM_IO;
}

static void on_found(const char *name, const ip_addr_t *address, void *arg) {
    (void)name;
    if (!stream.looking || (uint32_t)(uintptr_t)arg != stream.number) {
        return;
    }
    stream.looking = false;
    stream.failure = address ? dial(address) : FM_IO;
}

static void stream_close(void *ctx) {
    uint32_t number = stream.number + 1;
    (void)ctx;
    if (stream.tcp) {
        tcp_recv(stream.tcp, NULL);
        tcp_err(stream.tcp, NULL);
        if (tcp_close(stream.tcp) != ERR_OK) {
            tcp_abort(stream.tcp);
        }
    }
    if (stream.received) {
        pbuf_free(stream.received);
    }
    memset(&stream, 0, sizeof stream);
    stream.number = number;
}

static int stream_open(void *ctx, const char *host, uint16_t port) {
    ip_addr_t address;
    stream_close(ctx);
    stream.port = port;
    err_t found = dns_gethostbyname(host, &address, on_found, (void *)(uintptr_t)stream.number);
    if (found == ERR_INPROGRESS) {
        stream.looking = true;
        return FM_OK;
    }
    return found == ERR_OK ? dial(&address) : FM_IO;
}

static int stream_read(void *ctx, uint8_t *data, size_t room) {
    (void)ctx;
    if (!stream.received) {
        return stream.failure ? stream.failure : stream.ended ? FM_CLOSED : 0;
    }
    uint16_t size = room < stream.received->tot_len ? (uint16_t)room : stream.received->tot_len;
    size = pbuf_copy_partial(stream.received, data, size, 0);
    stream.received = pbuf_free_header(stream.received, size);
    if (stream.tcp) {
        tcp_recved(stream.tcp, size);
    }
    return size;
}

static int stream_write(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    if (!stream.connected || !stream.tcp) {
        return stream.failure;
    }
    size_t room = tcp_sndbuf(stream.tcp);
    size = size < room ? size : room;
    err_t result = size ? tcp_write(stream.tcp, data, (uint16_t)size, TCP_WRITE_FLAG_COPY) : ERR_MEM;
    if (result == ERR_MEM) {
        return 0;
    }
    if (result != ERR_OK) {
        return FM_IO;
    }
    tcp_output(stream.tcp);
    return (int)size;
}

struct fm_stream fm_esp8266_stream(void) {
    struct fm_stream made = {NULL, stream_open, stream_read, stream_write, stream_close};
    return made;
}
