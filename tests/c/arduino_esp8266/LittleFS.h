// SPDX-License-Identifier: MIT
#ifndef LITTLEFS_DOUBLE_H
#define LITTLEFS_DOUBLE_H

#include <map>
#include <memory>
#include <string>

#include "Arduino.h"

struct FSConfig {
    bool format;
};

struct LittleFSConfig : FSConfig {
    explicit LittleFSConfig(bool autoFormat = true) : FSConfig{autoFormat} {}
};

class File {
  public:
    File() = default;
    File(std::string *content, bool write);
    size_t write(const uint8_t *data, size_t size);
    int read(uint8_t *data, size_t size);
    size_t size() const;
    void close();
    explicit operator bool() const { return content_ != nullptr; }

  private:
    std::string *content_ = nullptr;
    size_t at_ = 0;
};

struct FS {
    bool setConfig(const FSConfig &config);
    bool begin();
    File open(const char *path, const char *mode);
    bool exists(const char *path);
    bool remove(const char *path);

    std::map<std::string, std::string> files;
    // Whether there is a file system in the flash, and whether somebody has made an empty one in its place.
    bool good = true, formats = true, formatted = false;
    // So many bytes go into the flash until it is full.
    size_t room = 1 << 20;
};
extern FS LittleFS;

#endif
