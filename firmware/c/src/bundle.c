/* SPDX-License-Identifier: MIT */
#include "fleetmint/bundle.h"

#include <stdbool.h>
#include <string.h>

#include "fleetmint/cert.h"
#include "fleetmint/keys.h"
#include "fleetmint/text.h"

#define POINT (FM_PUBLIC - 1)
#define SITE_LEAST 2
#define SITE_MOST 31

static const uint8_t magic[] = {'F', 'M', 'T', 'B', 1};
/* What the spare signs begins so: neither signature passes for the other. */
static const uint8_t keys_magic[] = {'F', 'M', 'T', 'K', 1};

/* Take so many bytes off the front. NULL when there are fewer. */
static const uint8_t *take(struct fm_bytes *from, size_t size) {
    const uint8_t *data = from->data;

    if (size > from->size) {
        return NULL;
    }
    from->data += size;
    from->size -= size;
    return data;
}

/* A number of 1, 2 or 4 bytes. */
static bool take_number(struct fm_bytes *from, size_t size, uint32_t *number) {
    const uint8_t *data = take(from, size);

    if (data == NULL) {
        return false;
    }
    *number = 0;
    while (size-- > 0) {
        *number = *number << 8 | *data++;
    }
    return true;
}

static bool take_bytes(struct fm_bytes *from, size_t size, struct fm_bytes *bytes) {
    bytes->data = take(from, size);
    bytes->size = size;
    return bytes->data != NULL;
}

/* 2 to 31 of a-z, 0-9 and '-', not beginning with '-': the names that sites have. */
static bool is_site(const struct fm_bytes *site) {
    size_t at;

    for (at = 0; at < site->size; at++) {
        uint8_t character = site->data[at];

        if (!(character >= 'a' && character <= 'z') && !(character >= '0' && character <= '9') &&
            !(character == '-' && at > 0)) {
            return false;
        }
    }
    return site->size >= SITE_LEAST && site->size <= SITE_MOST;
}

static bool is_zero(const uint8_t *data, size_t size) {
    while (size > 0 && *data == 0) {
        data++;
        size--;
    }
    return size == 0;
}

/* Generation, both points, the endorsement: release_key.py has them as the same 194 bytes. */
static bool take_keys(struct fm_bytes *from, struct fm_bundle *bundle) {
    struct fm_bytes keys;
    uint32_t generation;

    if (!take_bytes(from, 2 + 2 * POINT, &bundle->keys)) {
        return false;
    }
    keys = bundle->keys;
    if (!take_number(&keys, 2, &generation)) {
        return false;
    }
    bundle->generation = (uint16_t)generation;
    bundle->release_key = take(&keys, POINT);
    bundle->spare = take(&keys, POINT);
    bundle->endorsement = take(from, FM_SIGNATURE_SIZE);
    /* The first keys, and only those, carry no signature of a spare. */
    return bundle->endorsement != NULL && (generation == 0) == is_zero(bundle->endorsement, FM_SIGNATURE_SIZE);
}

static bool take_anchors(struct fm_bytes *from, struct fm_bundle *bundle) {
    uint32_t count, size, at;
    struct fm_cert cert;

    if (!take_number(from, 1, &count) || count < 1 || count > FM_BUNDLE_ANCHORS) {
        return false;
    }
    bundle->anchor_count = count;
    for (at = 0; at < count; at++) {
        struct fm_bytes *anchor = &bundle->anchors[at];

        if (!take_number(from, 2, &size) || !take_bytes(from, size, anchor) ||
            fm_cert_read(anchor->data, anchor->size, &cert) != FM_OK) {
            return false;
        }
    }
    return true;
}

int fm_bundle_read(const uint8_t *data, size_t size, struct fm_bundle *bundle) {
    struct fm_bytes from;
    const uint8_t *start;
    uint32_t length;

    bundle->whole.data = from.data = data;
    bundle->whole.size = from.size = size;
    if (size > FM_BUNDLE_MOST) {
        return FM_BAD;
    }
    start = take(&from, sizeof magic);
    if (start == NULL || memcmp(start, magic, sizeof magic) != 0) {
        return FM_BAD;
    }
    if (!take_number(&from, 1, &length) || !take_bytes(&from, length, &bundle->site) || !is_site(&bundle->site)) {
        return FM_BAD;
    }
    if (!take_number(&from, 4, &bundle->version) || bundle->version == 0 || !take_number(&from, 4, &bundle->created)) {
        return FM_BAD;
    }
    if (!take_keys(&from, bundle) || !take_anchors(&from, bundle)) {
        return FM_BAD;
    }
    bundle->signature = take(&from, FM_SIGNATURE_SIZE);
    return bundle->signature != NULL && from.size == 0 ? FM_OK : FM_BAD;
}

int fm_bundle_load(const struct fm_kv *kv, uint8_t *room, struct fm_bundle *bundle) {
    int size = kv->get(kv->ctx, FM_KEY_BUNDLE, room, FM_BUNDLE_MOST);

    if (size < 0) {
        return size == FM_TOO_LONG ? FM_BAD : size;
    }
    return fm_bundle_read(room, (size_t)size, bundle);
}

