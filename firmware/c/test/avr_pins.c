/* A slave on four pins that sends each byte back during the next one, as an ATmega in reset does. It ends a master that
 * changes data while the clock is high, does not wait, or has the clock high when it holds the chip.
 *
 * SPDX-License-Identifier: MIT */
#include "fleetmint/avr_pins.h"

#include <stdio.h>
#include <stdlib.h>

#include "lines.h"

static struct lines in;
static bool pins[3];
static unsigned halves, bits;
static uint8_t coming, going;

static void check(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(2);
    }
}

static void set(void *ctx, enum fm_avr_pin pin, bool high) {
    bool rises = pin == FM_AVR_SCK && high && !pins[pin], falls = pin == FM_AVR_SCK && !high && pins[pin];

    (void)ctx;
    check(pin != FM_AVR_MOSI || pins[FM_AVR_MOSI] == high || !pins[FM_AVR_SCK], "data changes while the clock is high");
    check(pin != FM_AVR_RESET || high || !pins[FM_AVR_SCK], "the clock is high when the chip is held");
    check(!(rises || falls) || halves > 0, "an edge comes too soon");
    pins[pin] = high;
    if (rises) {
        coming = (uint8_t)(coming << 1 | pins[FM_AVR_MOSI]);
        bits++;
    }
    if (falls) {
        going = (uint8_t)(bits % 8 == 0 ? coming : going << 1);
    }
    if (rises || falls) {
        halves = 0;
    }
}

static bool get(void *ctx) {
    (void)ctx;
    check(pins[FM_AVR_SCK], "it looks while the clock is low");
    return going & 0x80;
}

static void half(void *ctx) {
    (void)ctx;
    halves++;
}

int main(void) {
    struct fm_avr_pins master = {NULL, set, get, half};
    uint8_t answer[4];

    pins[FM_AVR_SCK] = true;
    halves = 1;
    fm_avr_pins_hold(&master, true);
    while (lines_next(&in)) {
        check(!pins[FM_AVR_RESET], "the chip is not held");
        lines_say_result(fm_avr_pins_transfer(&master, in.values[0].data, answer));
        lines_say_bytes(answer, sizeof answer);
        check(!pins[FM_AVR_SCK] && bits % 32 == 0, "there are other than 32 clocks");
        lines_end();
    }
    fm_avr_pins_hold(&master, false);
    check(pins[FM_AVR_RESET], "the chip is not let go");
    return 0;
}
