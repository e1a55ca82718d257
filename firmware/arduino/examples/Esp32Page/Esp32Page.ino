// The page of the gateway, fetched with this device's certificate and printed at the console: for an ESP32-S3, or any
// other ESP32. Beside it runs all that a device of Fleetmint does: enrolling, renewing, a session with the broker.
//
// Whatever is secret comes from the NVS that the factory burned; nothing is compiled in. Where the factory gave the
// device no Wi-Fi, the console asks for one (115200 baud). What is typed there while there is no connection is kept in
// the NVS, in place of the network before:
//
//     "The Office" "correct horse battery"
//
// SPDX-License-Identifier: MIT
#include <Fleetmint.h>
#include <fleetmint/typed.h>

// A handshake needs more than the 8 KiB that a sketch has otherwise.
SET_LOOP_TASK_STACK_SIZE(16 * 1024);

// The path of the page, and milliseconds until it is fetched again.
static const char PAGE[] = "/";
static const uint32_t EVERY = 60000;

static struct fm_esp32 board;
static struct fm_port port;
static struct fm_agent agent;
static struct fm_product product;
static bool opened, running;

// A connection of its own for the page, so that the session with the broker goes on.
static struct fm_mbedtls_tls page_tls;
static struct fm_esp32_stream page_stream;
static struct fm_port page_port;
static struct fm_exchange page;
static char page_room[4096];
static bool fetching, fetched;
static uint32_t fetched_at;

static void say(void *, const char *line) {
    Serial.print("fleetmint: ");
    Serial.println(line);
}

// --- Wi-Fi, where the factory gave none ---

static bool has_network() {
    struct fm_network network;
    bool found = fm_identity_network(&port.kv, 0, &network) == FM_OK;
    memset(&network, 0, sizeof network);
    return found;
}

static void read_console() {
    static struct fm_typed_line line;
    struct fm_typed_wifi wifi;
    while (Serial.available() > 0) {
        if (!fm_typed_byte(&line, (uint8_t)Serial.read())) {
            continue;
        }
        enum fm_typed_result result = line.too_long ? FM_TYPED_TOO_LONG : fm_typed_wifi(line.text, &wifi);
        if (result != FM_TYPED_OK) {
            Serial.println(fm_typed_why(result));
        } else if (fm_typed_keep(&port.kv, &wifi) != FM_OK) {
            Serial.println("the NVS does not keep it");
        } else {
            Serial.print("kept: ");
            Serial.println(wifi.ssid);
            if (running) {
                fm_agent_retry(&agent);
            }
        }
        memset(&wifi, 0, sizeof wifi);
        memset(&line, 0, sizeof line);
    }
}

// --- The page ---

static void ask_for_page() {
    struct fm_tls_setup setup;
    struct fm_text body;
    if (fm_credentials_setup(&agent.credentials, agent.identity.https_port, &setup) != FM_OK) {
        return;
    }
    fm_exchange_begin(&page, &page_port, page_room, sizeof page_room, &body);
    fetching = fm_exchange_send(&page, "GET", PAGE, &body, &setup) == FM_OK;
    fetched = true;
    fetched_at = (uint32_t)millis();
    if (!fetching) {
        Serial.println("the page cannot be asked for");
    }
}

// A reading, to devices/<id>/out/readings: how long the page was. The bench waits for the first one of a new device.
static void tell() {
    char object[32];
    snprintf(object, sizeof object, "{\"page\": %u}", (unsigned)page.reply.size);
    fm_agent_read(&agent, object);
}

static void read_page() {
    // Only while it is open the connection can tell its version.
    static const char *version = "";
    int result = fm_exchange_step(&page);
    if (page_tls.is_open && page_tls.done) {
        version = fm_mbedtls_version(&page_tls);
    }
    if (result == FM_PENDING) {
        return;
    }
    fetching = false;
    if (result == FM_OK) {
        Serial.print("the page, by ");
        Serial.print(version);
        Serial.println(":");
        Serial.println(page_room);
        tell();
    } else {
        Serial.print("no page: ");
        Serial.println(result);
    }
}

static void look_at_page() {
    if (!fm_agent_is_connected(&agent)) {
        // Its certificate may be replaced now.
        if (fetching) {
            page_port.tls.close(page_port.tls.ctx);
            fetching = false;
            fetched = false;
        }
    } else if (fetching) {
        read_page();
    } else if (!fetched || (uint32_t)millis() - fetched_at > EVERY) {
        ask_for_page();
    }
}

void setup() {
    Serial.begin(115200);
    product.firmware = "Esp32Page 1";
    port.log.say = say;
    opened = fm_esp32_open(&board, &port) == FM_OK;
    if (!opened) {
        Serial.print("stopped: the NVS or the radio cannot be opened: ");
        Serial.println(esp_err_to_name(board.kv.error));
        return;
    }
    page_port = port;
    page_port.tls = fm_esp32_another(&board, &page_tls, &page_stream);
    Serial.println(has_network() ? "another Wi-Fi can be typed while there is no connection: NAME PASSPHRASE"
                                 : fm_typed_why(FM_TYPED_EMPTY));
}

void loop() {
    if (!opened) {
        delay(1000);
        return;
    }
    if (running) {
        fm_agent_loop(&agent);
        look_at_page();
    } else if (has_network()) {
        fm_agent_begin(&agent, &port, &product);
        running = true;
    }
    if (!running || !fm_agent_is_connected(&agent)) {
        read_console();
    }
    delay(1);
}
