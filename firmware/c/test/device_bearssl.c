/* As on an ESP8266: FLASH OFFSET SIZE BLOCK_SIZE [NAME=VALUE]...
 *
 *   ntp=PORT             where NTP questions go (default 0: nowhere)
 *   dies=N, torn=1       the power goes at this write to the flash, or half-way through it
 *   ssid=NAME, passphrase=TEXT   the only network there is (default: whatever the device wants)
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "fm_host.h"
#include "fm_host_files.h"

static uint32_t number(const char *text) {
    return (uint32_t)strtoul(text, NULL, 10);
}

struct fm_port *device_board(int count, char **argument) {
    static struct fm_host host;
    static struct fm_host_files files;
    static struct fm_host_stream stream;
    static struct fm_bearssl_crypto crypto = {.entropy = fm_host_entropy};
    static struct fm_bearssl_tls tls;
    static struct fm_port port;
    if (count < 5 || fm_host_files_open(&files, argument[1], number(argument[2]), number(argument[3]),
                                        number(argument[4])) != FM_OK) {
        return NULL;
    }
    files.dies_at = (unsigned)number(device_option(count, argument, "dies", "0"));
    files.torn = device_option(count, argument, "torn", NULL) != NULL;
    host.ntp_port = (uint16_t)number(device_option(count, argument, "ntp", "0"));
    host.ssid = device_option(count, argument, "ssid", NULL);
    host.passphrase = device_option(count, argument, "passphrase", NULL);
    port.kv = fm_host_kv(&files);
    port.crypto = fm_bearssl_crypto(&crypto);
    tls.stream = fm_host_stream(&stream);
    tls.crypto = &port.crypto;
    port.tls = fm_bearssl_tls(&tls);
    port.clock = fm_host_clock(&host);
    port.net = fm_host_net(&host);
    port.log = fm_host_log(&host);
    memcpy(port.mac, (const uint8_t[FM_MAC]){0x24, 0x0a, 0xc4, 0x00, 0x00, 0x07}, FM_MAC);
    return &port;
}
