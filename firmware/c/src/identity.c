/* SPDX-License-Identifier: MIT */
#include "fleetmint/identity.h"

#include <string.h>

#include "fleetmint/json.h"
#include "fleetmint/keys.h"

/* A text with its end; FM_BAD when there is a zero in it. */
static int text_of(const struct fm_kv *kv, const char *key, char *text, size_t room) {
    int size = kv->get(kv->ctx, key, (uint8_t *)text, room - 1);
    if (size < 0) {
        return size == FM_TOO_LONG ? FM_BAD : size;
    }
    text[size] = 0;
    return memchr(text, 0, (size_t)size) ? FM_BAD : size;
}

static int port_of(const struct fm_kv *kv, const char *key, uint16_t *port) {
    int32_t number;
    int result = kv->get_i32(kv->ctx, key, &number);
    if (result != FM_OK) {
        return result;
    }
    if (number < 1 || number > 65535) {
        return FM_BAD;
    }
    *port = (uint16_t)number;
    return FM_OK;
}

static int needed(struct fm_identity *identity, const char *key, int result) {
    if (result == 0) {
        result = FM_ABSENT;
    }
    if (result < 0) {
        identity->missing = key;
        return result;
    }
    return FM_OK;
}

int fm_identity_read(struct fm_identity *identity, const struct fm_kv *kv) {
    memset(identity, 0, sizeof *identity);
    int result = needed(identity, FM_KEY_DEVICE_ID, text_of(kv, FM_KEY_DEVICE_ID, identity->device_id, FM_DEVICE_ID));
    if (result == FM_OK) {
        result = needed(identity, FM_KEY_GATEWAY, text_of(kv, FM_KEY_GATEWAY, identity->gateway, FM_HOST_NAME));
    }
    if (result == FM_OK) {
        result = port_of(kv, FM_KEY_HTTPS_PORT, &identity->https_port);
        identity->missing = result == FM_OK ? NULL : FM_KEY_HTTPS_PORT;
    }
    if (result == FM_OK) {
        result = port_of(kv, FM_KEY_MQTT_PORT, &identity->mqtt_port);
        identity->missing = result == FM_OK ? NULL : FM_KEY_MQTT_PORT;
    }
    return result;
}

static int listed(const uint8_t *text, size_t size, size_t index, struct fm_network *network) {
    struct fm_json list, pair, name, passphrase;
    if (fm_json_read(text, size, &list) != FM_OK) {
        return FM_BAD;
    }
    int result = fm_json_item(&list, index, &pair);
    if (result != FM_OK) {
        return result;
    }
    if (fm_json_item(&pair, 0, &name) != FM_OK || fm_json_item(&pair, 1, &passphrase) != FM_OK ||
        fm_json_text(&name, network->ssid, sizeof network->ssid) < 0 ||
        fm_json_text(&passphrase, network->passphrase, sizeof network->passphrase) < 0) {
        return FM_BAD;
    }
    return FM_OK;
}

int fm_identity_network(const struct fm_kv *kv, size_t index, struct fm_network *network) {
    uint8_t list[FM_NETWORKS_JSON];
    int size = kv->get(kv->ctx, FM_KEY_WIFI_LIST, list, sizeof list);
    if (size > 0) {
        return listed(list, (size_t)size, index, network);
    }
    if (size < 0 && size != FM_ABSENT) {
        return size;
    }
    if (index > 0) {
        return FM_ABSENT;
    }
    size = text_of(kv, FM_KEY_WIFI_SSID, network->ssid, sizeof network->ssid);
    if (size <= 0) {
        return size ? size : FM_ABSENT;
    }
    size = text_of(kv, FM_KEY_WIFI_PSK, network->passphrase, sizeof network->passphrase);
    if (size == FM_ABSENT) {
        network->passphrase[0] = 0;
        return FM_OK;
    }
    return size < 0 ? size : FM_OK;
}

int fm_identity_token(const struct fm_kv *kv, char token[FM_TOKEN]) {
    int size = text_of(kv, FM_KEY_TOKEN, token, FM_TOKEN);
    return size ? size : FM_ABSENT;
}
