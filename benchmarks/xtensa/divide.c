/* The arithmetic that Debian's libgcc for this processor lacks.
 *
 * SPDX-License-Identifier: MIT */
#include <stdint.h>

uint32_t __udivsi3(uint32_t number, uint32_t by);
uint32_t __umodsi3(uint32_t number, uint32_t by);
int32_t __divsi3(int32_t number, int32_t by);
int32_t __modsi3(int32_t number, int32_t by);
uint64_t __muldi3(uint64_t one, uint64_t other);

static uint32_t divide(uint32_t number, uint32_t by, uint32_t *rest) {
    uint32_t result = 0;
    *rest = 0;
    for (int bit = 31; bit >= 0; bit--) {
        *rest = *rest << 1 | (number >> bit & 1);
        if (*rest >= by) {
            *rest -= by;
            result |= (uint32_t)1 << bit;
        }
    }
    return result;
}

static uint32_t absolute(int32_t number) {
    return number < 0 ? 0 - (uint32_t)number : (uint32_t)number;
}

uint32_t __udivsi3(uint32_t number, uint32_t by) {
    uint32_t rest;
    return divide(number, by, &rest);
}

uint32_t __umodsi3(uint32_t number, uint32_t by) {
    uint32_t rest;
    divide(number, by, &rest);
    return rest;
}

int32_t __divsi3(int32_t number, int32_t by) {
    uint32_t rest;
    uint32_t result = divide(absolute(number), absolute(by), &rest);
    return (int32_t)((number < 0) != (by < 0) ? 0 - result : result);
}

int32_t __modsi3(int32_t number, int32_t by) {
    uint32_t rest;
    divide(absolute(number), absolute(by), &rest);
    return (int32_t)(number < 0 ? 0 - rest : rest);
}

uint64_t __muldi3(uint64_t one, uint64_t other) {
    union {
        uint64_t whole;
        struct {
            uint32_t low, high;
        } half;
    } a = {one}, b = {other}, made;
    uint32_t a0 = a.half.low & 0xffff, a1 = a.half.low >> 16;
    uint32_t b0 = b.half.low & 0xffff, b1 = b.half.low >> 16;
    uint32_t low = a0 * b0, first = a0 * b1, second = a1 * b0;
    uint32_t middle = (low >> 16) + (first & 0xffff) + (second & 0xffff);
    made.half.low = middle << 16 | (low & 0xffff);
    made.half.high = a1 * b1 + (first >> 16) + (second >> 16) + (middle >> 16) + a.half.low * b.half.high +
                     a.half.high * b.half.low;
    return made.whole;
}
