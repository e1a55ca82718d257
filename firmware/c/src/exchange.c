/* SPDX-License-Identifier: MIT */
#include "fleetmint/exchange.h"

#include <string.h>

#include "fleetmint/json.h"

/* Room for the lines before the body, in front of which they are put when its length is known. */
#define HEAD 320

enum { CONNECTING, SENDING, READING, OVER };

static uint32_t ticks(const struct fm_exchange *exchange) {
    return exchange->port->clock.ticks(exchange->port->clock.ctx);
}

void fm_exchange_begin(struct fm_exchange *exchange, const struct fm_port *port, char *room, size_t size,
                       struct fm_text *body) {
    memset(exchange, 0, sizeof *exchange);
    exchange->port = port;
    exchange->room = room;
    exchange->size = size;
    fm_text_begin(body, room + HEAD, size - HEAD);
}

int fm_exchange_send(struct fm_exchange *exchange, const char *method, const char *path, const struct fm_text *body,
                     const struct fm_tls_setup *setup) {
    const struct fm_tls *tls = &exchange->port->tls;
    struct fm_text head;
    bool is_v6 = strchr(setup->host, ':') != NULL;
    fm_text_begin(&head, exchange->room, HEAD);
    fm_text_add(&head, method);
    fm_text_add(&head, " ");
    fm_text_add(&head, path);
    fm_text_add(&head, is_v6 ? " HTTP/1.1\r\nHost: [" : " HTTP/1.1\r\nHost: ");
    fm_text_add(&head, setup->host);
    fm_text_add(&head, is_v6 ? "]:" : ":");
    fm_text_number(&head, setup->port);
    fm_text_add(&head, "\r\nConnection: close\r\nUser-Agent: fleetmint\r\n");
    if (body->size) {
        fm_text_add(&head, "Content-Type: application/json\r\nContent-Length: ");
        fm_text_number(&head, (uint32_t)body->size);
        fm_text_add(&head, "\r\n");
    }
    fm_text_add(&head, "\r\n");
    if (head.cut || body->cut) {
        fm_exchange_abandon(exchange, FM_TOO_LONG, "");
        return FM_TOO_LONG;
    }
    memmove(exchange->room + head.size, body->text, body->size);
    exchange->length = head.size + body->size;
    exchange->began = ticks(exchange);
    exchange->state = CONNECTING;
    int result = tls->open(tls->ctx, setup);
    if (result != FM_OK) {
        fm_exchange_abandon(exchange, result, "");
    }
    return result;
}

void fm_exchange_abandon(struct fm_exchange *exchange, int result, const char *code) {
    struct fm_text text;
    exchange->state = OVER;
    exchange->failure.result = result;
    fm_text_begin(&text, exchange->failure.code, sizeof exchange->failure.code);
    fm_text_add(&text, code);
}

