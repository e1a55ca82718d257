# How long to wait after a failure: doubling, with jitter, so that a fleet does not come back all at once.

import os

from agent.errors import NoNetwork, Refused

FIRST = 2
# Somebody who was refused has nothing to hurry for.
FIRST_REFUSED = 30
LONGEST = 600
# A router that comes back is found soon.
LONGEST_NETWORK = 60
# A gateway may ask for patience, not for a device that never comes back.
LONGEST_ASKED = 3600


# The failures in a row are counted until `reset`.


class Backoff:
    def __init__(self, random=os.urandom):
        self._random = random
        self._failures = 0

    def reset(self):
        self._failures = 0

    def after(self, error):
        """Seconds to wait after this error: half to all of the doubled time, or what was asked and a little more."""
        first = FIRST_REFUSED if isinstance(error, Refused) else FIRST
        longest = LONGEST_NETWORK if isinstance(error, NoNetwork) else LONGEST
        wait = min(first << min(self._failures, 16), longest)
        self._failures += 1
        jitter = int.from_bytes(self._random(2), "big")
        asked = min(getattr(error, "retry_after", 0), LONGEST_ASKED)
        if asked:
            return asked + (min(asked, wait) * jitter >> 16)
        return (wait + 1) // 2 + ((wait // 2 + 1) * jitter >> 16)
