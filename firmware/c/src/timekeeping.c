/* SPDX-License-Identifier: MIT */
#include "fleetmint/timekeeping.h"

#include <string.h>

#include "fleetmint/keys.h"

/* The clock of a board is corrected when it is so many seconds off. */
#define TOLERANCE 30u
/* Milliseconds that an NTP server has for its answer, name lookup included. */
#define WITHIN 2000u
/* From 1900, where NTP counts from, to 2000. */
#define NTP_2000 3155673600u

void fm_ntp_ask(const uint8_t nonce[FM_NTP_NONCE], uint8_t packet[FM_NTP_SIZE]) {
    memset(packet, 0, FM_NTP_SIZE);
    /* version 4, mode "client" */
    packet[0] = 0x23;
    /* The server sends our transmit time back: random bytes there keep blind forgers out. */
    memcpy(packet + 40, nonce, FM_NTP_NONCE);
}

uint32_t fm_ntp_read(const uint8_t *packet, size_t size, const uint8_t nonce[FM_NTP_NONCE]) {
    /* Mode "server", a stratum that is synchronised, the answer to this question. */
    if (size < FM_NTP_SIZE || (packet[0] & 7) != 4 || packet[1] < 1 || packet[1] > 15 ||
        memcmp(packet + 24, nonce, FM_NTP_NONCE) != 0) {
        return 0;
    }
    uint32_t told = (uint32_t)packet[40] << 24 | (uint32_t)packet[41] << 16 | (uint32_t)packet[42] << 8 | packet[43];
    /* 32 bits of seconds start again in 2036, and so does the difference. */
    return told - NTP_2000;
}

static void say(const struct fm_timekeeper *time, const char *line) {
    time->port->log.say(time->port->log.ctx, line);
}

static bool plausible(const struct fm_timekeeper *time, uint32_t seconds) {
    return seconds >= time->floor && seconds - time->floor <= FM_SHELF_LIFE;
}

static void set(const struct fm_timekeeper *time, uint32_t seconds) {
    time->port->clock.set(time->port->clock.ctx, seconds);
}

uint32_t fm_timekeeper_now(const struct fm_timekeeper *time) {
    return time->port->clock.now(time->port->clock.ctx);
}

int fm_timekeeper_begin(struct fm_timekeeper *time, const struct fm_port *port) {
    int32_t floor;
    memset(time, 0, sizeof *time);
    time->port = port;
    int result = port->kv.get_i32(port->kv.ctx, FM_KEY_CLOCK_FLOOR, &floor);
    if (result != FM_OK) {
        return result;
    }
    if (floor < 0) {
        return FM_BAD;
    }
    time->floor = (uint32_t)floor;
    /* A clock that ran on through a reset is kept; after a power-on it has to be asked for. */
    time->at_floor = !plausible(time, fm_timekeeper_now(time));
    time->ask = time->at_floor;
    if (time->at_floor) {
        set(time, time->floor);
    }
    return FM_OK;
}

static void take(struct fm_timekeeper *time, uint32_t told) {
    if (!told) {
        say(time, "no time from the network, working from the clock floor");
    } else if (!plausible(time, told)) {
        say(time, "time from the network refused: it is not within reach of the clock floor");
    } else {
        set(time, told);
        time->at_floor = false;
        say(time, "clock set by the network");
    }
}

int fm_timekeeper_adjust(struct fm_timekeeper *time, const char *server) {
    const struct fm_port *port = time->port;
    uint8_t packet[FM_NTP_SIZE];
    if (!time->ask) {
        return FM_OK;
    }
    uint32_t ticks = port->clock.ticks(port->clock.ctx);
    if (!time->waiting) {
        if (!time->asking) {
            time->asking = true;
            time->asked = ticks;
        }
        int result = port->crypto.random(port->crypto.ctx, time->nonce, sizeof time->nonce);
        if (result == FM_OK) {
            fm_ntp_ask(time->nonce, packet);
            result = port->net.send(port->net.ctx, server, FM_NTP_PORT, packet, sizeof packet);
        }
        if (result == FM_PENDING && ticks - time->asked < WITHIN) {
            return FM_PENDING;
        }
        time->waiting = result == FM_OK;
    }
    if (time->waiting) {
        int got = port->net.receive(port->net.ctx, packet, sizeof packet);
        uint32_t told = got > 0 ? fm_ntp_read(packet, (size_t)got, time->nonce) : 0;
        /* What is no answer to the question does not end the wait for one. */
        if (!told && got >= 0 && ticks - time->asked < WITHIN) {
            return FM_PENDING;
        }
        take(time, told);
    } else {
        take(time, 0);
    }
    time->ask = time->asking = time->waiting = false;
    return FM_OK;
}

void fm_timekeeper_doubt(struct fm_timekeeper *time) {
    if (time->confirmed) {
        return;
    }
    if (time->at_floor) {
        time->ask = true;
    } else {
        say(time, "the clock may be wrong, working from the clock floor");
        set(time, time->floor);
        time->at_floor = true;
    }
}

void fm_timekeeper_confirm(struct fm_timekeeper *time, uint32_t told) {
    if (!told || !plausible(time, told)) {
        return;
    }
    uint32_t now = fm_timekeeper_now(time);
    uint32_t off = told > now ? told - now : now - told;
    if (off > TOLERANCE) {
        set(time, told);
        time->at_floor = false;
        say(time, "clock set by the gateway");
    }
    if (off > FM_DAY) {
        /* The certificate was judged by another time: the next connection has to confirm this one. */
        return;
    }
    time->confirmed = true;
    if (told - time->floor >= FM_FLOOR_STEP && told <= INT32_MAX) {
        if (time->port->kv.put_i32(time->port->kv.ctx, FM_KEY_CLOCK_FLOOR, (int32_t)told) == FM_OK) {
            time->floor = told;
        }
    }
}
