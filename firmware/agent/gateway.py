# What the device asks of its gateway over HTTPS.

import gc

from agent import enrol, https, standing, trust
from agent.standing import Standing
from agent.stream import context


class Gateway:
    def __init__(self, identity, mac, trusted, store, clock, say):
        self._identity = identity
        self._mac = mac
        self._trust = trusted
        self._store = store
        self._clock = clock
        self._say = say

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
        return await enrol.enrol(self._identity, self._mac, self._store, self._post(None))

    async def renew(self, slot, new_key):
        """Get the next identity for the one in `slot`; returns its slot."""
        return await enrol.renew(self._store, slot, new_key, self._post(slot))

    async def recover(self, slot):
        """Get the next identity for the one in `slot`, which is not accepted any more; returns its slot."""
        return await enrol.recover(self._store, slot, self._post(None))

    async def whoami(self, slot, anchors=None):
        """What the gateway says of the identity in `slot`, a Standing. Raises Refused when it does not want it.

        anchors: the server CAs to trust for that, instead of those in use.
        """
        made = context(anchors or self._trust.anchors(), *self._shown(slot))
        return Standing(self._identity.device_id, await self.request(made, "GET", standing.PATH))

    async def follow(self, slot, told):
        """Take the trust bundle that the gateway tells of ("generation.version", or None), if it is a newer one."""

        async def fetch():
            response = await self.request(self.context(slot), "GET", trust.PATH, limit=trust.LARGEST)
            return response.body

        async def prove(anchors):
            gc.collect()
            await self.whoami(slot, anchors)

        try:
            await self._trust.follow(told, fetch, prove)
        except Exception as error:
            # Too little memory, for one. With the bundle it has the device can still work.
            self._say(f"trust bundle not used: unexpected {type(error).__name__}")
        gc.collect()

    def _post(self, slot):
        async def post(path, body):
            gc.collect()
            return await self.request(self.context(slot), "POST", path, body)

        return post

    def _shown(self, slot):
        return () if slot is None else self._store.load(slot)
