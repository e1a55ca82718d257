/* One request over TLS: tls HOST PORT NOW ANCHOR[,ANCHOR] [CERTIFICATE KEY] [again|less]
 *
 * Prints the result, the status and what the server says; with `again` twice, with `less` the second time with the first
 * anchor alone. Files are DER, NOW is in seconds since 2000.
 *
 * SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "fleetmint/csr.h"
#include "fleetmint/exchange.h"

static struct fm_bytes load(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(4096);
    struct fm_bytes loaded = {data, file ? fread(data, 1, 4096, file) : 0};
    if (file) {
        fclose(file);
    }
    return loaded;
}

static void discard(struct fm_bytes loaded) {
    free((void *)(uintptr_t)loaded.data);
}

static void get(const struct fm_port *port, const struct fm_tls_setup *setup) {
    static char room[4096];
    struct fm_exchange exchange;
    struct fm_text body;
    fm_exchange_begin(&exchange, port, room, sizeof room, &body);
    int result = fm_exchange_send(&exchange, "GET", "/", &body, setup);
    if (result == FM_OK) {
        while ((result = fm_exchange_step(&exchange)) == FM_PENDING) {
        }
    }
    printf("%d %u %s\n", result, exchange.reply.status, result == FM_OK ? room : "");
}

int main(int count, char **argument) {
    const struct fm_port *port = board();
    struct fm_bytes anchors[4];
    struct fm_tls_setup setup = {.host = argument[1], .anchors = anchors};
    uint8_t key[FM_PRIVATE], point[FM_PUBLIC];
    setup.port = (uint16_t)atoi(argument[2]);
    setup.now = (uint32_t)strtoul(argument[3], NULL, 10);
    for (char *path = strtok(argument[4], ","); path; path = strtok(NULL, ",")) {
        anchors[setup.anchor_count++] = load(path);
    }
    if (count > 6) {
        struct fm_bytes der = load(argument[6]);
        setup.certificate = load(argument[5]);
        setup.key = key;
        if (fm_key_decode(&port->crypto, der.data, der.size, key, point) != FM_OK) {
            return 1;
        }
        discard(der);
    }
    get(port, &setup);
    size_t loaded = setup.anchor_count;
    bool less = strcmp(argument[count - 1], "less") == 0;
    if (less) {
        setup.anchor_count = 1;
    }
    if (less || strcmp(argument[count - 1], "again") == 0) {
        get(port, &setup);
    }
    for (size_t i = 0; i < loaded; i++) {
        discard(anchors[i]);
    }
    discard(setup.certificate);
    return 0;
}
