# What time it is, for a device that starts in the year 2000 and must judge certificates.
#
# The clock floor in the NVS is a time that has certainly passed. The device works from there until somebody tells it
# better: NTP, which anybody can forge and is believed within bounds until a certificate contradicts it, and the Date
# of the gateway over a verified connection. Only a time under which the gateway's certificate was valid, and which
# the gateway itself then named, becomes the new floor.
#
# All times are seconds since 2000-01-01 UTC.

import asyncio
import os
import socket
import time

from agent import nvs_keys, values
from agent.errors import Missing
from agent.stream import readable

DAY = 86_400
# How far above the floor a time may lie: the years a device may wait on a shelf.
SHELF_LIFE = 5 * 365 * DAY
# A floor this much older is written anew; more often would wear the flash for nothing.
FLOOR_STEP = 30 * DAY
# The RTC of a board is corrected when it is this much off.
TOLERANCE = 30

_UNIX_2000 = 946_684_800
_NTP_2000 = 3_155_673_600
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def _since_2000(year, month, day, hour, minute, second):
    # Days by the count of Julian days: a year that starts in March makes the leap day the last one.
    if month < 3:
        year, month = year - 1, month + 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 730_426
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def parse_date(text):
    """The time in an HTTP Date ("Sun, 22 Nov 2026 01:28:00 GMT"), or None when it is no such date."""
    words = (text or "").split()
    try:
        _, day, month, year, clock, zone = words
        hour, minute, second = clock.split(":")
        found = _MONTHS.find(month)
        if found < 0 or found % 3 or len(month) != 3 or zone != "GMT":
            return None
        return _since_2000(int(year), found // 3 + 1, int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None


def parse_time(text):
    """The time in "2027-07-28T00:00:00Z", or None when it is no such time."""
    try:
        day, clock = text.split("T")
        year, month, day = day.split("-")
        hour, minute, second = clock[:-1].split(":")
        return _since_2000(int(year), int(month), int(day), int(hour), int(minute), int(second))
    except (AttributeError, ValueError):
        return None


async def ask_ntp(host, port=123, timeout=2, sockets=socket):
    """The time that an NTP server tells (SNTP, RFC 4330), or None when there is no usable answer in `timeout` s."""
    sock = None
    try:
        address = sockets.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]
        sock = sockets.socket(address[0], socket.SOCK_DGRAM)
        sock.setblocking(False)
        # The server sends our transmit time back: random bytes there keep blind forgers out.
        nonce = os.urandom(8)
        sock.sendto(b"\x23" + bytes(39) + nonce, address[-1])
        await asyncio.wait_for(readable(sock), timeout)
        reply = sock.recv(48)
    except (asyncio.TimeoutError, OSError):
        return None
    finally:
        if sock:
            sock.close()
    # Mode "server", a stratum that is synchronised, the answer to this question.
    if len(reply) < 48 or reply[0] & 7 != 4 or not 1 <= reply[1] <= 15 or reply[24:32] != nonce:
        return None
    # 32 bits of seconds start again in 2036.
    return (int.from_bytes(reply[40:44], "big") - _NTP_2000) & 0xFFFFFFFF


# `rtc` is a machine.RTC, `ntp` a coroutine function that returns a time or None, `clock` the module time.


class Clock:
    def __init__(self, nvs, rtc, ntp, say, clock=time):
        self._nvs = nvs
        self._rtc = rtc
        self._ntp = ntp
        self._say = say
        self._clock = clock
        # The unix port counts from 1970, the others from 2000.
        self._epoch = _UNIX_2000 if clock.gmtime(0)[0] == 1970 else 0
        self._floor = values.number(nvs, nvs_keys.CLOCK_FLOOR)
        if self._floor is None:
            raise Missing(nvs_keys.CLOCK_FLOOR)
        self.confirmed = False
        # A clock that ran on through a reset is kept; after a power-on it has to be asked for.
        self._at_floor = not self._plausible(self.now())
        self._ask = self._at_floor
        if self._at_floor:
            self._set(self._floor)

    def now(self):
        return int(self._clock.time()) - self._epoch

    async def adjust(self):
        """Ask for the time if nobody has told it yet."""
        if not self._ask:
            return
        self._ask = False
        told = await self._ntp()
        if told is None:
            self._say("no time from the network, working from the clock floor")
        elif not self._plausible(told):
            self._say("time from the network refused: it is not within reach of the clock floor")
        else:
            self._set(told)
            self._at_floor = False

    def doubt(self):
        """A certificate was outside its dates: perhaps the clock is wrong. Changes what can be changed."""
        if self.confirmed:
            return
        if self._at_floor:
            self._ask = True
        else:
            self._say("the clock may be wrong, working from the clock floor")
            self._set(self._floor)
            self._at_floor = True

    def confirm(self, date):
        """Take the Date header of a verified reply into account."""
        told = parse_date(date)
        if told is None or not self._plausible(told):
            return
        off = abs(told - self.now())
        if off > TOLERANCE:
            self._set(told)
            self._at_floor = False
        if off > DAY:
            # The certificate was judged by another time: the next connection has to confirm this one.
            return
        self.confirmed = True
        if told - self._floor >= FLOOR_STEP:
            self._nvs.set_i32(nvs_keys.CLOCK_FLOOR, told)
            self._nvs.commit()
            self._floor = told

    def _plausible(self, seconds):
        return self._floor <= seconds <= self._floor + SHELF_LIFE

    def _set(self, seconds):
        year, month, day, hour, minute, second, weekday = self._clock.gmtime(seconds + self._epoch)[:7]
        self._rtc.datetime((year, month, day, weekday, hour, minute, second, 0))
        self._say(f"clock set to {year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
