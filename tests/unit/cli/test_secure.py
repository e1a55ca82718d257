"""`fleetmint secure`, on a virtual board: the real esptool and espefuse over a pty, Espressif's programs as judges."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from fleetmint.batch import secrets
from fleetmint.batch.common import Gateway, site_common
from fleetmint.batch.create import BatchLocation, plan_batch
from fleetmint.batch.networks import Wifi
from fleetmint.batch.spec import read_batch
from fleetmint.bench import secure as transaction
from fleetmint.bench.secure import DONE, FAILED, INTENDED
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.burn import identify
from fleetmint.flash.signature import read_public_key
from fleetmint.flash.table import PartitionTable
from fleetmint.ledger import events, factory, open_ledger, reading, schema, writing
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from tests.support.secure_boards import (
    APP,
    CHIP,
    NVS,
    OTA,
    TABLE,
    boot_keys,
    make_firmware,
    signed_firmware,
    summary,
    tool,
)
from virtual.esp32 import fleet

__all__ = ["boot_keys", "signed_firmware"]

BATCH = f"prefix: vault\nchip: {CHIP}\nnvs_encryption: hmac\nflash_encryption: aes128\ndevices:\n  - count: 2\n"
STEPS = ["images", "keys", "protect", "secure-boot", "flash-encryption", "debug", "download"]
OPTIONS = ["--chip", CHIP, "--efuses"]
BOOT = ["--boot", "sleep", "300"]
MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def engine(state, hierarchy, now):
    """A batch of two devices that are to be secured, and the ledger."""
    (state / "vaults.yml").write_text(BATCH)
    common = site_common(hierarchy.directory, Gateway("gateway.local", 443, 8883), {"default": Wifi("w", "p" * 8)})
    place = BatchLocation(state / "batches/vaults", f"sqlite:///{state / 'ledger.sqlite'}", "gateway")
    plan_batch(read_batch(state / "vaults.yml"), common, place, hierarchy, now).apply()
    engine = open_ledger(place.ledger)
    with writing(engine) as connection:
        factory.mark_registered(connection, "vaults", ["vault-000001", "vault-000002"], actor="test", now=now)
    yield engine
    engine.dispose()


@pytest.fixture
def board(tmp_path):
    """Start board 1, with its faults; it keeps flash and eFuses. Return its port."""

    def start(*faults, micropython=True):
        fleet.down(tmp_path)
        options = [*OPTIONS, *(("--fault", ",".join(faults)) if faults else ()), *BOOT]
        return str(fleet.up(tmp_path, 1, options, blank=not micropython)[0])

    yield start
    fleet.down(tmp_path)


@pytest.fixture
def efuses(tmp_path):
    return tmp_path / "boards/1/efuses.bin"


@pytest.fixture
def flash(tmp_path):
    return tmp_path / "boards/1/flash.bin"


@pytest.fixture
def secure(fleetmint, signed_firmware, boot_keys):
    def run(port, *more, firmware=signed_firmware, keys=("one",), device="vault-000001", **options):
        named = [word for key in keys for word in ("--boot-key", boot_keys / f"{key}.pub")]
        typed = {"input": f"{device}\n", **options}
        return fleetmint("secure", "vaults", "--port", port, "--firmware", firmware, *named, *more, **typed)

    return run


@pytest.fixture
def journal(engine):
    def read():
        with reading(engine) as connection:
            assert events.broken_links(connection) == ()
            found = connection.execute(select(schema.events).order_by(schema.events.c.seq))
            return [(row.kind, json.loads(row.detail)) for row in found if row.kind.startswith("secure")]

    return read


def state_of(engine, device="vault-000001"):
    with reading(engine) as connection:
        return factory.find_unit(connection, device).state


@pytest.fixture
def judge(tmp_path, boot_keys, hierarchy, state, efuses, flash):
    """Let Espressif's programs say whether the board is what it should be."""

    def look(device="vault-000001"):
        _judge_efuses(summary(efuses), read_public_key(boot_keys / "one.pub"))
        secret = secrets.load(state / "batches/vaults", hierarchy.source).of(device)
        content = flash.read_bytes()
        (tmp_path / "key").write_bytes(secret.flash_key)
        (tmp_path / "sealed").write_bytes(content[: APP.end])
        command = ("decrypt-flash-data", "--aes-xts", "--keyfile", "key", "--address", "0")
        tool("espsecure", *command, "--output", "plain", "sealed", cwd=tmp_path)
        plain = (tmp_path / "plain").read_bytes()
        for place in (0, APP.offset):
            (tmp_path / "image").write_bytes(plain[place : place + 0x3000])
            key = ("--keyfile", boot_keys / "one.pub")
            tool("espsecure", "verify-signature", "--version", "2", *key, "image", cwd=tmp_path)
        assert plain[0x8000:0x8C00] == TABLE.to_bytes()
        assert not plain[OTA.offset : OTA.end].strip(b"\xff")
        values = decode(content[NVS.offset : NVS.end], keys=NvsKeys.of_hmac_key(secret.nvs_key))
        assert values["fleetmint"]["device_id"] == device.encode()

    return look


