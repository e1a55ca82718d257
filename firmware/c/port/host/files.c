/* The store in a LittleFS, one file for each value: set up like the Arduino core's, so that both read the same image.
 *
 * SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleetmint/keys.h"
#include "fm_host_files.h"

/* What the shell says of a process that was killed: the power is gone. */
#define POWER_CUT 137

static int flash_read(const struct lfs_config *config, lfs_block_t block, lfs_off_t offset, void *data,
                      lfs_size_t size) {
    const struct fm_host_files *files = config->context;
    if (fseek(files->image, (long)(files->offset + block * config->block_size + offset), SEEK_SET) != 0) {
        return LFS_ERR_IO;
    }
    return fread(data, 1, size, files->image) == size ? 0 : LFS_ERR_IO;
}

/* Count a change of the flash, of which `size` bytes are left when the power goes at this one. */
static lfs_size_t surviving(struct fm_host_files *files, lfs_size_t size) {
    if (!files->dies_at || ++files->writes != files->dies_at) {
        return size;
    }
    return files->torn ? size / 2 : 0;
}

static int change(struct fm_host_files *files, lfs_off_t offset, const void *data, lfs_size_t size) {
    if (fseek(files->image, (long)(files->offset + offset), SEEK_SET) != 0 || fwrite(data, 1, size, files->image) != size ||
        fflush(files->image) != 0) {
        return LFS_ERR_IO;
    }
    return 0;
}

static int flash_write(const struct lfs_config *config, lfs_block_t block, lfs_off_t offset, const void *data,
                       lfs_size_t size) {
    struct fm_host_files *files = config->context;
    lfs_size_t kept = surviving(files, size);
    int result = change(files, block * config->block_size + offset, data, kept);
    if (kept != size) {
        _exit(POWER_CUT);
    }
    return result;
}

static int flash_erase(const struct lfs_config *config, lfs_block_t block) {
    struct fm_host_files *files = config->context;
    uint8_t erased[64];
    int result = 0;
    memset(erased, 0xff, sizeof erased);
    lfs_size_t kept = surviving(files, config->block_size);
    for (lfs_off_t offset = 0; offset < kept && !result; offset += sizeof erased) {
        result = change(files, block * config->block_size + offset, erased, sizeof erased);
    }
    if (kept != config->block_size) {
        _exit(POWER_CUT);
    }
    return result;
}

static int flash_sync(const struct lfs_config *config) {
    (void)config;
    return 0;
}

int fm_host_files_open(struct fm_host_files *files, const char *path, uint32_t offset, uint32_t size,
                       uint32_t block_size) {
    files->image = fopen(path, "r+b");
    if (!files->image) {
        return FM_IO;
    }
    files->offset = offset;
    struct lfs_config *config = &files->config;
    config->context = files;
    config->read = flash_read;
    config->prog = flash_write;
    config->erase = flash_erase;
    config->sync = flash_sync;
    config->read_size = config->prog_size = config->cache_size = config->lookahead_size = 64;
    config->block_size = block_size;
    config->block_count = size / block_size;
    config->block_cycles = 16;
    config->name_max = 32;
    config->disk_version = 0x00020000;
    config->read_buffer = files->read_buffer;
    config->prog_buffer = files->program_buffer;
    config->lookahead_buffer = files->lookahead;
    return lfs_mount(&files->lfs, config) == 0 ? FM_OK : FM_IO;
}

static void path_of(const char *key, char path[32]) {
    snprintf(path, 32, "/" FM_NAMESPACE "/%s", key);
}

static int open_file(struct fm_host_files *files, lfs_file_t *file, struct lfs_file_config *config, const char *key,
                     int flags) {
    char path[32];
    path_of(key, path);
    memset(config, 0, sizeof *config);
    config->buffer = files->file_buffer;
    int result = lfs_file_opencfg(&files->lfs, file, path, flags, config);
    return result == LFS_ERR_NOENT ? FM_ABSENT : result ? FM_IO : FM_OK;
}

static int get(void *ctx, const char *key, uint8_t *data, size_t room) {
    struct fm_host_files *files = ctx;
    struct lfs_file_config config;
    lfs_file_t file;
    int result = open_file(files, &file, &config, key, LFS_O_RDONLY);
    if (result != FM_OK) {
        return result;
    }
    lfs_soff_t size = lfs_file_size(&files->lfs, &file);
    /* A new file is there, empty, before its content is: until then there is no value. */
    if (size == 0) {
        result = FM_ABSENT;
    } else if (size > (lfs_soff_t)room) {
        result = FM_TOO_LONG;
    } else {
        result = lfs_file_read(&files->lfs, &file, data, (lfs_size_t)size) == size ? (int)size : FM_IO;
    }
    lfs_file_close(&files->lfs, &file);
    return result;
}

/* LittleFS shows the new content when the file is closed, and until then the old one. */
static int put(void *ctx, const char *key, const uint8_t *data, size_t size) {
    struct fm_host_files *files = ctx;
    struct lfs_file_config config;
    lfs_file_t file;
    int result = open_file(files, &file, &config, key, LFS_O_WRONLY | LFS_O_CREAT | LFS_O_TRUNC);
    if (result != FM_OK) {
        return FM_IO;
    }
    bool whole = lfs_file_write(&files->lfs, &file, data, (lfs_size_t)size) == (lfs_ssize_t)size;
    return lfs_file_close(&files->lfs, &file) == 0 && whole ? FM_OK : FM_IO;
}

static int erase(void *ctx, const char *key) {
    struct fm_host_files *files = ctx;
    char path[32];
    path_of(key, path);
    int result = lfs_remove(&files->lfs, path);
    return result == 0 || result == LFS_ERR_NOENT ? FM_OK : FM_IO;
}

static int get_i32(void *ctx, const char *key, int32_t *value) {
    char text[13];
    int size = get(ctx, key, (uint8_t *)text, sizeof text - 1);
    if (size < 0) {
        return size == FM_TOO_LONG ? FM_BAD : size;
    }
    text[size] = 0;
    char *end;
    long long number = strtoll(text, &end, 10);
    if (!size || *end || number < INT32_MIN || number > INT32_MAX) {
        return FM_BAD;
    }
    *value = (int32_t)number;
    return FM_OK;
}

static int put_i32(void *ctx, const char *key, int32_t value) {
    char text[13];
    int size = snprintf(text, sizeof text, "%" PRId32, value);
    return put(ctx, key, (const uint8_t *)text, (size_t)size);
}

struct fm_kv fm_host_kv(struct fm_host_files *files) {
    struct fm_kv made = {files, get, put, erase, get_i32, put_i32};
    return made;
}
