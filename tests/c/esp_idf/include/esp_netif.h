/* What of ESP-IDF's esp_netif.h, and what it includes, the core uses. */
#ifndef ESP_NETIF_H
#define ESP_NETIF_H

#include "esp_event.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct esp_netif_obj esp_netif_t;

extern esp_event_base_t const IP_EVENT;
typedef enum { IP_EVENT_STA_GOT_IP, IP_EVENT_STA_LOST_IP } ip_event_t;

esp_err_t esp_netif_init(void);
esp_netif_t *esp_netif_get_handle_from_ifkey(const char *if_key);

#ifdef __cplusplus
}
#endif

#endif
