"""Readings as they arrive at the gateway's operator door."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fleetmint.cli.lazily import for_work
from fleetmint.cli.site import Gateway
from fleetmint.errors import FleetmintError

with for_work():
    from paho.mqtt import client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion


TOPIC = "devices/+/out/readings"
CONNECT_SECONDS = 15


@dataclass(frozen=True)
class Reading:
    """One message: which device, when it arrived (seconds since the epoch), and what it said."""

    device: str
    at: float
    values: dict[str, Any]


def readings(gateway: Gateway, seconds: float | None) -> Iterator[Reading]:
    """Yield readings until `seconds` have passed, for ever when that is None.

    Raises FleetmintError when the broker cannot be reached or refuses the certificate.
    """
    arrived: queue.Queue[Reading | FleetmintError] = queue.Queue()
    client = _client(gateway, arrived)
    try:
        client.connect(gateway.host, gateway.mqtt_port)
    except OSError as error:
        where = f"{gateway.host}:{gateway.mqtt_port}"
        raise FleetmintError(
            f"the broker at {where} does not let {gateway.operator} in ({error}): is it up?"
        ) from error
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
            arrived.put(
                FleetmintError(f"the broker does not take the certificate of {gateway.operator}: is it revoked?")
            )
        welcome.clear()

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        device = message.topic.split("/")[1]
        try:
            values = json.loads(message.payload)
        except (ValueError, RecursionError):  # the latter for lists in lists in lists
            values = None
        # What a device sends is its own business; what is no object is shown as it is.
        arrived.put(Reading(device, time.time(), values if isinstance(values, dict) else {"raw": str(values)}))

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_message = on_message
    return client
