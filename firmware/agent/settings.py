# What the device was told over its session: networks to join, and where its gateway is.
#
# What is new is a candidate until the device has reached its gateway and the broker with it. One write then makes it
# what is in force, and the answer with it; everything before leaves a device that comes back with what it had. A
# candidate that is found at a start was cut off by a reset, and is given up.

import json

from agent import nvs_keys, values

WIFI, GATEWAY = "wifi", "gateway"
ANSWERS = "fleetmint/settings"
KEPT, ALREADY, FAILED = "kept", "already", "failed"

_MOST_NETWORKS = 4
_LONGEST_ID = 64
_LONGEST_REASON = 160
# After so many failures in a row, about ten minutes, the device looks for its gateway where it was before, too.
_LOST = 8


def _networks(message):
    # [[name, passphrase], …] as the NVS holds it. Raises ValueError for what no radio takes.
    networks = []
    for each in message["networks"]:
        ssid, passphrase = each["ssid"], each["passphrase"]
        if not 1 <= len(ssid.encode()) <= 32 or len(passphrase.encode()) > 64:
            raise ValueError
        networks.append([ssid, passphrase])
    if not 1 <= len(networks) <= _MOST_NETWORKS:
        raise ValueError
    return networks


def _address(message):
    # [host, port for HTTPS, port for MQTT]
    address = [message["gateway"], message["https_port"], message["mqtt_port"]]
    for port in address[1:]:
        if not isinstance(port, int) or not 1 <= port <= 65535:
            raise ValueError
    if not 1 <= len(address[0].encode()) <= 253:
        raise ValueError
    return address


_READERS = {WIFI: _networks, GATEWAY: _address}


# `identity` is where everybody looks up the gateway's address: it is changed here, and only here. `failures` counts the
# rounds in a row that did not end at the broker.


