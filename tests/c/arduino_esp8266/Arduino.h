// What of Arduino's core for the ESP8266 the port and the example use, for building them where that core is not: the
// declarations, and a board in memory.
//
// SPDX-License-Identifier: MIT
#ifndef ARDUINO_DOUBLE_H
#define ARDUINO_DOUBLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOW 0
#define HIGH 1
#define OUTPUT 1
#define INPUT_PULLUP 2
#define LED_BUILTIN 2
#define D2 4
#define A0 17

extern "C" {
uint32_t millis(void);
uint64_t micros64(void);
void delayMicroseconds(unsigned int microseconds);
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
int digitalRead(uint8_t pin);
int analogRead(uint8_t pin);
}

// The register of the hardware's random numbers.
uint32_t arduino_double_random(void);
#define RANDOM_REG32 arduino_double_random()

struct HardwareSerial {
    void begin(unsigned long baud);
    size_t print(const char *text);
    size_t println(const char *text);
};
extern HardwareSerial Serial;

enum rst_reason {
    REASON_DEFAULT_RST = 0,
    REASON_WDT_RST = 1,
    REASON_EXCEPTION_RST = 2,
    REASON_SOFT_WDT_RST = 3,
    REASON_SOFT_RESTART = 4,
    REASON_DEEP_SLEEP_AWAKE = 5,
    REASON_EXT_SYS_RST = 6
};

struct rst_info {
    uint32_t reason;
};

struct EspClass {
    struct rst_info *getResetInfoPtr();
};
extern EspClass ESP;

#endif
