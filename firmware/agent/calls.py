# Calling the functions of the product, which may be plain ones or coroutines.

import asyncio

# Messages that wait for the coroutine of an earlier one. More is somebody's mistake and would take the heap.
_MOST = 8


async def result_of(function):
    """What function() returns, or the coroutine that it gives."""
    result = function()
    return await result if hasattr(result, "send") else result


# Hands messages to `on_message(topic, payload)`: a plain function is called at once, coroutines run one after the other
# in a task of their own, so that none holds up the session with the broker.


class Inbox:
    def __init__(self, on_message, say):
        self._on_message = on_message
        self._say = say
        self._waiting = []
        self._worker = None

    def deliver(self, topic, payload):
        if len(self._waiting) >= _MOST:
            self._say(f"dropped a message: on_message is busy with {_MOST} before it")
            return
        try:
            work = self._on_message(topic, payload)
        except Exception as error:
            self._tell(error)
            return
        if hasattr(work, "send"):
            self._waiting.append(work)
            if len(self._waiting) == 1:
                self._worker = asyncio.create_task(self._work())

    async def _work(self):
        while self._waiting:
            try:
                await self._waiting[0]
            except (Exception, asyncio.CancelledError) as error:
                self._tell(error)
            self._waiting.pop(0)

    def _tell(self, error):
        self._say(f"on_message raised {type(error).__name__}: {error}")
