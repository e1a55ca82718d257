/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fleetmint/cert.h"
#include "fm_bearssl.h"

/* BearSSL counts days from the year 0. */
#define DAYS_TO_2000 730485u
#define DAY 86400u

/* What both servers take, the cheaper one for a board first. */
static const uint16_t SUITES[] = {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                  BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256};

int fm_bearssl_result(int error) {
    int alert = error - BR_ERR_RECV_FATAL_ALERT;
    switch (error) {
    case BR_ERR_X509_BAD_SERVER_NAME:
        return FM_HOST;
    case BR_ERR_X509_EXPIRED:
    case BR_ERR_X509_TIME_UNKNOWN:
        return FM_TIME;
    case BR_ERR_NO_RANDOM:
        return FM_ENTROPY;
    case BR_ERR_TOO_LARGE:
        return FM_MEMORY;
    case BR_ERR_IO:
    case BR_ERR_OK:
        return FM_CLOSED;
    default:
        break;
    }
    /* A chain that does not end at an anchor may have anything in it that is not understood. */
    if (error > BR_ERR_X509_OK && error <= BR_ERR_X509_NOT_TRUSTED) {
        return FM_TRUST;
    }
    /* What servers say of a client's certificate; OpenSSL has decrypt_error for a key that is not its own. */
    if ((alert >= BR_ALERT_BAD_CERTIFICATE && alert <= BR_ALERT_CERTIFICATE_UNKNOWN) || alert == BR_ALERT_UNKNOWN_CA ||
        alert == BR_ALERT_ACCESS_DENIED || alert == BR_ALERT_DECRYPT_ERROR) {
        return FM_REVOKED;
    }
    return FM_TLS;
}

/* The judge of the server's chain: BearSSL's own, with an eye on addresses. */

struct judge {
    const br_x509_class *vtable;
    struct fm_bearssl_tls *tls;
};

static struct fm_bearssl_tls *tls_of(const br_x509_class **ctx) {
    return ((struct judge *)(void *)ctx)->tls;
}

static void start_chain(const br_x509_class **ctx, const char *server_name) {
    struct fm_bearssl_tls *tls = tls_of(ctx);
    tls->leaf = true;
    br_x509_minimal_vtable.start_chain(&tls->minimal.vtable, tls->by_address ? NULL : server_name);
}

static void start_cert(const br_x509_class **ctx, uint32_t length) {
    br_x509_minimal_vtable.start_cert(&tls_of(ctx)->minimal.vtable, length);
}

static void append(const br_x509_class **ctx, const unsigned char *data, size_t size) {
    struct fm_bearssl_tls *tls = tls_of(ctx);
    if (tls->by_address && tls->leaf) {
        fm_bearssl_address_look(&tls->address, data, size);
    }
    br_x509_minimal_vtable.append(&tls->minimal.vtable, data, size);
}

static void end_cert(const br_x509_class **ctx) {
    struct fm_bearssl_tls *tls = tls_of(ctx);
    tls->leaf = false;
    br_x509_minimal_vtable.end_cert(&tls->minimal.vtable);
}

static unsigned end_chain(const br_x509_class **ctx) {
    struct fm_bearssl_tls *tls = tls_of(ctx);
    unsigned error = br_x509_minimal_vtable.end_chain(&tls->minimal.vtable);
    if (error == 0 && tls->by_address && (!tls->address.found || tls->address.broken)) {
        error = BR_ERR_X509_BAD_SERVER_NAME;
    }
    return error;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages) {
    const struct judge *judge = (const void *)ctx;
    const br_x509_class *const *inner = &judge->tls->minimal.vtable;
    return br_x509_minimal_vtable.get_pkey(inner, usages);
}

static const br_x509_class JUDGE = {
    sizeof(struct judge), start_chain, start_cert, append, end_cert, end_chain, get_pkey,
};

