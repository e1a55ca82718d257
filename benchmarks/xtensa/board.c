/* A device on an lx106, the processor of an ESP8266, in qemu: its store is in memory, its TCP goes through a pipe.
 *
 * A frame of the pipe is the number of the connection, what it is (O open, D data, C close, E ended), and two bytes that
 * say how much follows. values.h is what the factory has given the device.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "fleetmint/agent.h"
#include "fleetmint/stream.h"
#include "fm_bearssl.h"
#include "values.h"

int sim(int number, int first, int second, int third);
uint32_t cycles(void);
void turn(uint32_t times);
extern uint8_t _bss[], _bss_end[], _stack_low[], _stack[];

enum { SIM_EXIT = 1, SIM_READ = 3, SIM_WRITE = 4, SIM_OPEN = 5, SIM_CLOSE = 6, SIM_SELECT = 29 };
enum { INPUT, OUTPUT, CONSOLE };
#define PAINT 0xa5
/* Turns by which the counter is measured: it counts a clock that moves a nanosecond with each instruction. */
#define TURNS 1000000u
/* A turn of the loop that takes fewer instructions was one that found nothing to do. */
#define IDLE 20000u

static uint64_t counted;
static uint32_t last_cycles, per_count;

static void measure(void) {
    uint32_t before = cycles();
    turn(TURNS);
    uint32_t taken = cycles() - before;
    per_count = (2 * TURNS + taken / 2) / taken;
}

static uint64_t instructions(void) {
    uint32_t now = cycles();
    counted += now - last_cycles;
    last_cycles = now;
    return counted * per_count;
}

static uint32_t ticks(void *ctx) {
    (void)ctx;
    return (uint32_t)(instructions() >> 6) / (1000000u >> 6);
}

static uint32_t base;

static uint32_t now(void *ctx) {
    return base ? base + ticks(ctx) / 1000 : 0;
}

static void set(void *ctx, uint32_t seconds) {
    base = seconds - ticks(ctx) / 1000;
}

static void print(const char *text) {
    sim(SIM_WRITE, CONSOLE, (int)text, (int)strlen(text));
}

static void print_number(const char *what, uint32_t number) {
    char decimal[FM_DECIMAL];
    print(what);
    print(" ");
    print(fm_decimal(number, decimal));
    print("\n");
}

static void say(void *ctx, const char *line) {
    (void)ctx;
    print(line);
    print("\n");
}

/* The store. */

static struct {
    char key[FM_KV_KEY + 1];
    uint8_t data[FM_BUNDLE_MOST];
    size_t size;
} values[20];

static int place_of(const char *key) {
    for (int i = 0; i < 20; i++) {
        if (strcmp(values[i].key, key) == 0) {
            return i;
        }
    }
    return FM_ABSENT;
}

static int get(void *ctx, const char *key, uint8_t *data, size_t room) {
    int at = place_of(key);
    (void)ctx;
    if (at < 0) {
        return at;
    }
    if (values[at].size > room) {
        return FM_TOO_LONG;
    }
    memcpy(data, values[at].data, values[at].size);
    return (int)values[at].size;
}

static int put(void *ctx, const char *key, const uint8_t *data, size_t size) {
    int at = place_of(key);
    (void)ctx;
    at = at < 0 ? place_of("") : at;
    strcpy(values[at].key, key);
    memcpy(values[at].data, data, size);
    values[at].size = size;
    return FM_OK;
}

static int erase(void *ctx, const char *key) {
    int at = place_of(key);
    (void)ctx;
    if (at >= 0) {
        values[at].key[0] = 0;
    }
    return FM_OK;
}

static int get_i32(void *ctx, const char *key, int32_t *value) {
    int size = get(ctx, key, (uint8_t *)value, sizeof *value);
    return size < 0 ? size : FM_OK;
}

static int put_i32(void *ctx, const char *key, int32_t value) {
    return put(ctx, key, (const uint8_t *)&value, sizeof value);
}

/* The network. */

static struct {
    uint8_t number;
    bool ended;
    uint8_t data[2048];
    size_t size;
} stream;

static void send_frame(char what, const void *data, size_t size) {
    uint8_t head[4] = {stream.number, (uint8_t)what, (uint8_t)(size >> 8), (uint8_t)size};
    sim(SIM_WRITE, OUTPUT, (int)head, sizeof head);
    sim(SIM_WRITE, OUTPUT, (int)data, (int)size);
}

static void read_whole(void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        int got = sim(SIM_READ, INPUT, (int)((uint8_t *)data + at), (int)(size - at));
        if (got <= 0) {
            sim(SIM_EXIT, 2, 0, 0);
        }
        at += (size_t)got;
    }
}

