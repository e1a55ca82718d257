/* A whole device on this machine: device BOARD... [NAME=VALUE]...
 *
 * What names the board says the file that it is in. The rest is
 *
 *   every=MILLISECONDS   between two readings (default 200)
 *   now=SECONDS          what the clock says at power-on, since 2000 (default 0: nobody has set it)
 *   and what the board takes: see there
 *
 * SIGTERM ends it with a farewell.
 *
 * SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "device.h"
#include "fleetmint/agent.h"

static volatile sig_atomic_t stop;

static void end(int number) {
    (void)number;
    stop = 1;
}

static void message(void *ctx, const char *topic, const uint8_t *payload, size_t size) {
    (void)ctx;
    printf("message %s %.*s\n", topic, (int)size, (const char *)payload);
    fflush(stdout);
}

/* Microseconds that the processor has worked for this process. */
static long processor(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (long)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int main(int count, char **argument) {
    struct fm_port *port = device_board(count, argument);
    static struct fm_agent agent;
    static const struct fm_product product = {.firmware = "7", .reset = "power on", .message = message};
    if (!port) {
        fprintf(stderr, "no such board\n");
        return 1;
    }
    uint32_t every = (uint32_t)atoi(device_option(count, argument, "every", "200"));
    uint32_t now = (uint32_t)strtoul(device_option(count, argument, "now", "0"), NULL, 10);
    if (now) {
        port->clock.set(port->clock.ctx, now);
    }
    signal(SIGTERM, end);
    fm_agent_begin(&agent, port, &product);
    long longest = 0;
    uint32_t last = port->clock.ticks(port->clock.ctx) - every;
    while (!fm_agent_has_ended(&agent)) {
        const struct timespec nap = {0, 1000000};
        uint32_t ticks = port->clock.ticks(port->clock.ctx);
        if (ticks - last >= every) {
            last = ticks;
            fm_agent_read(&agent, "{\"temperature\": 21}");
        }
        bool connected = fm_agent_is_connected(&agent);
        long before = processor();
        fm_agent_loop(&agent);
        if (connected && processor() - before > longest) {
            longest = processor() - before;
        }
        if (stop) {
            fm_agent_stop(&agent);
        }
        nanosleep(&nap, NULL);
    }
    printf("ended; the longest turn of a session took the processor %ld us\n", longest);
    return 0;
}
