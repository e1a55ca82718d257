// SPDX-License-Identifier: MIT
#ifndef ESP8266WIFI_DOUBLE_H
#define ESP8266WIFI_DOUBLE_H

#include "Arduino.h"

enum WiFiMode_t { WIFI_OFF = 0, WIFI_STA = 1 };

enum wl_status_t {
    WL_IDLE_STATUS = 0,
    WL_NO_SSID_AVAIL = 1,
    WL_CONNECTED = 3,
    WL_CONNECT_FAILED = 4,
    WL_WRONG_PASSWORD = 6,
    WL_DISCONNECTED = 7
};

struct ESP8266WiFiClass {
    void persistent(bool keep);
    bool mode(WiFiMode_t mode);
    WiFiMode_t getMode();
    wl_status_t begin(const char *ssid, const char *passphrase = nullptr);
    wl_status_t status();
    bool disconnect(bool off = false);
    uint8_t *macAddress(uint8_t *mac);

    // What the double's air is like.
    WiFiMode_t mode_ = WIFI_OFF;
    wl_status_t status_ = WL_DISCONNECTED;
};
extern ESP8266WiFiClass WiFi;

#endif
