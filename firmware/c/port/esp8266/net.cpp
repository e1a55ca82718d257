// Wi-Fi as a station, and UDP for the time.
//
// SPDX-License-Identifier: MIT
#include <ESP8266WiFi.h>
#include <lwip/dns.h>
#include <lwip/pbuf.h>
#include <lwip/udp.h>

#include "fm_esp8266.h"

namespace {

bool begun;

struct {
    struct udp_pcb *udp;
    struct pbuf *received;
    ip_addr_t address;
    bool looking, found, failed;
} datagram;

int join(void *, const char *ssid, const char *passphrase) {
    begun = WiFi.begin(ssid, *passphrase ? passphrase : nullptr) != WL_CONNECT_FAILED;
    return begun ? FM_OK : FM_IO;
}

int state(void *) {
    if (!begun) {
        return FM_IO;
    }
    switch (WiFi.status()) {
    case WL_CONNECTED:
        return FM_OK;
    case WL_NO_SSID_AVAIL:
        return FM_ABSENT;
    case WL_WRONG_PASSWORD:
    case WL_CONNECT_FAILED:
        return FM_REFUSED;
    default:
        return FM_PENDING;
    }
}

void leave(void *) {
    begun = false;
    WiFi.disconnect();
}

void on_found(const char *, const ip_addr_t *address, void *) {
    datagram.looking = false;
    datagram.failed = !address;
    datagram.found = address;
    if (address) {
        datagram.address = *address;
    }
}

void on_received(void *, struct udp_pcb *, struct pbuf *data, const ip_addr_t *, u16_t) {
    if (datagram.received) {
        pbuf_free(data);
    } else {
        datagram.received = data;
    }
}

void forget() {
    if (datagram.received) {
        pbuf_free(datagram.received);
        datagram.received = nullptr;
    }
}

// FM_OK when the address of the host is known.
int look_up(const char *host) {
    if (datagram.looking) {
        return FM_PENDING;
    }
    if (datagram.found) {
        return FM_OK;
    }
    if (datagram.failed) {
        datagram.failed = false;
        return FM_IO;
    }
    err_t result = dns_gethostbyname(host, &datagram.address, on_found, nullptr);
    datagram.looking = result == ERR_INPROGRESS;
    return datagram.looking ? FM_PENDING : result == ERR_OK ? FM_OK : FM_IO;
}

int send(void *, const char *host, uint16_t port, const uint8_t *data, size_t size) {
    int known = look_up(host);
    if (known != FM_OK) {
        return known;
    }
    datagram.found = false;
    forget();
    if (!datagram.udp) {
        datagram.udp = udp_new();
        if (!datagram.udp) {
            return FM_MEMORY;
        }
        udp_recv(datagram.udp, on_received, nullptr);
    }
    struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, static_cast<u16_t>(size), PBUF_RAM);
    if (!packet) {
        return FM_MEMORY;
    }
    err_t result = pbuf_take(packet, data, static_cast<u16_t>(size));
    if (result == ERR_OK) {
        result = udp_sendto(datagram.udp, packet, &datagram.address, port);
    }
    pbuf_free(packet);
    return result == ERR_OK ? FM_OK : FM_IO;
}

int receive(void *, uint8_t *data, size_t room) {
    if (!datagram.received) {
        return 0;
    }
    int size = pbuf_copy_partial(datagram.received, data, static_cast<u16_t>(room), 0);
    forget();
    return size;
}

}  // namespace

void fm_esp8266_net(struct fm_net *net) {
    // The passphrase is in the file system; the SDK need not keep it a second time.
    WiFi.persistent(false);
    WiFi.mode(WIFI_STA);
    *net = fm_net{nullptr, join, state, leave, send, receive};
}