/* A session is taken up again only with all that it was made with. */
static int digest_of(const struct fm_bearssl_tls *tls, const struct fm_tls_setup *setup, uint8_t digest[FM_HASH]) {
    const struct fm_crypto *crypto = tls->crypto;
    br_sha256_context hash;
    uint8_t one[FM_HASH];
    uint8_t port[2] = {(uint8_t)(setup->port >> 8), (uint8_t)setup->port};
    br_sha256_init(&hash);
    br_sha256_update(&hash, setup->host, strlen(setup->host) + 1);
    br_sha256_update(&hash, port, sizeof port);
    for (size_t i = 0; i <= setup->anchor_count; i++) {
        struct fm_bytes der = i < setup->anchor_count ? setup->anchors[i] : setup->certificate;
        int result = crypto->sha256(crypto->ctx, der.data, der.size, one);
        if (result != FM_OK) {
            return result;
        }
        br_sha256_update(&hash, one, sizeof one);
    }
    br_sha256_out(&hash, digest);
    return FM_OK;
}

static struct fm_bearssl_session *session_of(struct fm_bearssl_tls *tls) {
    for (int i = 0; i < FM_BEARSSL_SESSIONS; i++) {
        struct fm_bearssl_session *session = &tls->sessions[i];
        if (session->parameters.session_id_len && memcmp(session->digest, tls->digest, FM_HASH) == 0) {
            return session;
        }
    }
    return NULL;
}

static void remember(struct fm_bearssl_tls *tls) {
    struct fm_bearssl_session *session = session_of(tls);
    if (!session) {
        session = &tls->sessions[tls->oldest];
        tls->oldest = (uint8_t)((tls->oldest + 1) % FM_BEARSSL_SESSIONS);
    }
    br_ssl_engine_get_session_parameters(&tls->client.eng, &session->parameters);
    memcpy(session->digest, tls->digest, FM_HASH);
}

static void forget(struct fm_bearssl_tls *tls) {
    struct fm_bearssl_session *session = session_of(tls);
    if (session) {
        memset(session, 0, sizeof *session);
    }
}

/* Name and key are used where they lie. */
static int set_anchor(br_x509_trust_anchor *anchor, struct fm_bytes der) {
    struct fm_cert cert;
    if (fm_cert_read(der.data, der.size, &cert) != FM_OK || !cert.point) {
        return FM_BAD;
    }
    /* BearSSL reads from where it may write. */
    anchor->dn.data = (unsigned char *)(uintptr_t)cert.subject.data;
    anchor->dn.len = cert.subject.size;
    anchor->flags = BR_X509_TA_CA;
    anchor->pkey.key_type = BR_KEYTYPE_EC;
    anchor->pkey.key.ec.curve = BR_EC_secp256r1;
    anchor->pkey.key.ec.q = (unsigned char *)(uintptr_t)cert.point;
    anchor->pkey.key.ec.qlen = FM_PUBLIC;
    return FM_OK;
}

