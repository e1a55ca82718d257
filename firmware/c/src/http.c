/* SPDX-License-Identifier: MIT */
#include "fleetmint/http.h"

#include <string.h>

#include "fleetmint/calendar.h"

enum state { STATUS, HEADER, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, WHOLE, BROKEN };

static void begin(struct fm_http *http, uint32_t room) {
    memset(http, 0, sizeof *http);
    http->room = room;
    http->state = STATUS;
}

void fm_http_begin(struct fm_http *http, uint8_t *body, uint32_t room) {
    begin(http, room);
    http->body = body;
}

void fm_http_begin_sink(struct fm_http *http, int (*sink)(void *ctx, const uint8_t *data, size_t size), void *ctx,
                        uint32_t most) {
    begin(http, most);
    http->sink = sink;
    http->ctx = ctx;
}

static char lower(char character) {
    return character >= 'A' && character <= 'Z' ? (char)(character - 'A' + 'a') : character;
}

static bool is_same(const char *text, size_t size, const char *wanted) {
    while (size > 0 && *wanted != 0 && lower(*text) == *wanted) {
        text++;
        size--;
        wanted++;
    }
    return size == 0 && *wanted == 0;
}

/* A number of at most 9 digits. */
static int read_size(const char *text, size_t size, unsigned base, uint32_t *value) {
    *value = 0;
    if (size == 0) {
        return FM_BAD;
    }
    if (size > 9) {
        return FM_TOO_LONG;
    }
    while (size-- > 0) {
        char digit = lower(*text++);

        if (digit >= '0' && digit <= '9') {
            *value = *value * base + (uint32_t)(digit - '0');
        } else if (base == 16 && digit >= 'a' && digit <= 'f') {
            *value = *value * base + (uint32_t)(digit - 'a' + 10);
        } else {
            return FM_BAD;
        }
    }
    return FM_OK;
}

/* "HTTP/1.1 200 OK" */
static int read_status(struct fm_http *http) {
    int32_t status;

    if (http->line_size < 12 || memcmp(http->line, "HTTP/1.", 7) != 0 ||
        (http->line[7] != '0' && http->line[7] != '1')) {
        return FM_BAD;
    }
    status = fm_calendar_digits(http->line + 9, 3);
    if (http->line[8] != ' ' || status < 100 || (http->line_size > 12 && http->line[12] != ' ')) {
        return FM_BAD;
    }
    http->status = (uint16_t)status;
    return FM_OK;
}

static int read_length(struct fm_http *http, const char *value, size_t size) {
    int result = read_size(value, size, 10, &http->left);

    /* Two lengths are how replies are smuggled. */
    if (http->has_length || http->chunked) {
        return FM_BAD;
    }
    http->has_length = true;
    return result;
}

static int read_coding(struct fm_http *http, const char *value, size_t size) {
    if (http->has_length || http->chunked || !is_same(value, size, "chunked")) {
        return FM_BAD;
    }
    http->chunked = true;
    return FM_OK;
}

static int read_retry_after(struct fm_http *http, const char *value, size_t size) {
    uint32_t seconds;

    /* It may also be a date; the gateway writes none. */
    if (size < 6 && read_size(value, size, 10, &seconds) == FM_OK) {
        http->retry_after = seconds;
    }
    return FM_OK;
}

static int read_date(struct fm_http *http, const char *value, size_t size) {
    uint32_t seconds;

    if (fm_calendar_http(value, size, &seconds) == FM_OK) {
        http->date = seconds;
    }
    return FM_OK;
}

static const struct {
    const char *name;
    int (*read)(struct fm_http *http, const char *value, size_t size);
} headers[] = {
    {"content-length", read_length},
    {"transfer-encoding", read_coding},
    {"retry-after", read_retry_after},
    {"date", read_date},
};

static bool is_blank(char character) {
    return character == ' ' || character == '\t';
}

static int read_header(struct fm_http *http) {
    const char *colon = memchr(http->line, ':', http->line_size), *end = http->line + http->line_size, *value;
    size_t name, at;

    if (!http->has_colon) {
        return FM_BAD;
    }
    if (colon == NULL) {
        return FM_OK;
    }
    name = (size_t)(colon - http->line);
    /* No name ends in a blank, and no line begins with one (RFC 9112, 5.1 and 5.2). */
    if (name == 0 || is_blank(http->line[0]) || is_blank(colon[-1])) {
        return FM_BAD;
    }
    for (value = colon + 1; value < end && is_blank(*value);) {
        value++;
    }
    while (end > value && is_blank(end[-1])) {
        end--;
    }
    for (at = 0; at < sizeof headers / sizeof headers[0]; at++) {
        if (is_same(http->line, name, headers[at].name)) {
            return http->line_cut ? FM_TOO_LONG : headers[at].read(http, value, (size_t)(end - value));
        }
    }
    return FM_OK;
}

