#include "board.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *flash;
static uint32_t flash_size;
static uint8_t efuse[32];
static int has_efuse;
static unsigned long writes, cut;
static int torn = 1;

static void fail(const char *what, const char *path) {
    fprintf(stderr, "board: %s %s\n", what, path);
    exit(2);
}

void board_start(const char *path, const char *hmac_key, unsigned long cut_at) {
    struct stat found;
    int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &found) || found.st_size <= 0)
        fail("no flash", path);
    flash_size = (uint32_t)found.st_size;
    void *mapped = mmap(NULL, flash_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        fail("cannot map", path);
    close(file);
    flash = mapped;
    if (strcmp(hmac_key, "-") != 0) {
        FILE *key = fopen(hmac_key, "rb");
        if (!key || fread(efuse, 1, sizeof efuse, key) != sizeof efuse)
            fail("no key of 32 bytes in", hmac_key);
        fclose(key);
        has_efuse = 1;
    }
    cut = cut_at;
}

static const char *value_of(const char *text, const char *name) {
    size_t size = strlen(name);
    return strncmp(text, name, size) == 0 && text[size] == '=' ? text + size + 1 : NULL;
}

void board_options(int count, char **argument) {
    torn = 0;
    for (int i = 1; i < count; i++) {
        const char *value;
        if ((value = value_of(argument[i], "dies")))
            cut = strtoul(value, NULL, 10);
        else if ((value = value_of(argument[i], "torn")))
            torn = 1;
        else if ((value = value_of(argument[i], "ssid")))
            setenv("BOARD_SSID", value, 1);
        else if ((value = value_of(argument[i], "passphrase")))
            setenv("BOARD_PASSPHRASE", value, 1);
    }
}

unsigned long board_writes(void) {
    return writes;
}

uint32_t board_flash_size(void) {
    return flash_size;
}

const uint8_t *board_hmac_key(void) {
    return has_efuse ? efuse : NULL;
}

static void check(uint32_t at, size_t size) {
    if (at > flash_size || size > flash_size - at) {
        fprintf(stderr, "board: outside of the flash\n");
        abort();
    }
}

void board_read(uint32_t at, void *data, size_t size) {
    check(at, size);
    memcpy(data, flash + at, size);
}

/* Whether the power goes during the write that is about to happen. */
static int going(void) {
    return ++writes == cut;
}

void board_write(uint32_t at, const void *data, size_t size) {
    check(at, size);
    int last = going();
    size_t done = last ? (torn ? size / 2 : 0) : size;
    for (size_t i = 0; i < done; i++)
        flash[at + i] &= ((const uint8_t *)data)[i];
    if (last)
        _exit(BOARD_POWER_CUT);
}

void board_erase(uint32_t at, size_t size) {
    check(at, size);
    if (at % BOARD_SECTOR || size % BOARD_SECTOR)
        abort();
    int last = going();
    memset(flash + at, 0xff, last ? (torn ? size / 2 : 0) : size);
    if (last)
        _exit(BOARD_POWER_CUT);
}
