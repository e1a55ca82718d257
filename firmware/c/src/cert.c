/* SPDX-License-Identifier: MIT */
#include "fleetmint/cert.h"

#include <string.h>

#include "fleetmint/calendar.h"
#include "fleetmint/der.h"

/* UTCTime "YYMMDDHHMMSSZ" with years 1950 to 2049, or GeneralizedTime "YYYYMMDDHHMMSSZ" (RFC 5280, 4.1.2.5). */
static int take_time(struct fm_bytes *from, uint32_t *seconds) {
    struct fm_der element;
    struct fm_date date;
    const char *text;
    int32_t year, parts[5];
    size_t digits, at;

    if (fm_der_next(from, &element) != FM_OK) {
        return FM_BAD;
    }
    if (element.tag != FM_DER_UTC_TIME && element.tag != FM_DER_GENERALIZED_TIME) {
        return FM_BAD;
    }
    digits = element.tag == FM_DER_UTC_TIME ? 2 : 4;
    text = (const char *)element.content.data;
    if (element.content.size != digits + 11 || text[digits + 10] != 'Z') {
        return FM_BAD;
    }
    year = fm_calendar_digits(text, digits);
    if (year < 0) {
        return FM_BAD;
    }
    if (digits == 2) {
        year += year < 50 ? 2000 : 1900;
    }
    for (at = 0; at < 5; at++) {
        parts[at] = fm_calendar_digits(text + digits + 2 * at, 2);
        if (parts[at] < 0) {
            return FM_BAD;
        }
    }
    date.year = (uint16_t)year;
    date.month = (uint8_t)parts[0];
    date.day = (uint8_t)parts[1];
    date.hour = (uint8_t)parts[2];
    date.minute = (uint8_t)parts[3];
    date.second = (uint8_t)parts[4];
    return fm_calendar_seconds(&date, seconds);
}

/* SubjectPublicKeyInfo of P-256 up to the point (RFC 5480): id-ecPublicKey, prime256v1, BIT STRING. */
static const uint8_t p256_info[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
                                    0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static const uint8_t *p256_point(const struct fm_bytes *info) {
    if (info->size != sizeof p256_info + FM_PUBLIC || memcmp(info->data, p256_info, sizeof p256_info) != 0) {
        return NULL;
    }
    return info->data[sizeof p256_info] == 0x04 ? info->data + sizeof p256_info : NULL;
}

int fm_cert_read(const uint8_t *der, size_t size, struct fm_cert *cert) {
    static const uint8_t version_3[] = {FM_DER_INTEGER, 1, 2};
    struct fm_bytes from = {NULL, 0};
    struct fm_der whole, signed_part, element;

    from.data = der;
    from.size = size;
    /* Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature } */
    if (fm_der_take(&from, FM_DER_SEQUENCE, &whole) != FM_OK || from.size != 0) {
        return FM_BAD;
    }
    from = whole.content;
    if (fm_der_take(&from, FM_DER_SEQUENCE, &signed_part) != FM_OK ||
        fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK ||
        fm_der_take(&from, FM_DER_BIT_STRING, &element) != FM_OK || from.size != 0) {
        return FM_BAD;
    }
    from = signed_part.content;
    if (fm_der_take(&from, FM_DER_TAGGED(0), &element) != FM_OK || element.content.size != sizeof version_3 ||
        memcmp(element.content.data, version_3, sizeof version_3) != 0) {
        return FM_BAD;
    }
    if (fm_der_take(&from, FM_DER_INTEGER, &element) != FM_OK || element.content.size == 0) {
        return FM_BAD;
    }
    cert->serial = element.content;
    /* the algorithm of the signature once more */
    if (fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK) {
        return FM_BAD;
    }
    if (fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK) {
        return FM_BAD;
    }
    cert->issuer = element.whole;
    if (fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK ||
        take_time(&element.content, &cert->not_before) != FM_OK ||
        take_time(&element.content, &cert->not_after) != FM_OK || element.content.size != 0) {
        return FM_BAD;
    }
    if (fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK) {
        return FM_BAD;
    }
    cert->subject = element.whole;
    if (fm_der_take(&from, FM_DER_SEQUENCE, &element) != FM_OK) {
        return FM_BAD;
    }
    cert->public_key_info = element.whole;
    cert->point = p256_point(&element.whole);
    return FM_OK;
}
