/* A new program for an ATmega beside this board: serial programming over SPI, as its data sheet has it under "Serial
 * Downloading". Fuses, lock bits and EEPROM are never written; but when a chip is erased it lets its lock bits go by
 * itself, and its EEPROM, too, unless its fuse EESAVE keeps that.
 *
 * Nothing in it waits, and it can be cut at any time: what is on the chip is compared first. Is it the image, nothing
 * is done; is it the beginning of the image with nothing behind it, the writing goes on from there; otherwise, and when
 * an erasing was cut, the chip is erased. A chip that holds half of a program is held in reset as long as there is
 * power; so the product begins this at each start at which `fm_avr_has` is not FM_OK.
 *
 * Whether the image may be used is not judged here: its signature has to be verified before.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_AVR_ISP_H
#define FLEETMINT_AVR_ISP_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest page of flash that there is. */
#define FM_AVR_PAGE 256

/* Where the store has what it knows of the chip. */
#define FM_AVR_KEY "avr"

struct fm_avr_chip {
    uint8_t signature[3];
    /* Bytes of a page and of the flash. */
    uint16_t page;
    uint32_t flash;
};

/* Initialisers, by the data sheets. */
#define FM_AVR_ATMEGA88P {{0x1E, 0x93, 0x0F}, 64, 0x2000}
#define FM_AVR_ATMEGA168P {{0x1E, 0x94, 0x0B}, 128, 0x4000}
#define FM_AVR_ATMEGA328P {{0x1E, 0x95, 0x0F}, 128, 0x8000}
#define FM_AVR_ATMEGA1284P {{0x1E, 0x97, 0x05}, 256, 0x20000}
#define FM_AVR_ATMEGA2560 {{0x1E, 0x98, 0x01}, 256, 0x40000}

struct fm_avr_setup {
    struct fm_avr_chip chip;
    /* Send 4 bytes and get 4, most significant bit first, SPI mode 0, slower than a quarter of the chip's clock (a
     * sixth from 12 MHz on; 125 kHz does for all). FM_OK, FM_IO. `avr_pins.h` has it for any four pins. */
    int (*transfer)(void *chip_ctx, const uint8_t out[4], uint8_t in[4]);
    /* Hold the chip in reset, or let it go. The clock line is low before it is held. */
    void (*hold)(void *chip_ctx, bool held);
    void *chip_ctx;
    /* `size` bytes of the image from `offset` on. FM_OK, FM_IO. */
    int (*image)(void *image_ctx, uint32_t offset, uint8_t *data, size_t size);
    void *image_ctx;
    uint32_t image_size;
    /* Its SHA-256, which the store keeps when it is on the chip. */
    const uint8_t *hash;
    const struct fm_kv *kv;
};

struct fm_avr {
    /* What came of it, once it is over: the chip had to be erased; so many pages were written. */
    bool erased;
    uint16_t written;

    /* All below belongs to the programmer. */
    struct fm_avr_setup setup;
    uint32_t since, page_at, at, missing;
    int error;
    uint8_t state, tries, extended;
    bool changed, same, blank;
    uint8_t page[FM_AVR_PAGE];
};

/* Whether the chip was given this image, by the store: FM_OK; FM_ABSENT when it was another one, or none, or when it
 * was cut; FM_IO. */
int fm_avr_has(const struct fm_kv *kv, const uint8_t hash[FM_HASH]);

/* FM_OK; FM_TOO_LONG when the image does not fit, FM_BAD when there is none or the chip is unlike any. */
int fm_avr_begin(struct fm_avr *avr, const struct fm_avr_setup *setup, uint32_t ticks);

/* Go on, some milliseconds long; `ticks` are milliseconds. FM_PENDING until it is over. FM_OK: the image is on the
 * chip, every byte was read back, and it runs. FM_ABSENT: nobody answers; FM_REFUSED: it is another chip; both leave it
 * as it was, and running. FM_BAD: it does not keep what is written, FM_TIMEOUT, FM_IO: it is held in reset unless
 * nothing was changed. */
int fm_avr_step(struct fm_avr *avr, uint32_t ticks);

#ifdef __cplusplus
}
#endif

#endif
