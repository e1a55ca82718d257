/* An ESP32 under ESP-IDF 5, or Arduino for ESP32, which is built on that: its NVS, its sockets, its clock, its Wi-Fi.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_ESP32_H
#define FLEETMINT_ESP32_H

#include <esp_err.h>
#include <netdb.h>
#include <nvs.h>
#include <stdbool.h>

#include "fleetmint/port.h"
#include "fleetmint/stream.h"
#include "fm_mbedtls.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The store: the namespace of Fleetmint in the NVS, plain or encrypted as the firmware was configured. */
struct fm_esp32_kv {
    nvs_handle_t nvs;
    /* What ESP-IDF said at last, for a message: esp_err_to_name(error). */
    esp_err_t error;
};

/* Opens the NVS and fills in `kv`; FM_OK or FM_IO.
 *
 * It never erases an NVS that cannot be opened, as examples of ESP-IDF do: this one holds who the device is. */
int fm_esp32_kv_open(struct fm_esp32_kv *self, struct fm_kv *kv);

/* TCP by the sockets of lwIP. All zero at first. The addresses of a name are tried one after the other; looking the
 * name up waits for the answer, the rest does not. */
struct fm_esp32_stream {
    /* One more than the number of the socket; 0: none. */
    int socket;
    struct addrinfo *found, *next;
    bool connected;
};

struct fm_stream fm_esp32_stream(struct fm_esp32_stream *stream);

/* Milliseconds since the start, and a time that is kept beside the system's, which it sets, too. All zero at first. */
struct fm_esp32_clock {
    /* Seconds since 2000-01-01 UTC at which the board started. */
    int64_t start;
    bool is_set;
};

struct fm_clock fm_esp32_clock(struct fm_esp32_clock *clock);

/* Wi-Fi as a station, and UDP. All zero at first. Events come from another task: what that writes is one number. */
struct fm_esp32_net {
    bool ready, began;
    volatile int state;
    int tries;
    int socket;
};

/* Switches the radio on, without joining anything: from then on there is randomness. FM_OK or FM_IO. */
int fm_esp32_net_open(struct fm_esp32_net *self, struct fm_net *net);
/* The address of the radio that is open; zeros when it is not. */
void fm_esp32_net_mac(uint8_t mac[FM_MAC]);

/* All of it. All zero at first. */
struct fm_esp32 {
    struct fm_esp32_kv kv;
    struct fm_esp32_clock clock;
    struct fm_esp32_net net;
    struct fm_esp32_stream stream;
    struct fm_mbedtls_crypto crypto;
    struct fm_mbedtls_tls tls;
};

/* Opens the store, switches the radio on, and fills in `port` but for its log. FM_OK; FM_IO, and why in `kv.error` when
 * it is not ESP_OK: the store; otherwise the radio. */
int fm_esp32_open(struct fm_esp32 *self, struct fm_port *port);

/* A second connection beside that of the port: `tls` and `stream` are zero at first, and its own. */
struct fm_tls fm_esp32_another(struct fm_esp32 *self, struct fm_mbedtls_tls *tls, struct fm_esp32_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
