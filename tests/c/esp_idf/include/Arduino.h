/* What of Arduino for ESP32 the sketches use; the console is stdin and stdout. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "esp_err.h"

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
