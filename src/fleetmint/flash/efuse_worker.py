"""The process that burns eFuses: python -m fleetmint.flash.efuse_worker. It uses espefuse, which is part of esptool.

One JSON object on stdin, {"do": "read" or "burn", "port": P or "virtual": {"chip", "file"}, "boot"}, and for a burn
"mac", "keys" as [block, purpose, the bytes of the block in hex], "fields", "seal", "guard", "lock" (efuse.Order); one
on stdout, {"mac", "chip", "blocks": [...], "fields": {name: [value, whether it can be burned]}} or {"code", "message"}.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from espefuse import BaseCommands, get_esp, init_commands
from esptool.util import FatalError

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, FIELDS, KEY_BLOCKS, UNUSED_PURPOSE


def main() -> None:
    """Carry out the request on stdin."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # espefuse prints what it does, which must not get between
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        answer = _carry_out(json.load(sys.stdin))
    except BurnError as error:
        answer = {"code": error.code, "message": str(error)}
    except (FatalError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        answer = {
            "code": BurnCode.LOST,
            "message": f"the eFuses could not be read or burned ({first}): check cable and download mode, and run the"
            " same command again, which looks what is in them",
        }
    except Exception as error:
        # the message of an unforeseen error can quote what it stumbled over, and that can be the key
        answer = {
            "code": BurnCode.INTERNAL,
            "message": f"the eFuses stay as they are now: an unforeseen {type(error).__name__}",
        }
    json.dump(answer, answers)
    answers.flush()


def _carry_out(request: Mapping[str, Any]) -> dict[str, Any]:
    virtual = request.get("virtual")
    place = (
        {"chip": virtual["chip"], "virt": True, "virt_efuse_file": virtual["file"]}
        if virtual
        else {"port": request["port"]}
    )
    with _commands(place) as commands:
        if request["do"] == "burn":
            try:
                _burn(commands, request)
            except SystemExit as end:
                # espefuse ends so when the board has gone into the secure download mode: there was nothing behind it
                if end.code:
                    raise BurnError("espefuse gave up on the board", BurnCode.LOST) from end
                return {"mac": request["mac"], "chip": "", "blocks": [], "fields": {}}
        answer = _look(commands)
        if not virtual and request.get("boot", True):
            commands.esp.hard_reset()
    return answer


def _commands(place: Mapping[str, Any]) -> BaseCommands:
    if "virt" in place:
        return init_commands(do_not_confirm=True, **place)
    esp = get_esp(place["port"])
    if esp.secure_download_mode:
        esp._port.close()
        raise BurnError(
            "the board is in secure download mode: nobody can read or burn its eFuses any more", BurnCode.SECURED
        )
    commands = init_commands(do_not_confirm=True, esp=esp)
    commands.external_esp = False  # so that it closes the port
    return commands


def _burn(commands: BaseCommands, order: Mapping[str, Any]) -> None:
    found = _look(commands)
    if found["chip"] not in CHIPS_WITH_HMAC:
        raise BurnError(f"an {found['chip']} has no HMAC peripheral: nothing was burned", BurnCode.WRONG_CHIP)
    if found["mac"] != order["mac"]:
        raise BurnError(f"the board is {found['mac']}, not {order['mac']}: nothing was burned", BurnCode.IDENTITY)
    missing = [key for key in order["keys"] if _is_missing(found["blocks"][key[0]], *key[1:])]
    for number, purpose, stored in missing:
        _burn_key(commands, number, purpose, bytes.fromhex(stored))
    efuses = commands.efuses
    for name, value in order["fields"].items():
        efuses[name].save(value)
    for number in (*order["seal"], *order["guard"]):
        efuses[f"BLOCK_KEY{number}"].disable_write()
        efuses[f"KEY_PURPOSE_{number}"].disable_write()
    for number in order["seal"]:
        efuses[f"BLOCK_KEY{number}"].disable_read()
    efuses.burn_all()
    for name in order["lock"]:
        efuses[name].disable_write()
    efuses.burn_all()


def _is_missing(before: Mapping[str, Any], purpose: str, stored: str) -> bool:
    """Whether a key is still to be burned, as a whole or its purpose; BurnError when the block is in use otherwise."""
    # A burn that was cut off left the key without its purpose, or both without the seal: it is taken up from there.
    ours = before["readable"] and before["data"] == stored and before["purpose"] in (purpose, UNUSED_PURPOSE)
    empty = before["readable"] and before["writable"] and before["purpose"] in (purpose, UNUSED_PURPOSE)
    empty = empty and not any(bytes.fromhex(before["data"]))
    if not ours and not empty:
        name = f"BLOCK_KEY{before['number']}"
        raise BurnError(f"{name} is in use ({before['purpose']}): nothing was burned", BurnCode.SECURED)
    return empty or before["purpose"] == UNUSED_PURPOSE


def _burn_key(commands: BaseCommands, number: int, purpose: str, stored: bytes) -> None:
    """Burn a key and its purpose, and compare: once it is sealed nobody can tell whether every bit of it arrived."""
    name = f"BLOCK_KEY{number}"
    # espefuse's burn_key would lock the purpose together with it, see efuse.Order
    commands.efuses[name].save(stored)
    commands.efuses[f"KEY_PURPOSE_{number}"].save(purpose)
    commands.efuses.burn_all()
    now = _look(commands)["blocks"][number]
    if now["data"] != stored.hex() or now["purpose"] != purpose:
        raise BurnError(f"{name} does not read back as it was burned: the chip is bad, set it aside", BurnCode.MD5)


def _look(commands: BaseCommands) -> dict[str, Any]:
    efuses, chip = commands.efuses, str(commands.CHIP_NAME).lower().replace("-", "")
    known = chip in CHIPS_WITH_HMAC
    blocks = [_block(efuses, number) for number in KEY_BLOCKS] if known else []
    there = {each.name for each in efuses.efuses}
    fields = {name: _field(efuses[name]) for name in FIELDS if name in there} if known else {}
    # espefuse says behind the MAC whether its CRC is right
    return {"mac": str(efuses["MAC"].get())[:17], "chip": chip, "blocks": blocks, "fields": fields}


def _block(efuses: Any, number: int) -> dict[str, Any]:
    field = efuses[f"BLOCK_KEY{number}"]
    return {
        "number": number,
        "purpose": efuses[f"KEY_PURPOSE_{number}"].get(),
        "readable": field.is_readable(),
        "writable": field.is_writeable(),
        "fixed": not efuses[f"KEY_PURPOSE_{number}"].is_writeable(),
        # espefuse shows the block with its last byte first
        "data": field.get_bitstring().bytes[::-1].hex(),
    }


def _field(field: Any) -> tuple[int, bool]:
    return int(field.get_bitstring().uint), field.is_writeable()


if __name__ == "__main__":
    main()
