/* The clock of a device, asked line by line (see lines.h):
 *
 *   begin FLOOR NOW    ntp TIME          what a server would tell; 0: nothing, 1: rubbish
 *   adjust HOST        doubt    confirm TIME    later MILLISECONDS
 *
 * Each answers with the result, the time, the floor in the store, whether the time is confirmed, and how many questions
 * were sent.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "fleetmint/keys.h"
#include "fleetmint/timekeeping.h"
#include "lines.h"

static struct {
    int32_t floor;
    uint32_t now, ticks, told;
    uint32_t questions, writes;
    uint8_t question[FM_NTP_SIZE];
} board;

static int get_i32(void *ctx, const char *key, int32_t *value) {
    (void)ctx;
    *value = board.floor;
    return strcmp(key, FM_KEY_CLOCK_FLOOR) == 0 && board.floor ? FM_OK : FM_ABSENT;
}

static int put_i32(void *ctx, const char *key, int32_t value) {
    (void)ctx;
    (void)key;
    board.writes++;
    board.floor = value;
    return FM_OK;
}

static uint32_t ticks(void *ctx) {
    (void)ctx;
    return board.ticks;
}

static uint32_t now(void *ctx) {
    (void)ctx;
    return board.now;
}

static void set(void *ctx, uint32_t seconds) {
    (void)ctx;
    board.now = seconds;
}

static int make_random(void *ctx, uint8_t *data, size_t size) {
    (void)ctx;
    memset(data, (int)(7 + board.questions), size);
    return FM_OK;
}

static int send(void *ctx, const char *host, uint16_t port, const uint8_t *data, size_t size) {
    (void)ctx;
    board.questions++;
    memcpy(board.question, data, sizeof board.question);
    return host[0] && port == FM_NTP_PORT && size == FM_NTP_SIZE ? FM_OK : FM_IO;
}

static int receive(void *ctx, uint8_t *data, size_t room) {
    uint32_t since_1900 = board.told + 3155673600u;
    (void)ctx;
    if (!board.told || room < FM_NTP_SIZE) {
        return 0;
    }
    memset(data, 0, FM_NTP_SIZE);
    data[0] = 0x24;
    data[1] = 2;
    memcpy(data + 24, board.question + 40, FM_NTP_NONCE);
    if (board.told == 1) {
        data[24] ^= 1;
    }
    for (int i = 0; i < 4; i++) {
        data[40 + i] = (uint8_t)(since_1900 >> (24 - 8 * i));
    }
    return FM_NTP_SIZE;
}

static void say(void *ctx, const char *line) {
    (void)ctx;
    (void)line;
}

int main(void) {
    struct fm_port port = {
        .kv = {.get_i32 = get_i32, .put_i32 = put_i32},
        .crypto = {.random = make_random},
        .clock = {.ticks = ticks, .now = now, .set = set},
        .net = {.send = send, .receive = receive},
        .log = {.say = say},
    };
    static struct lines lines;
    static struct fm_timekeeper time;
    while (lines_next(&lines)) {
        int result = FM_OK;
        if (strcmp(lines.what, "begin") == 0) {
            board.floor = (int32_t)lines_number(&lines, 0);
            board.now = lines_number(&lines, 1);
            board.questions = board.writes = board.told = 0;
            result = fm_timekeeper_begin(&time, &port);
        } else if (strcmp(lines.what, "ntp") == 0) {
            board.told = lines_number(&lines, 0);
        } else if (strcmp(lines.what, "adjust") == 0) {
            result = fm_timekeeper_adjust(&time, lines_text(&lines, 0));
        } else if (strcmp(lines.what, "doubt") == 0) {
            fm_timekeeper_doubt(&time);
        } else if (strcmp(lines.what, "confirm") == 0) {
            fm_timekeeper_confirm(&time, lines_number(&lines, 0));
        } else {
            board.ticks += lines_number(&lines, 0);
        }
        lines_say_result(result);
        lines_say_number(board.now);
        lines_say_number((uint32_t)board.floor);
        lines_say_number(time.confirmed);
        lines_say_number(board.questions);
        lines_say_number(board.writes);
        lines_end();
    }
    return 0;
}
