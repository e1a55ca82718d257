/* SPDX-License-Identifier: MIT */
#include "fleetmint/json.h"

#include <string.h>

#include "fleetmint/utf8.h"

/* Where the reading is. What was checked already is read by the same functions. */
struct reader {
    const uint8_t *at, *end;
};

static bool is(const struct reader *in, char wanted) {
    return in->at < in->end && *in->at == (uint8_t)wanted;
}

static bool take(struct reader *in, char wanted) {
    if (!is(in, wanted)) {
        return false;
    }
    in->at++;
    return true;
}

static void skip_blanks(struct reader *in) {
    while (is(in, ' ') || is(in, '\t') || is(in, '\n') || is(in, '\r')) {
        in->at++;
    }
}

static bool take_word(struct reader *in, const char *word) {
    size_t size = strlen(word);

    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0) {
        return false;
    }
    in->at += size;
    return true;
}

static size_t take_digits(struct reader *in) {
    const uint8_t *start = in->at;

    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        in->at++;
    }
    return (size_t)(in->at - start);
}

static bool take_number(struct reader *in) {
    take(in, '-');
    if (!take(in, '0') && take_digits(in) == 0) {
        return false;
    }
    if (take(in, '.') && take_digits(in) == 0) {
        return false;
    }
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+')) {
            take(in, '-');
        }
        return take_digits(in) > 0;
    }
    return true;
}

