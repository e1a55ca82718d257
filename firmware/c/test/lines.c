/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST (1 << 20)

static const struct {
    int result;
    const char *name;
} names[] = {
    {FM_ABSENT, "ABSENT"}, {FM_TOO_LONG, "TOO_LONG"},   {FM_IO, "IO"},           {FM_BAD, "BAD"},
    {FM_CLOSED, "CLOSED"}, {FM_SIGNATURE, "SIGNATURE"}, {FM_REFUSED, "REFUSED"}, {FM_TIMEOUT, "TIMEOUT"},
};

static void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(2);
}

static uint8_t *decoded(const char *word, size_t *size) {
    uint8_t *data;
    size_t at;

    *size = strcmp(word, "-") == 0 ? 0 : strlen(word) / 2;
    data = malloc(*size);
    for (at = 0; at < *size; at++) {
        unsigned byte;

        if (sscanf(word + 2 * at, "%2x", &byte) != 1) {
            fail("no hexadecimal");
        }
        data[at] = (uint8_t)byte;
    }
    return data;
}

int lines_next(struct lines *lines) {
    static char text[LONGEST];
    char *word;

    while (lines->count > 0) {
        free(lines->values[--lines->count].data);
    }
    if (fgets(text, sizeof text, stdin) == NULL) {
        return 0;
    }
    word = strtok(text, " \n");
    if (word == NULL || strlen(word) >= sizeof lines->what) {
        fail("no such word");
    }
    strcpy(lines->what, word);
    while ((word = strtok(NULL, " \n")) != NULL) {
        if (lines->count == LINES_VALUES) {
            fail("too many values");
        }
        lines->values[lines->count].data = decoded(word, &lines->values[lines->count].size);
        lines->count++;
    }
    return 1;
}

const char *lines_text(const struct lines *lines, size_t index) {
    static char *texts[8];
    static size_t next;
    size_t size;

    if (index >= lines->count) {
        fail("a value is missing");
    }
    size = lines->values[index].size;
    next = (next + 1) % 8;
    free(texts[next]);
    texts[next] = malloc(size + 1);
    memcpy(texts[next], lines->values[index].data, size);
    texts[next][size] = 0;
    return texts[next];
}

uint32_t lines_number(const struct lines *lines, size_t index) {
    return (uint32_t)strtoul(lines_text(lines, index), NULL, 10);
}

void lines_say(const char *word) {
    printf("%s ", word);
}

void lines_say_number(uint32_t number) {
    printf("%lu ", (unsigned long)number);
}

void lines_say_bytes(const uint8_t *data, size_t size) {
    if (size == 0) {
        printf("-");
    }
    while (size-- > 0) {
        printf("%02x", *data++);
    }
    printf(" ");
}

void lines_say_result(int result) {
    size_t at;

    if (result >= 0) {
        printf("%d ", result);
        return;
    }
    for (at = 0; at < sizeof names / sizeof names[0]; at++) {
        if (names[at].result == result) {
            printf("%s ", names[at].name);
            return;
        }
    }
    printf("ERROR%d ", result);
}

void lines_end(void) {
    printf("\n");
    fflush(stdout);
}
