/* The board that a whole device is built for: device_bearssl.c, as an ESP8266 has it, or that of an ESP32.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_DEVICE_H
#define FLEETMINT_TEST_DEVICE_H

#include "fleetmint/port.h"

/* All of a board, from the arguments of a program; NULL when there is none. */
struct fm_port *device_board(int count, char **argument);

/* The value of NAME=VALUE among the arguments, or `otherwise`. */
const char *device_option(int count, char **argument, const char *name, const char *otherwise);

#endif
