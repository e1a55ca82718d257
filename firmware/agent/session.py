# One session with the broker: readings go out, messages come in.

import asyncio
import gc
import json
import time

from agent import trust
from agent.calls import result_of
from agent.console import shown
from agent.errors import Problem
from agent.mqtt import Mqtt
from agent.stream import Stream

# What the product measures: counted, and kept until a broker has acknowledged it.


class Readings:
    def __init__(self, read, console):
        self._read = read
        self._console = console
        self.count = 0
        self._unsent = None

    async def next(self):
        """The reading to send, encoded; None when there is none."""
        # One that the broker did not acknowledge is sent again in the next session: QoS 1 across connections.
        if self._unsent is None:
            self._unsent = await self._take()
        return self._unsent

    def sent(self):
        self._unsent = None

    async def _take(self):
        try:
            reading = dict(await result_of(self._read))
            reading.update(n=self.count + 1, uptime=self._console.uptime())
            encoded = json.dumps(reading).encode()
        except Exception as error:
            self._console.say(f"no reading: read() raised {type(error).__name__}: {error}")
            return None
        self.count += 1
        return encoded


class Session:
    def __init__(self, identity, wifi, readings, every, inbox, backoff, console):
        self._identity = identity
        self._wifi = wifi
        self._readings = readings
        self._every = every
        self._inbox = inbox
        self._backoff = backoff
        self._say = console.say

    async def hold(self, made):
        """Talk to the broker under the TLS context `made`. Returns after about a day, raises what ends it before."""
        identity = self._identity
        stream = await Stream.open(made, identity.gateway, identity.mqtt_port)
        mqtt = Mqtt(stream, self._receive, on_too_large=self._too_large)
        done = False
        try:
            await mqtt.connect(identity.device_id)
            await mqtt.subscribe(f"devices/{identity.device_id}/in/#")
            self._say("connected to the broker")
            due = time.ticks_ms()
            until = time.ticks_add(due, trust.patience())
            while time.ticks_diff(until, time.ticks_ms()) > 0:
                left = time.ticks_diff(due, time.ticks_ms())
                if left <= 0:
                    await self._publish(mqtt)
                    due = time.ticks_add(time.ticks_ms(), self._every)
                else:
                    await asyncio.sleep_ms(min(left, 1000))
                mqtt.check()
                if not self._wifi.up():
                    raise Problem("Wi-Fi lost")
            done = True
        finally:
            await mqtt.close(done)

    async def _publish(self, mqtt):
        reading = await self._readings.next()
        if reading is not None:
            await mqtt.publish(f"devices/{self._identity.device_id}/out/readings", reading)
            self._readings.sent()
            self._backoff.reset()
            self._say(f"published reading {self._readings.count}")

    def _receive(self, topic, payload):
        prefix = f"devices/{self._identity.device_id}/in/"
        if self._inbox and topic.startswith(prefix):
            self._inbox.deliver(topic[len(prefix) :], payload)

    def _too_large(self, topic, size):
        self._say(f"dropped a message of {size} bytes on {shown(topic)}: it is too large for this device")
        gc.collect()
