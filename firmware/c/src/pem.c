/* SPDX-License-Identifier: MIT */
#include "fleetmint/pem.h"

#include <stdbool.h>
#include <string.h>

#include "fleetmint/base64.h"

#define LINE 64

/* Take a line off the text, without its end and the blanks before that. */
static bool next_line(struct fm_bytes *text, struct fm_bytes *line) {
    const uint8_t *end;
    size_t size;

    if (text->size == 0) {
        return false;
    }
    end = memchr(text->data, '\n', text->size);
    size = end == NULL ? text->size : (size_t)(end - text->data);
    line->data = text->data;
    line->size = size;
    while (line->size > 0 && strchr(" \t\r", line->data[line->size - 1]) != NULL && line->data[line->size - 1] != 0) {
        line->size--;
    }
    if (end != NULL) {
        size++;
    }
    text->data += size;
    text->size -= size;
    return true;
}

/* Whether the line is -----WHAT LABEL----- */
static bool is_boundary(const struct fm_bytes *line, const char *what, const char *label) {
    size_t first = strlen(what), second = strlen(label);

    return line->size == first + second + 5 && memcmp(line->data, what, first) == 0 &&
           memcmp(line->data + first, label, second) == 0 && memcmp(line->data + first + second, "-----", 5) == 0;
}

int fm_pem_next(struct fm_bytes *text, const char *label, uint8_t *data, size_t room) {
    struct fm_bytes line;
    char group[4];
    size_t held = 0, written = 0, at;
    bool padded = false;

    do {
        if (!next_line(text, &line)) {
            return FM_ABSENT;
        }
    } while (!is_boundary(&line, "-----BEGIN ", label));
    while (next_line(text, &line)) {
        if (is_boundary(&line, "-----END ", label)) {
            return held == 0 ? (int)written : FM_BAD;
        }
        for (at = 0; at < line.size; at++) {
            int size;

            group[held++] = (char)line.data[at];
            if (held < sizeof group) {
                continue;
            }
            if (padded) {
                return FM_BAD;
            }
            size = fm_base64_decode(group, sizeof group, data + written, room - written);
            if (size < 0) {
                return size;
            }
            padded = size < 3;
            written += (size_t)size;
            held = 0;
        }
    }
    return FM_BAD;
}

static char *append(char *text, const char *more) {
    size_t size = strlen(more);

    memcpy(text, more, size);
    return text + size;
}

int fm_pem_write(const char *label, const uint8_t *data, size_t size, char *text, size_t room) {
    size_t characters = FM_BASE64_SIZE(size), lines = (characters + LINE - 1) / LINE;
    /* both boundaries with their ends, and the zero */
    size_t needed = characters + lines + 2 * strlen(label) + strlen("-----BEGIN -----\n-----END -----\n") + 1;
    char *start = text;

    if (needed > room) {
        return FM_TOO_LONG;
    }
    text = append(append(append(text, "-----BEGIN "), label), "-----\n");
    while (size > 0) {
        size_t part = size < LINE / 4 * 3 ? size : LINE / 4 * 3;

        text += fm_base64_encode(data, part, text);
        *text++ = '\n';
        data += part;
        size -= part;
    }
    text = append(append(append(text, "-----END "), label), "-----\n");
    *text = 0;
    return (int)(text - start);
}
