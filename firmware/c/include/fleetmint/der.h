/* Reading DER (ITU-T X.690): one element after the other, nothing behind the end of what it is in.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_DER_H
#define FLEETMINT_DER_H

#include "fleetmint/port.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FM_DER_INTEGER 0x02
#define FM_DER_BIT_STRING 0x03
#define FM_DER_OCTET_STRING 0x04
#define FM_DER_OID 0x06
#define FM_DER_UTC_TIME 0x17
#define FM_DER_GENERALIZED_TIME 0x18
#define FM_DER_SEQUENCE 0x30
/* [n], constructed */
#define FM_DER_TAGGED(n) (0xA0 | (n))

struct fm_der {
    uint8_t tag;
    /* tag, length and content */
    struct fm_bytes whole;
    struct fm_bytes content;
};

/* Take the element at the front off `from`. FM_BAD: there is none, it does not fit, or its length is not the shortest
 * form; elements of 64 KiB and more are refused. */
int fm_der_next(struct fm_bytes *from, struct fm_der *element);

/* The same, and FM_BAD when it has another tag. */
int fm_der_take(struct fm_bytes *from, uint8_t tag, struct fm_der *element);

#ifdef __cplusplus
}
#endif

#endif
