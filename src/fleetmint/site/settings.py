"""Telling devices over their session which networks to join, or where their gateway is, and hearing what came of it.

    devices/ID/in/fleetmint/wifi       {"id": hex, "networks": [{"ssid", "passphrase"}, …]}   the first is tried first
    devices/ID/in/fleetmint/gateway    {"id": hex, "gateway", "https_port", "mqtt_port"}
    devices/ID/out/fleetmint/settings  {"id", "state": "kept" | "already" | "failed", "reason"}
    devices/ID/out/status              {"online": true or false, …}, kept by the broker

A device tries what it is told and keeps it after a proven connection, or goes back to what it had. One device goes
first; the others follow, so many at once, as long as none has failed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from fleetmint.batch.networks import MOST_NETWORKS, Wifi
from fleetmint.errors import FleetmintError
from fleetmint.printable import printable, shortened
from fleetmint.site.broker import Message, Session
from fleetmint.site.client import Gateway

WIFI, GATEWAY = "wifi", "gateway"
# What came of it: the first three are words of the device.
KEPT, ALREADY, FAILED, SILENT, UNTRIED = "kept", "already", "failed", "not heard", "not tried"
DONE = (KEPT, ALREADY)
_ANSWERS, _STATUS = "devices/+/out/fleetmint/settings", "devices/+/out/status"
# How long the broker may take to say what it keeps of who is there.
_STATUS_SECONDS = 1
_LONGEST_REASON = 200
_TICK = 1.0


@dataclass(frozen=True)
class Result:
    """What came of telling a device; a reason where it was not kept."""

    device: str
    state: str
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether the device works with what it was told."""
        return self.state in DONE


@dataclass(frozen=True)
class Manner:
    """How devices are told: seconds to wait for each, how many at once after the first, and whether failures stop it.

    `first` is the device that is tried alone; without it that is the first one that is there.
    """

    seconds: float = 180
    at_once: int = 10
    keep_going: bool = False
    first: str | None = None


def wifi_message(networks: Sequence[Wifi]) -> dict[str, Any]:
    """Return what tells a device its networks, in the order of their priority."""
    if not 1 <= len(networks) <= MOST_NETWORKS:
        raise FleetmintError(f"a device takes 1 to {MOST_NETWORKS} networks, not {len(networks)}")
    twice = {each.ssid for each in networks if [other.ssid for other in networks].count(each.ssid) > 1}
    if twice:
        raise FleetmintError(f"the network {min(twice)!r} is there twice: name it once, at its place")
    return {"networks": [{"ssid": each.ssid, "passphrase": each.psk} for each in networks]}


def gateway_message(host: str, https_port: int, mqtt_port: int) -> dict[str, Any]:
    """Return what tells a device where its gateway is."""
    return {"gateway": host, "https_port": https_port, "mqtt_port": mqtt_port}


def tell(
    gateway: Gateway,
    kind: str,
    message: Callable[[str], Mapping[str, Any]],
    devices: Sequence[str],
    manner: Manner,
    *,
    also: Gateway | None = None,
    heard: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Tell `devices` over their sessions at `gateway` the `message` for each; return what came of each, in order.

    `kind` is what it is about. `also` is where devices may answer from, too, after a move. `heard` gets each result as
    it comes; a device that answers after its time is heard again. Raises FleetmintError when a broker cannot be
    reached, or does not let this operator tell devices anything.
    """
    with ExitStack() as stack:
        session = stack.enter_context(Session(gateway, [_ANSWERS, _STATUS], tells=True))
        if also is not None:
            stack.enter_context(Session(also, [_ANSWERS], heard_with=session)).await_subscription()
        session.await_subscription()
        away = {_device(each) for each in session.messages(_STATUS_SECONDS) if _is_away(each)}
        return _Telling(session, kind, message, devices, manner, heard, frozenset(away)).run()


@dataclass
class _Telling:
    session: Session
    kind: str
    message: Callable[[str], Mapping[str, Any]]
    devices: Sequence[str]
    manner: Manner
    heard: Callable[[Result], None]
    # Who has left the broker, as that says; a clustered one may not know, so nobody else is sure to be there.
    away: frozenset[str] = frozenset()
    # One identifier for all: a device knows by it what it has handled already.
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    results: dict[str, Result] = field(default_factory=dict)
    # device → until when it may answer, by the monotonic clock
    waiting: dict[str, float] = field(default_factory=dict)

    def run(self) -> list[Result]:
        first, *rest = self._in_order()
        self._one_after_another([first], alone=True)
        while self._is_away(first) and self.manner.first is None and rest:
            first, *rest = rest
            self._one_after_another([first], alone=True)
        if self.results[first].done or self.manner.keep_going:
            self._one_after_another(rest, alone=False)
        for device in self.devices:
            if device not in self.results:
                self._note(Result(device, UNTRIED, "another one had failed or was not heard before"))
        return [self.results[device] for device in self.devices]

    def _in_order(self) -> list[str]:
        first = self.manner.first
        return list(self.devices) if first is None else [first, *(each for each in self.devices if each != first)]

    def _is_away(self, device: str) -> bool:
        return self.results[device].reason == _AWAY

    def _one_after_another(self, devices: Sequence[str], *, alone: bool) -> None:
        queue = list(devices)
        while True:
            stopped = not self.manner.keep_going and any(each.state == FAILED for each in self.results.values())
            while queue and not stopped and len(self.waiting) < (1 if alone else self.manner.at_once):
                self._send(queue.pop(0))
            if not self.waiting and (stopped or not queue):
                return
            for message in self.session.messages(_TICK):
                self._answered(message)
                break
            now = time.monotonic()
            for device in [device for device, end in self.waiting.items() if end < now]:
                del self.waiting[device]
                self._note(Result(device, SILENT, f"no answer within {self.manner.seconds:g} s"))

    def _send(self, device: str) -> None:
        if device in self.away:
            self._note(Result(device, SILENT, _AWAY))
            return
        payload = json.dumps({"id": self.id, **self.message(device)}).encode()
        topic = f"devices/{device}/in/fleetmint/{self.kind}"
        if self.session.publish(topic, payload, expires=max(int(self.manner.seconds), 1)):
            self.waiting[device] = time.monotonic() + self.manner.seconds
        else:
            self._note(Result(device, SILENT, _AWAY))

    def _answered(self, message: Message) -> None:
        device = _device(message)
        result = _result(device, message, self.id)
        if result is not None and device in {*self.waiting, *self.results} and not self._has_answered(device):
            self.waiting.pop(device, None)
            self._note(result)

    def _has_answered(self, device: str) -> bool:
        return device in self.results and self.results[device].state not in (SILENT, UNTRIED)

    def _note(self, result: Result) -> None:
        self.results[result.device] = result
        self.heard(result)


_AWAY = "it is not connected to the broker"


def _device(message: Message) -> str:
    return message.topic.split("/")[1]


def _is_away(message: Message) -> bool:
    try:
        return message.topic.endswith("/status") and json.loads(message.payload)["online"] is False
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # what a device says is its own business


def _result(device: str, message: Message, wanted: str) -> Result | None:
    """Return what a device answers to the message of this identifier; None for anything else that it may say."""
    try:
        said = json.loads(message.payload)
        if message.retained or said["id"] != wanted or said["state"] not in (KEPT, ALREADY, FAILED):
            return None
        reason = said.get("reason") or ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Result(device, said["state"], shortened(printable(str(reason)), _LONGEST_REASON))


def left(results: Sequence[Result]) -> Iterator[str]:
    """Yield the devices that have to be told again."""
    return (each.device for each in results if not each.done)
