/* SPDX-License-Identifier: MIT */
#include "fleetmint/avr_isp.h"

#include <string.h>

/* Instructions in one step: 8 ms at 125 kHz. */
#define AT_ONCE 32
/* Milliseconds: the reset line is low for 20 before the first instruction; nothing that is written or erased takes 100.
 */
#define SETTLE 25
#define PULSE_MS 2
#define SLOWEST 100
#define TRIES 5

/* Words that an address without the extended one reaches. */
#define NEAR 0x10000u

/* No page is missing. */
#define NONE UINT32_MAX

enum state {
    RESET,
    ENTER,
    PULSE,
    SIGNATURE,
    COMPARE,
    FORGET,
    ERASE,
    ERASING,
    LOAD,
    WRITE,
    WRITING,
    VERIFY,
    REMEMBER,
    OVER
};

/* What the store keeps instead of a hash while the chip is being erased: what looks erased then may not be. */
static const uint8_t erasing[] = {'e'};

static int kept(const struct fm_kv *kv, const void *wanted, int size) {
    uint8_t value[FM_HASH];
    int found = kv->get(kv->ctx, FM_AVR_KEY, value, sizeof value);

    if (found == FM_IO) {
        return FM_IO;
    }
    return found == size && memcmp(value, wanted, (size_t)size) == 0 ? FM_OK : FM_ABSENT;
}

int fm_avr_has(const struct fm_kv *kv, const uint8_t hash[FM_HASH]) {
    return kept(kv, hash, FM_HASH);
}

int fm_avr_begin(struct fm_avr *avr, const struct fm_avr_setup *setup, uint32_t ticks) {
    const struct fm_avr_chip *chip = &setup->chip;

    memset(avr, 0, sizeof *avr);
    if (chip->page < 2 || chip->page > FM_AVR_PAGE || chip->page % 2 != 0 || chip->flash % chip->page != 0 ||
        setup->image_size == 0) {
        return FM_BAD;
    }
    if (setup->image_size > chip->flash) {
        return FM_TOO_LONG;
    }
    avr->setup = *setup;
    avr->since = ticks;
    avr->state = RESET;
    avr->missing = NONE;
    return FM_OK;
}

static int instruct(struct fm_avr *avr, unsigned one, unsigned two, unsigned three, unsigned four, uint8_t in[4]) {
    uint8_t out[4];

    out[0] = (uint8_t)one;
    out[1] = (uint8_t)two;
    out[2] = (uint8_t)three;
    out[3] = (uint8_t)four;
    return avr->setup.transfer(avr->setup.chip_ctx, out, in);
}

/* The upper part of an address, where it is another one than before and the flash is that large. */
static int extend(struct fm_avr *avr, uint32_t word) {
    uint8_t in[4], wanted = (uint8_t)(word / NEAR);

    if (avr->setup.chip.flash / 2 <= NEAR || avr->extended == wanted + 1) {
        return FM_OK;
    }
    avr->extended = (uint8_t)(wanted + 1);
    return instruct(avr, 0x4D, 0, wanted, 0, in);
}

/* A byte of the flash. */
static int read_byte(struct fm_avr *avr, uint32_t address, uint8_t *byte) {
    uint32_t word = address / 2;
    uint8_t in[4];
    int result = extend(avr, word);

    if (result == FM_OK) {
        result = instruct(avr, address % 2 ? 0x28 : 0x20, word >> 8 & 0xFF, word & 0xFF, 0, in);
    }
    *byte = in[3];
    return result;
}

/* FM_OK when the chip has done what it was told, FM_PENDING. */
static int ready(struct fm_avr *avr, uint32_t ticks) {
    uint8_t in[4];
    int result = instruct(avr, 0xF0, 0, 0, 0, in);

    if (result != FM_OK || !(in[3] & 1)) {
        return result;
    }
    return ticks - avr->since > SLOWEST ? FM_TIMEOUT : FM_PENDING;
}

