/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <string.h>
#include <sys/socket.h>

#include "fleetmint/cert.h"
#include "fm_mbedtls.h"

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#define IS_OVER(ssl) mbedtls_ssl_is_handshake_over(ssl)
#else
#define MBEDTLS_PRIVATE(member) member
#define IS_OVER(ssl) ((ssl)->state == MBEDTLS_SSL_HANDSHAKE_OVER)
#endif

#define SAN_ADDRESS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

/* What servers say of a client's certificate; OpenSSL has decrypt_error for a key that is not its own. */
static bool is_about_certificate(int alert) {
    return (alert >= MBEDTLS_SSL_ALERT_MSG_BAD_CERT && alert <= MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN) ||
           alert == MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA || alert == MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED ||
           alert == MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR || alert == 116 /* certificate_required, TLS 1.3 */;
}

static int result_of_chain(uint32_t flags) {
    const uint32_t time = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
    if (flags & ~(time | MBEDTLS_X509_BADCERT_CN_MISMATCH)) {
        return FM_TRUST;
    }
    return flags & MBEDTLS_X509_BADCERT_CN_MISMATCH ? FM_HOST : FM_TIME;
}

static int result_of(const struct fm_mbedtls_tls *tls, int error) {
    switch (error) {
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_NET_CONN_RESET:
        return FM_CLOSED;
    case MBEDTLS_ERR_NET_RECV_FAILED:
    case MBEDTLS_ERR_NET_SEND_FAILED:
        return FM_IO;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        return result_of_chain(mbedtls_ssl_get_verify_result(&tls->ssl));
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return is_about_certificate(tls->ssl.MBEDTLS_PRIVATE(in_msg)[1]) ? FM_REVOKED : FM_TLS;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
    case MBEDTLS_ERR_PK_ALLOC_FAILED:
    case MBEDTLS_ERR_ECP_ALLOC_FAILED:
    case MBEDTLS_ERR_MPI_ALLOC_FAILED:
    case MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL:
        return FM_MEMORY;
    default:
        return FM_TLS;
    }
}

/* The stream below. What cannot be sent any more is not an error yet: why the server has gone may be on its way. */

static int send_to_stream(void *ctx, const unsigned char *data, size_t size) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    int sent = tls->deaf ? (int)size : tls->stream.write(tls->stream.ctx, data, size);
    if (sent < 0) {
        tls->deaf = true;
        return (int)size;
    }
    return sent ? sent : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int receive_from_stream(void *ctx, unsigned char *data, size_t room) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    int got = tls->stream.read(tls->stream.ctx, data, room);
    if (got == FM_CLOSED) {
        return MBEDTLS_ERR_SSL_CONN_EOF;
    }
    if (got < 0) {
        return MBEDTLS_ERR_NET_RECV_FAILED;
    }
    return got ? got : MBEDTLS_ERR_SSL_WANT_READ;
}

/* The server's certificates: the library looks at chain, name and use; time and addresses are judged here. */

static void read_address(struct fm_mbedtls_tls *tls, const char *host) {
    tls->address_size = inet_pton(AF_INET, host, tls->address) == 1    ? 4
                        : inet_pton(AF_INET6, host, tls->address) == 1 ? 16
                                                                       : 0;
}

static bool has_address(const struct fm_mbedtls_tls *tls, const mbedtls_x509_crt *certificate) {
    for (const mbedtls_x509_sequence *name = &certificate->subject_alt_names; name; name = name->next) {
        if (name->buf.tag == SAN_ADDRESS && name->buf.len == tls->address_size &&
            memcmp(name->buf.p, tls->address, tls->address_size) == 0) {
            return true;
        }
    }
    return false;
}