static void set_algorithms(struct fm_bearssl_tls *tls, const struct fm_tls_setup *setup) {
    br_ssl_client_context *client = &tls->client;
    br_ssl_engine_context *engine = &client->eng;
    br_ssl_client_zero(client);
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
    br_ssl_engine_set_suites(engine, SUITES, sizeof SUITES / sizeof SUITES[0]);
    br_ssl_engine_set_ec(engine, &br_ec_p256_m15);
    br_ssl_engine_set_ecdsa(engine, &br_ecdsa_i15_vrfy_asn1);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_gcm(engine, &br_sslrec_in_gcm_vtable, &br_sslrec_out_gcm_vtable);
    br_ssl_engine_set_aes_ctr(engine, &br_aes_ct_ctr_vtable);
    br_ssl_engine_set_ghash(engine, &br_ghash_ctmul32);
    br_ssl_engine_set_chapol(engine, &br_sslrec_in_chapol_vtable, &br_sslrec_out_chapol_vtable);
    br_ssl_engine_set_chacha20(engine, &br_chacha20_ct_run);
    br_ssl_engine_set_poly1305(engine, &br_poly1305_ctmul32_run);

    br_x509_minimal_init(&tls->minimal, &br_sha256_vtable, tls->anchors, setup->anchor_count);
    br_x509_minimal_set_ecdsa(&tls->minimal, &br_ec_p256_m15, &br_ecdsa_i15_vrfy_asn1);
    br_x509_minimal_set_hash(&tls->minimal, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_time(&tls->minimal, setup->now / DAY + DAYS_TO_2000, setup->now % DAY);
    tls->judge.vtable = &JUDGE;
    tls->judge.tls = tls;
    br_ssl_engine_set_x509(engine, &tls->judge.vtable);

    if (setup->certificate.size) {
        tls->chain.data = (unsigned char *)(uintptr_t)setup->certificate.data;
        tls->chain.data_len = setup->certificate.size;
        tls->key.curve = BR_EC_secp256r1;
        tls->key.x = (unsigned char *)(uintptr_t)setup->key;
        tls->key.xlen = FM_PRIVATE;
        br_ssl_client_set_single_ec(client, &tls->chain, 1, &tls->key, BR_KEYTYPE_SIGN, BR_KEYTYPE_EC, &br_ec_p256_m15,
                                    &br_ecdsa_i15_sign_asn1);
    }
}

static void tls_close(void *ctx) {
    struct fm_bearssl_tls *tls = ctx;
    if (tls->is_open) {
        tls->is_open = false;
        tls->stream.close(tls->stream.ctx);
    }
}

static int tls_open(void *ctx, const struct fm_tls_setup *setup) {
    struct fm_bearssl_tls *tls = ctx;
    uint8_t seed[32];
    tls_close(tls);
    if (setup->anchor_count < 1 || setup->anchor_count > FM_BEARSSL_ANCHORS) {
        return FM_BAD;
    }
    for (size_t i = 0; i < setup->anchor_count; i++) {
        if (set_anchor(&tls->anchors[i], setup->anchors[i]) != FM_OK) {
            return FM_BAD;
        }
    }
    int result = digest_of(tls, setup, tls->digest);
    if (result == FM_OK) {
        result = tls->crypto->random(tls->crypto->ctx, seed, sizeof seed);
    }
    if (result != FM_OK) {
        return result;
    }
    tls->by_address = fm_bearssl_address_of(&tls->address, setup->host);
    set_algorithms(tls, setup);
    br_ssl_engine_context *engine = &tls->client.eng;
    br_ssl_engine_set_buffers_bidi(engine, tls->input, sizeof tls->input, tls->output, sizeof tls->output);
    br_ssl_engine_inject_entropy(engine, seed, sizeof seed);
    struct fm_bearssl_session *session = session_of(tls);
    if (session) {
        br_ssl_engine_set_session_parameters(engine, &session->parameters);
    }
    /* An address is no server name (RFC 6066, 3). */
    if (!br_ssl_client_reset(&tls->client, tls->by_address ? NULL : setup->host, session != NULL)) {
        return fm_bearssl_result(br_ssl_engine_last_error(engine));
    }
    tls->done = false;
    tls->deaf = 0;
    result = tls->stream.open(tls->stream.ctx, setup->host, setup->port);
    tls->is_open = result == FM_OK;
    return result;
}

static int failed(struct fm_bearssl_tls *tls, int result) {
    forget(tls);
    tls_close(tls);
    return result;
}

/* The network failed, not TLS: what was agreed on before is as good as it was (RFC 5246, 7.2.1). */
static int lost(struct fm_bearssl_tls *tls, int result) {
    if (!tls->done) {
        return failed(tls, result);
    }
    tls_close(tls);
    return result;
}

/* Move what can be moved between engine and stream, one record's part each way. FM_OK, or what ended the connection. */
static int pump(struct fm_bearssl_tls *tls) {
    br_ssl_engine_context *engine = &tls->client.eng;
    size_t size;
    if (!tls->is_open) {
        return FM_CLOSED;
    }
    unsigned char *data = br_ssl_engine_sendrec_buf(engine, &size);
    if (data && !tls->deaf) {
        int sent = tls->stream.write(tls->stream.ctx, data, size);
        if (sent < 0) {
            /* Why the server has gone may still be on its way. */
            tls->deaf = sent;
        } else if (sent > 0) {
            br_ssl_engine_sendrec_ack(engine, (size_t)sent);
        }
    }
    data = br_ssl_engine_recvrec_buf(engine, &size);
    if (data) {
        int got = tls->stream.read(tls->stream.ctx, data, size);
        if (got < 0) {
            return lost(tls, tls->deaf ? tls->deaf : got);
        }
        if (got > 0) {
            br_ssl_engine_recvrec_ack(engine, (size_t)got);
        }
    } else if (tls->deaf && !(br_ssl_engine_current_state(engine) & BR_SSL_RECVAPP)) {
        return lost(tls, tls->deaf);
    }
    if (br_ssl_engine_current_state(engine) == BR_SSL_CLOSED) {
        int error = br_ssl_engine_last_error(engine);
        /* A connection that ends as it should may be taken up again. */
        if (error == BR_ERR_OK) {
            tls_close(tls);
            return FM_CLOSED;
        }
        return failed(tls, fm_bearssl_result(error));
    }
    return FM_OK;
}

static int tls_step(void *ctx) {
    struct fm_bearssl_tls *tls = ctx;
    int result = pump(tls);
    if (result != FM_OK) {
        return result;
    }
    if (!(br_ssl_engine_current_state(&tls->client.eng) & BR_SSL_SENDAPP)) {
        return FM_PENDING;
    }
    if (!tls->done) {
        tls->done = true;
        remember(tls);
    }
    return FM_OK;
}

static int tls_read(void *ctx, uint8_t *data, size_t room) {
    struct fm_bearssl_tls *tls = ctx;
    br_ssl_engine_context *engine = &tls->client.eng;
    size_t size;
    unsigned char *from = br_ssl_engine_recvapp_buf(engine, &size);
    if (!from) {
        int result = pump(tls);
        if (result != FM_OK) {
            return result;
        }
        from = br_ssl_engine_recvapp_buf(engine, &size);
    }
    if (!from || !room) {
        return 0;
    }
    size = size < room ? size : room;
    memcpy(data, from, size);
    br_ssl_engine_recvapp_ack(engine, size);
    return (int)size;
}

static int tls_write(void *ctx, const uint8_t *data, size_t size) {
    struct fm_bearssl_tls *tls = ctx;
    br_ssl_engine_context *engine = &tls->client.eng;
    size_t room;
    unsigned char *to = br_ssl_engine_sendapp_buf(engine, &room);
    if (!to) {
        int result = pump(tls);
        if (result != FM_OK) {
            return result;
        }
        to = br_ssl_engine_sendapp_buf(engine, &room);
    }
    if (!to || !size) {
        return 0;
    }
    size = size < room ? size : room;
    memcpy(to, data, size);
    br_ssl_engine_sendapp_ack(engine, size);
    return (int)size;
}

static int tls_flush(void *ctx) {
    struct fm_bearssl_tls *tls = ctx;
    br_ssl_engine_flush(&tls->client.eng, 0);
    int result = pump(tls);
    if (result != FM_OK) {
        return result;
    }
    return br_ssl_engine_current_state(&tls->client.eng) & BR_SSL_SENDREC ? FM_PENDING : FM_OK;
}

struct fm_tls fm_bearssl_tls(struct fm_bearssl_tls *tls) {
    struct fm_tls made = {tls, tls_open, tls_step, tls_read, tls_write, tls_flush, tls_close};
    return made;
}