/* Have the page of the image at `page_at`, filled up with what an erased flash holds, and do `state` with it; behind
 * the last page, `after`. */
static int go_to_page(struct fm_avr *avr, uint32_t page_at, uint8_t state, uint8_t after) {
    uint32_t left = avr->setup.image_size - page_at;
    uint16_t page = avr->setup.chip.page;

    avr->page_at = page_at;
    avr->at = 0;
    avr->same = avr->blank = true;
    if (page_at >= avr->setup.image_size) {
        avr->state = after;
        return FM_OK;
    }
    avr->state = state;
    memset(avr->page, 0xFF, page);
    return avr->setup.image(avr->setup.image_ctx, page_at, avr->page, left < page ? left : page);
}

static int next_page(struct fm_avr *avr, uint8_t state, uint8_t after) {
    return go_to_page(avr, avr->page_at + avr->setup.chip.page, state, after);
}

static int enter(struct fm_avr *avr, uint32_t ticks) {
    uint8_t in[4];
    int result;

    if (ticks - avr->since < SETTLE) {
        return FM_PENDING;
    }
    result = instruct(avr, 0xAC, 0x53, 0, 0, in);
    if (result != FM_OK) {
        return result;
    }
    if (in[2] == 0x53) {
        avr->state = SIGNATURE;
        return FM_OK;
    }
    if (++avr->tries == TRIES) {
        return FM_ABSENT;
    }
    /* Out of step: a pulse on the reset line lets it begin anew. */
    avr->setup.hold(avr->setup.chip_ctx, false);
    avr->state = PULSE;
    avr->since = ticks;
    return FM_PENDING;
}

/* Everything is to be erased and written. */
static int begin_anew(struct fm_avr *avr) {
    avr->erased = true;
    avr->missing = 0;
    avr->state = FORGET;
    return FM_OK;
}

static int check_signature(struct fm_avr *avr) {
    uint8_t in[4];
    unsigned at;
    int result;

    for (at = 0; at < 3; at++) {
        result = instruct(avr, 0x30, 0, at, 0, in);
        if (result != FM_OK) {
            return result;
        }
        if (in[3] != avr->setup.chip.signature[at]) {
            return FM_REFUSED;
        }
    }
    result = kept(avr->setup.kv, erasing, sizeof erasing);
    if (result == FM_IO) {
        return FM_IO;
    }
    return result == FM_OK ? begin_anew(avr) : go_to_page(avr, 0, COMPARE, REMEMBER);
}

static int compare(struct fm_avr *avr) {
    uint8_t byte;
    int result = read_byte(avr, avr->page_at + avr->at, &byte);

    if (result != FM_OK) {
        return result;
    }
    avr->same = avr->same && byte == avr->page[avr->at];
    avr->blank = avr->blank && byte == 0xFF;
    if ((!avr->same || avr->missing != NONE) && !avr->blank) {
        return begin_anew(avr);
    }
    if (++avr->at < avr->setup.chip.page) {
        return FM_OK;
    }
    if (avr->missing == NONE && !avr->same) {
        /* The one before may have been cut while it was written: it is written once more. */
        avr->missing = avr->page_at < avr->setup.chip.page ? 0 : avr->page_at - avr->setup.chip.page;
    }
    return next_page(avr, COMPARE, avr->missing == NONE ? REMEMBER : FORGET);
}

/* From here on the chip does not have what the store says. */
static int forget(struct fm_avr *avr) {
    const struct fm_kv *kv = avr->setup.kv;
    int result = avr->erased ? kv->put(kv->ctx, FM_AVR_KEY, erasing, sizeof erasing) : kv->erase(kv->ctx, FM_AVR_KEY);

    if (result != FM_OK) {
        return result;
    }
    avr->changed = true;
    if (avr->erased) {
        avr->state = ERASE;
        return FM_OK;
    }
    return go_to_page(avr, avr->missing, LOAD, VERIFY);
}

