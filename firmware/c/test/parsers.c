/* What the readers of the core make of what they are given.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleetmint/base64.h"
#include "fleetmint/calendar.h"
#include "fleetmint/cert.h"
#include "fleetmint/http.h"
#include "fleetmint/json.h"
#include "fleetmint/pem.h"
#include "fleetmint/utf8.h"
#include "lines.h"

static struct lines in;

#define DATA(n) in.values[n].data
#define TEXT(n) ((const char *)in.values[n].data)
#define SIZE(n) in.values[n].size

/* Room of exactly the size that a test asks for. */
static uint8_t *room(size_t index) {
    return malloc(lines_number(&in, index));
}

static void say_decoded(int result, const uint8_t *data) {
    lines_say_result(result);
    if (result >= 0) {
        lines_say_bytes(data, (size_t)result);
    }
}

static void base64_encode(void) {
    char *text = malloc(FM_BASE64_SIZE(SIZE(0)));

    lines_say_bytes((uint8_t *)text, fm_base64_encode(DATA(0), SIZE(0), text));
    free(text);
}

static void base64_decode(void) {
    uint8_t *data = room(1);

    say_decoded(fm_base64_decode(TEXT(0), SIZE(0), data, lines_number(&in, 1)), data);
    free(data);
}

static void base64_in_place(void) {
    say_decoded(fm_base64_decode(TEXT(0), SIZE(0), DATA(0), SIZE(0)), DATA(0));
}

/* text, label, room for each block */
static void pem_read(void) {
    struct fm_bytes text = {DATA(0), SIZE(0)};
    uint8_t *data = room(2);
    int result;

    do {
        result = fm_pem_next(&text, lines_text(&in, 1), data, lines_number(&in, 2));
        say_decoded(result, data);
    } while (result >= 0);
    free(data);
}

/* label, content, room */
static void pem_write(void) {
    uint8_t *text = room(2);

    say_decoded(fm_pem_write(lines_text(&in, 0), DATA(1), SIZE(1), (char *)text, lines_number(&in, 2)), text);
    free(text);
}

static void utf8(void) {
    lines_say_number(fm_utf8_valid(DATA(0), SIZE(0)));
}

static void say_time(int result, uint32_t seconds) {
    if (result == FM_OK) {
        lines_say_number(seconds);
    } else {
        lines_say_result(result);
    }
}

static void date_http(void) {
    uint32_t seconds = 0;
    int result = fm_calendar_http(TEXT(0), SIZE(0), &seconds);

    say_time(result, seconds);
}

static void date_iso(void) {
    uint32_t seconds = 0;
    int result = fm_calendar_iso(TEXT(0), SIZE(0), &seconds);

    say_time(result, seconds);
}

static void date_of(void) {
    struct fm_date date;
    char text[40];

    fm_calendar_date(lines_number(&in, 0), &date);
    snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02uZ", date.year, date.month, date.day, date.hour,
             date.minute, date.second);
    lines_say(text);
}

static void cert(void) {
    struct fm_cert cert;
    int result = fm_cert_read(DATA(0), SIZE(0), &cert);

    lines_say_result(result);
    if (result != FM_OK) {
        return;
    }
    lines_say_bytes(cert.serial.data, cert.serial.size);
    lines_say_bytes(cert.issuer.data, cert.issuer.size);
    lines_say_bytes(cert.subject.data, cert.subject.size);
    lines_say_number(cert.not_before);
    lines_say_number(cert.not_after);
    lines_say_bytes(cert.public_key_info.data, cert.public_key_info.size);
    lines_say_bytes(cert.point, cert.point == NULL ? 0 : FM_PUBLIC);
}

/* What a value is, by all that can be asked of it. */
static void say_value(const struct fm_json *value, char *text, size_t size) {
    int32_t number;
    bool truth;
    int length;

    if (fm_json_is_object(value)) {
        lines_say("object");
    } else if (fm_json_is_array(value)) {
        lines_say("array");
    } else if (fm_json_is_null(value)) {
        lines_say("null");
    } else if (fm_json_bool(value, &truth) == FM_OK) {
        lines_say(truth ? "true" : "false");
    } else if (fm_json_number(value, &number) == FM_OK) {
        lines_say("number");
        lines_say_number((uint32_t)number);
    } else if ((length = fm_json_text(value, text, size)) != FM_BAD) {
        lines_say("text");
        say_decoded(length, (uint8_t *)text);
    } else {
        lines_say("other");
    }
}

/* text, the way to the value: names of members and indices, then the room for a string */
static void json(void) {
    struct fm_json value;
    int result = fm_json_read(DATA(0), SIZE(0), &value);
    char *text = (char *)room(in.count - 1);
    size_t step;

    for (step = 1; result == FM_OK && step < in.count - 1; step++) {
        const char *name = lines_text(&in, step);

        if (name[0] == '#') {
            result = fm_json_item(&value, strtoul(name + 1, NULL, 10), &value);
        } else {
            result = fm_json_member(&value, name + 1, &value);
        }
    }
    if (result == FM_OK) {
        say_value(&value, text, lines_number(&in, in.count - 1));
    } else {
        lines_say_result(result);
    }
    free(text);
}

static uint32_t sink_left;

static int sink(void *ctx, const uint8_t *data, size_t size) {
    (void)ctx;
    lines_say_bytes(data, size);
    return sink_left-- > 0 ? FM_OK : FM_IO;
}

static void say_reply(struct fm_http *http, size_t piece) {
    size_t at = 0;
    int result = FM_PENDING;

    while (at < SIZE(0)) {
        size_t size = SIZE(0) - at < piece ? SIZE(0) - at : piece;

        result = fm_http_feed(http, DATA(0) + at, size);
        at += size;
    }
    lines_say_result(result);
    if (result != FM_OK) {
        return;
    }
    lines_say_number(http->status);
    lines_say_number(http->retry_after);
    lines_say_number(http->date);
}

/* reply, size of the pieces in which it comes, room for the body */
static void http(void) {
    struct fm_http http;
    uint8_t *body = room(2);

    fm_http_begin(&http, body, lines_number(&in, 2));
    say_reply(&http, lines_number(&in, 1));
    lines_say_bytes(body, http.size);
    free(body);
}

/* the same, and how many pieces of the body the sink takes */
static void http_sink(void) {
    struct fm_http http;

    sink_left = lines_number(&in, 3);
    fm_http_begin_sink(&http, sink, NULL, lines_number(&in, 2));
    say_reply(&http, lines_number(&in, 1));
}

static const struct {
    const char *what;
    void (*answer)(void);
} questions[] = {
    {"base64-encode", base64_encode},
    {"base64-decode", base64_decode},
    {"base64-in-place", base64_in_place},
    {"pem-read", pem_read},
    {"pem-write", pem_write},
    {"utf8", utf8},
    {"date-http", date_http},
    {"date-iso", date_iso},
    {"date-of", date_of},
    {"cert", cert},
    {"json", json},
    {"http", http},
    {"http-sink", http_sink},
};

int main(void) {
    while (lines_next(&in)) {
        size_t at = 0;

        while (strcmp(questions[at].what, in.what) != 0) {
            if (++at == sizeof questions / sizeof questions[0]) {
                fprintf(stderr, "nobody knows %s\n", in.what);
                return 2;
            }
        }
        questions[at].answer();
        lines_end();
    }
    return 0;
}
