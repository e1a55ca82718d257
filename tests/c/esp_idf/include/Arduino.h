/* What of Arduino for ESP32 the sketches use; the console is stdin and stdout. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "esp_err.h"

#define SET_LOOP_TASK_STACK_SIZE(bytes) \
    size_t getArduinoLoopTaskStackSize() { return bytes; } \
    static_assert(bytes >= 8192, "less than it is by itself")

unsigned long millis();
void delay(uint32_t ms);

class HardwareSerial {
  public:
    void begin(unsigned long baud);
    int available();
    int read();
    size_t print(const char *text);
    size_t println(const char *text);
    size_t println(int number);
};

extern HardwareSerial Serial;

void setup();
void loop();

#endif
