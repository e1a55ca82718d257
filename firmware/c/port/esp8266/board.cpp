// The whole board: clock, randomness, the console, and BearSSL.
//
// BearSSL wants more stack than the 4 KiB that a sketch has. Arduino's core keeps a second stack for it, and what goes
// deep runs there, behind a thunk.
//
// SPDX-License-Identifier: MIT
#include <Arduino.h>
#include <ESP8266WiFi.h>
#include <StackThunk.h>
#include <string.h>

#include "fm_bearssl.h"
#include "fm_esp8266.h"

namespace {

struct fm_bearssl_crypto crypto_state;
struct fm_bearssl_tls tls_state;
// As BearSSL's port has made them, called on the second stack.
fm_crypto deep_crypto;
fm_tls deep_tls;
// Seconds since 2000 at which the board started.
int64_t started;
bool is_set;

uint32_t ticks(void *) { return millis(); }

int64_t seconds() { return static_cast<int64_t>(micros64() / 1000000); }

uint32_t now(void *) { return is_set ? static_cast<uint32_t>(started + seconds()) : 0; }

void set(void *, uint32_t time) {
    started = time - seconds();
    is_set = true;
}

void say(void *, const char *line) {
    Serial.print("fleetmint: ");
    Serial.println(line);
}

}  // namespace

extern "C" {

int fm_deep_keygen(void *ctx, uint8_t *key) { return deep_crypto.keygen(ctx, key); }
int fm_deep_public_key(void *ctx, const uint8_t *key, uint8_t *point) {
    return deep_crypto.public_key(ctx, key, point);
}
int fm_deep_sign(void *ctx, const uint8_t *key, const uint8_t *hash, uint8_t *signature) {
    return deep_crypto.sign(ctx, key, hash, signature);
}
int fm_deep_verify(void *ctx, const uint8_t *point, const uint8_t *hash, const uint8_t *signature) {
    return deep_crypto.verify(ctx, point, hash, signature);
}
int fm_deep_open(void *ctx, const struct fm_tls_setup *setup) { return deep_tls.open(ctx, setup); }
int fm_deep_step(void *ctx) { return deep_tls.step(ctx); }
int fm_deep_read(void *ctx, uint8_t *data, size_t room) { return deep_tls.read(ctx, data, room); }
int fm_deep_write(void *ctx, const uint8_t *data, size_t size) { return deep_tls.write(ctx, data, size); }
int fm_deep_flush(void *ctx) { return deep_tls.flush(ctx); }

make_stack_thunk(fm_deep_keygen);
make_stack_thunk(fm_deep_public_key);
make_stack_thunk(fm_deep_sign);
make_stack_thunk(fm_deep_verify);
make_stack_thunk(fm_deep_open);
make_stack_thunk(fm_deep_step);
make_stack_thunk(fm_deep_read);
make_stack_thunk(fm_deep_write);
make_stack_thunk(fm_deep_flush);

int thunk_fm_deep_keygen(void *, uint8_t *);
int thunk_fm_deep_public_key(void *, const uint8_t *, uint8_t *);
int thunk_fm_deep_sign(void *, const uint8_t *, const uint8_t *, uint8_t *);
int thunk_fm_deep_verify(void *, const uint8_t *, const uint8_t *, const uint8_t *);
int thunk_fm_deep_open(void *, const struct fm_tls_setup *);
int thunk_fm_deep_step(void *);
int thunk_fm_deep_read(void *, uint8_t *, size_t);
int thunk_fm_deep_write(void *, const uint8_t *, size_t);
int thunk_fm_deep_flush(void *);

int fm_esp8266_entropy(void *, uint8_t *data, size_t size) {
    // Without the radio the generator has no noise to make its numbers of.
    if (WiFi.getMode() == WIFI_OFF) {
        return FM_ENTROPY;
    }
    while (size > 0) {
        uint32_t word = RANDOM_REG32;
        size_t step = size < sizeof word ? size : sizeof word;
        memcpy(data, &word, step);
        data += step;
        size -= step;
        // It takes a moment until the next number is another one.
        delayMicroseconds(10);
    }
    return FM_OK;
}

void fm_esp8266_clock(struct fm_clock *clock) { *clock = fm_clock{nullptr, ticks, now, set}; }

const char *fm_esp8266_reset_cause(void) {
    switch (ESP.getResetInfoPtr()->reason) {
    case REASON_DEFAULT_RST:
        return "power on";
    case REASON_WDT_RST:
    case REASON_SOFT_WDT_RST:
        return "watchdog";
    case REASON_EXCEPTION_RST:
        return "exception";
    case REASON_SOFT_RESTART:
        return "soft reset";
    case REASON_DEEP_SLEEP_AWAKE:
        return "deep sleep";
    case REASON_EXT_SYS_RST:
        return "hard reset";
    default:
        return "unknown";
    }
}

int fm_esp8266_begin(struct fm_port *port) {
    if (fm_esp8266_kv(&port->kv) != FM_OK) {
        return FM_IO;
    }
    fm_esp8266_net(&port->net);
    fm_esp8266_clock(&port->clock);
    port->log = fm_log{nullptr, say};
    WiFi.macAddress(port->mac);

    stack_thunk_add_ref();
    crypto_state.entropy = fm_esp8266_entropy;
    deep_crypto = fm_bearssl_crypto(&crypto_state);
    port->crypto = deep_crypto;
    port->crypto.keygen = thunk_fm_deep_keygen;
    port->crypto.public_key = thunk_fm_deep_public_key;
    port->crypto.sign = thunk_fm_deep_sign;
    port->crypto.verify = thunk_fm_deep_verify;
    tls_state.stream = fm_esp8266_stream();
    // It runs on the second stack already: no thunk within a thunk.
    tls_state.crypto = &deep_crypto;
    deep_tls = fm_bearssl_tls(&tls_state);
    port->tls = deep_tls;
    port->tls.open = thunk_fm_deep_open;
    port->tls.step = thunk_fm_deep_step;
    port->tls.read = thunk_fm_deep_read;
    port->tls.write = thunk_fm_deep_write;
    port->tls.flush = thunk_fm_deep_flush;
    return FM_OK;
}

}  // extern "C"