/* The console shows a short code, not whatever a server likes to send. */
static void read_code(struct fm_exchange *exchange) {
    struct fm_error *failure = &exchange->failure;
    struct fm_json body;
    if (fm_json_read((const uint8_t *)exchange->room, exchange->reply.size, &body) != FM_OK ||
        fm_json_member_text(&body, "error", failure->code, sizeof failure->code) < 0) {
        failure->code[0] = 0;
    }
    for (const char *c = failure->code; *c; c++) {
        bool letter = (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z';
        if (!letter && !(*c >= '0' && *c <= '9') && *c != '_' && *c != '-') {
            failure->code[0] = 0;
            return;
        }
    }
}

static int judge(struct fm_exchange *exchange) {
    const struct fm_http *reply = &exchange->reply;
    struct fm_error *failure = &exchange->failure;
    exchange->room[reply->size] = 0;
    if (reply->status == 200) {
        return FM_OK;
    }
    failure->status = reply->status;
    failure->retry_after = reply->retry_after;
    read_code(exchange);
    /* 202: the gateway has the request, and somebody has to approve it. */
    bool later = reply->status == FM_STATUS_WAITING || reply->status == 408 || reply->status == 429 || reply->status >= 500;
    return later ? FM_IO : FM_REFUSED;
}

static int over(struct fm_exchange *exchange, int result) {
    const struct fm_tls *tls = &exchange->port->tls;
    tls->close(tls->ctx);
    exchange->state = OVER;
    exchange->failure.result = result;
    return result;
}

static int send_more(struct fm_exchange *exchange) {
    const struct fm_tls *tls = &exchange->port->tls;
    size_t left = exchange->length - exchange->sent;
    if (!left) {
        return tls->flush(tls->ctx);
    }
    int taken = tls->write(tls->ctx, (const uint8_t *)exchange->room + exchange->sent, left);
    if (taken < 0) {
        return taken;
    }
    exchange->sent += (size_t)taken;
    return FM_PENDING;
}

static int read_more(struct fm_exchange *exchange) {
    const struct fm_tls *tls = &exchange->port->tls;
    uint8_t data[128];
    int got = tls->read(tls->ctx, data, sizeof data);
    return got <= 0 ? (got ? got : FM_PENDING) : fm_http_feed(&exchange->reply, data, (size_t)got);
}

int fm_exchange_step(struct fm_exchange *exchange) {
    const struct fm_tls *tls = &exchange->port->tls;
    int result = FM_PENDING;
    switch (exchange->state) {
    case CONNECTING:
        result = tls->step(tls->ctx);
        break;
    case SENDING:
        result = send_more(exchange);
        break;
    case READING:
        result = read_more(exchange);
        break;
    default:
        return exchange->failure.result;
    }
    if (result == FM_PENDING && ticks(exchange) - exchange->began > FM_EXCHANGE_WITHIN) {
        result = FM_TIMEOUT;
    }
    if (result == FM_PENDING) {
        return result;
    }
    if (result != FM_OK) {
        return over(exchange, result);
    }
    if (exchange->state == READING) {
        return over(exchange, judge(exchange));
    }
    if (++exchange->state == READING) {
        /* The request is out, and the reply takes its place. */
        fm_http_begin(&exchange->reply, (uint8_t *)exchange->room, (uint32_t)(exchange->size - 1));
    }
    return FM_PENDING;
}

static const char *words(int result) {
    switch (result) {
    case FM_TRUST:
        return "the gateway's certificate is of no CA that is trusted";
    case FM_HOST:
        return "the gateway's certificate is for another name";
    case FM_TIME:
        return "the gateway's certificate is not valid at this time";
    case FM_REVOKED:
        return "the gateway does not take this certificate";
    case FM_MEMORY:
        return "too little memory";
    case FM_ENTROPY:
        return "no randomness yet";
    case FM_CLOSED:
        return "the gateway ended the connection";
    case FM_TIMEOUT:
        return "the gateway does not answer in time";
    case FM_IO:
        return "the gateway cannot be reached";
    case FM_ABSENT:
        return "no such network in range";
    case FM_TOO_LONG:
        return "an answer of the gateway is too long";
    case FM_BAD:
        return "an answer of the gateway cannot be read";
    case FM_REFUSED:
        return "refused";
    default:
        return "TLS failed";
    }
}

static bool is_own(const struct fm_error *failure, const char *code) {
    return strcmp(failure->code, code) == 0;
}

void fm_error_text(const struct fm_error *failure, struct fm_text *text) {
    if (!failure->status) {
        fm_text_add(text, is_own(failure, "damaged") ? "the key in the store was damaged"
                          : is_own(failure, "no_token") ? "the store has no token: burn this device again"
                                                        : words(failure->result));
        return;
    }
    fm_text_add(text, "the gateway answers ");
    fm_text_number(text, failure->status);
    if (failure->code[0]) {
        fm_text_add(text, " (");
        fm_text_add(text, failure->code);
        fm_text_add(text, ")");
    }
}
