/* An ESP8266 under Arduino: its LittleFS, its radio, TCP and UDP of lwIP, and BearSSL on a stack of its own.
 *
 * There is one board, so its state is in the sources.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_ESP8266_H
#define FLEETMINT_ESP8266_H

#include "fleetmint/port.h"
#include "fleetmint/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Mount the file system, switch the radio on, and fill in everything: FM_OK or FM_IO.
 *
 * A file system that cannot be mounted is left alone. LittleFS.begin() of Arduino would format it, and with it goes who
 * the device is: do not call that before this. */
int fm_esp8266_begin(struct fm_port *port);

/* Why the board has started, in words. */
const char *fm_esp8266_reset_cause(void);

/* The parts of it. */
int fm_esp8266_kv(struct fm_kv *kv);
void fm_esp8266_net(struct fm_net *net);
struct fm_stream fm_esp8266_stream(void);
void fm_esp8266_clock(struct fm_clock *clock);
int fm_esp8266_entropy(void *ctx, uint8_t *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
