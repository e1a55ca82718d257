/* What of ESP-IDF's esp_timer.h the core uses. */
#ifndef ESP_TIMER_H
#define ESP_TIMER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Microseconds since the start. */
int64_t esp_timer_get_time(void);

#ifdef __cplusplus
}
#endif

#endif