class Settings:
    def __init__(self, nvs, identity, say):
        self._nvs = nvs
        self._identity = identity
        self._say = say
        self._factory = [identity.gateway, identity.https_port, identity.mqtt_port]
        self._trying = False
        # An answer that needs no place in the NVS, since nothing was changed for it.
        self._reply = None
        self.failures = 0
        # Whether there is a candidate to try, and whether a session is to end because everything is as it once was.
        self.due = self.left = False
        self._recover()
        self._untold = bool(self._read(nvs_keys.SETTINGS).get("untold"))
        self.direct()

    # What is in force.

    def networks(self):
        """The networks to join, [name, passphrase] each, in the order of their priority."""
        if self._trying:
            candidate = self._read(nvs_keys.CANDIDATE)
            if candidate["kind"] == WIFI:
                return candidate["content"]
        learned = self._read(nvs_keys.SETTINGS).get(WIFI)
        if learned and self.failures < _LOST:
            return learned
        # A device that nobody reaches any more tries what the factory gave it as well.
        return (learned or []) + [each for each in self._identity.networks() if each not in (learned or [])]

    def direct(self):
        """Let everybody find the gateway where it has to be tried next."""
        kept = self._read(nvs_keys.SETTINGS)
        address = kept.get(GATEWAY) or self._factory
        if self.failures >= _LOST and self.failures & 1:
            address = kept.get("before") or address
        self._set(address)

    def reset(self):
        """Forget what was learned: the device has the networks and the gateway that the factory gave it."""
        forget(self._nvs)
        self._trying = self._untold = self.due = False
        self._reply = None
        self.left = True
        self.direct()

    # What arrives, and what is answered.

    def receive(self, topic, payload):
        """Take a message from below devices/<id>/in/fleetmint/."""
        if topic not in _READERS:
            return
        identifier = None
        try:
            message = json.loads(payload)
            identifier = message["id"]
            if not 1 <= len(identifier.encode()) <= _LONGEST_ID:
                raise ValueError
            content = _READERS[topic](message)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._say(f"dropped settings for {topic} that are none")
            if isinstance(identifier, str) and len(identifier) <= _LONGEST_ID:
                self._reply = _said(identifier, FAILED, "not understood")
            return
        kept = self._read(nvs_keys.SETTINGS)
        if identifier == kept.get("id"):
            if not self._untold:
                self._reply = _said(identifier, FAILED if kept["state"] == FAILED else ALREADY, kept["reason"])
        elif self.due:
            self._reply = _said(identifier, FAILED, "the device is at another change")
        elif content == self._in_force(topic, kept):
            self._reply = _said(identifier, ALREADY, "")
        else:
            self._write(nvs_keys.CANDIDATE, {"id": identifier, "kind": topic, "content": content})
            self.due = True

    def answer(self):
        """What the gateway has to be told now, or None."""
        if self._reply:
            return json.dumps(self._reply).encode()
        if self._untold:
            kept = self._read(nvs_keys.SETTINGS)
            return json.dumps(_said(kept["id"], kept["state"], kept["reason"])).encode()
        return None

    def answered(self):
        """The broker has the answer."""
        if self._reply:
            self._reply = None
            return
        kept = self._read(nvs_keys.SETTINGS)
        kept["untold"] = self._untold = False
        self._write(nvs_keys.SETTINGS, kept)

    # Trying a candidate.

    def begin(self):
        """Use the candidate from now on; returns whether it is about networks."""
        candidate = self._read(nvs_keys.CANDIDATE)
        self._trying, self.due = True, False
        if candidate["kind"] == GATEWAY:
            self._set(candidate["content"])
        return candidate["kind"] == WIFI

    def keep(self, reason):
        """The candidate is proven: it is what is in force."""
        if not self._trying:
            # The product has reset the settings meanwhile.
            return
        candidate, kept = self._read(nvs_keys.CANDIDATE), self._read(nvs_keys.SETTINGS)
        kind = candidate["kind"]
        if kind == GATEWAY:
            kept["before"] = kept.get(GATEWAY) or self._factory
        kept[kind] = candidate["content"]
        self._end(kept, candidate["id"], KEPT, reason)

    def give_up(self, reason):
        """The candidate did not work: everything is as it was."""
        if not self._trying:
            # The product has reset the settings meanwhile.
            return
        candidate, kept = self._read(nvs_keys.CANDIDATE), self._read(nvs_keys.SETTINGS)
        self._end(kept, candidate["id"], FAILED, reason)

    def _end(self, kept, identifier, state, reason):
        kept.update(_said(identifier, state, reason))
        kept["untold"] = self._untold = True
        self._write(nvs_keys.SETTINGS, kept)
        self._erase(nvs_keys.CANDIDATE)
        self._trying = False
        self.direct()

    def _recover(self):
        candidate, kept = self._read(nvs_keys.CANDIDATE), self._read(nvs_keys.SETTINGS)
        if not candidate:
            return
        if candidate["id"] == kept.get("id"):
            # Only its end was cut off.
            self._erase(nvs_keys.CANDIDATE)
        else:
            self._end(kept, candidate["id"], FAILED, "the device was reset while it tried this")

    def _in_force(self, kind, kept):
        if kind == WIFI:
            return kept.get(WIFI) or self._identity.networks()
        return kept.get(GATEWAY) or self._factory

    def _set(self, address):
        self._identity.gateway, self._identity.https_port, self._identity.mqtt_port = address

    def _read(self, key):
        try:
            found = json.loads(values.blob(self._nvs, key) or b"{}")
            return found if isinstance(found, dict) else {}
        except ValueError:
            return {}

    def _write(self, key, value):
        self._nvs.set_blob(key, json.dumps(value).encode())
        self._nvs.commit()

    def _erase(self, key):
        values.erase(self._nvs, key)
        self._nvs.commit()


def forget(nvs):
    """Erase what was learned."""
    for key in (nvs_keys.SETTINGS, nvs_keys.CANDIDATE):
        values.erase(nvs, key)
        nvs.commit()


def _said(identifier, state, reason):
    return {"id": identifier, "state": state, "reason": reason[:_LONGEST_REASON]}
