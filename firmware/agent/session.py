# One session with the broker: presence, what is in the outbox, messages to the device.

import asyncio
import gc
import json
import time

from agent.console import shown
from agent.errors import Problem
from agent.mqtt import Mqtt
from agent.settings import ANSWERS
from agent.stream import Stream

STATUS = "status"
# Below this everything is between the gateway and the agent, and no business of the product's.
OWN = "fleetmint/"
_AWAY = b'{"online": false}'
# A session that has lasted so long (in ms) is a success, even if there was nothing to publish.
_LASTING = 60_000


# `status()` is the dict that the device says of itself on each connection; `settings` gets what comes below
# devices/<id>/in/fleetmint/, `inbox` everything else.


class Session:
    def __init__(self, identity, wifi, outbox, inbox, status, backoff, say, settings):
        self._identity = identity
        self._wifi = wifi
        self._outbox = outbox
        self._inbox = inbox
        self._status = status
        self._backoff = backoff
        self._say = say
        self._settings = settings
        self._leaving = False

    def leave(self):
        """End the session as soon as that is possible, with a farewell."""
        self._leaving = True
        self.wake()

    def wake(self):
        """Look again whether there is anything to do."""
        self._outbox.wake()

    async def hold(self, made, until):
        """Talk to the broker under the TLS context `made`.

        Returns when the coroutine `until` has, which runs beside the session, when somebody said `leave`, or when there
        are settings to try; raises what ends it before.
        """
        identity, outbox, settings = self._identity, self._outbox, self._settings
        stream = await Stream.open(made, identity.gateway, identity.mqtt_port)
        mqtt = Mqtt(stream, self._receive, on_too_large=self._too_large)
        done = False
        watch = asyncio.create_task(until)
        try:
            await mqtt.connect(identity.device_id, will=(self._out(STATUS), _AWAY))
            await mqtt.subscribe(self._in("#"))
            self._say("connected to the broker")
            settings.failures = 0
            began = time.ticks_ms()
            lost = None
            while not self._leaving and not watch.done():
                mqtt.check()
                if not self._wifi.up():
                    raise Problem("Wi-Fi lost")
                if lost != outbox.lost:
                    # Said again on each connection: a clustered broker keeps it on one node.
                    lost = outbox.lost
                    await mqtt.publish(self._out(STATUS), json.dumps(self._status()).encode(), retain=True)
                answer = settings.answer()
                if answer:
                    await mqtt.publish(self._out(ANSWERS), answer)
                    settings.answered()
                if settings.due or settings.left:
                    # Without a farewell: what is tried may take the device away.
                    return
                await self._send_one(mqtt)
                if time.ticks_diff(time.ticks_ms(), began) > _LASTING:
                    self._backoff.reset()
            if self._leaving:
                await mqtt.publish(self._out(STATUS), _AWAY, retain=True)
            else:
                await watch
            done = True
        finally:
            watch.cancel()
            outbox.release()
            await mqtt.close(done)

    async def knock(self, made):
        """Open a session and close it again. Raises what is in the way."""
        stream = await Stream.open(made, self._identity.gateway, self._identity.mqtt_port)
        mqtt = Mqtt(stream, lambda topic, payload: None)
        try:
            await mqtt.connect(self._identity.device_id)
            await mqtt.subscribe(self._in("#"))
        finally:
            await mqtt.close(True)

    async def _send_one(self, mqtt):
        item = self._outbox.take()
        if item is None:
            await self._outbox.wait(1000)
            return
        topic, payload, name = item
        await mqtt.publish(self._out(topic), payload)
        self._outbox.sent()
        self._backoff.reset()
        self._say(f"published {name}")

    def _out(self, topic):
        return f"devices/{self._identity.device_id}/out/{topic}"

    def _in(self, topic):
        return f"devices/{self._identity.device_id}/in/{topic}"

    def _receive(self, topic, payload):
        prefix = self._in("")
        if not topic.startswith(prefix):
            return
        topic = topic[len(prefix) :]
        if topic.startswith(OWN):
            self._settings.receive(topic[len(OWN) :], payload)
            self._outbox.wake()
        elif self._inbox:
            self._inbox.deliver(topic, payload)

    def _too_large(self, topic, size):
        self._say(f"dropped a message of {size} bytes on {shown(topic)}: it is too large for this device")
        gc.collect()
