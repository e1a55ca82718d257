# Trying what the device was told: other networks, or another address of the gateway.
#
# Proven is what led to a gateway with a certificate that the device trusts, which took the device's own, and to a
# session with its broker. The session that was there is over while this goes on.

import gc

from agent.errors import Problem

# An access point may be busy, a gateway may just start.
_TRIES = 2


class Trial:
    def __init__(self, settings, wifi, gateway, session, say):
        self._settings = settings
        self._wifi = wifi
        self._gateway = gateway
        self._session = session
        self._say = say

    async def run(self, slot):
        """Try the candidate with the identity in `slot`; afterwards it is in force, or everything is as it was."""
        networks = self._settings.begin()
        self._say("trying other networks" if networks else "trying another gateway")
        for _ in range(_TRIES):
            try:
                await self._reach(slot, networks)
            except Exception as error:
                # Only Problem promises a message without secrets.
                failure = str(error) if isinstance(error, Problem) else f"unexpected {type(error).__name__}"
                gc.collect()
            else:
                self._settings.keep(f"joined {self._wifi.joined}" if networks else "")
                self._say("kept it")
                return
        self._say(f"{failure}; back to what was before")
        self._settings.give_up(failure)
        if networks:
            self._wifi.leave()

    async def _reach(self, slot, networks):
        if networks:
            self._wifi.leave()
        await self._wifi.join()
        gc.collect()
        await self._gateway.whoami(slot)
        gc.collect()
        await self._session.knock(self._gateway.context(slot))
