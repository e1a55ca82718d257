/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <esp_event.h>
#include <esp_netif.h>
#include <esp_wifi.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fm_esp32.h"

/* So often a network is tried before its failure counts. */
#define TRIES 3

static int result_of(uint8_t reason) {
    switch (reason) {
    case WIFI_REASON_NO_AP_FOUND:
    /* The same in newer versions: only one with other or less security, below the threshold, or too far away. */
    case 210:
    case 211:
    case 212:
        return FM_ABSENT;
    case WIFI_REASON_AUTH_EXPIRE:
    case WIFI_REASON_AUTH_FAIL:
    case WIFI_REASON_4WAY_HANDSHAKE_TIMEOUT:
    case WIFI_REASON_HANDSHAKE_TIMEOUT:
        return FM_REFUSED;
    default:
        return FM_IO;
    }
}

static void on_event(void *ctx, esp_event_base_t base, int32_t id, void *data) {
    struct fm_esp32_net *self = (struct fm_esp32_net *)ctx;
    if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        self->state = FM_OK;
    } else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
        const wifi_event_sta_disconnected_t *event = (const wifi_event_sta_disconnected_t *)data;
        /* The farewell to the network before is no news of this one. */
        if (!self->began || event->reason == WIFI_REASON_ASSOC_LEAVE) {
            return;
        }
        if (self->state == FM_PENDING && ++self->tries < TRIES && esp_wifi_connect() == ESP_OK) {
            return;
        }
        self->state = result_of(event->reason);
    }
}

static int join(void *ctx, const char *ssid, const char *passphrase) {
    struct fm_esp32_net *self = (struct fm_esp32_net *)ctx;
    wifi_config_t wanted;
    size_t name = strlen(ssid), secret = strlen(passphrase);
    memset(&wanted, 0, sizeof wanted);
    if (!name || name > sizeof wanted.sta.ssid || secret > sizeof wanted.sta.password) {
        return FM_TOO_LONG;
    }
    memcpy(wanted.sta.ssid, ssid, name);
    memcpy(wanted.sta.password, passphrase, secret);
    /* An open network of the same name is another one. */
    wanted.sta.threshold.authmode = secret ? WIFI_AUTH_WPA2_PSK : WIFI_AUTH_OPEN;
    wanted.sta.pmf_cfg.capable = true;
    self->began = false;
    (void)esp_wifi_disconnect();
    self->tries = 0;
    self->state = FM_PENDING;
    self->began = true;
    if (esp_wifi_set_config(WIFI_IF_STA, &wanted) != ESP_OK || esp_wifi_connect() != ESP_OK) {
        self->state = FM_IO;
    }
    memset(&wanted, 0, sizeof wanted);
    return self->state == FM_IO ? FM_IO : FM_OK;
}

static int state(void *ctx) {
    const struct fm_esp32_net *self = (const struct fm_esp32_net *)ctx;
    return self->began ? self->state : FM_IO;
}

static void hang_up(struct fm_esp32_net *self) {
    if (self->socket) {
        (void)close(self->socket - 1);
    }
    self->socket = 0;
}

static void leave(void *ctx) {
    struct fm_esp32_net *self = (struct fm_esp32_net *)ctx;
    hang_up(self);
    self->began = false;
    (void)esp_wifi_disconnect();
}

static int send_datagram(void *ctx, const char *host, uint16_t port, const uint8_t *data, size_t size) {
    struct fm_esp32_net *self = (struct fm_esp32_net *)ctx;
    struct addrinfo wanted, *found;
    const struct addrinfo *address;
    char service[6];
    int result = FM_IO;
    hang_up(self);
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_DGRAM;
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &wanted, &found) != 0) {
        return FM_IO;
    }
    /* Where there is no connection, nobody says that an address is the wrong one. */
    for (address = found; address->ai_next && address->ai_family != AF_INET;) {
        address = address->ai_next;
    }
    int made = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
    if (made >= 0) {
        self->socket = made + 1;
        /* Connected, so that nobody else's datagram is taken for the answer. */
        if (fcntl(made, F_SETFL, O_NONBLOCK) == 0 && connect(made, address->ai_addr, address->ai_addrlen) == 0 &&
            send(made, data, size, 0) == (ssize_t)size) {
            result = FM_OK;
        }
    }
    freeaddrinfo(found);
    return result;
}

static int receive(void *ctx, uint8_t *data, size_t room) {
    const struct fm_esp32_net *self = (const struct fm_esp32_net *)ctx;
    if (!self->socket) {
        return FM_IO;
    }
    ssize_t got = recv(self->socket - 1, data, room, 0);
    if (got >= 0) {
        return (int)got;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : FM_IO;
}

/* What somebody else has begun before is not begun again. */
static bool is_there(esp_err_t error) {
    return error == ESP_OK || error == ESP_ERR_INVALID_STATE;
}

static esp_err_t start(struct fm_esp32_net *self) {
    wifi_init_config_t config = WIFI_INIT_CONFIG_DEFAULT();
    if (!is_there(esp_netif_init()) || !is_there(esp_event_loop_create_default())) {
        return ESP_FAIL;
    }
    if (!esp_netif_get_handle_from_ifkey("WIFI_STA_DEF") && !esp_netif_create_default_wifi_sta()) {
        return ESP_FAIL;
    }
    esp_err_t error = esp_wifi_init(&config);
    if (error == ESP_OK) {
        error = esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, self);
    }
    if (error == ESP_OK) {
        error = esp_event_handler_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, self);
    }
    /* The network is known to Fleetmint; a second copy of its passphrase would stay where nobody looks. */
    if (error == ESP_OK) {
        error = esp_wifi_set_storage(WIFI_STORAGE_RAM);
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_mode(WIFI_MODE_STA);
    }
    return error == ESP_OK ? esp_wifi_start() : error;
}

void fm_esp32_net_mac(uint8_t mac[FM_MAC]) {
    if (esp_wifi_get_mac(WIFI_IF_STA, mac) != ESP_OK) {
        memset(mac, 0, FM_MAC);
    }
}

int fm_esp32_net_open(struct fm_esp32_net *self, struct fm_net *net) {
    if (!self->ready) {
        self->ready = start(self) == ESP_OK;
    }
    net->ctx = self;
    net->join = join;
    net->state = state;
    net->leave = leave;
    net->send = send_datagram;
    net->receive = receive;
    return self->ready ? FM_OK : FM_IO;
}
