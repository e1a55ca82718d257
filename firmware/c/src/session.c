/* SPDX-License-Identifier: MIT */
#include "fleetmint/session.h"

#include <string.h>

#include "fleetmint/json.h"
#include "fleetmint/version.h"

#define KEEPALIVE 60
/* Milliseconds for connection and handshake, for an answer of the broker, and until a session is a success. */
#define CONNECTING 20000u
#define ANSWERING 15000u
#define LASTING 60000u
/* Below this everything is between the gateway and the agent, and no business of the product's. */
#define OWN "fleetmint/"
#define STATUS "status"
#define ANSWERS "fleetmint/settings"

enum { TLS, LOGIN, SUBSCRIBE, OPEN, FAREWELL };
enum { NOTHING, PRESENCE, ANSWER, ITEM, ABSENCE };

static const uint8_t AWAY[] = "{\"online\": false}";

static struct fm_bytes bytes_of(const char *text) {
    struct fm_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static uint32_t ticks(const struct fm_session *session) {
    return session->port->clock.ticks(session->port->clock.ctx);
}

/* What arrives. */

/* The networks and the gateway of this device are what the factory wrote: whoever wants others is told so. */
static void refuse_settings(struct fm_session *session, struct fm_bytes payload) {
    struct fm_json told;
    if (fm_json_read(payload.data, payload.size, &told) != FM_OK ||
        fm_json_member_text(&told, "id", session->asked, sizeof session->asked) < 0) {
        session->asked[0] = 0;
    }
}

static void receive(void *ctx, struct fm_bytes topic, struct fm_bytes payload) {
    struct fm_session *session = ctx;
    const struct fm_product *product = session->product;
    char name[FM_TOPIC];
    size_t prefix = session->in_size;
    if (topic.size <= prefix || memcmp(topic.data, session->in, prefix) != 0) {
        return;
    }
    size_t size = topic.size - prefix;
    if (size >= sizeof name) {
        fm_say(&session->port->log, "dropped a message: its topic is too long for this device");
        return;
    }
    memcpy(name, topic.data + prefix, size);
    name[size] = 0;
    if (strncmp(name, OWN, sizeof OWN - 1) == 0) {
        refuse_settings(session, payload);
    } else if (product && product->message) {
        product->message(product->ctx, name, payload.data, payload.size);
    }
}

static void too_large(void *ctx, struct fm_bytes topic, uint32_t size) {
    struct fm_session *session = ctx;
    char decimal[FM_DECIMAL];
    (void)topic;
    fm_say(&session->port->log, "dropped a message of ", fm_decimal(size, decimal),
           " bytes: it is too large for this device");
}

/* What goes out. */

static int publish(struct fm_session *session, uint8_t what, struct fm_bytes topic, struct fm_bytes payload) {
    struct fm_mqtt_message message = {bytes_of(session->out), topic, payload, what == PRESENCE || what == ABSENCE};
    int result = fm_mqtt_publish(&session->mqtt, &message);
    if (result == FM_OK) {
        session->sending = what;
        return FM_PENDING;
    }
    return result;
}

static int publish_presence(struct fm_session *session, uint32_t uptime) {
    const struct fm_product *product = session->product;
    struct fm_text text;
    fm_text_begin(&text, session->status, sizeof session->status);
    fm_text_add(&text, "{\"online\": true, \"agent\": \"" FM_VERSION "\", \"language\": \"C\", \"firmware\": ");
    if (product && product->firmware) {
        fm_text_quoted(&text, product->firmware);
    } else {
        fm_text_add(&text, "null");
    }
    fm_text_add(&text, ", \"uptime\": ");
    fm_text_number(&text, uptime);
    fm_text_add(&text, ", \"reset\": ");
    fm_text_quoted(&text, product && product->reset ? product->reset : "unknown");
    fm_text_add(&text, ", \"lost\": ");
    fm_text_number(&text, session->outbox->lost);
    fm_text_add(&text, "}");
    session->lost = session->outbox->lost;
    return publish(session, PRESENCE, bytes_of(STATUS), bytes_of(session->status));
}

static int publish_answer(struct fm_session *session) {
    struct fm_text text;
    fm_text_begin(&text, session->status, sizeof session->status);
    fm_text_add(&text, "{\"id\": ");
    fm_text_quoted(&text, session->asked);
    fm_text_add(&text, ", \"state\": \"failed\", \"reason\": \"this firmware has only the settings of the factory\"}");
    return publish(session, ANSWER, bytes_of(ANSWERS), bytes_of(session->status));
}

static void say_published(const struct fm_session *session) {
    struct fm_outbox_item item;
    char name[FM_TOPIC];
    struct fm_text text;
    if (fm_outbox_take(session->outbox, &item) == FM_OK) {
        fm_text_begin(&text, name, sizeof name);
        fm_text_bytes(&text, item.topic.data, item.topic.size);
        fm_say(&session->port->log, "published ", name);
    }
}

/* What was on its way has arrived. */
static void arrived(struct fm_session *session) {
    switch (session->sending) {
    case PRESENCE:
        session->told = true;
        break;
    case ANSWER:
        session->asked[0] = 0;
        break;
    case ITEM:
        say_published(session);
        fm_outbox_sent(session->outbox);
        session->sent = true;
        break;
    case ABSENCE:
        session->state = FAREWELL;
        break;
    default:
        break;
    }
    session->sending = NOTHING;
}

static int send_next(struct fm_session *session, uint32_t uptime) {
    struct fm_outbox_item item;
    if (session->leaving) {
        struct fm_bytes away = {AWAY, sizeof AWAY - 1};
        return publish(session, ABSENCE, bytes_of(STATUS), away);
    }
    if (session->ending) {
        session->state = FAREWELL;
        return FM_PENDING;
    }
    /* Said again on each connection: a clustered broker keeps it on one node. */
    if (!session->told || session->lost != session->outbox->lost) {
        return publish_presence(session, uptime);
    }
    if (session->asked[0]) {
        return publish_answer(session);
    }
    if (fm_outbox_take(session->outbox, &item) == FM_OK) {
        return publish(session, ITEM, item.topic, item.payload);
    }
    return FM_PENDING;
}

static void log_in(struct fm_session *session) {
    struct fm_credentials *credentials = session->credentials;
    struct fm_mqtt_setup setup;
    memset(&setup, 0, sizeof setup);
    setup.tls = &session->port->tls;
    setup.client_id = credentials->identity->device_id;
    setup.will_topic = session->will_topic;
    setup.will.data = AWAY;
    setup.will.size = sizeof AWAY - 1;
    setup.keepalive = KEEPALIVE;
    setup.within = ANSWERING;
    /* Nobody asks the gateway anything while there is a session. */
    setup.room = (uint8_t *)credentials->room;
    setup.size = sizeof credentials->room;
    setup.message = receive;
    setup.too_large = too_large;
    setup.ctx = session;
    fm_mqtt_begin(&session->mqtt, &setup, ticks(session));
}

static void name_topics(struct fm_session *session) {
    const char *device_id = session->credentials->identity->device_id;
    struct fm_text text;
    fm_text_begin(&text, session->out, sizeof session->out);
    fm_text_add(&text, "devices/");
    fm_text_add(&text, device_id);
    fm_text_add(&text, "/out/");
    fm_text_begin(&text, session->will_topic, sizeof session->will_topic);
    fm_text_add(&text, session->out);
    fm_text_add(&text, STATUS);
    fm_text_begin(&text, session->in, sizeof session->in);
    fm_text_add(&text, "devices/");
    fm_text_add(&text, device_id);
    fm_text_add(&text, "/in/");
    session->in_size = text.size;
    fm_text_add(&text, "#");
}

int fm_session_open(struct fm_session *session, const struct fm_port *port, struct fm_credentials *credentials,
                    struct fm_outbox *outbox, const struct fm_product *product) {
    struct fm_tls_setup setup;
    memset(session, 0, sizeof *session);
    session->port = port;
    session->credentials = credentials;
    session->outbox = outbox;
    session->product = product;
    session->began = ticks(session);
    name_topics(session);
    int result = fm_credentials_setup(credentials, credentials->identity->mqtt_port, &setup);
    return result == FM_OK ? port->tls.open(port->tls.ctx, &setup) : result;
}

static int connect(struct fm_session *session) {
    const struct fm_tls *tls = &session->port->tls;
    int result = tls->step(tls->ctx);
    if (result == FM_OK) {
        log_in(session);
        session->state = LOGIN;
        return FM_PENDING;
    }
    return result == FM_PENDING && ticks(session) - session->began > CONNECTING ? FM_TIMEOUT : result;
}

static int go_on(struct fm_session *session, uint32_t uptime) {
    int result;
    switch (session->state) {
    case LOGIN:
        result = fm_mqtt_subscribe(&session->mqtt, session->in);
        if (result == FM_OK) {
            session->state = SUBSCRIBE;
            return FM_PENDING;
        }
        return result;
    case SUBSCRIBE:
        result = fm_mqtt_answer(&session->mqtt);
        if (result == FM_OK) {
            fm_say(&session->port->log, "connected to the broker");
            session->state = OPEN;
            session->opened = true;
            session->began = ticks(session);
            return FM_PENDING;
        }
        return result;
    case OPEN:
        result = session->sending == NOTHING ? FM_OK : fm_mqtt_answer(&session->mqtt);
        if (result == FM_OK) {
            arrived(session);
            return session->state == OPEN ? send_next(session, uptime) : FM_PENDING;
        }
        return result;
    default:
        return fm_mqtt_leave(&session->mqtt);
    }
}

int fm_session_step(struct fm_session *session, uint32_t uptime) {
    if (session->state == TLS) {
        return connect(session);
    }
    int result = fm_mqtt_step(&session->mqtt, ticks(session));
    if (result == FM_OK) {
        return go_on(session, uptime);
    }
    if (result == FM_REFUSED) {
        char decimal[FM_DECIMAL];
        fm_say(&session->port->log, "the broker refuses the session: ",
               fm_decimal(session->mqtt.refusal, decimal));
    }
    return result;
}

void fm_session_end(struct fm_session *session) {
    session->ending = true;
}

void fm_session_leave(struct fm_session *session) {
    session->leaving = true;
}

void fm_session_close(struct fm_session *session) {
    const struct fm_tls *tls = &session->port->tls;
    fm_outbox_release(session->outbox);
    tls->close(tls->ctx);
    session->opened = false;
}

bool fm_session_is_open(const struct fm_session *session) {
    return session->opened;
}

bool fm_session_has_lasted(const struct fm_session *session) {
    return session->opened && (session->sent || ticks(session) - session->began > LASTING);
}
