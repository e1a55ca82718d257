/* Whom the device trusts, changed by the gateway's word and the release key's signature.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

bool fm_follow_is_newer(const struct fm_credentials *self) {
    char held[FM_BUNDLE_LABEL];
    int order = fm_bundle_compare(self->standing.bundle, &self->bundle);
    if (order < 0) {
        fm_bundle_label(&self->bundle, held);
        fm_say(&self->port->log, "trust bundle refused: ", self->standing.bundle, " is not newer than ", held);
    }
    return order > 0;
}

bool fm_follow_is_good(struct fm_credentials *self, int result) {
    const struct fm_log *log = &self->port->log;
    if (result != FM_OK) {
        fm_ask_say(self, "trust bundle refused", "", ": ", &self->failure);
        return false;
    }
    if (fm_bundle_read((const uint8_t *)self->exchange.room, self->exchange.reply.size, &self->offered) != FM_OK) {
        fm_say(log, "trust bundle refused: it is no trust bundle");
        return false;
    }
    int verdict = fm_bundle_judge(&self->port->crypto, &self->bundle, &self->offered);
    if (verdict != FM_BUNDLE_TAKEN) {
        fm_say(log, "trust bundle refused: ", verdict < 0 ? "it cannot be judged" : fm_bundle_reason(verdict));
    }
    return verdict == FM_BUNDLE_TAKEN;
}

int fm_follow_take(struct fm_credentials *self, int result) {
    const struct fm_kv *kv = &self->port->kv;
    const struct fm_log *log = &self->port->log;
    char held[FM_BUNDLE_LABEL], offered[FM_BUNDLE_LABEL];
    fm_bundle_label(&self->bundle, held);
    fm_bundle_label(&self->offered, offered);
    if (result != FM_OK) {
        fm_ask_say(self, "trust bundle ", offered, " not used yet, the gateway does not stand under it: ",
                   &self->failure);
        return FM_OK;
    }
    /* One write: before it the old bundle is in use, behind it the new one. */
    result = fm_bundle_keep(kv, &self->offered, self->bundle_data);
    if (result == FM_OK) {
        fm_say(log, "trust bundle ", offered, " in use, it replaces ", held);
    } else {
        fm_say(log, "trust bundle ", offered, " not used, the store does not keep it");
    }
    return fm_bundle_load(kv, self->bundle_data, &self->bundle);
}
