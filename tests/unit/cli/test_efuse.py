"""`fleetmint efuse`, on espefuse's emulation of a board's eFuses."""

import pytest

from fleetmint.batch.common import Gateway, site_common
from fleetmint.batch.create import BatchLocation, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import read_batch
from fleetmint.bench.efuse import device_of
from fleetmint.flash.efuse import read_efuses
from fleetmint.ledger import factory, open_ledger, writing

MAC = "00:00:00:00:00:00"
BATCH = "batch: sealed\nprefix: vault\nchip: esp32s3\nnvs_encryption: hmac\ndevices:\n  - count: 1\n"


@pytest.fixture
def port(tmp_path):
    return f"virtual:esp32s3:{tmp_path / 'efuses.bin'}"


@pytest.fixture
def sealed(state, hierarchy, now):
    """A batch with one device."""
    (state / "sealed.yml").write_text(BATCH)
    wifi = {"default": Wifi("w", "p" * 8)}
    common = site_common(hierarchy.directory, Gateway("gateway.local", 443, 8883), wifi)
    ledger = f"sqlite:///{state / 'ledger.sqlite'}"
    place = BatchLocation(state / "batches/sealed", ledger, "gateway")
    plan_batch(read_batch(state / "sealed.yml"), common, place, hierarchy, now).apply()
    engine = open_ledger(ledger)
    with writing(engine) as connection:
        factory.mark_registered(connection, "sealed", ["vault-000001"], actor="test", now=now)
    yield engine
    engine.dispose()


def test_a_key_is_burned_after_the_id_was_typed_and_only_once(fleetmint, sealed, port):
    command = ("efuse", "sealed", "--port", port)
    dry = fleetmint(*command, "--check")
    assert f"{MAC} is no device yet: would make it the next free one of sealed, and burn its key" in dry.stdout
    assert read_efuses(port).blocks[0].empty

    done = fleetmint(*command, input="vault-000001\n")
    assert done.exit_code == 0, done.output
    assert "Type vault-000001 to burn it" in done.stderr
    assert done.stdout.startswith("done: burn the HMAC key of vault-000001 into block 0")
    assert read_efuses(port).blocks[0].sealed
    assert fleetmint(*command).stdout == f"vault-000001 has its key in block 0 of {MAC} already\n"
    again = fleetmint(*command, "--check", "--json")
    assert (again["device"], again["block"], again["changed"]) == ("vault-000001", 0, False)


@pytest.mark.parametrize("typed", ["", "yes\n", "vault-000002\n"])
def test_without_the_right_id_nothing_is_burned(fleetmint, sealed, port, typed, tmp_path):
    result = fleetmint("efuse", "sealed", "--port", port, input=typed)
    assert result.exit_code == 1
    assert "nothing was burned" in result.stderr
    assert device_of(sealed, MAC, "sealed") is None
    assert not any((tmp_path / "efuses.bin").read_bytes())


def test_a_batch_without_hmac_keys_is_refused(fleetmint, port, refused):
    refused(fleetmint("efuse", "first", "--port", port), "nvs_encryption none", "need no key in an eFuse")


def test_a_board_with_another_chip_is_refused(fleetmint, sealed, refused, tmp_path):
    other = fleetmint("efuse", "sealed", "--port", f"virtual:esp32c3:{tmp_path / 'efuses.bin'}")
    refused(other, "the board is an esp32c3, the batch is for esp32s3")


def test_the_identity_comes_from_the_ledger_that_is_named(fleetmint, sealed, port, state, tmp_path):
    # several stations share one: a claim in another would give the identity out twice
    shared = tmp_path / "shared.sqlite"
    sealed.dispose()
    (state / "ledger.sqlite").rename(shared)
    result = fleetmint("efuse", "sealed", "--port", port, "--ledger", f"sqlite:///{shared}", input="vault-000001\n")
    assert result.exit_code == 0, result.output
    engine = open_ledger(f"sqlite:///{shared}")
    assert device_of(engine, MAC, "sealed") == "vault-000001"
    engine.dispose()
    assert not (state / "ledger.sqlite").exists()
