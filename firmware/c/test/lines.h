/* How a test asks: a line is a word and values in hexadecimal, "-" when they are empty; the answer is one line.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_TEST_LINES_H
#define FLEETMINT_TEST_LINES_H

#include "fleetmint/port.h"

#define LINES_VALUES 8

struct lines {
    char what[32];
    size_t count;
    /* Each in memory of exactly its size, so that whatever reads behind its end is seen. */
    struct {
        uint8_t *data;
        size_t size;
    } values[LINES_VALUES];
};

/* Read a line, after freeing the one before. 0 at the end of what there is. */
int lines_next(struct lines *lines);
/* A value that is a decimal number, as text. */
uint32_t lines_number(const struct lines *lines, size_t index);
/* A copy of a value as text with a zero behind it, in memory that lives until the next but seven of these. */
const char *lines_text(const struct lines *lines, size_t index);

/* Parts of an answer, with a blank behind each. */
void lines_say(const char *word);
void lines_say_number(uint32_t number);
void lines_say_bytes(const uint8_t *data, size_t size);
/* A result by its name, or a length as a number. */
void lines_say_result(int result);
/* The end of an answer, which is sent. */
void lines_end(void);

#endif