void fm_bundle_label(const struct fm_bundle *bundle, char label[FM_BUNDLE_LABEL]) {
    struct fm_text text;

    fm_text_begin(&text, label, FM_BUNDLE_LABEL);
    fm_text_number(&text, bundle->generation);
    fm_text_add(&text, ".");
    fm_text_number(&text, bundle->version);
}

/* A decimal number up to `end`; -1 when it is none or has more than ten digits. */
static int64_t number_until(const char **text, char end) {
    int64_t number = 0;
    int digits;

    for (digits = 0; **text >= '0' && **text <= '9'; digits++, (*text)++) {
        if (digits == 10) {
            return -1;
        }
        number = number * 10 + (**text - '0');
    }
    if (digits == 0 || **text != end) {
        return -1;
    }
    return number;
}

static int compare(int64_t one, int64_t other) {
    return one > other ? 1 : one < other ? -1 : 0;
}

int fm_bundle_compare(const char *label, const struct fm_bundle *held) {
    int64_t generation = number_until(&label, '.'), version;

    if (generation < 0) {
        return 0;
    }
    label++;
    version = number_until(&label, 0);
    if (version < 0) {
        return 0;
    }
    return generation != held->generation ? compare(generation, held->generation) : compare(version, held->version);
}

static bool is_same(const struct fm_bytes *one, const struct fm_bytes *other) {
    return one->size == other->size && memcmp(one->data, other->data, one->size) == 0;
}

static int verify(const struct fm_crypto *crypto, const uint8_t *point, const uint8_t *signature, const uint8_t *data,
                  size_t size) {
    uint8_t key[FM_PUBLIC], hash[FM_HASH];
    int result = crypto->sha256(crypto->ctx, data, size, hash);

    if (result != FM_OK) {
        return result;
    }
    key[0] = 0x04;
    memcpy(key + 1, point, POINT);
    result = crypto->verify(crypto->ctx, key, hash, signature);
    /* Nobody has signed anything by what is no point. */
    return result == FM_BAD ? FM_SIGNATURE : result;
}

/* Whether the holder of this spare has named the release keys of a bundle. */
static int verify_endorsement(const struct fm_crypto *crypto, const uint8_t *spare, const struct fm_bundle *bundle) {
    uint8_t statement[sizeof keys_magic + 1 + SITE_MOST + 2 + 2 * POINT], *to = statement;

    memcpy(to, keys_magic, sizeof keys_magic);
    to += sizeof keys_magic;
    *to++ = (uint8_t)bundle->site.size;
    memcpy(to, bundle->site.data, bundle->site.size);
    to += bundle->site.size;
    memcpy(to, bundle->keys.data, bundle->keys.size);
    to += bundle->keys.size;
    return verify(crypto, spare, bundle->endorsement, statement, (size_t)(to - statement));
}

int fm_bundle_judge(const struct fm_crypto *crypto, const struct fm_bundle *held, const struct fm_bundle *offered) {
    int result;

    if (!is_same(&held->site, &offered->site)) {
        return FM_BUNDLE_OTHER_SITE;
    }
    if (offered->generation < held->generation ||
        (offered->generation == held->generation && offered->version <= held->version)) {
        return FM_BUNDLE_NOT_NEWER;
    }
    if (offered->generation == held->generation) {
        /* Only the spare says who the release keys are: a stolen release key must not shut it out. */
        if (!is_same(&held->keys, &offered->keys) ||
            memcmp(held->endorsement, offered->endorsement, FM_SIGNATURE_SIZE) != 0) {
            return FM_BUNDLE_OTHER_KEYS;
        }
    } else {
        result = verify_endorsement(crypto, held->spare, offered);
        if (result != FM_OK) {
            return result == FM_SIGNATURE ? FM_BUNDLE_NOT_ENDORSED : result;
        }
    }
    result = verify(crypto, offered->release_key, offered->signature, offered->whole.data,
                    offered->whole.size - FM_SIGNATURE_SIZE);
    return result == FM_SIGNATURE ? FM_BUNDLE_NOT_SIGNED : result;
}

const char *fm_bundle_reason(int verdict) {
    switch (verdict) {
    case FM_BUNDLE_TAKEN:
        return "it is taken";
    case FM_BUNDLE_OTHER_SITE:
        return "it is of another site";
    case FM_BUNDLE_NOT_NEWER:
        return "it is not newer";
    case FM_BUNDLE_OTHER_KEYS:
        return "it names other release keys";
    case FM_BUNDLE_NOT_ENDORSED:
        return "its release keys are not named by the spare";
    case FM_BUNDLE_NOT_SIGNED:
        return "it is not signed by the release key";
    default:
        return "it cannot be judged now";
    }
}

int fm_bundle_keep(const struct fm_kv *kv, const struct fm_bundle *taken, uint8_t *room) {
    int result = kv->put(kv->ctx, FM_KEY_BUNDLE, taken->whole.data, taken->whole.size);

    if (result != FM_OK) {
        return FM_IO;
    }
    result = kv->get(kv->ctx, FM_KEY_BUNDLE, room, FM_BUNDLE_MOST);
    return result == (int)taken->whole.size && memcmp(room, taken->whole.data, taken->whole.size) == 0 ? FM_OK : FM_IO;
}