/* The library's clock may not be set, and ESP-IDF builds it without one. */
static int judge(void *ctx, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    struct fm_cert read;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if (fm_cert_read(certificate->raw.p, certificate->raw.len, &read) != FM_OK) {
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
        return 0;
    }
    if (tls->now < read.not_before) {
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
    }
    if (tls->now > read.not_after) {
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    }
    if (read.not_after < tls->ends) {
        tls->ends = read.not_after;
    }
    if (depth == 0 && tls->address_size && !has_address(tls, certificate)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    return 0;
}

/* Sessions that may be taken up again. */

static int add_to_digest(struct fm_crypto crypto, uint8_t digest[FM_HASH], const void *data, size_t size) {
    uint8_t both[2 * FM_HASH];
    memcpy(both, digest, FM_HASH);
    int result = crypto.sha256(crypto.ctx, (const uint8_t *)data, size, both + FM_HASH);
    return result == FM_OK ? crypto.sha256(crypto.ctx, both, sizeof both, digest) : result;
}

static int digest_of(const struct fm_mbedtls_tls *tls, const struct fm_tls_setup *setup, uint8_t digest[FM_HASH]) {
    struct fm_crypto crypto = fm_mbedtls_crypto(tls->crypto);
    memset(digest, 0, FM_HASH);
    int result = add_to_digest(crypto, digest, setup->host, strlen(setup->host));
    if (result == FM_OK) {
        result = add_to_digest(crypto, digest, &setup->port, sizeof setup->port);
    }
    for (size_t i = 0; i < setup->anchor_count && result == FM_OK; i++) {
        result = add_to_digest(crypto, digest, setup->anchors[i].data, setup->anchors[i].size);
    }
    return result == FM_OK ? add_to_digest(crypto, digest, setup->certificate.data, setup->certificate.size) : result;
}

static void drop(struct fm_mbedtls_session *session) {
    if (session->is_kept) {
        mbedtls_ssl_session_free(&session->session);
        session->is_kept = false;
    }
}

static struct fm_mbedtls_session *session_of(struct fm_mbedtls_tls *tls) {
    for (int i = 0; i < FM_MBEDTLS_SESSIONS; i++) {
        struct fm_mbedtls_session *session = &tls->sessions[i];
        if (session->is_kept && memcmp(session->digest, tls->digest, FM_HASH) == 0) {
            return session;
        }
    }
    return NULL;
}

static void remember(struct fm_mbedtls_tls *tls) {
    struct fm_mbedtls_session *session = session_of(tls);
    uint32_t ends = tls->ends;
    if (!session) {
        session = &tls->sessions[tls->oldest];
        tls->oldest = (uint8_t)((tls->oldest + 1) % FM_MBEDTLS_SESSIONS);
    } else if (session->ends < ends) {
        /* It may have been taken up again: then there were no certificates to look at. */
        ends = session->ends;
    }
    drop(session);
    mbedtls_ssl_session_init(&session->session);
    session->is_kept = true;
    session->ends = ends;
    memcpy(session->digest, tls->digest, FM_HASH);
    if (mbedtls_ssl_get_session(&tls->ssl, &session->session) != 0) {
        drop(session);
    }
}

static void forget(struct fm_mbedtls_tls *tls) {
    struct fm_mbedtls_session *session = session_of(tls);
    if (session) {
        drop(session);
    }
}

/* Opening. */

static void tls_close(void *ctx) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    if (!tls->is_open) {
        return;
    }
    if (tls->done) {
        (void)mbedtls_ssl_close_notify(&tls->ssl);
    }
    tls->is_open = false;
    mbedtls_ssl_free(&tls->ssl);
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_x509_crt_free(&tls->anchors);
    mbedtls_x509_crt_free(&tls->certificate);
    mbedtls_pk_free(&tls->key);
    tls->stream.close(tls->stream.ctx);
}

/* The network failed, not TLS: what was agreed on before is as good as it was (RFC 5246, 7.2.1). */
static bool is_lost(const struct fm_mbedtls_tls *tls, int error) {
    return tls->done && (error == MBEDTLS_ERR_SSL_CONN_EOF || error == MBEDTLS_ERR_NET_CONN_RESET ||
                         error == MBEDTLS_ERR_NET_RECV_FAILED || error == MBEDTLS_ERR_NET_SEND_FAILED);
}

static int failed(struct fm_mbedtls_tls *tls, int error) {
    int result = result_of(tls, error);
    if (error != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && !is_lost(tls, error)) {
        forget(tls);
    }
    tls_close(tls);
    return result;
}

