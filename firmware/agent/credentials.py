# Which of its identities the device uses, and where it gets one from.

from agent.errors import Refused


class Credentials:
    def __init__(self, identity, store, gateway, say):
        self._identity = identity
        self._store = store
        self._gateway = gateway
        self._say = say
        # The slot whose identity the gateway has accepted since the last refusal.
        self._proven = None

    def doubt(self):
        """The identity in use was turned away, or is to be shown again: it has to be proven anew."""
        self._proven = None

    async def prove(self):
        """The slot whose identity the gateway accepts; a device without any enrols first."""
        if self._proven is None:
            if not self._store.identities():
                await self._gateway.enrol()
            slot = await self._prove()
            # Only what came after its greeting: the bundle that the gateway told of.
            await self._gateway.follow(slot)
            self._proven = slot
        return self._proven

    async def _prove(self):
        # The first slot whose identity the gateway accepts; it is the one in use from now on.
        #
        # When none is (it has ended, or was revoked for a new owner) and somebody has put another token into the NVS
        # since the slot in use was proven, that token gives the device a new identity.
        try:
            return await self._accepted()
        except Refused:
            if self._store.active() is None or not self._identity.has_token():
                raise
        self._say("there is another token: enrolling with a new key")
        await self._gateway.enrol()
        return await self._accepted()

    async def _accepted(self):
        failure = None
        for slot in self._store.identities():
            try:
                await self._gateway.greet(slot)
            except Refused as error:
                self._say(f"identity in slot {slot} is not accepted")
                failure = error
                continue
            self._store.activate(slot)
            # It has done its work. Enrolling again takes a new one anyway.
            self._identity.forget_token()
            return slot
        raise failure
