/* SPDX-License-Identifier: MIT */
#include "fleetmint/standing.h"

#include <string.h>

#include "fleetmint/calendar.h"
#include "fleetmint/json.h"
#include "fleetmint/text.h"

#define WEEK (7u * 86400u)

uint32_t fm_standing_jitter(const struct fm_crypto *crypto, const char *device_id, const char *serial, uint32_t left) {
    char both[FM_LINE];
    uint8_t hash[FM_HASH];
    struct fm_text text;
    fm_text_begin(&text, both, sizeof both);
    fm_text_add(&text, device_id);
    fm_text_add(&text, " ");
    fm_text_add(&text, serial);
    if (crypto->sha256(crypto->ctx, (const uint8_t *)both, text.size, hash) != FM_OK) {
        return 0;
    }
    uint64_t most = left / 10 < WEEK ? left / 10 : WEEK;
    return (uint32_t)((most * ((uint32_t)hash[0] << 8 | hash[1])) >> 16);
}

static int time_of(const struct fm_json *body, const char *name, char text[FM_TIME_TEXT], uint32_t *seconds) {
    int size = fm_json_member_text(body, name, text, FM_TIME_TEXT);
    return size < 0 ? size : fm_calendar_iso(text, (size_t)size, seconds);
}

int fm_standing_read(struct fm_standing *standing, const struct fm_crypto *crypto, const char *device_id,
                     const uint8_t *body, size_t size, uint32_t date) {
    struct fm_json told, value;
    bool renew;
    uint32_t ends, begins;
    memset(standing, 0, sizeof *standing);
    if (!date || fm_json_read(body, size, &told) != FM_OK ||
        fm_json_member_text(&told, "serial", standing->serial, sizeof standing->serial) < 0 ||
        time_of(&told, "not_after", standing->not_after, &ends) != FM_OK ||
        time_of(&told, "renew_at", standing->renew_at, &begins) != FM_OK ||
        fm_json_member(&told, "renew", &value) != FM_OK || fm_json_bool(&value, &renew) != FM_OK) {
        return FM_BAD;
    }
    if (fm_json_member(&told, "new_key", &value) == FM_OK && fm_json_bool(&value, &standing->new_key) != FM_OK) {
        return FM_BAD;
    }
    /* None is null. */
    if (fm_json_member_text(&told, "trust_bundle", standing->bundle, sizeof standing->bundle) < 0) {
        standing->bundle[0] = 0;
    }
    uint32_t left = ends > begins ? ends - begins : 0;
    uint64_t due = (uint64_t)begins + fm_standing_jitter(crypto, device_id, standing->serial, left);
    standing->left = renew || due <= date ? 0 : due - date > UINT32_MAX ? UINT32_MAX : (uint32_t)(due - date);
    return FM_OK;
}
