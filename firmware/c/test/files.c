/* A store in a LittleFS: files FLASH OFFSET SIZE BLOCK_SIZE [DIES_AT [torn]], asked line by line (see lines.h):
 *
 *   get KEY ROOM    put KEY VALUE    erase KEY    geti KEY    puti KEY NUMBER
 *
 * DIES_AT: the power goes at this write to the flash, or half-way through it. The last line of all says how many there were.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fm_host_files.h"
#include "lines.h"

int main(int count, char **argument) {
    static struct fm_host_files files;
    static struct lines lines;
    static uint8_t data[8192];
    if (count < 5 || fm_host_files_open(&files, argument[1], (uint32_t)atoi(argument[2]), (uint32_t)atoi(argument[3]),
                                        (uint32_t)atoi(argument[4])) != FM_OK) {
        return 1;
    }
    struct fm_kv kv = fm_host_kv(&files);
    files.dies_at = count > 5 ? (unsigned)atoi(argument[5]) : 0;
    files.torn = count > 6;
    while (lines_next(&lines)) {
        const char *key = lines_text(&lines, 0);
        int32_t number = 0;
        int result;
        if (strcmp(lines.what, "get") == 0) {
            result = kv.get(kv.ctx, key, data, lines_number(&lines, 1));
            lines_say_result(result);
            lines_say_bytes(data, result > 0 ? (size_t)result : 0);
        } else if (strcmp(lines.what, "put") == 0) {
            lines_say_result(kv.put(kv.ctx, key, lines.values[1].data, lines.values[1].size));
        } else if (strcmp(lines.what, "erase") == 0) {
            lines_say_result(kv.erase(kv.ctx, key));
        } else if (strcmp(lines.what, "geti") == 0) {
            lines_say_result(kv.get_i32(kv.ctx, key, &number));
            lines_say_number((uint32_t)number);
        } else {
            lines_say_result(kv.put_i32(kv.ctx, key, (int32_t)lines_number(&lines, 1)));
        }
        lines_end();
    }
    lines_say_number(files.writes);
    lines_end();
    return 0;
}
