"""A board out of quarantine."""

import pytest

from fleetmint.errors import StateError
from fleetmint.ledger import factory, open_ledger, writing

MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def claim(state, now):
    """Claim an identity for the board as a worker does; return the unit."""

    def run():
        engine = open_ledger(f"sqlite:///{state / 'ledger.sqlite'}")
        try:
            with writing(engine) as connection:
                return factory.claim(connection, "first", MAC, "worker", port="tty", now=now, unregistered=True)
        finally:
            engine.dispose()

    return run


def quarantine(state, device, now):
    engine = open_ledger(f"sqlite:///{state / 'ledger.sqlite'}")
    with writing(engine) as connection:
        factory.quarantine(connection, device, "worker", "the flash is bad", now=now)
    engine.dispose()


def test_a_board_out_of_quarantine_has_the_same_identity_as_before(fleetmint, claim, state, now):
    device = claim().device
    quarantine(state, device, now)
    with pytest.raises(StateError, match=f"fleetmint device release {device}"):
        claim()
    assert fleetmint("device", "release", device, "--json") == {"device": device, "mac": MAC, "batch": "first"}
    assert claim().device == device


def test_what_is_in_no_quarantine_is_refused(fleetmint, refused):
    refused(fleetmint("device", "release", "lamp-000001"), "lamp-000001 is planned")
    refused(fleetmint("device", "release", "lamp-000009"), "no unit 'lamp-000009'")
