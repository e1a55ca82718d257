/* SPI to an ATmega by any four pins of the board, for `avr_isp.h`: `fm_avr_pins_transfer` and `fm_avr_pins_hold` with a
 * struct fm_avr_pins as their context.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_AVR_PINS_H
#define FLEETMINT_AVR_PINS_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

enum fm_avr_pin { FM_AVR_RESET, FM_AVR_SCK, FM_AVR_MOSI };

struct fm_avr_pins {
    void *ctx;
    /* Set an output pin. */
    void (*write)(void *ctx, enum fm_avr_pin pin, bool high);
    /* Look at MISO. */
    bool (*read)(void *ctx);
    /* Wait for half of a period of the clock: 4 microseconds for 125 kHz. */
    void (*half)(void *ctx);
};

/* FM_OK. */
int fm_avr_pins_transfer(void *pins, const uint8_t out[4], uint8_t in[4]);
void fm_avr_pins_hold(void *pins, bool held);

#ifdef __cplusplus
}
#endif

#endif
