# Whom this device trusts: the trust bundle in the NVS, and how a newer one takes its place.
#
# The factory writes the first bundle. The gateway delivers newer ones, but only the release key makes them: that key's
# signature, the site and the order of versions are checked here, and the new anchors have to carry a connection to the
# gateway before they replace the old ones. Until that one write everything stays as it was.
#
# The format is that of src/fleetmint/trust/bundle.py; docs/trust-bundle.md has it as a table.

import os

from agent import nvs_keys, p256, steps, values
from agent.errors import Missing, Problem

PATH = "/v1/trust-bundle"
LARGEST = 3072

_MAGIC = b"FMTB\x01"
_KEYS_MAGIC = b"FMTK\x01"
_MOST_ANCHORS = 4
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


def patience():
    """Milliseconds until the gateway is asked for news again: a day, less up to an hour."""
    return _DAY_MS - (_HOUR_MS * int.from_bytes(os.urandom(2), "big") >> 16)


def _number(data):
    return int.from_bytes(data, "big")


def _label(rank):
    return f"{rank[0]}.{rank[1]}"


def _is_signed(point, signature, message):
    good = yield from p256.verify(point, message, _number(signature[:32]), _number(signature[32:]))
    return good


# A bundle in its parts; raises ValueError when it is none. `point` is the release key, `spare` the other one, both
# x || y; `keys` is both with their generation. The signature is not checked.


class Bundle:
    def __init__(self, data):
        self._data = data
        self._at = 0
        if len(data) > LARGEST or self._take(5) != _MAGIC:
            raise ValueError("it is no trust bundle")
        self.site = self._take(self._take(1)[0])
        version = _number(self._take(4))
        # When it was made is for people; a device goes by the version.
        self._take(4)
        self.keys = self._take(130)
        self.rank = (_number(self.keys[:2]), version)
        self.point, self.spare = self.keys[2:66], self.keys[66:]
        self.endorsement = self._take(64)
        count = self._take(1)[0]
        if not version or not 1 <= count <= _MOST_ANCHORS:
            raise ValueError("it is no trust bundle")
        self.anchors = [self._take(_number(self._take(2))) for _ in range(count)]
        self._signature = self._take(64)
        if self._at != len(data):
            raise ValueError("it has bytes behind its end")
        self.label = _label(self.rank)

    def _take(self, size):
        self._at += size
        if self._at > len(self._data):
            raise ValueError("it ends early")
        return self._data[self._at - size : self._at]

    def signed(self):
        """Whether its release key has signed it. A generator, see `steps`."""
        return (yield from _is_signed(self.point, self._signature, self._data[:-64]))

    def endorsed(self, spare):
        """Whether the holder of this spare has named its release keys. A generator, see `steps`."""
        name = bytes((len(self.site),)) + self.site
        return (yield from _is_signed(spare, self.endorsement, _KEYS_MAGIC + name + self.keys))


def check(held, offered):
    """Raise ValueError with the reason unless a device with the bundle `held` may take `offered`.

    A generator, see `steps`.
    """
    if offered.site != held.site:
        raise ValueError("it is of another site")
    if offered.rank <= held.rank:
        raise ValueError(f"{offered.label} is not newer than {held.label}")
    if offered.rank[0] == held.rank[0]:
        # Only the spare says who the release keys are: a stolen release key must not shut it out.
        if offered.keys != held.keys or offered.endorsement != held.endorsement:
            raise ValueError("it names other release keys")
    elif not (yield from offered.endorsed(held.spare)):
        raise ValueError("its release keys are not named by the spare")
    if not (yield from offered.signed()):
        raise ValueError("it is not signed by the release key")


def _rank(text):
    # Generation and version as the gateway says them, or None.
    parts = (text or "").split(".")
    if len(parts) != 2 or not all(part.isdigit() and len(part) <= 10 for part in parts):
        return None
    return int(parts[0]), int(parts[1])


class Trust:
    def __init__(self, nvs, say):
        self._nvs = nvs
        self._say = say
        # Asked for once here, so that a device without it stops before it does anything.
        self.held()

    def held(self):
        """The bundle in use. The flash is trusted: what it holds was checked before it was written."""
        data = values.blob(self._nvs, nvs_keys.BUNDLE)
        if not data:
            raise Missing(nvs_keys.BUNDLE)
        try:
            return Bundle(data)
        except ValueError:
            raise Missing("usable " + nvs_keys.BUNDLE)

    def anchors(self):
        """The server CAs to trust: a list of DER certificates."""
        return self.held().anchors

    async def follow(self, told, fetch, prove):
        """Take the gateway's bundle if it is a newer one; says what came of it.

        told: generation and version as the gateway says them, or None. fetch() -> bytes: its bundle. prove(anchors):
        connects to the gateway with these anchors only; raises Problem when that does not work. Both are coroutines.
        """
        rank, held = _rank(told), self.held()
        if rank is None or rank == held.rank:
            return
        if rank < held.rank:
            self._say(f"trust bundle refused: {_label(rank)} is not newer than {held.label}")
            return
        try:
            data = await fetch()
            offered = Bundle(data)
            await steps.shared(check(held, offered))
        except (ValueError, Problem) as error:
            self._say(f"trust bundle refused: {error}")
            return
        try:
            await prove(offered.anchors)
        except Problem as error:
            self._say(f"trust bundle {offered.label} not used yet, the gateway does not stand under it: {error}")
            return
        try:
            self._keep(data)
        except (OSError, Problem):
            self._say(f"trust bundle {offered.label} not used, the NVS does not keep it")
            return
        self._say(f"trust bundle {offered.label} in use, it replaces {held.label}")

    def _keep(self, data):
        # One write: before it the old bundle is in use, behind it the new one.
        self._nvs.set_blob(nvs_keys.BUNDLE, data)
        self._nvs.commit()
        if values.blob(self._nvs, nvs_keys.BUNDLE) != data:
            raise Problem(f"the NVS does not keep {nvs_keys.BUNDLE}")
