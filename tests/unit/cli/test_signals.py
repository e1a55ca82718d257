"""What had better not stop in the middle goes on."""

import os
import signal

from fleetmint.cli.signals import undisturbed


def test_ctrl_c_and_sigterm_are_not_noticed_meanwhile_and_are_again_later():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
