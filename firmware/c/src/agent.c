/* SPDX-License-Identifier: MIT */
#include "fleetmint/agent.h"

#include <string.h>

#include "fleetmint/keys.h"

/* Milliseconds for joining a network. */
#define JOINING 20000u
/* Failures in one network until the device looks for its gateway from the next one that it knows. */
#define PATIENCE 3
#define TOPIC "readings"

enum { BOOT, JOIN, JOINED, CLOCK, PROVE, SESSION, PAUSE, ENDED };

static uint32_t ticks(const struct fm_agent *agent) {
    return agent->port->clock.ticks(agent->port->clock.ctx);
}

static bool is_over(const struct fm_agent *agent) {
    return ticks(agent) - agent->began >= agent->within;
}

static void enter(struct fm_agent *agent, int state, uint32_t within) {
    agent->state = (uint8_t)state;
    agent->began = ticks(agent);
    agent->within = within;
}

static int network_state(const struct fm_agent *agent) {
    return agent->port->net.state(agent->port->net.ctx);
}

static void leave_network(struct fm_agent *agent) {
    agent->port->net.leave(agent->port->net.ctx);
}

static void pause(struct fm_agent *agent, enum fm_failure kind, const struct fm_error *error, const char *what) {
    const struct fm_crypto *crypto = &agent->port->crypto;
    char reason[FM_LINE], decimal[FM_DECIMAL];
    uint8_t chance[2] = {0, 0};
    struct fm_text text;
    crypto->random(crypto->ctx, chance, sizeof chance);
    uint16_t bits = (uint16_t)(chance[0] << 8 | chance[1]);
    uint32_t seconds = fm_backoff_after(&agent->backoff, kind, error->retry_after, bits);
    fm_text_begin(&text, reason, sizeof reason);
    fm_error_text(error, &text);
    fm_say(&agent->port->log, what, reason, "; trying again in ", fm_decimal(seconds, decimal), " s");
    agent->was_up = network_state(agent) == FM_OK;
    agent->hurry = false;
    enter(agent, PAUSE, seconds * 1000);
}

/* A round with the gateway has failed: perhaps it is reached by another network. */
static void failed(struct fm_agent *agent, const struct fm_error *error) {
    if (error->result == FM_TIME) {
        fm_timekeeper_doubt(&agent->time);
    }
    bool refused = error->result == FM_REFUSED || error->result == FM_REVOKED;
    if (refused || error->result == FM_CLOSED) {
        fm_credentials_doubt(&agent->credentials);
    }
    /* Whoever waits for approval has reached the gateway. */
    bool waiting = error->status == FM_STATUS_WAITING;
    agent->failures = (uint16_t)(agent->failures + !waiting);
    if (!waiting && agent->failures % PATIENCE == 0 && network_state(agent) == FM_OK) {
        leave_network(agent);
        agent->passed++;
    }
    pause(agent, refused ? FM_FAILURE_REFUSED : FM_FAILURE_PROBLEM, error, "");
}

static void stopped(struct fm_agent *agent, const char *key) {
    fm_say(&agent->port->log, "stopped: the store has no usable ", key, ": burn this device again");
    enter(agent, ENDED, 0);
}

static void boot(struct fm_agent *agent) {
    struct fm_error error = {.result = fm_identity_read(&agent->identity, &agent->port->kv)};
    const char *missing = agent->identity.missing;
    if (error.result == FM_OK) {
        missing = FM_KEY_CLOCK_FLOOR;
        error.result = fm_timekeeper_begin(&agent->time, agent->port);
    }
    if (error.result == FM_OK) {
        missing = FM_KEY_BUNDLE;
        error.result = fm_credentials_begin(&agent->credentials, agent->port, &agent->identity, &agent->time);
    }
    if (error.result == FM_IO) {
        pause(agent, FM_FAILURE_PROBLEM, &error, "the store cannot be read: ");
    } else if (error.result != FM_OK) {
        stopped(agent, missing);
    } else {
        fm_say(&agent->port->log, "this is ", agent->identity.device_id, ", its gateway is ", agent->identity.gateway);
        agent->opened = true;
        enter(agent, JOIN, 0);
    }
}

/* The networks are tried in turn, the best one first, from the first that is not to be passed over. */
static void join(struct fm_agent *agent) {
    const struct fm_kv *kv = &agent->port->kv;
    const struct fm_net *net = &agent->port->net;
    struct fm_network network;
    uint8_t count = 0;
    if (network_state(agent) == FM_OK) {
        enter(agent, CLOCK, 0);
        return;
    }
    while (count < FM_NETWORKS && fm_identity_network(kv, count, &network) == FM_OK) {
        count++;
    }
    if (!count) {
        stopped(agent, FM_KEY_WIFI_SSID);
        return;
    }
    agent->network = (uint8_t)((agent->passed + agent->tried) % count);
    fm_identity_network(kv, agent->network, &network);
    struct fm_error error = {.result = net->join(net->ctx, network.ssid, network.passphrase)};
    memset(&network, 0, sizeof network);
    agent->tried++;
    if (error.result < 0) {
        pause(agent, FM_FAILURE_NETWORK, &error, "the radio fails: ");
    } else {
        agent->tried = agent->tried < count ? agent->tried : 0;
        enter(agent, JOINED, JOINING);
    }
}

