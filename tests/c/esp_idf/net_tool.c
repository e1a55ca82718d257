/* The network of an ESP32: net_tool SSID PASSPHRASE HOST UDP-PORT TCP-PORT
 *
 * Prints the results of joining and of the state then, what came in answer to a datagram, and what a server said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../firmware/c/port/esp32/fm_esp32.h"

static struct fm_esp32_net self;
static struct fm_esp32_clock own_clock;
static struct fm_esp32_stream own_stream;
static uint8_t data[64];

static int datagram(const struct fm_net *net, const struct fm_clock *clock, const char *host, uint16_t port) {
    int result = net->send(net->ctx, host, port, (const uint8_t *)"ask", 3);
    uint32_t began = clock->ticks(clock->ctx);
    while (result == FM_OK && clock->ticks(clock->ctx) - began < 5000) {
        int got = net->receive(net->ctx, data, sizeof data);
        if (got)
            return got;
    }
    return result;
}

static int talk(struct fm_stream stream, const char *host, uint16_t port) {
    size_t sent = 0;
    int result = stream.open(stream.ctx, host, port);
    while (result >= 0 && sent < 5) {
        result = stream.write(stream.ctx, (const uint8_t *)"hello" + sent, 5 - sent);
        sent += result > 0 ? (size_t)result : 0;
    }
    while (result >= 0) {
        result = stream.read(stream.ctx, data, sizeof data);
        if (result > 0)
            break;
    }
    stream.close(stream.ctx);
    return result;
}

static void say(const char *what, int result) {
    printf("%s %d %.*s\n", what, result, result > 0 ? result : 0, (const char *)data);
}

int main(int count, char **argument) {
    struct fm_clock clock = fm_esp32_clock(&own_clock);
    struct fm_net net;
    if (count != 6 || fm_esp32_net_open(&self, &net) != FM_OK)
        return 2;
    say("before", net.state(net.ctx));
    say("join", net.join(net.ctx, argument[1], argument[2]));
    say("state", net.state(net.ctx));
    say("datagram", datagram(&net, &clock, argument[3], (uint16_t)atoi(argument[4])));
    say("stream", talk(fm_esp32_stream(&own_stream), argument[3], (uint16_t)atoi(argument[5])));
    net.leave(net.ctx);
    say("after", net.state(net.ctx));
    say("unset", (int)clock.now(clock.ctx));
    clock.set(clock.ctx, 800000000);
    say("set", clock.now(clock.ctx) - 800000000 <= 1 ? 0 : -1);
    return 0;
}
