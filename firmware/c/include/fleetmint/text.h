/* Putting short texts together in room of the caller's, and saying them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEXT_H
#define FLEETMINT_TEXT_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A decimal number of 32 bits and its end. */
#define FM_DECIMAL 11
/* The longest line that is said. */
#define FM_LINE 160

struct fm_text {
    char *text;
    size_t room, size;
    /* Something did not fit: what is there is only the beginning. */
    bool cut;
};

/* An empty text; there is always a zero behind what is in it. */
void fm_text_begin(struct fm_text *text, char *data, size_t room);
void fm_text_add(struct fm_text *text, const char *more);
void fm_text_bytes(struct fm_text *text, const void *data, size_t size);
void fm_text_number(struct fm_text *text, uint32_t number);
/* Add bytes in hexadecimal, with `between` between two of them unless that is "". */
void fm_text_hex(struct fm_text *text, const uint8_t *data, size_t size, const char *between);
/* Add bytes in base64. */
void fm_text_base64(struct fm_text *text, const uint8_t *data, size_t size);
/* Add a JSON string, quotes included; what is not printable ASCII becomes a question mark. */
void fm_text_quoted(struct fm_text *text, const char *value);

const char *fm_decimal(uint32_t number, char decimal[FM_DECIMAL]);

/* Say the texts one behind the other as one line: fm_say(&port->log, "joined ", name). Of other people's texts only
 * what is printable is said. */
void fm_say_all(const struct fm_log *log, const char *const *texts);
#define fm_say(log, ...) fm_say_all(log, (const char *const[]){__VA_ARGS__, NULL})

#ifdef __cplusplus
}
#endif

#endif
