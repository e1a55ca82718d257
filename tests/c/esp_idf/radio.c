/* The double of an ESP32's radio and timer: one network in range, that of BOARD_SSID and BOARD_PASSPHRASE; any without.
 *
 * The events of a connection come while it is asked for; on a board they come from another task. */
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "esp_event.h"
#include "esp_netif.h"
#include "esp_timer.h"
#include "esp_wifi.h"

struct esp_netif_obj {
    int any;
};

static const char wifi_event[] = "WIFI_EVENT", ip_event[] = "IP_EVENT";
esp_event_base_t const WIFI_EVENT = wifi_event;
esp_event_base_t const IP_EVENT = ip_event;

static struct {
    esp_event_base_t base;
    int32_t id;
    esp_event_handler_t handler;
    void *arg;
} handlers[4];
static esp_netif_t station;
static wifi_config_t config;
static int is_started, is_joined, has_station;

int64_t esp_timer_get_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

esp_err_t esp_event_loop_create_default(void) {
    return ESP_OK;
}

esp_err_t esp_event_handler_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *arg) {
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (!handlers[i].handler) {
            handlers[i].base = base;
            handlers[i].id = id;
            handlers[i].handler = handler;
            handlers[i].arg = arg;
            return ESP_OK;
        }
    return ESP_ERR_NO_MEM;
}

static void post(esp_event_base_t base, int32_t id, void *data) {
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].handler && handlers[i].base == base && (handlers[i].id == ESP_EVENT_ANY_ID || handlers[i].id == id))
            handlers[i].handler(handlers[i].arg, base, id, data);
}

static void disconnected(wifi_err_reason_t reason) {
    wifi_event_sta_disconnected_t event;
    memset(&event, 0, sizeof event);
    event.reason = (uint8_t)reason;
    is_joined = 0;
    post(WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED, &event);
}

esp_err_t esp_netif_init(void) {
    return ESP_OK;
}

esp_netif_t *esp_netif_get_handle_from_ifkey(const char *key) {
    return has_station && strcmp(key, "WIFI_STA_DEF") == 0 ? &station : NULL;
}

esp_netif_t *esp_netif_create_default_wifi_sta(void) {
    has_station = 1;
    return &station;
}

esp_err_t esp_wifi_init(const wifi_init_config_t *with) {
    return has_station && with->magic == 0x1F2F3F4F ? ESP_OK : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_wifi_set_storage(wifi_storage_t storage) {
    return storage == WIFI_STORAGE_RAM ? ESP_OK : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_wifi_set_mode(wifi_mode_t mode) {
    return mode == WIFI_MODE_STA ? ESP_OK : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_wifi_start(void) {
    is_started = 1;
    return ESP_OK;
}

esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *conf) {
    config = *conf;
    return is_started && interface == WIFI_IF_STA ? ESP_OK : ESP_ERR_INVALID_STATE;
}

static int is_same(const uint8_t *field, size_t room, const char *text) {
    return !text || (strlen(text) <= room && strncmp((const char *)field, text, room) == 0);
}

esp_err_t esp_wifi_get_mac(wifi_interface_t interface, uint8_t mac[6]) {
    static const uint8_t own[] = {0x24, 0x0a, 0xc4, 0x00, 0x00, 0x07};
    (void)interface;
    memcpy(mac, own, sizeof own);
    return ESP_OK;
}

esp_err_t esp_wifi_connect(void) {
    if (!is_started)
        return ESP_ERR_INVALID_STATE;
    if (!is_same(config.sta.ssid, sizeof config.sta.ssid, getenv("BOARD_SSID")))
        disconnected(WIFI_REASON_NO_AP_FOUND);
    else if (!is_same(config.sta.password, sizeof config.sta.password, getenv("BOARD_PASSPHRASE")))
        disconnected(WIFI_REASON_4WAY_HANDSHAKE_TIMEOUT);
    else {
        is_joined = 1;
        post(WIFI_EVENT, WIFI_EVENT_STA_CONNECTED, NULL);
        post(IP_EVENT, IP_EVENT_STA_GOT_IP, NULL);
    }
    return ESP_OK;
}

esp_err_t esp_wifi_disconnect(void) {
    if (is_joined)
        disconnected(WIFI_REASON_ASSOC_LEAVE);
    return ESP_OK;
}

/* The board's clock is not that of the machine. */
int settimeofday(const struct timeval *time, const struct timezone *zone) {
    (void)time;
    (void)zone;
    return 0;
}
