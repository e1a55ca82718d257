/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "device.h"

const char *device_option(int count, char **argument, const char *name, const char *otherwise) {
    size_t size = strlen(name);
    for (int i = 1; i < count; i++) {
        if (strncmp(argument[i], name, size) == 0 && argument[i][size] == '=') {
            return argument[i] + size + 1;
        }
    }
    return otherwise;
}
