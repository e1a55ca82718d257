/* SPDX-License-Identifier: MIT */
#include "fleetmint/calendar.h"

#include <string.h>

#include "fleetmint/port.h"

#define DAY 86400u

static int days_of_month(unsigned year, unsigned month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        return 29;
    }
    return days[month - 1];
}

/* Days from 0000-03-01: a year that begins in March makes the leap day its last one. */
static uint32_t days_until(unsigned year, unsigned month, unsigned day) {
    if (month < 3) {
        year -= 1;
        month += 12;
    }
    return 365u * year + year / 4 - year / 100 + year / 400 + (153u * month - 457) / 5 + day - 1;
}

int fm_calendar_seconds(const struct fm_date *date, uint32_t *seconds) {
    uint32_t first = days_until(2000, 1, 1), days;
    uint64_t found;

    if (date->month < 1 || date->month > 12 || date->day < 1 || date->day > days_of_month(date->year, date->month)) {
        return FM_BAD;
    }
    if (date->hour > 23 || date->minute > 59 || date->second > 60) {
        return FM_BAD;
    }
    if (date->year < 2000) {
        *seconds = 0;
        return FM_OK;
    }
    days = days_until(date->year, date->month, date->day) - first;
    found = (uint64_t)days * DAY + date->hour * 3600u + date->minute * 60u + date->second;
    *seconds = found > UINT32_MAX ? UINT32_MAX : (uint32_t)found;
    return FM_OK;
}

void fm_calendar_date(uint32_t seconds, struct fm_date *date) {
    uint32_t days = seconds / DAY, left = seconds % DAY;
    unsigned year = 2000, month = 1;

    while (days >= (uint32_t)(days_of_month(year, 2) + 337)) {
        days -= (uint32_t)(days_of_month(year, 2) + 337);
        year++;
    }
    while (days >= (uint32_t)days_of_month(year, month)) {
        days -= (uint32_t)days_of_month(year, month);
        month++;
    }
    date->year = (uint16_t)year;
    date->month = (uint8_t)month;
    date->day = (uint8_t)(days + 1);
    date->hour = (uint8_t)(left / 3600);
    date->minute = (uint8_t)(left / 60 % 60);
    date->second = (uint8_t)(left % 60);
}

int32_t fm_calendar_digits(const char *text, size_t count) {
    int32_t value = 0;

    while (count-- > 0) {
        if (*text < '0' || *text > '9') {
            return -1;
        }
        value = value * 10 + (*text++ - '0');
    }
    return value;
}

/* The parts of a date that stand in text, each -1 when it is none. */
static int seconds_of(int32_t year, int32_t month, int32_t day, const char *clock, uint32_t *seconds) {
    int32_t hour = fm_calendar_digits(clock, 2), minute = fm_calendar_digits(clock + 3, 2);
    int32_t second = fm_calendar_digits(clock + 6, 2);
    struct fm_date date;

    if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0) {
        return FM_BAD;
    }
    if (clock[2] != ':' || clock[5] != ':') {
        return FM_BAD;
    }
    date.year = (uint16_t)year;
    date.month = (uint8_t)month;
    date.day = (uint8_t)day;
    date.hour = (uint8_t)hour;
    date.minute = (uint8_t)minute;
    date.second = (uint8_t)second;
    return fm_calendar_seconds(&date, seconds);
}

int fm_calendar_http(const char *text, size_t size, uint32_t *seconds) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int32_t month = -1;
    size_t at;

    /* "Sun, 22 Nov 2026 01:28:00 GMT": the name of the day says nothing that the date does not. */
    if (size != 29 || memcmp(text + 3, ", ", 2) != 0 || memcmp(text + 25, " GMT", 4) != 0) {
        return FM_BAD;
    }
    if (text[7] != ' ' || text[11] != ' ' || text[16] != ' ') {
        return FM_BAD;
    }
    for (at = 0; at < 12; at++) {
        if (memcmp(text + 8, months + 3 * at, 3) == 0) {
            month = (int32_t)at + 1;
        }
    }
    return seconds_of(fm_calendar_digits(text + 12, 4), month, fm_calendar_digits(text + 5, 2), text + 17, seconds);
}

int fm_calendar_iso(const char *text, size_t size, uint32_t *seconds) {
    /* "2027-07-28T00:00:00Z" */
    if (size != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[19] != 'Z') {
        return FM_BAD;
    }
    return seconds_of(fm_calendar_digits(text, 4), fm_calendar_digits(text + 5, 2), fm_calendar_digits(text + 8, 2),
                      text + 11, seconds);
}
