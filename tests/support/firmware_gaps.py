"""How long a task of the product has to wait for its turn, beside an agent at work."""

from typing import Any

from tests.support.firmware_agent import run
from tests.support.firmware_boards import Board
from tests.support.firmware_gateway import Gateway

# Measures in CPU time of the process, which another process does not move, and on the clock, which shows a call that
# sleeps. What mbedTLS does in a handshake and what a step of the arithmetic takes is kept apart.
GAPS = """
import asyncio, time
from agent import steps, stream

class Gaps:
    def __init__(self):
        # worst in ms of CPU time, and where; worst in ms of the clock, and where
        self.cpu = self.wall = (0, "nowhere")
        self.handshake = self.arithmetic = 0
        self.arithmetic_steps = 0
        self.ticks = 0
        self.apart = [0, 0]

    def now(self):
        return time.clock() * 1000, time.ticks_us() / 1000

    def set_apart(self, began):
        cpu, wall = self.now()
        self.apart[0] += cpu - began[0]
        self.apart[1] += wall - began[1]
        return cpu - began[0]

    async def watch(self, where):
        cpu, wall = self.now()
        while True:
            await asyncio.sleep_ms(1)
            then_cpu, then_wall = self.now()
            self.cpu = max(self.cpu, (then_cpu - cpu - self.apart[0], where()))
            self.wall = max(self.wall, (then_wall - wall - 1 - self.apart[1], where()))
            self.ticks += 1
            self.apart = [0, 0]
            # What the measuring itself takes is nobody's gap.
            cpu, wall = self.now()

    def told(self):
        return {"cpu": self.cpu, "wall": self.wall, "handshake": self.handshake, "arithmetic": self.arithmetic,
                "steps": self.arithmetic_steps, "ticks": self.ticks}

gaps = Gaps()
real_next, real_attempt = next, stream.Stream._attempt

def measured_next(work):
    began = gaps.now()
    try:
        return real_next(work)
    finally:
        gaps.arithmetic = max(gaps.arithmetic, gaps.set_apart(began))
        gaps.arithmetic_steps += 1

def measured_attempt(self, operation, argument):
    if getattr(self, "shaken", False):
        return real_attempt(self, operation, argument)
    began = gaps.now()
    try:
        done = real_attempt(self, operation, argument)
        self.shaken = bool(done)
        return done
    finally:
        gaps.handshake = max(gaps.handshake, gaps.set_apart(began))

steps.next = measured_next
stream.Stream._attempt = measured_attempt
"""

_BESIDE = """
async def pause(seconds):
    waits.append(seconds)
    await Agent._pause(device, seconds)
device._pause = pause
told = gaps.told
async def main():
    gaps.task = asyncio.create_task(gaps.watch(lambda: said[-1] if said else "the start"))
    await device.start()
    await device.wait()
"""


def gaps_beside_the_agent(board: Board, gateway: Gateway, *, setup: str = "", **options: Any) -> dict[str, Any]:
    """Run the agent with a task beside it that wants its turn every millisecond.

    Returns what `run` does, with the gaps under "told": "cpu" and "wall" are [milliseconds, the last line on the
    console], "handshake" and "arithmetic" the longest single step of each in milliseconds of CPU time.
    """
    return run(board, gateway, setup=GAPS + _BESIDE + setup, **options)
