/* Values in an NVS partition: finding, writing and erasing them in the order of ESP-IDF, and its repair after a cut. */
#ifndef NVS_STORE_H
#define NVS_STORE_H

#include "esp_err.h"
#include "nvs_pages.h"

/* Repairs what a power cut left. ESP_ERR_NVS_NO_FREE_PAGES when no page is free. */
esp_err_t store_open(const struct pages *pages);

/* The number of a namespace; with `make` it is there afterwards. */
esp_err_t store_namespace(const struct pages *pages, const char *name, int make, uint8_t *space);

esp_err_t store_get_i32(const struct pages *pages, uint8_t space, const char *key, int32_t *value);
esp_err_t store_set_i32(const struct pages *pages, uint8_t space, const char *key, int32_t value);
/* As nvs_get_blob: without `data` only the length. */
esp_err_t store_get_blob(const struct pages *pages, uint8_t space, const char *key, uint8_t *data, size_t *length);
esp_err_t store_set_blob(const struct pages *pages, uint8_t space, const char *key, const uint8_t *data, size_t length);
esp_err_t store_erase(const struct pages *pages, uint8_t space, const char *key);

/* Of nvs_repair.c and nvs_store.c. */
int store_find(const struct pages *pages, unsigned space, unsigned type, const char *key, unsigned chunk,
               struct place *at, struct entry *entry);
void store_forget(const struct pages *pages, struct place at);
void store_copy_page(const struct pages *pages, unsigned from, unsigned to);

#endif
