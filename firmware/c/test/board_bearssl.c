/* SPDX-License-Identifier: MIT */
#include "board.h"
#include "fm_host.h"
#include "trickle.h"

struct fm_port *board(void) {
    static struct fm_host host;
    static struct fm_host_stream stream;
    static struct fm_bearssl_crypto crypto = {.entropy = fm_host_entropy};
    static struct fm_bearssl_tls tls;
    static struct fm_port port;
    port.crypto = fm_bearssl_crypto(&crypto);
    port.clock = fm_host_clock(&host);
    tls.stream = trickling(fm_host_stream(&stream));
    tls.crypto = &port.crypto;
    port.tls = fm_bearssl_tls(&tls);
    return &port;
}
