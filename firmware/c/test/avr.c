/* A programmer and the double of an ATmega, whose power goes at an instruction or at a write of the store.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avr_double.h"
#include "fleetmint/avr_isp.h"
#include "lines.h"
#include "memory_kv.h"

static struct lines in;
static struct avr_double chip;
static struct memory_kv memory;
static struct fm_kv kv;
static struct fm_avr avr;
static struct fm_avr_setup setup;
static uint8_t *image;
static uint8_t hash[FM_HASH];
static unsigned in_one_step, most_in_one_step;

static int transfer(void *ctx, const uint8_t out[4], uint8_t answer[4]) {
    in_one_step++;
    avr_double_transfer(ctx, out, answer);
    return FM_OK;
}

static void hold(void *ctx, bool held) {
    avr_double_hold(ctx, held);
}

static int read_image(void *ctx, uint32_t offset, uint8_t *data, size_t size) {
    (void)ctx;
    memcpy(data, image + offset, size);
    return FM_OK;
}

/* signature, bytes of a page, of the flash */
static void make_chip(void) {
    memset(&chip, 0, sizeof chip);
    memset(&setup, 0, sizeof setup);
    memcpy(chip.signature, in.values[0].data, 3);
    memcpy(setup.chip.signature, in.values[0].data, 3);
    setup.chip.page = chip.page = (uint16_t)lines_number(&in, 1);
    setup.chip.flash = chip.flash_size = lines_number(&in, 2);
    memset(chip.flash, 0xFF, sizeof chip.flash);
    chip.stuck = UINT32_MAX;
    memory_kv_clear(&memory);
    avr_double_power_on(&chip);
}

/* What a run says: its result, whether it erased, pages written, whether the chip is held, instructions of one step */
static void run(void) {
    int result = fm_avr_begin(&avr, &setup, chip.now);

    most_in_one_step = 0;
    while (result == FM_OK || result == FM_PENDING) {
        in_one_step = 0;
        result = fm_avr_step(&avr, ++chip.now);
        most_in_one_step = in_one_step > most_in_one_step ? in_one_step : most_in_one_step;
        if (result == FM_OK) {
            break;
        }
    }
    lines_say_result(result);
    lines_say_number(avr.erased);
    lines_say_number(avr.written);
    lines_say_number(chip.held);
    lines_say_number(most_in_one_step);
    lines_say_number(chip.instructions);
    lines_say_number(memory.writes);
}

static void answer(void) {
    if (strcmp(in.what, "chip") == 0) {
        make_chip();
    } else if (strcmp(in.what, "image") == 0) {
        free(image);
        image = malloc(in.values[0].size);
        memcpy(image, in.values[0].data, in.values[0].size);
        memcpy(hash, in.values[1].data, FM_HASH);
        setup.image_size = (uint32_t)in.values[0].size;
    } else if (strcmp(in.what, "flash") == 0) {
        memcpy(chip.flash, in.values[0].data, in.values[0].size);
    } else if (strcmp(in.what, "other") == 0) {
        chip.signature[2] ^= 1;
    } else if (strcmp(in.what, "deaf") == 0) {
        chip.deaf_tries = lines_number(&in, 0);
        chip.deaf = chip.deaf_tries == 0;
    } else if (strcmp(in.what, "stuck") == 0) {
        chip.stuck = lines_number(&in, 0);
    } else if (strcmp(in.what, "hangs") == 0) {
        chip.hangs = true;
    } else if (strcmp(in.what, "cut") == 0) {
        avr_double_power_on(&chip);
        chip.dies_at = lines_number(&in, 0);
        memory.writes = 0;
        memory.dies_at = lines_number(&in, 1);
        memory.survives = lines_number(&in, 2) != 0;
    } else if (strcmp(in.what, "has") == 0) {
        lines_say_result(fm_avr_has(&kv, hash));
    } else if (strcmp(in.what, "run") == 0) {
        run();
    } else if (strcmp(in.what, "read") == 0) {
        lines_say_bytes(chip.flash, lines_number(&in, 0));
    } else {
        fprintf(stderr, "nobody knows %s\n", in.what);
        exit(2);
    }
}

int main(void) {
    kv = memory_kv_of(&memory);
    while (lines_next(&in)) {
        setup.chip_ctx = &chip;
        setup.transfer = transfer;
        setup.hold = hold;
        setup.image = read_image;
        setup.hash = hash;
        setup.kv = &kv;
        if (setjmp(memory.off) == 0 && setjmp(chip.off) == 0) {
            answer();
        } else {
            lines_say("CUT");
        }
        lines_end();
    }
    memory_kv_clear(&memory);
    free(image);
    return 0;
}