/* As ECPrivateKey (RFC 5915), the form in which both versions of the library take one. */
static int set_key(struct fm_mbedtls_tls *tls, const uint8_t key[FM_PRIVATE]) {
    static const uint8_t head[] = {0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20};
    static const uint8_t curve[] = {0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    uint8_t der[sizeof head + FM_PRIVATE + sizeof curve];
    memcpy(der, head, sizeof head);
    memcpy(der + sizeof head, key, FM_PRIVATE);
    memcpy(der + sizeof head + FM_PRIVATE, curve, sizeof curve);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int error = mbedtls_pk_parse_key(&tls->key, der, sizeof der, NULL, 0, mbedtls_ctr_drbg_random, &tls->crypto->random);
#else
    int error = mbedtls_pk_parse_key(&tls->key, der, sizeof der, NULL, 0);
#endif
    memset(der, 0, sizeof der);
    return error;
}

static int set_identities(struct fm_mbedtls_tls *tls, const struct fm_tls_setup *setup) {
    int error = 0;
    for (size_t i = 0; i < setup->anchor_count && !error; i++) {
        error = mbedtls_x509_crt_parse_der_nocopy(&tls->anchors, setup->anchors[i].data, setup->anchors[i].size);
    }
    mbedtls_ssl_conf_ca_chain(&tls->config, &tls->anchors, NULL);
    if (error || !setup->certificate.size) {
        return error;
    }
    error = mbedtls_x509_crt_parse_der_nocopy(&tls->certificate, setup->certificate.data, setup->certificate.size);
    if (!error) {
        error = set_key(tls, setup->key);
    }
    return error ? error : mbedtls_ssl_conf_own_cert(&tls->config, &tls->certificate, &tls->key);
}

static void set_versions(mbedtls_ssl_config *config) {
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x03060100 && defined(MBEDTLS_SSL_PROTO_TLS1_3) && defined(MBEDTLS_SSL_SESSION_TICKETS)
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config,
                                                             MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH) && MBEDTLS_SSL_IN_CONTENT_LEN < 16384
    mbedtls_ssl_conf_max_frag_len(config, MBEDTLS_SSL_IN_CONTENT_LEN < 4096 ? MBEDTLS_SSL_MAX_FRAG_LEN_2048
                                                                            : MBEDTLS_SSL_MAX_FRAG_LEN_4096);
#endif
}

static int set_up(struct fm_mbedtls_tls *tls, const struct fm_tls_setup *setup) {
    mbedtls_ssl_config *config = &tls->config;
    int error = mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                            MBEDTLS_SSL_PRESET_DEFAULT);
    if (error) {
        return error;
    }
    set_versions(config);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_cert_profile(config, &mbedtls_x509_crt_profile_suiteb);
    mbedtls_ssl_conf_verify(config, judge, tls);
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &tls->crypto->random);
    error = set_identities(tls, setup);
    if (!error) {
        error = mbedtls_ssl_setup(&tls->ssl, config);
    }
    /* An address is no server name (RFC 6066, 3); not every version of the library finds one in a certificate. */
    if (!error) {
        error = mbedtls_ssl_set_hostname(&tls->ssl, tls->address_size ? NULL : setup->host);
    }
    mbedtls_ssl_set_bio(&tls->ssl, tls, send_to_stream, receive_from_stream, NULL);
    return error;
}

static void take_up(struct fm_mbedtls_tls *tls) {
    struct fm_mbedtls_session *session = session_of(tls);
    if (session && tls->now > session->ends) {
        drop(session);
    } else if (session) {
        /* Without it the handshake is a whole one. */
        (void)mbedtls_ssl_set_session(&tls->ssl, &session->session);
    }
}