static void wait_for_network(struct fm_agent *agent) {
    struct fm_network network;
    struct fm_error error = {.result = network_state(agent)};
    if (error.result == FM_PENDING && !is_over(agent)) {
        return;
    }
    if (fm_identity_network(&agent->port->kv, agent->network, &network) != FM_OK) {
        network.ssid[0] = 0;
    }
    memset(network.passphrase, 0, sizeof network.passphrase);
    if (error.result == FM_OK) {
        fm_say(&agent->port->log, "joined Wi-Fi ", network.ssid);
        agent->tried = 0;
        enter(agent, CLOCK, 0);
        return;
    }
    leave_network(agent);
    const char *reason = error.result == FM_ABSENT    ? ": no such network in range"
                         : error.result == FM_REFUSED ? ": the passphrase may be wrong"
                                                      : ": no connection in time";
    fm_say(&agent->port->log, "Wi-Fi ", network.ssid, reason);
    if (agent->tried) {
        enter(agent, JOIN, 0);
    } else {
        pause(agent, FM_FAILURE_NETWORK, &error, "no network: ");
    }
}

static void prove(struct fm_agent *agent) {
    struct fm_credentials *credentials = &agent->credentials;
    int result = fm_credentials_step(credentials);
    if (result == FM_OK) {
        result = fm_session_open(&agent->session, agent->port, credentials, &agent->outbox, agent->product);
        if (result == FM_OK) {
            enter(agent, SESSION, 0);
            return;
        }
        memset(&credentials->failure, 0, sizeof credentials->failure);
        credentials->failure.result = result;
    }
    if (result != FM_PENDING) {
        failed(agent, &credentials->failure);
    } else if (network_state(agent) != FM_OK) {
        struct fm_error error = {.result = FM_IO};
        fm_credentials_stop(credentials);
        failed(agent, &error);
    }
}

static void talk(struct fm_agent *agent) {
    struct fm_session *session = &agent->session;
    struct fm_error error = {.result = fm_session_step(session, agent->uptime)};
    if (fm_session_is_open(session)) {
        agent->failures = 0;
        agent->passed = 0;
        if (fm_session_has_lasted(session)) {
            agent->backoff.failures = 0;
        }
    }
    if (error.result == FM_PENDING && network_state(agent) != FM_OK) {
        error.result = FM_IO;
    }
    if (error.result == FM_PENDING) {
        if (fm_credentials_due(&agent->credentials)) {
            /* There is one connection at a time: the session makes room for a while. */
            fm_session_end(session);
        }
        return;
    }
    fm_session_close(session);
    if (agent->leaving) {
        enter(agent, ENDED, 0);
    } else if (error.result == FM_OK) {
        enter(agent, JOIN, 0);
    } else {
        failed(agent, &error);
    }
}

static void wait(struct fm_agent *agent) {
    bool up = network_state(agent) == FM_OK;
    /* The time has passed, somebody asks to hurry, or the network is there again. */
    if (is_over(agent) || agent->hurry || (up && !agent->was_up)) {
        enter(agent, agent->opened ? JOIN : BOOT, 0);
    }
    agent->was_up = up;
}

void fm_agent_begin(struct fm_agent *agent, const struct fm_port *port, const struct fm_product *product) {
    memset(agent, 0, sizeof *agent);
    agent->port = port;
    agent->product = product;
    fm_outbox_begin(&agent->outbox, agent->outbox_storage, FM_AGENT_MESSAGES, FM_AGENT_BYTES);
    agent->last_ticks = ticks(agent);
    enter(agent, BOOT, 0);
}

void fm_agent_loop(struct fm_agent *agent) {
    /* Ticks wrap around after some weeks; the sum does not. */
    uint32_t now = ticks(agent);
    agent->uptime_ms += now - agent->last_ticks;
    agent->last_ticks = now;
    agent->uptime += agent->uptime_ms / 1000;
    agent->uptime_ms %= 1000;
    if (agent->leaving && agent->state != ENDED && !fm_agent_is_connected(agent)) {
        agent->port->tls.close(agent->port->tls.ctx);
        enter(agent, ENDED, 0);
    }
    switch (agent->state) {
    case BOOT:
        boot(agent);
        break;
    case JOIN:
        join(agent);
        break;
    case JOINED:
        wait_for_network(agent);
        break;
    case CLOCK:
        if (fm_timekeeper_adjust(&agent->time, agent->identity.gateway) == FM_OK) {
            enter(agent, PROVE, 0);
        }
        break;
    case PROVE:
        prove(agent);
        break;
    case SESSION:
        talk(agent);
        break;
    case PAUSE:
        wait(agent);
        break;
    default:
        break;
    }
}

int fm_agent_publish(struct fm_agent *agent, const char *topic, const uint8_t *payload, size_t size) {
    return fm_outbox_add(&agent->outbox, topic, payload, size);
}

int fm_agent_read(struct fm_agent *agent, const char *object) {
    return fm_outbox_add_object(&agent->outbox, TOPIC, object, FM_OUTBOX_READING, agent->uptime);
}

void fm_agent_retry(struct fm_agent *agent) {
    agent->hurry = true;
}

void fm_agent_stop(struct fm_agent *agent) {
    agent->leaving = true;
    if (agent->state == SESSION) {
        fm_session_leave(&agent->session);
    }
}

bool fm_agent_is_connected(const struct fm_agent *agent) {
    return agent->state == SESSION && fm_session_is_open(&agent->session);
}

bool fm_agent_has_ended(const struct fm_agent *agent) {
    return agent->state == ENDED;
}
