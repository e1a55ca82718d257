/* SPDX-License-Identifier: MIT */
#include "avr_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds of the data sheet: 9 for erasing, 4.5 for a page; 20 in reset before the first instruction. */
#define ERASING 9
#define WRITING 5
#define SETTLE 20

static void fail(const char *why) {
    fprintf(stderr, "the programmer did what it must not: %s\n", why);
    abort();
}

void avr_double_power_on(struct avr_double *avr) {
    avr->held = avr->programming = false;
    avr->busy_until = 0;
    avr->extended = 0;
    avr->instructions = avr->dies_at = 0;
    memset(avr->buffer, 0xFF, sizeof avr->buffer);
}

void avr_double_hold(struct avr_double *avr, bool held) {
    if (held && !avr->held) {
        avr->held_at = avr->now;
    }
    if (!held) {
        avr->programming = false;
        if (avr->now < avr->busy_until) {
            fail("it lets the chip go while that is busy");
        }
    }
    avr->held = held;
}

/* Whether the power goes now; then only some of the bytes are changed. */
static bool dies(const struct avr_double *avr) {
    return avr->instructions == avr->dies_at;
}

static void erase(struct avr_double *avr) {
    uint32_t at;

    for (at = 0; at < avr->flash_size; at++) {
        if (!dies(avr) || at % 3 == 0) {
            avr->flash[at] = 0xFF;
        }
    }
    avr->erased++;
    avr->busy_until = avr->hangs ? UINT32_MAX : avr->now + ERASING;
}

static void write_page(struct avr_double *avr, uint32_t word) {
    uint32_t start = word * 2, at;

    if (start % avr->page != 0 || start >= avr->flash_size) {
        fail("it writes to no page");
    }
    for (at = 0; at < avr->page; at++) {
        if (!dies(avr) || at % 2 == 0) {
            avr->flash[start + at] &= avr->buffer[at];
        }
    }
    if (avr->stuck >= start && avr->stuck < start + avr->page) {
        avr->flash[avr->stuck] = 0xFF;
    }
    memset(avr->buffer, 0xFF, sizeof avr->buffer);
    avr->pages++;
    avr->busy_until = avr->hangs ? UINT32_MAX : avr->now + WRITING;
}

static uint8_t read_byte(const struct avr_double *avr, const uint8_t out[4], unsigned half) {
    uint32_t at = (((uint32_t)avr->extended << 16 | (uint32_t)out[1] << 8 | out[2]) * 2 + half);

    if (at >= avr->flash_size) {
        fail("it reads behind the flash");
    }
    return avr->flash[at];
}

static void enable(struct avr_double *avr, const uint8_t out[4], uint8_t in[4]) {
    if (avr->now - avr->held_at < SETTLE) {
        fail("it does not wait before the first instruction");
    }
    if (avr->deaf || avr->deaf_tries > 0) {
        avr->deaf_tries -= avr->deaf_tries > 0;
        /* Out of step by a bit. */
        in[2] = (uint8_t)(out[1] << 1);
        return;
    }
    in[2] = out[1];
    avr->programming = true;
}

void avr_double_transfer(struct avr_double *avr, const uint8_t out[4], uint8_t in[4]) {
    uint32_t word = (uint32_t)avr->extended << 16 | (uint32_t)out[1] << 8 | out[2];

    memset(in, 0xA5, 4);
    if (!avr->held) {
        fail("it talks to a chip that it does not hold in reset");
    }
    avr->instructions++;
    if (out[0] == 0xAC && out[1] == 0x53) {
        enable(avr, out, in);
    } else if (!avr->programming) {
        fail("it has not enabled programming");
    } else if (out[0] == 0xF0) {
        in[3] = avr->now < avr->busy_until;
    } else if (avr->now < avr->busy_until) {
        fail("it does not wait for the chip");
    } else if (out[0] == 0xAC && out[1] == 0x80) {
        erase(avr);
    } else if (out[0] == 0x30) {
        in[3] = avr->signature[out[2] % 3];
    } else if (out[0] == 0x4D && avr->flash_size > 0x20000) {
        avr->extended = out[2];
    } else if (out[0] == 0x20 || out[0] == 0x28) {
        in[3] = read_byte(avr, out, out[0] == 0x28);
    } else if ((out[0] == 0x40 || out[0] == 0x48) && out[2] * 2u < avr->page) {
        avr->buffer[out[2] * 2 + (out[0] == 0x48)] = out[3];
    } else if (out[0] == 0x4C) {
        write_page(avr, word);
    } else {
        /* Fuses and lock bits (AC A0, AC A4, AC A8, AC E0), the EEPROM, and what there is not. */
        fprintf(stderr, "%02x %02x %02x %02x\n", out[0], out[1], out[2], out[3]);
        fail("it sends another instruction than those that it needs");
    }
    if (dies(avr)) {
        longjmp(avr->off, 1);
    }
}