def _judge_efuses(fields, digest):
    values = {name: found["value"] for name, found in fields.items()}
    assert values["SPI_BOOT_CRYPT_CNT"] == "Enable"
    on = ["SECURE_BOOT_EN", "SECURE_BOOT_KEY_REVOKE1", "SECURE_BOOT_KEY_REVOKE2", "DIS_PAD_JTAG", "DIS_USB_JTAG"]
    on += ["DIS_DOWNLOAD_MANUAL_ENCRYPT", "DIS_DOWNLOAD_ICACHE", "DIS_DIRECT_BOOT", "ENABLE_SECURITY_DOWNLOAD"]
    assert [name for name in on if values[name] is not True] == []
    assert [name for name in ("SECURE_BOOT_KEY_REVOKE0", "DIS_ICACHE", "DIS_DOWNLOAD_MODE") if values[name]] == []
    assert [name for name in ("RD_DIS", "DIS_ICACHE") if fields[name]["writeable"]] == []
    purposes = ["HMAC_UP", "XTS_AES_128_KEY", "SECURE_BOOT_DIGEST0", "USER", "USER", "USER"]
    assert [values[f"KEY_PURPOSE_{number}"] for number in range(6)] == purposes
    seen = [(fields[f"BLOCK_KEY{n}"]["readable"], fields[f"BLOCK_KEY{n}"]["writeable"]) for n in range(4)]
    assert seen == [(False, False), (False, False), (True, False), (True, True)]
    assert bytes.fromhex(values["BLOCK_KEY2"]) == digest


def test_a_board_is_secured_after_its_id_was_typed_and_the_plan_was_shown(
    secure, board, engine, efuses, flash, journal, judge
):
    port = board()
    before = flash.read_bytes()
    dry = secure(port, "--check")
    assert dry.exit_code == 0, dry.output
    assert f"The board {MAC} would become the next free device of vaults. This would:" in dry.stdout
    assert (
        "2. burn the keys and compare them (block 0: HMAC_UP, block 1: XTS_AES_128_KEY, block 2: SECURE" in dry.stdout
    )
    assert "no board ever takes new firmware again" in dry.stdout
    assert flash.read_bytes() == before
    assert journal() == []
    assert [step["done"] for step in secure(port, "--check", "--json")["steps"]] == [False] * 7

    done = secure(port)
    assert done.exit_code == 0, done.output
    assert "Type vault-000001 to go on" in done.stderr
    assert done.stdout == f"vault-000001 ({MAC}) is secured\n"
    judge()
    assert [(kind, detail["step"]) for kind, detail in journal()] == [
        (kind, step) for step in STEPS for kind in (INTENDED, DONE)
    ]
    assert state_of(engine) == "burned"

    # and what no software reads any more cannot be looked at again
    again = secure(port)
    assert again.exit_code == 1
    assert "secure download mode" in again.stderr
    assert "nothing is left to do" in again.stderr


