/* SPDX-License-Identifier: MIT */
#include "board.h"
#include "fm_esp32.h"
#include "trickle.h"

struct fm_port *board(void) {
    static struct fm_esp32 esp32;
    static struct fm_port port;
    port.crypto = fm_mbedtls_crypto(&esp32.crypto);
    port.clock = fm_esp32_clock(&esp32.clock);
    port.tls = fm_esp32_another(&esp32, &esp32.tls, &esp32.stream);
    esp32.tls.stream = trickling(esp32.tls.stream);
    return &port;
}
