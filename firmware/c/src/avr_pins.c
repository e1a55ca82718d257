/* SPDX-License-Identifier: MIT */
#include "fleetmint/avr_pins.h"

/* A bit goes out while the clock is low, and is taken by both when it rises: SPI mode 0. */
static unsigned exchange_bit(const struct fm_avr_pins *pins, bool out) {
    unsigned in;

    pins->write(pins->ctx, FM_AVR_MOSI, out);
    pins->half(pins->ctx);
    pins->write(pins->ctx, FM_AVR_SCK, true);
    in = pins->read(pins->ctx);
    pins->half(pins->ctx);
    pins->write(pins->ctx, FM_AVR_SCK, false);
    return in;
}

int fm_avr_pins_transfer(void *pins, const uint8_t out[4], uint8_t in[4]) {
    unsigned byte, bit;

    for (byte = 0; byte < 4; byte++) {
        unsigned got = 0;

        for (bit = 0; bit < 8; bit++) {
            got = got << 1 | exchange_bit((const struct fm_avr_pins *)pins, out[byte] >> (7 - bit) & 1);
        }
        in[byte] = (uint8_t)got;
    }
    return FM_OK;
}

void fm_avr_pins_hold(void *context, bool held) {
    const struct fm_avr_pins *pins = (const struct fm_avr_pins *)context;

    if (held) {
        pins->write(pins->ctx, FM_AVR_SCK, false);
        pins->write(pins->ctx, FM_AVR_MOSI, false);
    }
    /* The line is active low. */
    pins->write(pins->ctx, FM_AVR_RESET, !held);
}
