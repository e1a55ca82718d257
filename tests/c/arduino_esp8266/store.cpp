// The store of the port on the double, asked by itself. Prints what is not as it should be.
//
// SPDX-License-Identifier: MIT
#include <LittleFS.h>

#include "fm_esp8266.h"

#define MUST(what)                       \
    if (!(what)) {                       \
        printf("not: %s\n", #what);      \
        return 1;                        \
    }

int main() {
    struct fm_kv kv;
    uint8_t data[16];
    int32_t number;

    LittleFS.files["/fleetmint/device_id"] = "pump-0001";
    LittleFS.good = false;
    MUST(fm_esp8266_kv(&kv) == FM_IO && !LittleFS.formatted && LittleFS.files.size() == 1);
    LittleFS.good = true;
    MUST(fm_esp8266_kv(&kv) == FM_OK);

    MUST(kv.get(kv.ctx, "device_id", data, sizeof data) == 9 && memcmp(data, "pump-0001", 9) == 0);
    MUST(kv.get(kv.ctx, "device_id", data, 8) == FM_TOO_LONG);
    MUST(kv.get(kv.ctx, "token", data, sizeof data) == FM_ABSENT);
    LittleFS.files["/fleetmint/cert0"] = "";
    MUST(kv.get(kv.ctx, "cert0", data, sizeof data) == FM_ABSENT);
    MUST(kv.get_i32(kv.ctx, "device_id", &number) == FM_BAD);
    MUST(kv.get_i32(kv.ctx, "slot", &number) == FM_ABSENT);

    MUST(kv.put(kv.ctx, "cert0", reinterpret_cast<const uint8_t *>("\0\xff"), 2) == FM_OK);
    MUST(LittleFS.files["/fleetmint/cert0"] == std::string("\0\xff", 2));
    MUST(kv.put_i32(kv.ctx, "slot", -3) == FM_OK && LittleFS.files["/fleetmint/slot"] == "-3");
    MUST(kv.get_i32(kv.ctx, "slot", &number) == FM_OK && number == -3);
    MUST(kv.erase(kv.ctx, "cert0") == FM_OK && kv.erase(kv.ctx, "cert0") == FM_OK);
    MUST(LittleFS.files.count("/fleetmint/cert0") == 0);
    LittleFS.room = 1;
    MUST(kv.put(kv.ctx, "cert0", data, 2) == FM_IO);
    return 0;
}
