/* As on an ESP32: FLASH HMAC-KEY|- [NAME=VALUE]..., with the options of board_options(). NTP questions go to port 123. */
#include <stdio.h>

#include "../../../firmware/c/test/device.h"
#include "board.h"
#include "fm_esp32.h"

static void say(void *ctx, const char *line) {
    (void)ctx;
    printf("fleetmint: %s\n", line);
    fflush(stdout);
}

struct fm_port *device_board(int count, char **argument) {
    static struct fm_esp32 esp32;
    static struct fm_port port;
    if (count < 3)
        return NULL;
    board_start(argument[1], argument[2], 0);
    board_options(count, argument);
    port.log.say = say;
    return fm_esp32_open(&esp32, &port) == FM_OK ? &port : NULL;
}
