/* A network typed at a console: NAME PASSPHRASE, with quotes round what has blanks in it.
 *
 * Within double quotes a backslash stands before a quote or a backslash that is meant as such; within single ones
 * nothing is special. An open network has no passphrase, or "".
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TYPED_H
#define FLEETMINT_TYPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a name, and of a passphrase (or a key in 64 hex digits). */
#define FM_WIFI_NAME 32
#define FM_WIFI_PASSPHRASE 64
/* The longest line: both with a backslash before each byte, quotes, blanks. */
#define FM_TYPED_LINE 208

struct fm_typed_wifi {
    char ssid[FM_WIFI_NAME + 1];
    char passphrase[FM_WIFI_PASSPHRASE + 1];
};

enum fm_typed_result {
    FM_TYPED_OK,
    FM_TYPED_EMPTY,
    FM_TYPED_OPEN_QUOTE,
    FM_TYPED_BEHIND_QUOTE,
    FM_TYPED_TOO_MANY,
    FM_TYPED_NAME,
    FM_TYPED_PASSPHRASE,
    FM_TYPED_CHARACTERS,
    FM_TYPED_TOO_LONG
};

/* What the line, without its end, says. On anything but FM_TYPED_OK nothing is in `wifi`. */
enum fm_typed_result fm_typed_wifi(const char *line, struct fm_typed_wifi *wifi);

/* What is wrong and what to do, for the console; never what was typed. */
const char *fm_typed_why(enum fm_typed_result result);

/* A line as it comes, byte by byte. All zero at first. */
struct fm_typed_line {
    char text[FM_TYPED_LINE + 1];
    size_t length;
    bool too_long, whole;
};

/* Take a byte. True when a line is whole: `text` holds it until the next byte, empty when it was too long, which
 * `too_long` says. Backspace takes a character back; an empty line is none. */
bool fm_typed_byte(struct fm_typed_line *line, uint8_t byte);

/* Keep the network where the core looks for it, in place of those that it knew: the name behind the passphrase, since
 * without a name there is no network, and the old list goes last. FM_OK, or what the store says. */
int fm_typed_keep(const struct fm_kv *kv, const struct fm_typed_wifi *wifi);

#ifdef __cplusplus
}
#endif

#endif
