# The loop of a device: network, clock, identity, broker. Whatever fails, it says why, waits, and starts again.

import asyncio
import gc

from agent import trust
from agent.backoff import Backoff
from agent.board import Board
from agent.calls import Inbox
from agent.clock import Clock, ask_ntp
from agent.console import Console
from agent.credentials import Credentials
from agent.errors import Missing, Problem, Refused, WrongTime
from agent.gateway import Gateway
from agent.identity import Identity
from agent.session import Readings, Session
from agent.store import Store
from agent.stream import Dropped
from agent.wifi import Wifi

# Keeps a device connected, beside the product's own tasks.
#
# read() -> dict: one reading, as JSON can say it. `n` (a count) and `uptime` (seconds) are added.
# on_message(topic, payload): called for each message to this device; topic is what follows devices/<id>/in/.
# every: seconds between two readings.
# ntp: the server to ask for the time after power-on, instead of the gateway.
#
# Both functions may be coroutines. An exception in either is printed and does not stop the agent.


class Agent:
    def __init__(self, read, on_message=None, every=5, ntp=None, board=None, ask=ask_ntp, output=print):
        self._board = board or Board()
        self._console = Console(output)
        self._say = self._console.say
        self._readings = Readings(read, self._console)
        self._inbox = Inbox(on_message, self._say) if on_message else None
        self._every = max(1, int(every * 1000))
        self._ask = lambda: ask(ntp or self._identity.gateway)
        self._backoff = Backoff()
        self._task = None

    async def start(self):
        """Begin, and return; the agent works as a task from now on."""
        self._task = asyncio.create_task(self.work())

    async def work(self):
        """Work until the NVS turns out to lack something."""
        try:
            self._open()
            while True:
                await self._attempt()
        except Missing as error:
            self._say(f"stopped: {error}")

    def _open(self):
        board = self._board
        self._identity = identity = Identity(board.nvs)
        self._say(f"this is {identity.device_id}, its gateway is {identity.gateway}")
        trusted = trust.Trust(board.nvs, self._say)
        store = Store(board.nvs)
        self._wifi = Wifi(board.wlan, *identity.wifi(), self._say)
        self._clock = Clock(board.nvs, board.rtc, self._ask, self._say)
        self._gateway = Gateway(identity, trusted, store, self._clock, self._say)
        self._credentials = Credentials(identity, store, self._gateway, self._say)
        self._session = Session(
            identity, self._wifi, self._readings, self._every, self._inbox, self._backoff, self._console
        )

    async def _attempt(self):
        try:
            await self._round()
        except Missing:
            raise
        except Exception as error:
            if isinstance(error, WrongTime):
                self._clock.doubt()
            if isinstance(error, (Refused, Dropped)):
                self._credentials.doubt()
            wait = self._backoff.after(error)
            # Only Problem promises a message without secrets.
            text = str(error) if isinstance(error, Problem) else f"unexpected {type(error).__name__}"
            self._say(f"{text}; trying again in {wait} s")
            gc.collect()
            await self._pause(wait)

    async def _round(self):
        await self._wifi.join()
        await self._clock.adjust()
        gc.collect()
        # The radio is on, so there is randomness for a key.
        slot = await self._credentials.prove()
        gc.collect()
        await self._session.hold(self._gateway.context(slot))
        # A session may last for months; the gateway's news come with its greeting.
        self._credentials.doubt()

    async def _pause(self, seconds):
        await asyncio.sleep(seconds)