static int tls_open(void *ctx, const struct fm_tls_setup *setup) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    struct fm_crypto crypto = fm_mbedtls_crypto(tls->crypto);
    uint8_t any;
    tls_close(tls);
    if (!setup->anchor_count) {
        return FM_BAD;
    }
    if (!setup->now) {
        return FM_TIME;
    }
    int result = crypto.random(crypto.ctx, &any, sizeof any);
    if (result == FM_OK) {
        result = digest_of(tls, setup, tls->digest);
    }
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_PSA_CRYPTO_C)
    if (result == FM_OK && psa_crypto_init() != PSA_SUCCESS) {
        result = FM_ENTROPY;
    }
#endif
    if (result != FM_OK) {
        return result;
    }
    mbedtls_ssl_init(&tls->ssl);
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->anchors);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_pk_init(&tls->key);
    tls->is_open = true;
    tls->done = tls->deaf = false;
    tls->taken = tls->sending = 0;
    tls->now = setup->now;
    tls->ends = UINT32_MAX;
    read_address(tls, setup->host);
    int error = set_up(tls, setup);
    if (error) {
        result = result_of(tls, error) == FM_MEMORY ? FM_MEMORY : FM_BAD;
        tls_close(tls);
        return result;
    }
    take_up(tls);
    result = tls->stream.open(tls->stream.ctx, setup->host, setup->port);
    if (result != FM_OK) {
        tls_close(tls);
    }
    return result;
}

static bool is_waiting(int error) {
    return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int tls_step(void *ctx) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    if (!tls->is_open) {
        return FM_CLOSED;
    }
    if (tls->done) {
        return FM_OK;
    }
    int error = mbedtls_ssl_handshake_step(&tls->ssl);
    if (error && !is_waiting(error)) {
        return failed(tls, error);
    }
    if (error || !IS_OVER(&tls->ssl)) {
        return FM_PENDING;
    }
    tls->done = true;
    /* TLS 1.3 brings what a session is taken up with later. */
    if (strcmp(mbedtls_ssl_get_version(&tls->ssl), "TLSv1.2") == 0) {
        remember(tls);
    }
    return FM_OK;
}

static int tls_read(void *ctx, uint8_t *data, size_t room) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    if (!tls->is_open) {
        return FM_CLOSED;
    }
    if (!room) {
        return 0;
    }
    int got = mbedtls_ssl_read(&tls->ssl, data, room);
    if (got > 0) {
        return got;
    }
    if (is_waiting(got)) {
        return 0;
    }
#if defined(MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
    if (got == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        remember(tls);
        return 0;
    }
#endif
    return failed(tls, got ? got : MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
}

/* The library wants to be asked again for the very bytes that it could not send. */
static int tls_flush(void *ctx) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    if (!tls->is_open) {
        return FM_CLOSED;
    }
    while (tls->taken) {
        tls->sending = tls->sending ? tls->sending : tls->taken;
        int sent = mbedtls_ssl_write(&tls->ssl, tls->output, tls->sending);
        if (is_waiting(sent)) {
            return FM_PENDING;
        }
        if (sent < 0) {
            return failed(tls, sent);
        }
        tls->taken -= (size_t)sent;
        memmove(tls->output, tls->output + sent, tls->taken);
        tls->sending = 0;
    }
    return FM_OK;
}

static int tls_write(void *ctx, const uint8_t *data, size_t size) {
    struct fm_mbedtls_tls *tls = (struct fm_mbedtls_tls *)ctx;
    if (!tls->is_open) {
        return FM_CLOSED;
    }
    if (tls->taken == sizeof tls->output) {
        int result = tls_flush(tls);
        if (result != FM_OK) {
            return result == FM_PENDING ? 0 : result;
        }
    }
    size_t room = sizeof tls->output - tls->taken;
    size = size < room ? size : room;
    memcpy(tls->output + tls->taken, data, size);
    tls->taken += size;
    return (int)size;
}

struct fm_tls fm_mbedtls_tls(struct fm_mbedtls_tls *tls) {
    struct fm_tls made = {tls, tls_open, tls_step, tls_read, tls_write, tls_flush, tls_close};
    return made;
}

const char *fm_mbedtls_version(const struct fm_mbedtls_tls *tls) {
    return tls->is_open && tls->done ? mbedtls_ssl_get_version(&tls->ssl) : "none";
}