static int end_of_head(struct fm_http *http) {
    if (http->status < 200) {
        /* The reply itself is still to come. */
        http->left = 0;
        http->has_length = http->chunked = false;
        http->state = STATUS;
        return FM_OK;
    }
    if (http->status == 204 || http->status == 304) {
        http->state = WHOLE;
        return FM_OK;
    }
    if (http->chunked) {
        http->state = CHUNK_SIZE;
        return FM_OK;
    }
    if (!http->has_length) {
        return FM_BAD;
    }
    http->state = http->left > 0 ? BODY : WHOLE;
    return http->left > http->room ? FM_TOO_LONG : FM_OK;
}

static int read_chunk_size(struct fm_http *http) {
    const char *extension = memchr(http->line, ';', http->line_size);
    size_t size = extension == NULL ? http->line_size : (size_t)(extension - http->line);
    int result;

    while (size > 0 && is_blank(http->line[size - 1])) {
        size--;
    }
    result = read_size(http->line, size, 16, &http->left);
    if (result != FM_OK) {
        return result;
    }
    if (extension == NULL && http->line_cut) {
        return FM_BAD;
    }
    http->state = http->left > 0 ? CHUNK : TRAILER;
    return http->left > http->room - http->size ? FM_TOO_LONG : FM_OK;
}

static int read_line(struct fm_http *http) {
    switch (http->state) {
    case STATUS:
        http->state = HEADER;
        return read_status(http);
    case HEADER:
        return http->line_size == 0 ? end_of_head(http) : read_header(http);
    case CHUNK_SIZE:
        return read_chunk_size(http);
    case CHUNK_END:
        http->state = CHUNK_SIZE;
        return http->line_size == 0 ? FM_OK : FM_BAD;
    default: /* TRAILER: it says nothing of interest, and the empty line behind it ends the reply */
        if (http->line_size == 0) {
            http->state = WHOLE;
        }
        return FM_OK;
    }
}

/* One byte of a line; its end is CR LF. A CR alone is refused, and so is a LF. */
static int take_of_line(struct fm_http *http, char character) {
    int result;

    if (++http->head > FM_HTTP_HEAD) {
        return FM_TOO_LONG;
    }
    if (http->line_size > 0 && http->line[http->line_size - 1] == '\r') {
        if (character != '\n') {
            return FM_BAD;
        }
        http->line_size--;
        result = read_line(http);
        http->line_size = 0;
        http->line_cut = http->has_colon = false;
        return result;
    }
    if (character == '\n') {
        return FM_BAD;
    }
    if (character == ':') {
        http->has_colon = true;
    }
    if (http->line_size == sizeof http->line - 1 && character != '\r') {
        http->line_cut = true;
    } else {
        http->line[http->line_size++] = character;
    }
    return FM_OK;
}

static int take_of_body(struct fm_http *http, const uint8_t *data, size_t size) {
    int result = FM_OK;

    if (http->sink != NULL) {
        result = http->sink(http->ctx, data, size);
    } else {
        memcpy(http->body + http->size, data, size);
    }
    http->size += (uint32_t)size;
    http->left -= (uint32_t)size;
    if (http->left > 0) {
        return result;
    }
    http->state = http->chunked ? CHUNK_END : WHOLE;
    /* The lines between chunks are bounded by themselves. */
    http->head = 0;
    return result;
}

int fm_http_feed(struct fm_http *http, const uint8_t *data, size_t size) {
    while (http->state < WHOLE && size > 0) {
        size_t part = 1;
        int result;

        if (http->state == BODY || http->state == CHUNK) {
            part = size < http->left ? size : http->left;
            result = take_of_body(http, data, part);
        } else {
            result = take_of_line(http, (char)*data);
        }
        if (result != FM_OK) {
            http->state = BROKEN;
            http->error = result;
        }
        data += part;
        size -= part;
    }
    if (http->state == BROKEN) {
        return http->error;
    }
    return http->state == WHOLE ? FM_OK : FM_PENDING;
}
