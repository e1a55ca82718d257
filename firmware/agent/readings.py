# What the product measures, as often as it wants to, whether the device is connected or not.

import asyncio
import time

from agent.calls import result_of

TOPIC = "readings"


async def take_on(read, every, outbox, say):
    """Put what read() returns into the outbox every `every` milliseconds; never ends."""
    due = time.ticks_ms()
    while True:
        try:
            outbox.add(TOPIC, dict(await result_of(read)), "reading")
        except Exception as error:
            say(f"no reading: read() raised {type(error).__name__}: {error}")
        due = time.ticks_add(due, every)
        left = time.ticks_diff(due, time.ticks_ms())
        if left <= 0:
            # A slow sensor must not take every turn.
            due = time.ticks_ms()
        await asyncio.sleep_ms(max(left, 1))
