/* A fuzzer: changes inputs, and keeps those that reach code in a way that none did before. What comparisons in the code
 * compared becomes a part of later inputs.
 *
 *     fuzz TARGET RUNS SEED FILE...       so many runs; the same again for the same seed and files
 *     fuzz TARGET SECONDSs SEED FILE...   so many seconds
 *
 * gcc calls the functions below for whatever is compiled with -fsanitize-coverage=trace-pc,trace-cmp; a sanitizer that
 * finds a fault has the input written to TARGET.fault in the working directory.
 *
 * SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define MAP 65536
#define LONGEST 4096
#define MOST_INPUTS 4096
#define MOST_WORDS 128
#define LONGEST_WORD 32
/* Seconds that one run may take. */
#define HANG 20

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[MOST_INPUTS];
static size_t input_count;
/* What was compared, as bytes. What stands in the code stays; of the rest, which is the input mostly, the newest. */
enum { CONSTANT, OTHER };
static struct {
    uint8_t data[LONGEST_WORD];
    size_t size;
} words[2][MOST_WORDS];
static size_t word_count[2];

static uint8_t counts[MAP], seen[MAP];
static uint32_t touched[MAP];
static size_t touched_count;
static uintptr_t before;
static uint64_t chance_state;

static const char *target_name;
static const uint8_t *running;
static size_t running_size;

/* xorshift64* */
static uint32_t chance(uint32_t below) {
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return (uint32_t)((chance_state * 0x2545F4914F6CDD1Du) >> 32) % below;
}

static void keep_word(int kind, const void *data, size_t size) {
    static bool busy;
    size_t at;

    /* Looking for it compares, too. */
    if (busy || size < 2 || size > LONGEST_WORD || (kind == CONSTANT && word_count[kind] == MOST_WORDS)) {
        return;
    }
    busy = true;
    for (at = 0; at < MOST_WORDS && (words[kind][at].size != size || memcmp(words[kind][at].data, data, size) != 0);) {
        at++;
    }
    if (at == MOST_WORDS) {
        at = word_count[kind]++ % MOST_WORDS;
        memcpy(words[kind][at].data, data, size);
        words[kind][at].size = size;
    }
    busy = false;
}

/* A number that was compared, in both orders of its bytes. */
static void keep_number(int kind, uint64_t number, size_t size) {
    /* Most have been seen just before. */
    static uint64_t recent[1024];
    uint64_t *place = &recent[(number * 0x9E3779B97F4A7C15u >> 32) % 1024];
    uint8_t data[8] = {0};
    size_t at;

    if (number < 256 || *place == number) {
        return;
    }
    *place = number;
    for (at = 0; at < size; at++) {
        data[at] = (uint8_t)(number >> 8 * at);
    }
    keep_word(kind, data, size);
    for (at = 0; at < size; at++) {
        data[at] = (uint8_t)(number >> 8 * (size - 1 - at));
    }
    keep_word(kind, data, size);
}

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint32_t edge = (uint32_t)((here ^ before >> 1) * 0x9E3779B1u >> 8) % MAP;

    before = here;
    if (counts[edge] == 0) {
        touched[touched_count++] = edge;
    }
    if (counts[edge] < 255) {
        counts[edge]++;
    }
}

#define TRACE(name, type, kind)                                                                                        \
    void __sanitizer_cov_trace_##name(type one, type other);                                                           \
    void __sanitizer_cov_trace_##name(type one, type other) {                                                          \
        if (one != other) {                                                                                            \
            keep_number(kind, one, sizeof one);                                                                        \
            keep_number(OTHER, other, sizeof other);                                                                   \
        }                                                                                                              \
    }

TRACE(cmp1, uint8_t, OTHER)
TRACE(cmp2, uint16_t, OTHER)
TRACE(cmp4, uint32_t, OTHER)
TRACE(cmp8, uint64_t, OTHER)
/* The first of both stands in the code. */
TRACE(const_cmp1, uint8_t, CONSTANT)
TRACE(const_cmp2, uint16_t, CONSTANT)
TRACE(const_cmp4, uint32_t, CONSTANT)
TRACE(const_cmp8, uint64_t, CONSTANT)

/* `cases`: how many there are, their size in bits, and each of them. */
void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases);
void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases) {
    uint64_t at;

    (void)value;
    for (at = 0; at < cases[0]; at++) {
        keep_number(CONSTANT, cases[2 + at], (size_t)cases[1] / 8);
    }
}

/* Called by the sanitizer for each memcmp. */
void __sanitizer_weak_hook_memcmp(void *caller, const void *one, const void *other, size_t size, int result);
void __sanitizer_weak_hook_memcmp(void *caller, const void *one, const void *other, size_t size, int result) {
    (void)caller;
    if (result != 0) {
        keep_word(OTHER, one, size);
        keep_word(OTHER, other, size);
    }
}

static void keep_fault(void) {
    char name[64];
    FILE *file;

    snprintf(name, sizeof name, "%s.fault", target_name);
    file = fopen(name, "wb");
    if (file != NULL) {
        fwrite(running, 1, running_size, file);
        fclose(file);
    }
    fprintf(stderr, "\n%s: the %lu bytes that did this are in %s\n", target_name, (unsigned long)running_size, name);
}

