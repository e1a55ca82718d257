# The agent that gives a device its identity and keeps it connected: `run` for a product that only reads and listens,
# `Agent` for one with tasks of its own.

import asyncio

from agent.agent import Agent


def run(read, on_message=None, **options):
    """Keep the device connected and publish what `read` returns; returns only when the NVS lacks something.

    The arguments are those of Agent.
    """
    asyncio.run(_run(Agent(read, on_message, **options)))


async def _run(agent):
    await agent.start()
    await agent.wait()
