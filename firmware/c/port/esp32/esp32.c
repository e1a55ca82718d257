/* SPDX-License-Identifier: MIT */
#include "fm_esp32.h"

struct fm_tls fm_esp32_another(struct fm_esp32 *self, struct fm_mbedtls_tls *tls, struct fm_esp32_stream *stream) {
    tls->stream = fm_esp32_stream(stream);
    tls->crypto = &self->crypto;
    return fm_mbedtls_tls(tls);
}

int fm_esp32_open(struct fm_esp32 *self, struct fm_port *port) {
    port->crypto = fm_mbedtls_crypto(&self->crypto);
    port->tls = fm_esp32_another(self, &self->tls, &self->stream);
    port->clock = fm_esp32_clock(&self->clock);
    /* The radio keeps its calibration in the NVS, and gives the randomness for keys. */
    int result = fm_esp32_kv_open(&self->kv, &port->kv);
    if (result == FM_OK) {
        result = fm_esp32_net_open(&self->net, &port->net);
        fm_esp32_net_mac(port->mac);
    }
    return result;
}
