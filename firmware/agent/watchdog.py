# The hardware watchdog, fed by the loop: a loop that stands still lets it bite.

import asyncio


async def feed_on(dog, every):
    """Feed `dog` every so many milliseconds; never ends."""
    while True:
        dog.feed()
        await asyncio.sleep_ms(every)
