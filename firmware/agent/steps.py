# Long arithmetic in steps: generators that yield after each piece of work, so that others can run in between.

import asyncio


def at_once(work):
    """Run `work` (a generator) to its end and return its result; nothing else runs meanwhile."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


async def shared(work):
    """Run `work` (a generator) to its end and return its result; other tasks run between its steps."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value
        await asyncio.sleep_ms(0)
