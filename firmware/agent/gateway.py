# What the device asks of its gateway over HTTPS.

import gc

from agent import enrol, https, trust
from agent.console import shown
from agent.stream import context


def greeting(body):
    """The words of the page's line with "Hello", without tags and without what a console might obey."""
    for line in body.decode().split("\n"):
        if "Hello" in line:
            text = "".join(part.split(">", 1)[-1] for part in line.split("<"))
            return shown(text.encode()).strip()[:80]
    return "no greeting"


class Gateway:
    def __init__(self, identity, trusted, store, clock, say):
        self._identity = identity
        self._trust = trusted
        self._store = store
        self._clock = clock
        self._say = say
        # What it last said about its trust bundle.
        self._offered = None

    def context(self, slot=None):
        """A TLS context with the anchors of the device, and with the identity in `slot` if one is named."""
        return context(self._trust.anchors(), *self._shown(slot))

    async def request(self, made, method, path, body=b"", limit=8192):
        """A reply with status 200; raises what any other one means."""
        identity = self._identity
        response = await https.request(made, identity.gateway, identity.https_port, method, path, body, limit=limit)
        self._clock.confirm(response.headers.get("date"))
        enrol.check(response)
        return response

    async def enrol(self):
        """Get an identity for the token; returns its slot, which is not the one in use."""
        slot = await enrol.enrol(self._identity, self._store, self.context())
        self._say(f"enrolled, certificate in slot {slot}")
        gc.collect()
        return slot

    async def greet(self, slot):
        """Show the identity in `slot`. Raises Refused when the gateway does not want it."""
        response = await self.request(self.context(slot), "GET", "/")
        self._offered = response.headers.get(trust.HEADER)
        self._say(f"gateway says: {greeting(response.body)}")

    async def follow(self, slot):
        """Take the trust bundle that the gateway told of, if it is a newer one."""

        async def fetch():
            response = await self.request(self.context(slot), "GET", trust.PATH, limit=trust.LARGEST)
            return response.body

        async def prove(anchors):
            gc.collect()
            await self.request(context(anchors, *self._shown(slot)), "GET", "/")

        try:
            await self._trust.follow(self._offered, fetch, prove)
        except Exception as error:
            # Too little memory, for one. With the bundle it has the device can still work.
            self._say(f"trust bundle not used: unexpected {type(error).__name__}")
        gc.collect()

    def _shown(self, slot):
        return () if slot is None else self._store.load(slot)
