// SPDX-License-Identifier: MIT
#include <ESP8266WiFi.h>
#include <LittleFS.h>
#include <StackThunk.h>
#include <lwip/dns.h>

HardwareSerial Serial;
EspClass ESP;
ESP8266WiFiClass WiFi;
FS LittleFS;

static uint32_t now;

uint32_t millis(void) { return now += 5; }
uint64_t micros64(void) { return static_cast<uint64_t>(now) * 1000; }
void delayMicroseconds(unsigned int) {}
void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t, uint8_t) {}
int digitalRead(uint8_t) { return HIGH; }
int analogRead(uint8_t) { return 512; }
uint32_t arduino_double_random(void) { return static_cast<uint32_t>(rand()); }
void stack_thunk_add_ref() {}

// The lwIP of this machine is built without it: addresses are all that it knows.
err_t dns_gethostbyname(const char *name, ip_addr_t *address, dns_found_callback, void *) {
    return ipaddr_aton(name, address) ? ERR_OK : ERR_VAL;
}

void HardwareSerial::begin(unsigned long) {}
size_t HardwareSerial::print(const char *text) { return static_cast<size_t>(printf("%s", text)); }
size_t HardwareSerial::println(const char *text) { return static_cast<size_t>(printf("%s\n", text)); }

struct rst_info *EspClass::getResetInfoPtr() {
    static struct rst_info info = {REASON_EXT_SYS_RST};
    return &info;
}

void ESP8266WiFiClass::persistent(bool) {}
bool ESP8266WiFiClass::mode(WiFiMode_t mode) {
    mode_ = mode;
    return true;
}
WiFiMode_t ESP8266WiFiClass::getMode() { return mode_; }
wl_status_t ESP8266WiFiClass::begin(const char *, const char *) { return status_; }
wl_status_t ESP8266WiFiClass::status() { return status_; }
bool ESP8266WiFiClass::disconnect(bool) { return true; }
uint8_t *ESP8266WiFiClass::macAddress(uint8_t *mac) {
    static const uint8_t own[] = {0x24, 0x0a, 0xc4, 0x00, 0x00, 0x07};
    return static_cast<uint8_t *>(memcpy(mac, own, sizeof own));
}

File::File(std::string *content, bool write) : content_(content) {
    if (write) {
        content->clear();
    }
}
size_t File::write(const uint8_t *data, size_t size) {
    size_t kept = size < LittleFS.room ? size : LittleFS.room;
    LittleFS.room -= kept;
    content_->append(reinterpret_cast<const char *>(data), kept);
    return kept;
}
int File::read(uint8_t *data, size_t size) {
    size_t left = content_->size() - at_;
    size = size < left ? size : left;
    memcpy(data, content_->data() + at_, size);
    at_ += size;
    return static_cast<int>(size);
}
size_t File::size() const { return content_->size(); }
void File::close() { content_ = nullptr; }

bool FS::setConfig(const FSConfig &config) {
    formats = config.format;
    return true;
}
bool FS::begin() {
    if (!good && formats) {
        files.clear();
        formatted = good = true;
    }
    return good;
}
File FS::open(const char *path, const char *mode) {
    if (*mode == 'r' && !exists(path)) {
        return File();
    }
    return File(&files[path], *mode == 'w');
}
bool FS::exists(const char *path) { return files.count(path) != 0; }
bool FS::remove(const char *path) { return files.erase(path) != 0; }
