"""A session at a gateway's operators' broker: what is heard there, and what is told to devices."""

from __future__ import annotations

import queue
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleetmint import commands
from fleetmint.errors import FleetmintError
from fleetmint.site.client import Gateway
from fleetmint.site.unreachable import refused, why

CONNECT_SECONDS = 15
# A broker that does not take a certificate says so at once.
_ALERT_SECONDS = 5
# How long the broker may take to take a message over.
_TAKEN_SECONDS = 15
# MQTT 5, 3.4.2.1: the message was taken, and nobody is there to hear it; the client may not publish there.
_NO_SUBSCRIBERS, _NOT_AUTHORIZED = 0x10, 0x87


@dataclass(frozen=True)
class Message:
    """What was heard: on which topic, when (seconds since the epoch), and whether the broker had kept it."""

    topic: str
    payload: bytes
    at: float
    retained: bool


class Session:
    """A session with subscriptions (QoS 1), for a `with` statement; it comes back by itself when it is lost.

    Raises FleetmintError when the broker cannot be reached or refuses the certificate. `publish` is for one that
    `tells`. What arrives at a session that is `heard_with` another one is among the messages of that one.
    """

    def __init__(
        self, gateway: Gateway, topics: Sequence[str], *, tells: bool = False, heard_with: Session | None = None
    ) -> None:
        self._gateway = gateway
        self._topics = topics
        self._arrived: queue.Queue[Message | FleetmintError] = heard_with._arrived if heard_with else queue.Queue()
        self._taken: queue.Queue[tuple[int, int]] = queue.Queue()
        self._welcome, self._subscribed = threading.Event(), threading.Event()
        # MQTT 5 tells why a message is not taken, and ends one that waits for a device that is away.
        version = MQTTProtocolVersion.MQTTv5 if tells else MQTTProtocolVersion.MQTTv311
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
        client.connect_timeout = CONNECT_SECONDS
        client.tls_set_context(gateway.tls())
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe

    def __enter__(self) -> Session:
        try:
            self._client.connect(self._gateway.host, self._gateway.mqtt_port)
        except OSError as error:
            # the socket of a handshake that failed stands open in the library's frames
            traceback.clear_frames(error.__traceback__)
            raise FleetmintError(why(error, self._gateway, self._gateway.mqtt_port)) from error
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def messages(self, seconds: float | None) -> Iterator[Message]:
        """Yield what arrives until `seconds` have passed, for ever when that is None; what the broker kept is first."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            try:
                item = self._arrived.get(timeout=0.5 if end is None else max(min(0.5, end - time.monotonic()), 0))
            except queue.Empty:
                continue
            if isinstance(item, FleetmintError):
                raise item
            yield item

    def await_subscription(self) -> None:
        """Return once what is answered from now on will be heard."""
        end = time.monotonic() + CONNECT_SECONDS
        while not self._subscribed.wait(0.1):
            try:
                item = self._arrived.get_nowait()
            except queue.Empty:
                item = None
            if isinstance(item, FleetmintError):
                raise item
            if time.monotonic() > end:
                raise FleetmintError(f"the broker of {self._gateway.name} does not answer: see its journal")

    def publish(self, topic: str, payload: bytes, *, expires: int) -> bool:
        """Publish with QoS 1, never retained; return whether anybody was there to hear it, as far as the broker tells.

        Whoever is away hears it within `expires` seconds or never. Raises FleetmintError when the broker lets this
        operator not publish there.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = expires
        sent = self._client.publish(topic, payload, qos=1, retain=False, properties=properties)
        end = time.monotonic() + _TAKEN_SECONDS
        while time.monotonic() < end:
            try:
                number, code = self._taken.get(timeout=0.5)
            except queue.Empty:
                continue
            if number != sent.mid:
                continue
            if code == _NOT_AUTHORIZED:
                raise FleetmintError(
                    f"the broker does not let {self._gateway.operator} tell devices this, stations alone may: leave out"
                    f" --as, or put the name into mosquitto_stations and run {commands.playbook('gateway.yml')}"
                )
            if code >= 0x80:
                raise FleetmintError(f"the broker of {self._gateway.name} does not take the message: {code:#x}")
            return code != _NO_SUBSCRIBERS
        raise FleetmintError(f"the broker of {self._gateway.name} does not take the message over: see its journal")

    def _refusal(self) -> str:
        """Ask the broker once more, and only listen: TLS says why a certificate is not taken."""
        gateway = self._gateway
        where = (gateway.host, gateway.mqtt_port)
        try:
            with (
                socket.create_connection(where, CONNECT_SECONDS) as raw,
                gateway.tls().wrap_socket(raw, server_hostname=gateway.host) as connection,
            ):
                connection.settimeout(_ALERT_SECONDS)
                connection.recv(1)
        except TimeoutError:
            return (
                f"the broker takes the certificate of {gateway.operator} and ends its session: see the broker's journal"
            )
        except OSError as error:
            return why(error, gateway, gateway.mqtt_port)
        return refused(gateway, "is not taken by the broker")

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._arrived.put(FleetmintError(f"the broker refuses {self._gateway.operator}: {reason}"))
        else:
            self._welcome.set()
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        # A client of TLS 1.3 is connected before the server has looked at its certificate: being refused looks like
        # this. A connection that once worked comes back by itself, after a restart of the broker for instance.
        if not self._welcome.is_set():
            self._arrived.put(FleetmintError(self._refusal()))
        self._welcome.clear()

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _number: int, _reasons: Any, _properties: Any) -> None:
        self._subscribed.set()

    def _on_publish(self, _client: mqtt.Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        self._taken.put((number, reason.value))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        # What a device sends is its own business; it must not end what listens.
        self._arrived.put(Message(message.topic, bytes(message.payload), time.time(), bool(message.retain)))
