// Fleetmint for Arduino: the core in C, and the board that it runs on.
//
// SPDX-License-Identifier: MIT
#ifndef FLEETMINT_ARDUINO_H
#define FLEETMINT_ARDUINO_H

#include <Arduino.h>

#include "fleetmint/agent.h"

#if defined(ARDUINO_ARCH_ESP8266)
#include "fm_esp8266.h"
#elif defined(ARDUINO_ARCH_ESP32)
#include "fm_esp32.h"
#endif

#endif
