/* The store of an ESP32: the namespace of Fleetmint in the NVS, plain or encrypted as the firmware was configured.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_ESP32_KV_H
#define FLEETMINT_ESP32_KV_H

#include <nvs.h>

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fm_esp32_kv {
    nvs_handle_t nvs;
    /* What ESP-IDF said at last, for a message: esp_err_to_name(error). */
    esp_err_t error;
};

/* Opens the NVS and fills in `kv`; FM_OK or FM_IO.
 *
 * It never erases an NVS that cannot be opened, as examples of ESP-IDF do: this one holds who the device is. */
int fm_esp32_kv_open(struct fm_esp32_kv *self, struct fm_kv *kv);

#ifdef __cplusplus
}
#endif

#endif
