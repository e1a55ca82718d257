# Which identity the device uses, and how it comes to the next one, by itself and for life.
#
# In this order: what is in the slots; what the gateway gives for an identity that has ended or is not accepted any more
# (recovery); what it gives for a token. Whether an identity is good and when it is to be renewed, the gateway says.
#
# A new identity has to carry a connection before it replaces the old one. To the gateway that connection is the sign
# that the device has it: hours later the old one is worth nothing, so what was renewed is tried before what is in use.

import asyncio
import os
import time

from agent import enrol, trust
from agent.errors import NoMemory, Problem, Refused

# The statuses that are about the identity; any other one is about the gateway.
_DENIALS = (0, 401, 403)
# Seconds between two tries to renew.
_FIRST_RETRY = 60
_LONGEST_RETRY = 86_400
# So many tries in a row that fail without an answer, and the session makes room for the next one.
_PATIENCE = 4


# `new_key`: each renewal brings a new key; otherwise only when the gateway asks for one.


class Credentials:
    def __init__(self, identity, store, gateway, say, new_key=False):
        self._identity = identity
        self._store = store
        self._gateway = gateway
        self._say = say
        self._new_key = new_key
        # The slot whose identity the gateway has accepted since the last refusal, and what it said about it.
        self._proven = None
        self._standing = None
        # Ticks, and milliseconds from then on, until the gateway is asked again.
        self._asked = self._pause = 0
        # The same after a renewal that failed, until the next one.
        self._failed = self._delay = 0
        self._failures = 0
        # Whether a session is open, and takes the memory of one.
        self._beside = False

    def doubt(self):
        """The identity in use was turned away: it has to be proven anew."""
        self._proven = None

    async def prove(self):
        """The slot whose identity the gateway accepts; it is the one in use from now on.

        Raises Problem when there is none now: the gateway cannot be reached, or wants none of what the device has.
        """
        if self._proven is None:
            self._proven = await self._look()
        elif not self._left():
            await self._try()
        return self._proven

    async def keep(self, slot):
        """Wait until the device has another identity than that in `slot`, beside a session that uses it.

        Asks the gateway once a day, and when the identity is due. What fails is tried again later and is no reason to
        end the session, unless that may be the reason: then this returns, too.
        """
        self._beside = True
        try:
            while self._proven == slot:
                await asyncio.sleep_ms(self._left())
                if not await self._try():
                    return
        finally:
            self._beside = False

    async def _try(self):
        # Look for news where a failure is no reason to stop. False when the session is to make room first.
        try:
            self._proven = await self._look()
        except (Problem, MemoryError) as error:
            if self._crowded(error):
                self._say(f"{error or 'too little memory'}; the session may be in the way: ending it")
                self._pause = 0
                return False
            self._put_off("nothing new from the gateway", error)
        return True

    def _crowded(self, error):
        # A second connection takes memory, and the lack of it has many faces; an answer of the gateway is none.
        if not self._beside or isinstance(error, Refused) or getattr(error, "retry_after", 0):
            return False
        return isinstance(error, (NoMemory, MemoryError)) or self._failures % _PATIENCE == _PATIENCE - 1

    async def _look(self):
        slot = await self._establish()
        # Only a bundle of the gateway that has just accepted this device.
        await self._gateway.follow(slot, self._standing.bundle)
        if self._standing.left:
            self._failures = 0
            return slot
        if self._left_of_delay():
            return slot
        return await self._renew(slot)

    async def _establish(self):
        failure, ended = None, []
        for slot in self._store.identities():
            try:
                return await self._accept(slot)
            except Refused as error:
                self._not_accepted(slot, error)
                failure = failure or error
                if error.status and error.code != "superseded":
                    ended.append(slot)
        # What is in use comes first here: what was renewed from it is made good again by the same answer.
        for slot in sorted(ended, key=lambda slot: slot != self._store.active()):
            self._say(f"asking for recovery with the identity in slot {slot}")
            try:
                fresh = await self._gateway.recover(slot)
            except Refused as error:
                self._say(f"no recovery: {error}")
                continue
            return await self._take(fresh, "recovered")
        if failure:
            # Without a slot in use the token was that of the identity which is refused.
            if self._store.active() is None or not self._identity.has_token():
                raise failure
            self._say("there is another token: enrolling with a new key")
        return await self._take(await self._gateway.enrol(), "enrolled")

    async def _take(self, slot, how):
        self._say(f"{how}, certificate in slot {slot}")
        return await self._accept(slot)

    async def _accept(self, slot):
        # Makes `slot` the one in use when the gateway accepts its identity.
        standing = await self._gateway.whoami(slot)
        if self._standing is None or self._standing.serial != standing.serial:
            self._say(f"the gateway accepts this device {standing}")
        self._standing = standing
        self._sleep(min(max(standing.left * 1000, self._left_of_delay()), trust.patience()))
        self._store.activate(slot)
        # It has done its work. Enrolling again takes a new one anyway.
        self._identity.forget_token()
        return slot

    def _not_accepted(self, slot, error):
        if error.status not in _DENIALS:
            raise error
        self._say(f"identity in slot {slot} is not accepted: {error}")
        if error.code == "superseded":
            self._say("it was renewed already: by this device, or by a copy of it")

    async def _renew(self, slot):
        try:
            slot = await self._renewed(slot)
            if not self._standing.left:
                raise Problem("the gateway wants the new identity renewed, too")
            self._failures = 0
        except (Problem, MemoryError) as error:
            if self._crowded(error):
                raise
            # The identity in use is good: there is time.
            self._put_off("not renewed", error)
            self._failed, self._delay = self._asked, self._pause
        return slot

    async def _renewed(self, slot):
        new_key = self._new_key or self._standing.new_key
        self._say("renewing" + (" with a new key" if new_key else ""))
        try:
            fresh = await self._gateway.renew(slot, new_key)
        except Refused as error:
            if error.code in enrol.UNUSABLE:
                self._new_key = True
            if error.code == "superseded":
                self._not_accepted(slot, error)
                found = await self._other(1 - slot)
                if found is not None:
                    return found
            raise
        return await self._take(fresh, "renewed")

    async def _other(self, other):
        # `other` when there is an identity in it that the gateway accepts.
        if other not in self._store.identities():
            return None
        try:
            return await self._accept(other)
        except Refused as error:
            self._not_accepted(other, error)
            return None

    def _put_off(self, what, error):
        wait = max(getattr(error, "retry_after", 0), min(_FIRST_RETRY << min(self._failures, 11), _LONGEST_RETRY))
        self._failures += 1
        wait += wait * int.from_bytes(os.urandom(2), "big") >> 17
        self._say(f"{what}: {error or 'too little memory'}; trying again in {wait} s")
        self._sleep(wait * 1000)

    def _sleep(self, pause):
        self._asked, self._pause = time.ticks_ms(), pause

    def _left(self):
        return max(0, self._pause - time.ticks_diff(time.ticks_ms(), self._asked))

    def _left_of_delay(self):
        left = max(0, self._delay - time.ticks_diff(time.ticks_ms(), self._failed))
        # Ticks start again after some days: what is over must not come back.
        self._delay = left and self._delay
        return left
