"""Readings as they arrive at the gateway's operator listener."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from fleetmint.errors import FleetmintError
from fleetmint.printable import printable, shortened
from fleetmint.site.client import Gateway
from fleetmint.site.unreachable import refused, why

TOPIC = "devices/+/out/readings"
CONNECT_SECONDS = 15
# A broker that does not take a certificate says so at once.
_ALERT_SECONDS = 5
# For a person; --json has all of it.
LARGEST_SHOWN = 1000
# Deeper lists in lists than these say nothing and cannot be written again everywhere.
_DEEPEST = 32
# How long the answer to who is revoked is good: after a reconnect the broker says everything again that it keeps.
_REVOKED_SECONDS = 10


@dataclass(frozen=True)
class Reading:
    """One message: which device, when it arrived (seconds since the epoch), and what it said.

    One that is `retained` was kept by the broker, and nobody knows since when.
    """

    device: str
    at: float
    values: dict[str, Any]
    retained: bool = False


def values_of(payload: bytes) -> dict[str, Any]:
    """Return the JSON object that a device sent; what is none, or could not be written again, comes under `raw`."""
    try:
        values = json.loads(payload)
        # NaN and infinities are read, and are no JSON
        json.dumps(values, allow_nan=False)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and _is_flat(values):
        return values
    return {"raw": payload.decode(errors="backslashreplace")}


def text_of(values: dict[str, Any], gap: str = "  ", largest: int = LARGEST_SHOWN) -> str:
    """Return what a device said as one line for a person, of at most `largest` characters."""
    return shortened(printable(gap.join(f"{key} {value}" for key, value in values.items())), largest)


def readings(gateway: Gateway, seconds: float | None) -> Iterator[Reading]:
    """Yield readings until `seconds` have passed, for ever when that is None; what the broker keeps comes first.

    Raises FleetmintError when the broker cannot be reached or refuses the certificate.
    """
    arrived: queue.Queue[Reading | FleetmintError] = queue.Queue()
    client = _client(gateway, arrived)
    try:
        client.connect(gateway.host, gateway.mqtt_port)
    except OSError as error:
        # the socket of a handshake that failed stands open in the library's frames
        traceback.clear_frames(error.__traceback__)
        raise FleetmintError(why(error, gateway, gateway.mqtt_port)) from error
    client.loop_start()
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            try:
                item = arrived.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(item, FleetmintError):
                raise item
            yield item
    finally:
        client.disconnect()
        client.loop_stop()


def of_the_fleet(messages: Iterable[Reading], gateway: Gateway, warn: Callable[[str], None]) -> Iterator[Reading]:
    """Leave out what the broker keeps of devices that are revoked: they would be heard at each start for ever.

    The gateway is asked who that is, and only when the broker keeps anything; `warn` hears that it did not say.
    """
    asked, revoked = -float("inf"), frozenset[str]()
    for message in messages:
        if message.retained:
            if time.monotonic() - asked > _REVOKED_SECONDS:
                asked, revoked = time.monotonic(), _revoked(gateway, warn)
            if message.device in revoked:
                continue
        yield message


def _revoked(gateway: Gateway, warn: Callable[[str], None]) -> frozenset[str]:
    try:
        rows = gateway.get("/v1/devices")["devices"]
    except FleetmintError as error:  # what is said now is heard nevertheless
        warn(f"kept readings of revoked devices are shown, too: {printable(str(error))}")
        return frozenset()
    return frozenset(row["device"] for row in rows if row["status"] == "revoked")


def _is_flat(values: dict[str, Any]) -> bool:
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refusal(gateway: Gateway) -> str:
    """Ask the broker once more, and only listen: TLS says why a certificate is not taken."""
    where = (gateway.host, gateway.mqtt_port)
    try:
        with (
            socket.create_connection(where, CONNECT_SECONDS) as raw,
            gateway.tls().wrap_socket(raw, server_hostname=gateway.host) as connection,
        ):
            connection.settimeout(_ALERT_SECONDS)
            connection.recv(1)
    except TimeoutError:
        return f"the broker takes the certificate of {gateway.operator} and ends its session: see the broker's journal"
    except OSError as error:
        return why(error, gateway, gateway.mqtt_port)
    return refused(gateway, "is not taken by the broker")


def _client(gateway: Gateway, arrived: queue.Queue[Reading | FleetmintError]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect_timeout = CONNECT_SECONDS
    client.tls_set_context(gateway.tls())
    welcome = threading.Event()

    def on_connect(client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            arrived.put(FleetmintError(f"the broker refuses {gateway.operator}: {reason}"))
        else:
            welcome.set()
            client.subscribe(TOPIC, qos=1)

    def on_disconnect(_client: mqtt.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        # A client of TLS 1.3 is connected before the server has looked at its certificate: being refused looks like
        # this. A connection that once worked comes back by itself, after a restart of the broker for instance.
        if not welcome.is_set():
            arrived.put(FleetmintError(_refusal(gateway)))
        welcome.clear()

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        # What a device sends is its own business; it must not end what listens.
        device = message.topic.split("/")[1]
        arrived.put(Reading(device, time.time(), values_of(bytes(message.payload)), bool(message.retain)))

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_message = on_message
    return client
