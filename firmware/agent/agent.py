# The loop of a device: network, clock, identity, broker. Whatever fails, it says why, waits, and starts again.

import asyncio
import gc
import sys
import time

from agent import readings, settings, trust, watchdog
from agent.backoff import Backoff
from agent.board import Board
from agent.calls import Inbox
from agent.clock import Clock, ask_ntp
from agent.console import Console
from agent.credentials import Credentials
from agent.errors import Missing, NoNetwork, Problem, Refused, Waiting, WrongTime
from agent.gateway import Gateway
from agent.identity import Identity
from agent.keeper import Keeper
from agent.outbox import Outbox
from agent.session import Session
from agent.store import Store
from agent.stream import Dropped
from agent.trial import Trial
from agent.version import VERSION
from agent.wifi import Wifi

# Seconds without a feed until the watchdog resets the board. A lookup of a name and a handshake fit into it twice.
_WATCHDOG = 60
# Failures in one network until the device looks for its gateway from the next one that it knows.
_PATIENCE = 3
# Seconds that a farewell may take.
_FAREWELL = 5

# Keeps a device connected, beside the product's own tasks.
#
# read() -> dict: one reading, as JSON can say it. `n` (a count) and `uptime` (seconds) are added. None: no readings.
# on_message(topic, payload): called for each message to this device; topic is what follows devices/<id>/in/.
# every: seconds between two readings.
# ntp: the server to ask for the time after power-on, instead of the gateway.
# firmware: the version of the product, for the device's status.
# watchdog: seconds after which the hardware resets a board whose loop stands still; True for a minute.
# outbox_messages, outbox_bytes: how much is kept while there is no connection.
# outbox_file: where to keep it over a reset, written at most every ten minutes; None: nowhere.
# new_key: each renewal brings a new key, which takes a board some seconds; otherwise only if the gateway asks for one.
#
# Both functions may be coroutines. An exception in either is printed and does not stop the agent.


