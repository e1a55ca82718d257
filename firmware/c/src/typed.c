/* SPDX-License-Identifier: MIT */
#include "fleetmint/typed.h"

#include <string.h>

#include "fleetmint/utf8.h"

#define SHORTEST_PASSPHRASE 8

/* A word that may be as long as the line. */
struct word {
    char text[FM_TYPED_LINE + 1];
    size_t length;
};

static void wipe(void *data, size_t size) {
    volatile uint8_t *byte = (volatile uint8_t *)data;
    while (size--) {
        *byte++ = 0;
    }
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *line) {
    while (is_blank(*line)) {
        line++;
    }
    return line;
}

/* Reads a word; `*line` is behind it then. */
static enum fm_typed_result take_word(const char **line, struct word *word) {
    const char *at = *line;
    char quote = *at == '"' || *at == '\'' ? *at++ : 0;
    word->length = 0;
    while (*at && (quote ? *at != quote : !is_blank(*at))) {
        if (quote == '"' && *at == '\\' && (at[1] == '"' || at[1] == '\\')) {
            at++;
        }
        if (word->length == FM_TYPED_LINE) {
            return FM_TYPED_TOO_LONG;
        }
        word->text[word->length++] = *at++;
    }
    if (quote) {
        if (!*at) {
            return FM_TYPED_OPEN_QUOTE;
        }
        at++;
        if (*at && !is_blank(*at)) {
            return FM_TYPED_BEHIND_QUOTE;
        }
    }
    word->text[word->length] = 0;
    *line = at;
    return FM_TYPED_OK;
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* IEEE 802.11 wants 8 to 63 visible characters and blanks of ASCII, or the key itself in hex. */
static enum fm_typed_result check_passphrase(const struct word *word) {
    bool hex = true;
    for (size_t i = 0; i < word->length; i++) {
        if (word->text[i] < 0x20 || word->text[i] > 0x7e) {
            return FM_TYPED_CHARACTERS;
        }
        hex = hex && is_hex(word->text[i]);
    }
    if (word->length == 0 || (word->length == FM_WIFI_PASSPHRASE && hex)) {
        return FM_TYPED_OK;
    }
    return word->length >= SHORTEST_PASSPHRASE && word->length < FM_WIFI_PASSPHRASE ? FM_TYPED_OK : FM_TYPED_PASSPHRASE;
}

static enum fm_typed_result check_name(const struct word *word) {
    if (word->length == 0 || word->length > FM_WIFI_NAME) {
        return FM_TYPED_NAME;
    }
    for (size_t i = 0; i < word->length; i++) {
        if ((uint8_t)word->text[i] < 0x20 || word->text[i] == 0x7f) {
            return FM_TYPED_CHARACTERS;
        }
    }
    return fm_utf8_valid((const uint8_t *)word->text, word->length) ? FM_TYPED_OK : FM_TYPED_CHARACTERS;
}

static enum fm_typed_result read_words(const char *line, struct word *name, struct word *passphrase) {
    line = skip_blanks(line);
    if (!*line) {
        return FM_TYPED_EMPTY;
    }
    enum fm_typed_result result = take_word(&line, name);
    line = skip_blanks(line);
    passphrase->length = 0;
    passphrase->text[0] = 0;
    if (result == FM_TYPED_OK && *line) {
        result = take_word(&line, passphrase);
    }
    if (result == FM_TYPED_OK && *skip_blanks(line)) {
        result = FM_TYPED_TOO_MANY;
    }
    if (result == FM_TYPED_OK) {
        result = check_name(name);
    }
    return result == FM_TYPED_OK ? check_passphrase(passphrase) : result;
}

enum fm_typed_result fm_typed_wifi(const char *line, struct fm_typed_wifi *wifi) {
    struct word name, passphrase;
    memset(wifi, 0, sizeof *wifi);
    enum fm_typed_result result = read_words(line, &name, &passphrase);
    if (result == FM_TYPED_OK) {
        memcpy(wifi->ssid, name.text, name.length);
        memcpy(wifi->passphrase, passphrase.text, passphrase.length);
    }
    wipe(&passphrase, sizeof passphrase);
    return result;
}

const char *fm_typed_why(enum fm_typed_result result) {
    switch (result) {
    case FM_TYPED_OK:
        return "";
    case FM_TYPED_OPEN_QUOTE:
        return "a quote is not closed; within \"...\" write \\\" for a quote, or use '...'";
    case FM_TYPED_BEHIND_QUOTE:
        return "there is something right behind a quote: put a blank between name and passphrase";
    case FM_TYPED_TOO_MANY:
        return "these are more than two words: put quotes round a name or passphrase with blanks";
    case FM_TYPED_NAME:
        return "the name of a network has 1 to 32 bytes";
    case FM_TYPED_PASSPHRASE:
        return "a passphrase has 8 to 63 characters (or 64 hex digits); an open network has none";
    case FM_TYPED_CHARACTERS:
        return "there are characters in it that no name (UTF-8) or passphrase (ASCII) can have";
    case FM_TYPED_TOO_LONG:
        return "the line is too long";
    case FM_TYPED_EMPTY:
    default:
        return "type NAME PASSPHRASE of your Wi-Fi, with quotes round what has blanks in it";
    }
}

static void take_back(struct fm_typed_line *line) {
    while (line->length) {
        uint8_t last = (uint8_t)line->text[--line->length];
        /* the bytes of one character of UTF-8 go together */
        if ((last & 0xc0) != 0x80) {
            return;
        }
    }
}

bool fm_typed_byte(struct fm_typed_line *line, uint8_t byte) {
    if (line->whole) {
        wipe(line, sizeof *line);
    }
    if (byte == '\r' || byte == '\n') {
        line->whole = line->length || line->too_long;
        if (line->too_long) {
            wipe(line->text, sizeof line->text);
            line->length = 0;
        }
        line->text[line->length] = 0;
        return line->whole;
    }
    if (byte == '\b' || byte == 0x7f) {
        take_back(line);
    } else if (line->length == FM_TYPED_LINE) {
        line->too_long = true;
    } else {
        /* A zero would end the text before its end. */
        line->text[line->length++] = (char)(byte ? byte : 1);
    }
    return false;
}

int fm_typed_keep(const struct fm_kv *kv, const struct fm_typed_wifi *wifi) {
    int result = kv->erase(kv->ctx, "wifi_ssid");
    if (result == FM_OK) {
        result = kv->put(kv->ctx, "wifi_psk", (const uint8_t *)wifi->passphrase, strlen(wifi->passphrase));
    }
    if (result == FM_OK) {
        result = kv->put(kv->ctx, "wifi_ssid", (const uint8_t *)wifi->ssid, strlen(wifi->ssid));
    }
    if (result == FM_OK) {
        result = kv->erase(kv->ctx, "wifi_list");
    }
    return result;
}
