/* SPDX-License-Identifier: MIT */
#include <esp_timer.h>
#include <string.h>
#include <sys/time.h>

#include "fm_esp32.h"

/* Seconds from 1970 to 2000. */
#define SINCE_1970 946684800

static int64_t since_start(void) {
    return esp_timer_get_time() / 1000000;
}

static uint32_t ticks(void *ctx) {
    (void)ctx;
    return (uint32_t)(esp_timer_get_time() / 1000);
}

static uint32_t now(void *ctx) {
    const struct fm_esp32_clock *clock = (const struct fm_esp32_clock *)ctx;
    return clock->is_set ? (uint32_t)(clock->start + since_start()) : 0;
}

/* Whoever else asks the system for the time gets it, too; the core does not depend on that. */
static void set(void *ctx, uint32_t seconds) {
    struct fm_esp32_clock *clock = (struct fm_esp32_clock *)ctx;
    struct timeval time;
    clock->start = (int64_t)seconds - since_start();
    clock->is_set = true;
    memset(&time, 0, sizeof time);
    time.tv_sec = (time_t)seconds + SINCE_1970;
    (void)settimeofday(&time, NULL);
}

struct fm_clock fm_esp32_clock(struct fm_esp32_clock *clock) {
    struct fm_clock made = {clock, ticks, now, set};
    return made;
}