class Agent:
    def __init__(
        self,
        read=None,
        on_message=None,
        every=5,
        ntp=None,
        firmware=None,
        watchdog=None,
        outbox_messages=64,
        outbox_bytes=8192,
        outbox_file=None,
        board=None,
        ask=ask_ntp,
        output=print,
        new_key=False,
    ):
        self._board = board or Board()
        self._console = Console(output)
        self._say = self._console.say
        self._read = read
        self._every = max(1, int(every * 1000))
        self._inbox = Inbox(on_message, self._say) if on_message else None
        self._outbox = Outbox(self._console.uptime, self._say, outbox_messages, outbox_bytes)
        self._keeper = Keeper(self._outbox, outbox_file, self._say) if outbox_file else None
        if self._keeper:
            self._keeper.load()
        self._ask = lambda: ask(ntp or self._identity.gateway)
        self._firmware = firmware
        self._watchdog = _WATCHDOG if watchdog is True else watchdog
        self._new_key = new_key
        self._backoff = Backoff()
        self._hurry = asyncio.Event()
        self._leaving = False
        self._session = None
        self._task = None
        self._tasks = []

    async def start(self):
        """Begin, and return; the agent works as a task from now on. Nothing is published before."""
        self._leaving = False
        self._session = None
        self._task = asyncio.create_task(self._work())

    async def wait(self):
        """Wait until the agent has ended: by `stop`, or because the NVS lacks something."""
        await self._task

    async def stop(self):
        """Say good-bye to the broker and end. What is in the outbox stays there for another `start`."""
        self._leaving = True
        self._hurry.set()
        if self._session:
            self._session.leave()
        try:
            if self._task:
                await asyncio.wait_for(self._task, _FAREWELL)
        except asyncio.TimeoutError:
            self._say("ended without a farewell")
        if self._keeper:
            await self._keeper.save()

    def publish(self, topic, payload):
        """Send a message to devices/<id>/out/<topic>, now or as soon as there is a connection.

        A dict goes out as JSON with a count `n` and the `uptime` added; anything else has to be text or bytes. Never
        waits. Raises ValueError when the message is larger than the outbox.
        """
        self._outbox.add(topic, payload)

    def reset_settings(self):
        """Forget what the device was told over its session: networks and gateway are those of the factory again.

        Who the device is, its certificate and whom it trusts stay.
        """
        if self._session is None:
            settings.forget(self._board.nvs)
            return
        self._settings.reset()
        self._session.wake()
        self._hurry.set()

    def retry(self):
        """End a back-off: the product knows that there is a reason to try again now."""
        self._hurry.set()

    async def _work(self):
        try:
            while not self._leaving:
                await self._attempt()
        except Missing as error:
            self._say(f"stopped: {error}")
        finally:
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    def _open(self):
        board = self._board
        self._identity = identity = Identity(board.nvs)
        self._say(f"this is {identity.device_id}, its gateway is {identity.gateway}")
        trusted = trust.Trust(board.nvs, self._say)
        store = Store(board.nvs)
        self._settings = told = settings.Settings(board.nvs, identity, self._say)
        self._wifi = Wifi(board.wlan, told.networks, self._say)
        self._clock = Clock(board.nvs, board.rtc, self._ask, self._say)
        self._gateway = Gateway(identity, board.mac(), trusted, store, self._clock, self._say)
        self._credentials = Credentials(identity, store, self._gateway, self._say, self._new_key)
        session = Session(identity, self._wifi, self._outbox, self._inbox, self._status, self._backoff, self._say, told)
        self._trial = Trial(told, self._wifi, self._gateway, session, self._say)
        self._begin()
        self._session = session

    def _begin(self):
        # What goes on beside the connection.
        if self._watchdog:
            # A watchdog cannot be stopped: it is fed on when the agent has ended and the product goes on.
            period, self._watchdog = int(self._watchdog * 1000), None
            self._feeding = asyncio.create_task(watchdog.feed_on(self._board.watchdog(period), period // 4))
        if self._read:
            work = readings.take_on(self._read, self._every, self._outbox, self._say)
            self._tasks.append(asyncio.create_task(work))
        if self._keeper:
            self._tasks.append(asyncio.create_task(self._keeper.keep_on()))

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
            # Whoever waits for approval has reached the gateway.
            if self._session and not isinstance(error, Waiting):
                self._lost()
            wait = self._backoff.after(error)
            # Only Problem promises a message without secrets.
            text = str(error) if isinstance(error, Problem) else f"unexpected {type(error).__name__}"
            self._say(f"{text}; trying again in {wait} s")
            gc.collect()
            await self._pause(wait)

    async def _round(self):
        if self._session is None:
            self._open()
        if self._settings.left:
            self._settings.left = False
            self._wifi.leave()
            # It may be another gateway, too.
            self._credentials.doubt()
        try:
            await self._wifi.join()
        except Problem as error:
            raise NoNetwork(str(error))
        self._settings.direct()
        await self._clock.adjust()
        gc.collect()
        # The radio is on, so there is randomness for a key.
        slot = await self._credentials.prove()
        gc.collect()
        # Until there is another identity; the session after it shows that one.
        await self._session.hold(self._gateway.context(slot), self._credentials.keep(slot))
        if self._settings.due:
            await self._trial.run(slot)

    def _lost(self):
        # The broker was not reached, however often: perhaps it is by another network.
        self._settings.failures += 1
        if self._settings.failures % _PATIENCE == 0 and self._is_up():
            self._wifi.leave(passing=True)

    async def _pause(self, seconds):
        # Until the time has passed, somebody asks to hurry, or Wi-Fi is there again.
        self._hurry.clear()
        until = time.ticks_add(time.ticks_ms(), seconds * 1000)
        was_up = self._is_up()
        while not self._leaving:
            left = time.ticks_diff(until, time.ticks_ms())
            if left <= 0:
                return
            try:
                await asyncio.wait_for_ms(self._hurry.wait(), min(left, 1000))
                return
            except asyncio.TimeoutError:
                pass
            up = self._is_up()
            if up and not was_up:
                return
            was_up = up

    def _is_up(self):
        try:
            return self._wifi.up()
        except Exception:
            return False

    def _status(self):
        return {
            "online": True,
            "agent": VERSION,
            "micropython": ".".join(str(part) for part in sys.implementation[1][:3]),
            "firmware": self._firmware,
            "uptime": self._console.uptime(),
            "reset": self._board.reset_cause(),
            "lost": self._outbox.lost,
        }