def _children(pid):
    """Return the processes below one, with what everybody on the machine can read of them."""
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            told = [(Path("/proc") / child / name).read_bytes() for name in ("cmdline", "environ")]
            found |= {int(child): b"".join(told), **_children(int(child))}
    return found


def _gone(pids):
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        time.sleep(0.05)


def test_a_station_that_is_killed_in_each_step_comes_to_the_same_end(
    secure, board, engine, state, hierarchy, judge, journal, signed_firmware, boot_keys
):
    port = board()
    secret = secrets.load(state / "batches/vaults", hierarchy.source).of("vault-000001")
    words = ["secure", "vaults", "--port", port, "--firmware", signed_firmware, "--boot-key", boot_keys / "one.pub"]
    command = [Path(sys.executable).with_name("fleetmint"), *map(str, words)]
    shown = b""
    for step in STEPS[:-1]:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "FLEETMINT_STATE": str(state)}
        ) as process:
            process.stdin.write(b"vault-000001\n")
            process.stdin.flush()
            for line in process.stderr:
                shown += line
                # nobody's Enter has ended the line of the question
                if line.rpartition(b"to go on: ")[2].startswith(f"{step}: ".encode()):
                    break
            else:
                pytest.fail(f"{step} was not begun: {shown.decode()}")
            deadline = time.monotonic() + 5
            while not (below := _children(process.pid)) and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            shown += b"".join(below.values())
        _gone(below)
    assert [detail["step"] for kind, detail in journal() if kind == INTENDED][-1] == "debug"
    done = secure(port)
    assert done.exit_code == 0, done.output
    judge()
    assert state_of(engine) == "burned"
    shown += json.dumps(journal()).encode() + done.output.encode()
    for key in (secret.flash_key, secret.nvs_key):
        for form in (key, key.hex().encode(), key[::-1], key[::-1].hex().encode()):
            assert form not in shown


# Of thirteen: within the first key, and where a firmware would start. All of them take minutes.
@pytest.mark.parametrize("programmings", [1, 10])
def test_a_board_that_loses_its_power_while_it_burns_comes_to_the_same_end(
    secure, board, engine, judge, journal, programmings
):
    cut = secure(board(f"burn={programmings}"))
    assert cut.exit_code == 1, cut.output
    assert journal()[-1][0] == "secure-failed"
    assert state_of(engine) == "claimed"
    done = secure(board())
    assert done.exit_code == 0, done.output
    judge()
    assert state_of(engine) == "burned"


def stopped(result, *words):
    """Check that a command which had begun to tell what it does ended with this."""
    assert result.exit_code == 1, result.output
    for word in words:
        assert word in result.stderr


def test_a_cut_behind_the_last_programming_takes_one_word(secure, board, engine, fleetmint, judge, refused):
    refused(fleetmint("secure", "vaults", "--finished", "vault-000001"), "does not know that the last step")
    stopped(secure(board("burn=13")), "download: ", "the same command again")
    judge()
    port = board()
    assert state_of(engine) == "claimed"
    refused(secure(port), "the last step of vault-000001 was begun", "fleetmint secure vaults --finished vault-000001")
    with pytest.raises(BurnError, match="demand secure boot, flash encryption or secure download"):
        identify(port)
    refused(fleetmint("secure", "vaults", "--finished", "vault-000002"), "does not know that the last step")
    for _twice in range(2):
        done = fleetmint("secure", "vaults", "--finished", "vault-000001")
        assert done.exit_code == 0, done.output
        assert state_of(engine) == "burned"


def test_without_the_right_id_nothing_is_written(secure, board, engine, flash, efuses, journal):
    port = board()
    before = flash.read_bytes(), efuses.read_bytes()
    for typed in ("", "yes", "vault-000002"):
        stopped(secure(port, device=typed), "nothing was written or burned")
    assert (flash.read_bytes(), efuses.read_bytes()) == before
    assert (journal(), state_of(engine)) == ([], "planned")


