/* Reading JSON (RFC 8259) where it lies: the text is checked once as a whole, then values are looked up in it. There is
 * no tree and no state; a lookup reads the text again, which is short.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_JSON_H
#define FLEETMINT_JSON_H

#include <stdbool.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Objects and arrays in one another. Deeper ones are refused. */
#define FM_JSON_DEPTH 16

/* One value of a text that `fm_json_read` has found good. */
struct fm_json {
    const uint8_t *at, *end;
};

/* FM_OK when the text is one JSON value and nothing else; FM_BAD. Strings have to be UTF-8, also when escapes in them
 * are taken for what they stand for. */
int fm_json_read(const uint8_t *text, size_t size, struct fm_json *value);

bool fm_json_is_object(const struct fm_json *value);
bool fm_json_is_array(const struct fm_json *value);
bool fm_json_is_null(const struct fm_json *value);

/* The member of an object. FM_ABSENT; FM_BAD when `object` is none, or has several members of this name. */
int fm_json_member(const struct fm_json *object, const char *name, struct fm_json *value);

/* The item of an array, the first is 0. FM_ABSENT; FM_BAD when `array` is none. */
int fm_json_item(const struct fm_json *array, size_t index, struct fm_json *value);

/* A string, escapes resolved, with a zero behind it: its length. FM_BAD when `value` is none or has a zero in it,
 * FM_TOO_LONG. `text` may be where the value is. */
int fm_json_text(const struct fm_json *value, char *text, size_t room);

/* A whole number, written as such. FM_OK; FM_BAD, also when it is larger than the type. */
int fm_json_number(const struct fm_json *value, int32_t *number);

/* true or false. FM_OK; FM_BAD. */
int fm_json_bool(const struct fm_json *value, bool *truth);

/* The two lookups in one that a reply is read by. */
int fm_json_member_text(const struct fm_json *object, const char *name, char *text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
