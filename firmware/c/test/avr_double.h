/* A double of an ATmega in serial programming mode, by the instruction set of its data sheet: flash that only erasing
 * sets to ones, a page buffer, busy times, fuses. It is our own; simavr does not simulate this interface.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_AVR_DOUBLE_H
#define FLEETMINT_TEST_AVR_DOUBLE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#define AVR_FLASH 0x40000

struct avr_double {
    uint8_t signature[3];
    uint32_t flash_size;
    uint16_t page;
    uint8_t flash[AVR_FLASH];
    uint8_t buffer[256];

    /* Nobody answers; so many times it answers out of step first; this byte of the flash does not take zeros. */
    bool deaf;
    unsigned deaf_tries;
    uint32_t stuck;
    /* It stays busy for ever after an erasing, or a writing. */
    bool hangs;

    bool held, programming;
    uint32_t held_at, now, busy_until;
    uint8_t extended;
    /* Instructions so far; at this one the power goes, in the midst of what it does. Then `off` is jumped to. */
    unsigned instructions, dies_at;
    uint32_t erased, pages;
    jmp_buf off;
};

void avr_double_hold(struct avr_double *avr, bool held);
void avr_double_transfer(struct avr_double *avr, const uint8_t out[4], uint8_t in[4]);
/* The power came back: a chip that nobody holds in reset, and that has forgotten what is in its buffer. */
void avr_double_power_on(struct avr_double *avr);

#endif
