/* A sketch on this machine: sketch FLASH HMAC-KEY|- [NAME=VALUE]..., with the options of board_options(). It runs until it is ended. */
#include <Arduino.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern "C" {
#include "board.h"
}
#include "esp_timer.h"

HardwareSerial Serial;

unsigned long millis() {
    return (unsigned long)(esp_timer_get_time() / 1000);
}

void delay(uint32_t ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static int next = -1;

void HardwareSerial::begin(unsigned long) {
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
}

int HardwareSerial::available() {
    unsigned char byte;
    if (next < 0 && ::read(STDIN_FILENO, &byte, 1) == 1)
        next = byte;
    return next >= 0;
}

int HardwareSerial::read() {
    int byte = available() ? next : -1;
    next = -1;
    return byte;
}

size_t HardwareSerial::print(const char *text) {
    int size = printf("%s", text);
    fflush(stdout);
    return (size_t)size;
}

size_t HardwareSerial::println(const char *text) {
    return print(text) + print("\n");
}

size_t HardwareSerial::println(int number) {
    char text[12];
    snprintf(text, sizeof text, "%d", number);
    return println(text);
}

int main(int count, char **argument) {
    if (count < 3)
        return 2;
    board_start(argument[1], argument[2], 0);
    board_options(count, argument);
    setup();
    while (true)
        loop();
}
