/* SPDX-License-Identifier: MIT */
#include "board.h"
#include "fm_esp32.h"
#include "fm_mbedtls.h"

struct fm_port *board(void) {
    static struct fm_esp32_clock clock;
    static struct fm_esp32_stream stream;
    static struct fm_mbedtls_crypto crypto;
    static struct fm_mbedtls_tls tls;
    static struct fm_port port;
    port.crypto = fm_mbedtls_crypto(&crypto);
    port.clock = fm_esp32_clock(&clock);
    tls.stream = fm_esp32_stream(&stream);
    tls.crypto = &crypto;
    port.tls = fm_mbedtls_tls(&tls);
    return &port;
}