def test_a_board_with_bad_flash_is_set_aside_before_an_efuse_is_burned(secure, board, engine, efuses, journal):
    stopped(secure(board("rot=99")), "does not read back as it was written")
    assert [(kind, detail["step"]) for kind, detail in journal()] == [(INTENDED, "images"), (FAILED, "images")]
    assert state_of(engine) == "quarantined"
    assert summary(efuses)["KEY_PURPOSE_0"]["value"] == "USER"


def test_images_that_the_board_would_never_start_are_refused_before_it_is_touched(
    secure, engine, refused, boot_keys, fleetmint, signed_firmware
):
    nowhere = "/dev/ttyNOWHERE"
    unsigned = make_firmware(boot_keys, "unsigned.bin", None)
    refused(secure(nowhere, firmware=unsigned), "'bootloader' is not signed for secure boot v2: sign it with espsecure")
    refused(secure(nowhere, keys=("two",)), "'bootloader' is signed, but by another key than the board will know")
    changed = bytearray(signed_firmware.read_bytes())
    changed[APP.offset + 0x1FF0] ^= 1  # between the image and its signature
    (boot_keys / "changed.bin").write_bytes(changed)
    refused(secure(nowhere, firmware=boot_keys / "changed.bin"), "'ota_0' is signed, but not as it is")
    table = PartitionTable((replace(NVS, flags=1), *TABLE.partitions[1:]))
    marked = make_firmware(boot_keys, "marked.bin", "one", table)
    refused(secure(nowhere, firmware=marked), "'nvs' is an NVS and marked `encrypted`")
    private = fleetmint("secure", "vaults", "--port", nowhere, "--firmware", signed_firmware,
                        "--boot-key", boot_keys / "one.pem")  # fmt: skip
    refused(private, "one.pem is a private key, and none is needed here")
    refused(secure(nowhere, keys=("one", "one")), "was named twice")
    refused(secure("virtual:esp32s3:efuses.bin"), "stands for eFuses alone", "python -m virtual.esp32 --efuses")
    assert fleetmint("secure", "vaults", "--port", nowhere).exit_code == 2


def test_each_batch_has_its_own_command(secure, engine, refused, fleetmint, signed_firmware, boot_keys):
    key = ("--firmware", signed_firmware, "--boot-key", boot_keys / "one.pub")
    other = fleetmint("secure", "first", "--port", "/dev/ttyNOWHERE", *key)
    refused(other, "flash_encryption none", "fleetmint burn first --port auto")
    burn = fleetmint("burn", "vaults", "--port", "/dev/ttyNOWHERE", "--once")
    stopped(burn, "flash_encryption aes128", "fleetmint secure vaults --port PORT --firmware FILE")


def test_what_was_begun_is_not_finished_with_other_keys_or_firmware(
    secure, fleetmint, board, engine, refused, monkeypatch, boot_keys, judge
):
    port, burn = board(), transaction.burn_efuses
    # whoever has put the HMAC key there before has done a part of it
    assert fleetmint("efuse", "vaults", "--port", port, input="vault-000001\n").exit_code == 0

    def cut_at(field):
        def cut(port, mac, order, *, boot):
            if field in order.fields:
                raise BurnError("the cable", BurnCode.LOST)
            burn(port, mac, order, boot=boot)

        return cut

    monkeypatch.setattr(transaction, "burn_efuses", cut_at("SECURE_BOOT_EN"))
    other = make_firmware(boot_keys, "other.bin", "one", PartitionTable(TABLE.partitions[:3]))
    stopped(secure(port, firmware=other), "the cable")
    refused(secure(port, keys=("one", "two")), "vault-000001 was begun with other keys of secure boot")
    refused(secure(port, "--hmac-block", "3"), "or another --hmac-block")
    # nothing is switched on, so another firmware is still a mistake that can be mended
    monkeypatch.setattr(transaction, "burn_efuses", cut_at("SPI_BOOT_CRYPT_CNT"))
    stopped(secure(port), "the cable")
    stopped(secure(port, firmware=other), "vault-000001 was begun with the firmware")
    monkeypatch.setattr(transaction, "burn_efuses", burn)
    done = secure(port)
    assert done.exit_code == 0, done.output
    judge()