static void read_frame(void) {
    const int none[2] = {0, 0};
    uint8_t head[4];
    if (sim(SIM_SELECT, INPUT, 1, (int)none) <= 0) {
        return;
    }
    read_whole(head, sizeof head);
    size_t size = (size_t)head[2] << 8 | head[3];
    read_whole(stream.data, size);
    /* What is of a connection before this one comes too late. */
    if (head[0] == stream.number) {
        stream.size = size;
        stream.ended = head[1] == 'E';
    }
}

static int stream_open(void *ctx, const char *host, uint16_t port) {
    char where[FM_HOST_NAME + FM_DECIMAL];
    struct fm_text text;
    (void)ctx;
    stream.number++;
    stream.size = 0;
    stream.ended = false;
    fm_text_begin(&text, where, sizeof where);
    fm_text_add(&text, host);
    fm_text_add(&text, " ");
    fm_text_number(&text, port);
    send_frame('O', where, text.size);
    return FM_OK;
}

static int stream_read(void *ctx, uint8_t *data, size_t room) {
    (void)ctx;
    if (!stream.size && !stream.ended) {
        read_frame();
    }
    if (!stream.size) {
        return stream.ended ? FM_CLOSED : 0;
    }
    room = room < stream.size ? room : stream.size;
    memcpy(data, stream.data, room);
    stream.size -= room;
    memmove(stream.data, stream.data + room, stream.size);
    return (int)room;
}

static int stream_write(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    send_frame('D', data, size);
    return (int)size;
}

static void stream_close(void *ctx) {
    (void)ctx;
    send_frame('C', NULL, 0);
}

static int entropy(void *ctx, uint8_t *data, size_t size) {
    int file = sim(SIM_OPEN, (int)"/dev/urandom", 0, 0);
    int got = sim(SIM_READ, file, (int)data, (int)size);
    (void)ctx;
    sim(SIM_CLOSE, file, 0, 0);
    return got == (int)size ? FM_OK : FM_ENTROPY;
}

static bool joined;

static int join(void *ctx, const char *ssid, const char *passphrase) {
    (void)ctx;
    (void)ssid;
    (void)passphrase;
    joined = true;
    return FM_OK;
}

static int state(void *ctx) {
    (void)ctx;
    return joined ? FM_OK : FM_IO;
}

static void leave(void *ctx) {
    (void)ctx;
    joined = false;
}

static int send_datagram(void *ctx, const char *host, uint16_t port, const uint8_t *data, size_t size) {
    (void)ctx;
    (void)host;
    (void)port;
    (void)data;
    (void)size;
    return FM_IO;
}

static int receive(void *ctx, uint8_t *data, size_t room) {
    (void)ctx;
    (void)data;
    (void)room;
    return 0;
}

int main(void) {
    static struct fm_bearssl_crypto crypto;
    static struct fm_bearssl_tls tls;
    static struct fm_agent agent;
    static struct fm_port port;
    static const struct fm_product product = {.firmware = "7", .reset = "power on"};
    uint64_t work = 0, longest = 0;
    memset(_bss, 0, (size_t)(_bss_end - _bss));
    memset(_stack_low, PAINT, (size_t)(_stack - _stack_low) - 512);
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        put(NULL, given[i].key, (const uint8_t *)given[i].data, given[i].size);
    }
    measure();
    crypto.entropy = entropy;
    port.kv = (struct fm_kv){NULL, get, put, erase, get_i32, put_i32};
    port.crypto = fm_bearssl_crypto(&crypto);
    tls.stream = (struct fm_stream){NULL, stream_open, stream_read, stream_write, stream_close};
    tls.crypto = &port.crypto;
    port.tls = fm_bearssl_tls(&tls);
    port.clock = (struct fm_clock){NULL, ticks, now, set};
    port.net = (struct fm_net){NULL, join, state, leave, send_datagram, receive};
    port.log = (struct fm_log){NULL, say};
    fm_agent_begin(&agent, &port, &product);
    fm_agent_read(&agent, "{\"temperature\": 21}");
    while (!fm_agent_has_ended(&agent)) {
        uint64_t before = instructions();
        fm_agent_loop(&agent);
        uint64_t taken = instructions() - before;
        work += taken > IDLE ? taken : 0;
        longest = taken > longest ? taken : longest;
        if (fm_agent_is_connected(&agent) && fm_session_has_lasted(&agent.session)) {
            fm_agent_stop(&agent);
        }
    }
    const uint8_t *deepest = _stack_low;
    while (*deepest == PAINT) {
        deepest++;
    }
    print_number("instructions for each count of the clock", per_count);
    print_number("instructions", (uint32_t)work);
    print_number("longest turn", (uint32_t)longest);
    print_number("stack", (uint32_t)(_stack - deepest));
    return 0;
}
