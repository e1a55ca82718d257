/* The names of the values in the store: those of src/fleetmint/nvs/keys.py, which says what each holds.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_KEYS_H
#define FLEETMINT_KEYS_H

#define FM_NAMESPACE "fleetmint"

#define FM_KEY_DEVICE_ID "device_id"
#define FM_KEY_TOKEN "token"
#define FM_KEY_WIFI_SSID "wifi_ssid"
#define FM_KEY_WIFI_PSK "wifi_psk"
#define FM_KEY_WIFI_LIST "wifi_list"
#define FM_KEY_GATEWAY "gateway"
#define FM_KEY_HTTPS_PORT "https_port"
#define FM_KEY_MQTT_PORT "mqtt_port"
#define FM_KEY_BUNDLE "bundle"
#define FM_KEY_CLOCK_FLOOR "clock_floor"
#define FM_KEY_SLOT "slot"
#define FM_KEY_KEY0 "key0"
#define FM_KEY_KEY1 "key1"
#define FM_KEY_CERT0 "cert0"
#define FM_KEY_CERT1 "cert1"

#endif
