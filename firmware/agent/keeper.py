# The outbox over a reset, by option: a file in the board's file system, written rarely for the sake of the flash.
#
# The file is written when nothing has got through for a while, at most every ten minutes, and removed when everything
# in it has; a device with a connection writes nothing. A power cut loses what came after the last time; what had got
# through since then is sent again, marked by its `n`. Counts go on from the file: no `n` stands for two messages.

import asyncio
import binascii
import json
import os
import time

# Milliseconds between two looks, and between two writes.
_LOOK = 10_000
_REST = 600_000


class Keeper:
    def __init__(self, outbox, path, say):
        self._outbox = outbox
        self._path = path
        self._say = say
        self._written = None
        # The newest message in the file, None when there is no file.
        self._newest = None
        outbox.on_gone = self._gone

    def load(self):
        """Put what an earlier start has kept before everything else into the outbox; counts go on from there."""
        try:
            with open(self._path) as file:
                head = json.loads(file.readline())
                items = [json.loads(line) for line in file]
            for topic, name, payload in items:
                self._newest = (topic, binascii.a2b_base64(payload), name)
                self._outbox.put(self._newest)
            self._outbox.counts.update(head["counts"])
            self._outbox.lost += head["lost"]
        except OSError:
            # There is none.
            pass
        except (ValueError, KeyError, TypeError, AttributeError):
            self._say("what was kept of the outbox cannot be read")

    async def keep_on(self):
        """Look after the file; never ends."""
        oldest = None
        while True:
            await asyncio.sleep_ms(_LOOK)
            items = self._outbox.items
            if items and items[0] is oldest and self._is_rested():
                await self.save()
            oldest = items[0] if items else None

    async def save(self):
        """Write down what has not got through."""
        outbox = self._outbox
        items = list(outbox.items)
        if not items:
            return
        head = {"counts": dict(outbox.counts), "lost": outbox.lost}
        try:
            # The old file stays until the new one is whole. Others run between the lines: flash is slow.
            with open(self._path + ".new", "w") as file:
                file.write(json.dumps(head) + "\n")
                for topic, payload, name in items:
                    file.write(json.dumps([topic, name, binascii.b2a_base64(payload).decode().strip()]) + "\n")
                    await asyncio.sleep_ms(0)
            os.rename(self._path + ".new", self._path)
            self._newest = items[-1]
            if self._newest not in outbox.items:
                # It got through meanwhile.
                self._gone(self._newest)
        except OSError as error:
            self._tell(error)
        self._written = time.ticks_ms()

    def _is_rested(self):
        return self._written is None or time.ticks_diff(time.ticks_ms(), self._written) >= _REST

    def _tell(self, error):
        self._say(f"the outbox cannot be kept: error {error.errno}")

    def _gone(self, item):
        if item is self._newest:
            self._newest = None
            try:
                os.remove(self._path)
            except OSError as error:
                self._tell(error)
