# The loop of a device: network, clock, identity, broker. Whatever fails, it says why, waits, and starts again.

import gc
import json
import time

from agent import enrol, https, trust
from agent.backoff import Backoff
from agent.clock import Clock, ask_ntp
from agent.errors import Missing, Problem, Refused, WrongTime
from agent.identity import Identity
from agent.mqtt import Mqtt
from agent.store import Store
from agent.stream import Dropped, Stream, context
from agent.wifi import Wifi


def shown(data):
    """What of `data` a console does not obey."""
    return "".join(chr(c) for c in data if 32 <= c < 127)


def greeting(body):
    """The words of the page's line with "Hello", without tags and without what a console might obey."""
    for line in body.decode().split("\n"):
        if "Hello" in line:
            text = "".join(part.split(">", 1)[-1] for part in line.split("<"))
            return shown(text.encode()).strip()[:80]
    return "no greeting"


# The hardware is handed in: `nvs` an esp32.NVS, `wlan` a network.WLAN, `rtc` a machine.RTC.


class Agent:
    def __init__(
        self, nvs, wlan, rtc, read, on_message=None, every=5, ntp=None, ask=ask_ntp, say=print, sleep=time.sleep
    ):
        self._nvs = nvs
        self._wlan = wlan
        self._rtc = rtc
        self._read = read
        self._on_message = on_message
        self._every = max(1, int(every * 1000))
        self._ask = lambda: ask(ntp or self._identity.gateway)
        self._print = say
        self._sleep = sleep
        self._started = time.ticks_ms()
        self._uptime_ms = 0
        self._backoff = Backoff()
        self._count = 0
        self._unsent = None
        # The slot whose identity the gateway has accepted since the last refusal.
        self._proven = None
        # What the gateway last said about its trust bundle.
        self._offered = None

    def run(self):
        """Work until the NVS turns out to lack something."""
        try:
            self._open()
            while True:
                self._attempt()
        except Missing as error:
            self._say(f"stopped: {error}")

    def _open(self):
        self._identity = identity = Identity(self._nvs)
        self._say(f"this is {identity.device_id}, its gateway is {identity.gateway}")
        self._trust = trust.Trust(self._nvs, self._say)
        self._store = Store(self._nvs)
        ssid, passphrase = identity.wifi()
        self._wifi = Wifi(self._wlan, ssid, passphrase, self._say)
        self._clock = Clock(self._nvs, self._rtc, self._ask, self._say)

    def _attempt(self):
        try:
            self._round()
        except Missing:
            raise
        except Exception as error:
            if isinstance(error, WrongTime):
                self._clock.doubt()
            if isinstance(error, (Refused, Dropped)):
                self._proven = None
            wait = self._backoff.after(error)
            # Only Problem promises a message without secrets.
            text = str(error) if isinstance(error, Problem) else f"unexpected {type(error).__name__}"
            self._say(f"{text}; trying again in {wait} s")
            gc.collect()
            self._sleep(wait)

    def _round(self):
        self._wifi.join()
        self._clock.adjust()
        if not self._store.identities():
            self._enrol()
        gc.collect()
        if self._proven is None:
            self._proven = self._prove()
            gc.collect()
            self._follow(self._proven)
        gc.collect()
        self._talk(self._proven)

    def _enrol(self):
        # The radio is on, so there is randomness for a key.
        slot = enrol.enrol(self._identity, self._store, context(self._trust.anchors()))
        self._say(f"enrolled, certificate in slot {slot}")

    def _prove(self):
        """The first slot whose identity the gateway accepts; it is the one in use from now on.

        When none is (it has ended, or was revoked for a new owner) and somebody has put another token into the NVS
        since the slot in use was proven, that token gives the device a new identity.
        """
        try:
            return self._accepted()
        except Refused:
            if self._store.active() is None or not self._identity.has_token():
                raise
        self._say("there is another token: enrolling with a new key")
        self._enrol()
        gc.collect()
        return self._accepted()

    def _accepted(self):
        failure = None
        for slot in self._store.identities():
            try:
                self._greet(slot)
            except Refused as error:
                self._say(f"identity in slot {slot} is not accepted")
                failure = error
                continue
            self._store.activate(slot)
            # It has done its work. Enrolling again takes a new one anyway.
            self._identity.forget_token()
            return slot
        raise failure

    def _greet(self, slot):
        identity = self._identity
        response = https.request(self._context(slot), identity.gateway, identity.https_port, "GET", "/")
        self._clock.confirm(response.headers.get("date"))
        enrol.check(response)
        self._offered = response.headers.get(trust.HEADER)
        self._say(f"gateway says: {greeting(response.body)}")

    def _follow(self, slot):
        identity = self._identity

        def fetch():
            made = self._context(slot)
            response = https.request(
                made, identity.gateway, identity.https_port, "GET", trust.PATH, limit=trust.LARGEST
            )
            enrol.check(response)
            return response.body

        def prove(anchors):
            gc.collect()
            made = context(anchors, *self._store.load(slot))
            enrol.check(https.request(made, identity.gateway, identity.https_port, "GET", "/"))

        try:
            self._trust.follow(self._offered, fetch, prove)
        except Exception as error:
            # Too little memory, for one. With the bundle it has the device can still work.
            self._say(f"trust bundle not used: unexpected {type(error).__name__}")

    def _context(self, slot):
        return context(self._trust.anchors(), *self._store.load(slot))

    def _talk(self, slot):
        identity = self._identity
        stream = Stream(self._context(slot), identity.gateway, identity.mqtt_port)
        mqtt = Mqtt(stream, self._receive, on_too_large=self._too_large)
        try:
            mqtt.connect(identity.device_id)
            mqtt.subscribe(f"devices/{identity.device_id}/in/#")
            self._say("connected to the broker")
            due = time.ticks_ms()
            until = time.ticks_add(due, trust.patience())
            while time.ticks_diff(until, time.ticks_ms()) > 0:
                left = time.ticks_diff(due, time.ticks_ms())
                if left <= 0:
                    self._publish(mqtt)
                    due = time.ticks_add(time.ticks_ms(), self._every)
                else:
                    mqtt.check(min(left, 1000))
                if not self._wifi.up():
                    raise Problem("Wi-Fi lost")
            # A session may last for months; the gateway's news come with its greeting.
            self._proven = None
        finally:
            mqtt.close()

    def _publish(self, mqtt):
        # A reading the broker did not acknowledge is sent again in the next session: QoS 1 across connections.
        if self._unsent is None:
            self._unsent = self._reading()
        if self._unsent is not None:
            mqtt.publish(f"devices/{self._identity.device_id}/out/readings", self._unsent)
            self._unsent = None
            self._backoff.reset()
            self._say(f"published reading {self._count}")

    def _reading(self):
        try:
            reading = dict(self._read())
            reading.update(n=self._count + 1, uptime=self._uptime())
            encoded = json.dumps(reading).encode()
        except Exception as error:
            self._say(f"no reading: read() raised {type(error).__name__}: {error}")
            return None
        self._count += 1
        return encoded

    def _receive(self, topic, payload):
        prefix = f"devices/{self._identity.device_id}/in/"
        if not self._on_message or not topic.startswith(prefix):
            return
        try:
            self._on_message(topic[len(prefix) :], payload)
        except Exception as error:
            self._say(f"on_message raised {type(error).__name__}: {error}")

    def _too_large(self, topic, size):
        self._say(f"dropped a message of {size} bytes on {shown(topic)}: it is too large for this device")
        gc.collect()

    def _uptime(self):
        # Ticks wrap around after some days; the sum does not.
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._started)
        self._started = now
        return self._uptime_ms // 1000

    def _say(self, text):
        self._print(f"fleetmint {self._uptime()}s: {text}")
