/* The store of an ESP32 at a prompt: kv_tool FLASH HMAC-KEY|- CUT-AT, then on each line of stdin one of
 *
 *     put KEY HEX   get KEY   erase KEY   puti KEY NUMBER   geti KEY
 *
 * and for each a line with the result: a number, and what was read. At the end: how many writes there were. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../firmware/c/port/esp32/fm_esp32.h"
#include "board.h"

static uint8_t data[32768];
static char line[80000];

static size_t from_hex(const char *text) {
    size_t size = 0;
    for (unsigned byte; sscanf(text, "%2x", &byte) == 1; text += 2)
        data[size++] = (uint8_t)byte;
    return size;
}

static void act(const struct fm_kv *kv, const char *verb, const char *key, const char *rest) {
    int32_t number = 0;
    int result;
    if (strcmp(verb, "put") == 0)
        printf("%d\n", kv->put(kv->ctx, key, data, from_hex(rest)));
    else if (strcmp(verb, "erase") == 0)
        printf("%d\n", kv->erase(kv->ctx, key));
    else if (strcmp(verb, "puti") == 0)
        printf("%d\n", kv->put_i32(kv->ctx, key, atoi(rest)));
    else if (strcmp(verb, "geti") == 0) {
        result = kv->get_i32(kv->ctx, key, &number);
        printf("%d %" PRId32 "\n", result, number);
    } else {
        size_t room = *rest ? (size_t)atoi(rest) : sizeof data;
        result = kv->get(kv->ctx, key, data, room);
        printf("%d ", result);
        for (int i = 0; i < result; i++)
            printf("%02x", data[i]);
        printf("\n");
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct fm_esp32_kv store;
    struct fm_kv kv;
    if (argc != 4)
        return 2;
    board_start(argv[1], argv[2], strtoul(argv[3], NULL, 10));
    if (fm_esp32_kv_open(&store, &kv) != FM_OK) {
        printf("not open: %s\n", esp_err_to_name(store.error));
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *verb = strtok(line, " "), *key = strtok(NULL, " "), *rest = strtok(NULL, " ");
        if (!verb || !key)
            return 2;
        act(&kv, verb, key, rest ? rest : "");
    }
    printf("%lu writes\n", board_writes());
    return 0;
}
