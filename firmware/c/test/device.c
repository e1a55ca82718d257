/* A whole device on this machine: device FLASH OFFSET SIZE BLOCK_SIZE [NAME=VALUE]...
 *
 *   every=MILLISECONDS   between two readings (default 200)
 *   now=SECONDS          what the clock says at power-on, since 2000 (default 0: nobody has set it)
 *   ntp=PORT             where NTP questions go (default 0: nowhere)
 *   dies=N, torn=1       the power goes at this write to the flash, or half-way through it
 *   ssid=NAME, passphrase=TEXT   the only network there is (default: whatever the device wants)
 *
 * SIGTERM ends it with a farewell.
 *
 * SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fleetmint/agent.h"
#include "fm_host.h"
#include "fm_host_files.h"

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

static const char *given(int count, char **argument, const char *name, const char *otherwise) {
    size_t size = strlen(name);
    for (int i = 5; i < count; i++) {
        if (strncmp(argument[i], name, size) == 0 && argument[i][size] == '=') {
            return argument[i] + size + 1;
        }
    }
    return otherwise;
}

int main(int count, char **argument) {
    static struct fm_host host;
    static struct fm_host_files files;
    static struct fm_host_stream stream;
    static struct fm_bearssl_crypto crypto = {.entropy = fm_host_entropy};
    static struct fm_bearssl_tls tls;
    static struct fm_port port;
    static struct fm_agent agent;
    static const struct fm_product product = {.firmware = "7", .reset = "power on", .message = message};
    if (count < 5 || fm_host_files_open(&files, argument[1], (uint32_t)atoi(argument[2]), (uint32_t)atoi(argument[3]),
                                        (uint32_t)atoi(argument[4])) != FM_OK) {
        fprintf(stderr, "no such file system\n");
        return 1;
    }
    uint32_t every = (uint32_t)atoi(given(count, argument, "every", "200"));
    uint32_t now = (uint32_t)strtoul(given(count, argument, "now", "0"), NULL, 10);
    files.dies_at = (unsigned)atoi(given(count, argument, "dies", "0"));
    files.torn = given(count, argument, "torn", NULL) != NULL;
    host.ntp_port = (uint16_t)atoi(given(count, argument, "ntp", "0"));
    host.ssid = given(count, argument, "ssid", NULL);
    host.passphrase = given(count, argument, "passphrase", NULL);
    port.kv = fm_host_kv(&files);
    port.crypto = fm_bearssl_crypto(&crypto);
    tls.stream = fm_host_stream(&stream);
    tls.crypto = &port.crypto;
    port.tls = fm_bearssl_tls(&tls);
    port.clock = fm_host_clock(&host);
    port.net = fm_host_net(&host);
    port.log = fm_host_log(&host);
    if (now) {
        port.clock.set(port.clock.ctx, now);
    }
    signal(SIGTERM, end);
    fm_agent_begin(&agent, &port, &product);
    uint32_t last = port.clock.ticks(port.clock.ctx) - every;
    while (!fm_agent_has_ended(&agent)) {
        const struct timespec nap = {0, 1000000};
        uint32_t ticks = port.clock.ticks(port.clock.ctx);
        if (ticks - last >= every) {
            last = ticks;
            fm_agent_read(&agent, "{\"temperature\": 21}");
        }
        fm_agent_loop(&agent);
        if (stop) {
            fm_agent_stop(&agent);
        }
        nanosleep(&nap, NULL);
    }
    printf("ended, %u bytes for the agent, %u for TLS\n", (unsigned)sizeof agent, (unsigned)sizeof tls);
    return 0;
}