static int end_erasing(struct fm_avr *avr, uint32_t ticks) {
    const struct fm_kv *kv = avr->setup.kv;
    int result = ready(avr, ticks);

    if (result == FM_OK) {
        result = kv->erase(kv->ctx, FM_AVR_KEY);
    }
    return result == FM_OK ? go_to_page(avr, 0, LOAD, VERIFY) : result;
}

static int load(struct fm_avr *avr) {
    uint8_t in[4];
    int result = instruct(avr, avr->at % 2 ? 0x48 : 0x40, 0, avr->at / 2, avr->page[avr->at], in);

    if (++avr->at == avr->setup.chip.page) {
        avr->state = WRITE;
    }
    return result;
}

static int write_page(struct fm_avr *avr, uint32_t ticks) {
    uint32_t word = avr->page_at / 2;
    uint8_t in[4];
    int result = extend(avr, word);

    avr->since = ticks;
    avr->state = WRITING;
    return result == FM_OK ? instruct(avr, 0x4C, word >> 8 & 0xFF, word & 0xFF, 0, in) : result;
}

static int end_writing(struct fm_avr *avr, uint32_t ticks) {
    int result = ready(avr, ticks);

    if (result != FM_OK) {
        return result;
    }
    avr->written++;
    result = next_page(avr, LOAD, VERIFY);
    return result == FM_OK && avr->state == VERIFY ? go_to_page(avr, 0, VERIFY, REMEMBER) : result;
}

static int verify(struct fm_avr *avr) {
    uint8_t byte;
    int result = read_byte(avr, avr->page_at + avr->at, &byte);

    if (result != FM_OK) {
        return result;
    }
    if (byte != avr->page[avr->at]) {
        return FM_BAD;
    }
    return ++avr->at < avr->setup.chip.page ? FM_OK : next_page(avr, VERIFY, REMEMBER);
}

static int remember(struct fm_avr *avr) {
    const struct fm_kv *kv = avr->setup.kv;

    avr->state = OVER;
    avr->setup.hold(avr->setup.chip_ctx, false);
    return fm_avr_has(kv, avr->setup.hash) == FM_OK ? FM_OK : kv->put(kv->ctx, FM_AVR_KEY, avr->setup.hash, FM_HASH);
}

/* One thing, as a rule an instruction. FM_PENDING when the chip needs time. */
static int advance(struct fm_avr *avr, uint32_t ticks) {
    uint8_t in[4];

    switch (avr->state) {
    case PULSE:
        if (ticks - avr->since < PULSE_MS) {
            return FM_PENDING;
        }
        /* fall through */
    case RESET:
        avr->setup.hold(avr->setup.chip_ctx, true);
        avr->since = ticks;
        avr->state = ENTER;
        return FM_PENDING;
    case ENTER:
        return enter(avr, ticks);
    case SIGNATURE:
        return check_signature(avr);
    case COMPARE:
        return compare(avr);
    case FORGET:
        return forget(avr);
    case ERASE:
        avr->since = ticks;
        avr->state = ERASING;
        return instruct(avr, 0xAC, 0x80, 0, 0, in);
    case ERASING:
        return end_erasing(avr, ticks);
    case LOAD:
        return load(avr);
    case WRITE:
        return write_page(avr, ticks);
    case WRITING:
        return end_writing(avr, ticks);
    case VERIFY:
        return verify(avr);
    default:
        return remember(avr);
    }
}

int fm_avr_step(struct fm_avr *avr, uint32_t ticks) {
    int left, result = FM_OK;

    for (left = AT_ONCE; left > 0 && result == FM_OK && avr->state != OVER; left--) {
        result = advance(avr, ticks);
    }
    if (result < 0) {
        avr->error = result;
        if (!avr->changed) {
            avr->setup.hold(avr->setup.chip_ctx, false);
        }
        avr->state = OVER;
    }
    return avr->state == OVER ? avr->error : FM_PENDING;
}
