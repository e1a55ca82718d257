/* What of ESP-IDF's nvs_flash.h the core uses. */
#ifndef NVS_FLASH_H
#define NVS_FLASH_H

#include "nvs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* With CONFIG_NVS_ENCRYPTION this reads the keys by the scheme of the configuration, and makes some where there are
 * none; the double has the scheme from the board that it stands for, and never makes keys. */
esp_err_t nvs_flash_init(void);
esp_err_t nvs_flash_deinit(void);

#ifdef __cplusplus
}
#endif

#endif
