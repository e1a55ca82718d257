# What goes out: kept in order until a broker has acknowledged it, through lost connections and restarts of the broker.
#
# It has bounds. When it is full the oldest message goes, and the loss is counted. A message that a broker took without
# an acknowledgement getting through is sent again: its `n` marks the second copy.

import asyncio
import json


class Outbox:
    def __init__(self, uptime, say, messages=64, size=8192):
        self._uptime = uptime
        self._say = say
        self._messages = messages
        self._size = size
        # (topic below devices/<id>/out/, payload, name for the console)
        self.items = []
        self._held = 0
        self._sending = None
        self._news = asyncio.Event()
        # Told of each message that is no longer in it.
        self.on_gone = None
        # Messages counted so far, by kind, and messages lost for want of room.
        self.counts = {"reading": 0, "message": 0}
        self.lost = 0

    def add(self, topic, payload, kind="message"):
        """Send `payload` to `topic` when that is possible.

        A dict gets the count `n` of its kind and the `uptime` in seconds, and goes out as JSON; anything else has to be
        bytes or text. Raises ValueError when it could never be sent.
        """
        number = self.counts[kind] + 1
        if isinstance(payload, dict):
            payload = dict(payload)
            payload.update(n=number, uptime=self._uptime())
            payload = json.dumps(payload)
        if isinstance(payload, str):
            payload = payload.encode()
        if not topic or "+" in topic or "#" in topic or len(topic) + len(payload) > self._size:
            raise ValueError("this message cannot be sent: its topic is no topic, or it is too large")
        self.counts[kind] = number
        self.put((topic, payload, f"{kind} {number}"))

    def put(self, item):
        """Add what was made by `add`."""
        size = len(item[0]) + len(item[1])
        while self.items and (len(self.items) >= self._messages or self._held + size > self._size):
            # The one under way may have arrived already.
            oldest = 1 if self.items[0] is self._sending else 0
            if oldest == len(self.items):
                break
            self._remove(oldest)
            self.lost += 1
        self.items.append(item)
        self._held += size
        self._news.set()

    def take(self):
        """The oldest message, to be sent and then told by `sent`; None when there is none."""
        self._sending = self.items[0] if self.items else None
        return self._sending

    def sent(self):
        """The message taken last was acknowledged."""
        self._remove(0)
        self._sending = None

    def release(self):
        """The session is over; the message taken last stays, and is as old as it is."""
        self._sending = None

    async def wait(self, within):
        """Wait at most so many milliseconds for something to send."""
        self._news.clear()
        if not self.items:
            try:
                await asyncio.wait_for_ms(self._news.wait(), within)
            except asyncio.TimeoutError:
                pass

    def wake(self):
        """End a `wait`."""
        self._news.set()

    def _remove(self, index):
        item = self.items.pop(index)
        self._held -= len(item[0]) + len(item[1])
        if self.on_gone:
            self.on_gone(item)