/* Both sanitizers are asked to end the program by a signal, which `aborted` takes. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "abort_on_error=1:print_stacktrace=1";
}

static void aborted(int number) {
    keep_fault();
    if (number == SIGALRM) {
        fprintf(stderr, "it takes more than %d s\n", HANG);
    }
    _exit(1);
}

/* The counts of a run in steps that matter: 1, 2, 3, 4 to 7, 8 to 15, ... as bits. Whether one of them is new. */
static bool note_coverage(void) {
    bool found = false;
    size_t at;

    for (at = 0; at < touched_count; at++) {
        uint8_t count = counts[touched[at]];
        uint8_t bit = (uint8_t)(count < 4 ? 1 << (count - 1) : count < 8 ? 8 : count < 16 ? 16 : count < 64 ? 32 : 64);

        if (!(seen[touched[at]] & bit)) {
            seen[touched[at]] |= bit;
            found = true;
        }
        counts[touched[at]] = 0;
    }
    return found;
}

static void keep_input(const uint8_t *data, size_t size) {
    struct input *input = &inputs[input_count < MOST_INPUTS ? input_count++ : chance(MOST_INPUTS)];

    free(input->data);
    input->data = malloc(size + 1);
    memcpy(input->data, data, size);
    input->size = size;
}

static void run(const struct fuzz_target *target, const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size);

    memcpy(exact, data, size);
    running = data;
    running_size = size;
    touched_count = 0;
    before = 0;
    alarm(HANG);
    target->run(exact, size);
    if (note_coverage()) {
        keep_input(data, size);
    }
    free(exact);
}

/* Put `size` bytes in the place of `old` ones, as far as there is room. */
static size_t replace(uint8_t *data, size_t length, size_t at, size_t old, const uint8_t *with, size_t size) {
    uint8_t copy[LONGEST];

    if (length - old + size > LONGEST) {
        return length;
    }
    memcpy(copy, with, size);
    memmove(data + at + size, data + at + old, length - at - old);
    memcpy(data + at, copy, size);
    return length - old + size;
}

static size_t change(uint8_t *data, size_t size) {
    static const uint8_t telling[] = {0,    1,    0x7F, 0x80, 0x81, 0xFF, ' ', '"',
                                      '\\', '\r', '\n', '0',  '9',  '=',  ':', '{'};
    size_t at = chance((uint32_t)size + 1), left = size - at;
    size_t some = left == 0 ? 0 : 1 + chance((uint32_t)(left < 64 ? left : 64));
    const struct input *other = &inputs[chance((uint32_t)input_count)];
    int kind = (int)chance(2);
    size_t most = word_count[kind] < 1 ? 1 : word_count[kind] < MOST_WORDS ? word_count[kind] : MOST_WORDS;
    size_t word = chance((uint32_t)most);
    uint8_t byte = telling[chance(sizeof telling)];

    switch (chance(9)) {
    case 0:
        if (left > 0) {
            data[at] ^= (uint8_t)(1 << chance(8));
        }
        return size;
    case 1:
        if (left > 0) {
            data[at] = byte;
        }
        return size;
    case 2:
        if (left > 0) {
            data[at] = (uint8_t)(data[at] + chance(33) - 16);
        }
        return size;
    case 3:
        return replace(data, size, at, 0, &byte, 1);
    case 4:
        return replace(data, size, at, some, data, 0);
    case 5:
        return replace(data, size, chance((uint32_t)size + 1), 0, data + at, some);
    case 6:
        return replace(data, size, at, words[kind][word].size < left ? words[kind][word].size : left,
                       words[kind][word].data, words[kind][word].size);
    case 7:
        return replace(data, size, at, 0, words[kind][word].data, words[kind][word].size);
    default:
        /* The end of another one. */
        if (other->size == 0) {
            return size;
        }
        word = chance((uint32_t)other->size);
        return replace(data, size, at, left, other->data + word, other->size - word);
    }
}

static void read_file(const struct fuzz_target *target, const char *path) {
    static uint8_t data[LONGEST];
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size = fread(data, 1, sizeof data, file);
    fclose(file);
    run(target, data, size);
}

static const struct fuzz_target *find(const char *name) {
    const struct fuzz_target *target;

    for (target = fuzz_targets; target->name != NULL; target++) {
        if (strcmp(target->name, name) == 0) {
            return target;
        }
    }
    return NULL;
}

int main(int count, char **arguments) {
    static uint8_t data[LONGEST];
    const struct fuzz_target *target = count < 4 ? NULL : find(arguments[1]);
    unsigned long wanted, runs = 0;
    time_t start = time(NULL);
    bool seconds;
    int at;

    if (target == NULL) {
        for (target = fuzz_targets; target->name != NULL; target++) {
            printf("%s\n", target->name);
        }
        return count == 1 ? 0 : 2;
    }
    target_name = target->name;
    wanted = strtoul(arguments[2], NULL, 10);
    seconds = arguments[2][strlen(arguments[2]) - 1] == 's';
    chance_state = strtoul(arguments[3], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    signal(SIGABRT, aborted);
    signal(SIGALRM, aborted);
    keep_input(data, 0);
    keep_input(data, 64);
    for (at = 4; at < count; at++) {
        read_file(target, arguments[at]);
    }
    while (seconds ? (unsigned long)(time(NULL) - start) < wanted : runs < wanted) {
        const struct input *input = &inputs[chance((uint32_t)input_count)];
        size_t size = input->size;
        uint32_t changes = 1 + chance(4);

        memcpy(data, input->data, size);
        while (changes-- > 0) {
            size = change(data, size);
        }
        run(target, data, size);
        runs++;
    }
    printf("%s: %lu runs, %lu inputs that each reached something new\n", target->name, runs,
           (unsigned long)input_count);
    while (input_count > 0) {
        free(inputs[--input_count].data);
    }
    return 0;
}