static int32_t take_hexadecimal(struct reader *in) {
    int32_t code = 0, count;

    if (in->end - in->at < 4) {
        return -1;
    }
    for (count = 0; count < 4; count++) {
        uint8_t digit = *in->at++;

        if (digit >= '0' && digit <= '9') {
            code = code << 4 | (digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            code = code << 4 | (digit - 'a' + 10);
        } else if (digit >= 'A' && digit <= 'F') {
            code = code << 4 | (digit - 'A' + 10);
        } else {
            return -1;
        }
    }
    return code;
}

/* The code point behind \u, of one escape or two; -1 when it is half of a pair. */
static int32_t take_code(struct reader *in) {
    int32_t code = take_hexadecimal(in), low;

    if (code < 0xD800 || code > 0xDFFF) {
        return code;
    }
    if (code > 0xDBFF || !take_word(in, "\\u")) {
        return -1;
    }
    low = take_hexadecimal(in);
    if (low < 0xDC00 || low > 0xDFFF) {
        return -1;
    }
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* One character of a string, what it stands for in UTF-8; returns its length, 0 when it is none. */
static size_t take_character(struct reader *in, uint8_t character[4]) {
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *found;
    size_t length;
    int32_t code;

    if (!take(in, '\\')) {
        length = fm_utf8_length(in->at, (size_t)(in->end - in->at));
        if (length == 0 || *in->at < 0x20 || *in->at == '"') {
            return 0;
        }
        memcpy(character, in->at, length);
        in->at += length;
        return length;
    }
    if (take(in, 'u')) {
        code = take_code(in);
        return code < 0 ? 0 : fm_utf8_write((uint32_t)code, character);
    }
    if (in->at == in->end || *in->at == 0) {
        return 0;
    }
    found = strchr(escapes, *in->at);
    if (found == NULL) {
        return 0;
    }
    in->at++;
    character[0] = (uint8_t)meanings[found - escapes];
    return 1;
}

static bool take_string(struct reader *in) {
    uint8_t character[4];

    if (!take(in, '"')) {
        return false;
    }
    while (!take(in, '"')) {
        if (take_character(in, character) == 0) {
            return false;
        }
    }
    return true;
}

static bool take_scalar(struct reader *in) {
    if (is(in, '"')) {
        return take_string(in);
    }
    return take_word(in, "true") || take_word(in, "false") || take_word(in, "null") || take_number(in);
}

/* The name of a member and the colon. */
static bool take_name(struct reader *in) {
    skip_blanks(in);
    if (!take_string(in)) {
        return false;
    }
    skip_blanks(in);
    return take(in, ':');
}

/* A whole value. Not by recursion: the stack of a board is small, so what it is in stands in a bit for each depth. */
static bool take_value(struct reader *in) {
    uint32_t objects = 0;
    unsigned depth = 0;

    for (;;) {
        bool object, open;

        skip_blanks(in);
        object = is(in, '{');
        open = object || is(in, '[');
        if (open) {
            if (depth == FM_JSON_DEPTH) {
                return false;
            }
            in->at++;
            objects = objects << 1 | object;
            depth++;
            skip_blanks(in);
            if (!is(in, object ? '}' : ']')) {
                if (object && !take_name(in)) {
                    return false;
                }
                continue;
            }
        } else if (!take_scalar(in)) {
            return false;
        }
        /* A value has ended, and perhaps what it is in. */
        for (;;) {
            if (depth == 0) {
                return true;
            }
            object = objects & 1;
            skip_blanks(in);
            if (!take(in, object ? '}' : ']')) {
                break;
            }
            objects >>= 1;
            depth--;
        }
        if (!take(in, ',') || (object && !take_name(in))) {
            return false;
        }
    }
}

int fm_json_read(const uint8_t *text, size_t size, struct fm_json *value) {
    struct reader in;

    in.at = text;
    in.end = text + size;
    skip_blanks(&in);
    value->at = in.at;
    if (!take_value(&in)) {
        return FM_BAD;
    }
    value->end = in.at;
    skip_blanks(&in);
    return in.at == in.end ? FM_OK : FM_BAD;
}

static bool starts(const struct fm_json *value, char with) {
    return value->at < value->end && *value->at == (uint8_t)with;
}

bool fm_json_is_object(const struct fm_json *value) {
    return starts(value, '{');
}

bool fm_json_is_array(const struct fm_json *value) {
    return starts(value, '[');
}

bool fm_json_is_null(const struct fm_json *value) {
    return starts(value, 'n');
}

/* Whether the string at the front stands for this name. */
static bool is_name(struct reader in, const char *name) {
    uint8_t character[4];

    take(&in, '"');
    while (!take(&in, '"')) {
        size_t length = take_character(&in, character);

        if (length == 0 || strncmp(name, (const char *)character, length) != 0 ||
            memchr(character, 0, length) != NULL) {
            return false;
        }
        name += length;
    }
    return *name == 0;
}

/* Read the value in front, which is a part of one that is good. */
static void read_part(struct reader *in, struct fm_json *part) {
    skip_blanks(in);
    part->at = in->at;
    take_value(in);
    part->end = in->at;
    skip_blanks(in);
}

int fm_json_member(const struct fm_json *object, const char *name, struct fm_json *value) {
    struct reader in;
    struct fm_json part;
    int result = FM_ABSENT;

    if (!fm_json_is_object(object)) {
        return FM_BAD;
    }
    in.at = object->at + 1;
    in.end = object->end;
    skip_blanks(&in);
    while (!take(&in, '}')) {
        bool wanted = is_name(in, name);

        if (!take_name(&in)) {
            return FM_BAD;
        }
        read_part(&in, &part);
        if (wanted) {
            if (result == FM_OK) {
                return FM_BAD;
            }
            *value = part;
            result = FM_OK;
        }
        if (take(&in, ',')) {
            skip_blanks(&in);
        }
    }
    return result;
}

int fm_json_item(const struct fm_json *array, size_t index, struct fm_json *value) {
    struct reader in;

    if (!fm_json_is_array(array)) {
        return FM_BAD;
    }
    in.at = array->at + 1;
    in.end = array->end;
    skip_blanks(&in);
    while (!take(&in, ']')) {
        if (in.at == in.end) {
            return FM_BAD;
        }
        read_part(&in, value);
        if (index-- == 0) {
            return FM_OK;
        }
        take(&in, ',');
    }
    return FM_ABSENT;
}

int fm_json_text(const struct fm_json *value, char *text, size_t room) {
    struct reader in;
    uint8_t character[4];
    size_t written = 0;

    in.at = value->at;
    in.end = value->end;
    if (!take(&in, '"')) {
        return FM_BAD;
    }
    while (!take(&in, '"')) {
        size_t length = take_character(&in, character);

        if (length == 0 || character[0] == 0) {
            return FM_BAD;
        }
        if (length >= room - written) {
            return FM_TOO_LONG;
        }
        memcpy(text + written, character, length);
        written += length;
    }
    if (room == 0) {
        return FM_TOO_LONG;
    }
    text[written] = 0;
    return (int)written;
}

int fm_json_number(const struct fm_json *value, int32_t *number) {
    const uint8_t *at = value->at;
    bool negative = starts(value, '-');
    int64_t found = 0;

    if (negative) {
        at++;
    }
    if (at == value->end) {
        return FM_BAD;
    }
    for (; at < value->end; at++) {
        if (*at < '0' || *at > '9') {
            return FM_BAD;
        }
        found = found * 10 + (*at - '0');
        if (found > (int64_t)INT32_MAX + negative) {
            return FM_BAD;
        }
    }
    *number = (int32_t)(negative ? -found : found);
    return FM_OK;
}

int fm_json_bool(const struct fm_json *value, bool *truth) {
    if (!starts(value, 't') && !starts(value, 'f')) {
        return FM_BAD;
    }
    *truth = starts(value, 't');
    return FM_OK;
}

int fm_json_member_text(const struct fm_json *object, const char *name, char *text, size_t room) {
    struct fm_json value;
    int result = fm_json_member(object, name, &value);

    return result == FM_OK ? fm_json_text(&value, text, room) : result;
}
