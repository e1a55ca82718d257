/* The store of a board in a LittleFS in a file: the one that the factory makes for an ESP8266.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_HOST_FILES_H
#define FLEETMINT_HOST_FILES_H

#include <stdbool.h>
#include <stdio.h>

#include "fleetmint/port.h"
#include "lfs.h"

struct fm_host_files {
    FILE *image;
    uint32_t offset;
    lfs_t lfs;
    struct lfs_config config;
    uint8_t read_buffer[64], program_buffer[64], lookahead[64], file_buffer[64];
    /* The power goes at this write to the flash (1 is the first), or half-way through it; 0: never. */
    unsigned dies_at;
    bool torn;
    unsigned writes;
};

/* Mount the file system that is at `offset` of the flash in this file. FM_OK, FM_IO. */
int fm_host_files_open(struct fm_host_files *files, const char *path, uint32_t offset, uint32_t size,
                       uint32_t block_size);
struct fm_kv fm_host_kv(struct fm_host_files *files);

#endif
