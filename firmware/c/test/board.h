/* The board that a test program is built for: board_bearssl.c, as an ESP8266 has it, or board_mbedtls.c, as an ESP32.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_BOARD_H
#define FLEETMINT_TEST_BOARD_H

#include "fleetmint/port.h"

/* Cryptography, TLS and a clock; there is no store and no network. */
struct fm_port *board(void);

#endif
