/* SPDX-License-Identifier: MIT */
#include "fleetmint/text.h"

#include <string.h>

#include "fleetmint/base64.h"

void fm_text_begin(struct fm_text *text, char *data, size_t room) {
    text->text = data;
    text->room = room - 1;
    text->size = 0;
    text->cut = false;
    data[0] = 0;
}

void fm_text_bytes(struct fm_text *text, const void *data, size_t size) {
    size_t left = text->room - text->size;
    if (size > left) {
        text->cut = true;
        size = left;
    }
    memcpy(text->text + text->size, data, size);
    text->size += size;
    text->text[text->size] = 0;
}

void fm_text_add(struct fm_text *text, const char *more) {
    fm_text_bytes(text, more, strlen(more));
}

void fm_text_number(struct fm_text *text, uint32_t number) {
    char decimal[FM_DECIMAL];
    fm_text_add(text, fm_decimal(number, decimal));
}

void fm_text_base64(struct fm_text *text, const uint8_t *data, size_t size) {
    if (FM_BASE64_SIZE(size) > text->room - text->size) {
        text->cut = true;
        return;
    }
    text->size += fm_base64_encode(data, size, text->text + text->size);
    text->text[text->size] = 0;
}

void fm_text_quoted(struct fm_text *text, const char *value) {
    fm_text_add(text, "\"");
    for (; *value; value++) {
        char c = *value;
        if (c == '"' || c == '\\') {
            fm_text_add(text, "\\");
        } else if (c < ' ' || c > '~') {
            c = '?';
        }
        fm_text_bytes(text, &c, 1);
    }
    fm_text_add(text, "\"");
}

void fm_text_hex(struct fm_text *text, const uint8_t *data, size_t size, const char *between) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        const char pair[] = {digits[data[i] >> 4], digits[data[i] & 15]};
        fm_text_add(text, i ? between : "");
        fm_text_bytes(text, pair, sizeof pair);
    }
}

const char *fm_decimal(uint32_t number, char decimal[FM_DECIMAL]) {
    char *at = decimal + FM_DECIMAL - 1;
    *at = 0;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return at;
}

void fm_say_all(const struct fm_log *log, const char *const *texts) {
    char line[FM_LINE];
    struct fm_text text;
    fm_text_begin(&text, line, sizeof line);
    for (; *texts; texts++) {
        fm_text_add(&text, *texts);
    }
    for (size_t i = 0; i < text.size; i++) {
        if (line[i] < ' ' || line[i] > '~') {
            line[i] = '?';
        }
    }
    log->say(log->ctx, line);
}
