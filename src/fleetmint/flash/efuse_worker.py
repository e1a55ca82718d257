"""The process that burns eFuses: python -m fleetmint.flash.efuse_worker. It uses espefuse, which is part of esptool.

One JSON object on stdin, {"do": "read" or "burn", "port": P or "virtual": {"chip", "file"}, and for a burn "mac",
"block", "key" in hex}; one on stdout, {"mac", "chip", "blocks": [...]} or {"code", "message"}.
"""

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from espefuse import BaseCommands, init_commands
from esptool.util import FatalError

from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, HMAC_PURPOSE, KEY_BLOCKS, UNUSED_PURPOSE


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
    with init_commands(do_not_confirm=True, **place) as commands:
        if request["do"] == "burn":
            _burn(commands, request["mac"], request["block"], bytes.fromhex(request["key"]))
        answer = _look(commands)
        if not virtual:
            commands.esp.hard_reset()
    return answer


def _burn(commands: BaseCommands, mac: str, number: int, key: bytes) -> None:
    found = _look(commands)
    if found["chip"] not in CHIPS_WITH_HMAC:
        raise BurnError(f"an {found['chip']} has no HMAC peripheral: nothing was burned", BurnCode.WRONG_CHIP)
    if found["mac"] != mac:
        raise BurnError(f"the board is {found['mac']}, not {mac}: nothing was burned", BurnCode.IDENTITY)
    name, efuses = f"BLOCK_KEY{number}", commands.efuses
    before = found["blocks"][number]
    held = bytes.fromhex(before["data"])
    # A burn that was cut off left the key without its purpose, or both without the seal: it is taken up from there.
    ours = before["readable"] and held == key and before["purpose"] in (HMAC_PURPOSE, UNUSED_PURPOSE)
    empty = before["readable"] and before["writable"] and before["purpose"] == UNUSED_PURPOSE and not any(held)
    if not ours and not empty:
        raise BurnError(f"{name} is in use ({before['purpose']}): nothing was burned", BurnCode.SECURED)
    if empty or before["purpose"] == UNUSED_PURPOSE:
        # Unsealed first: once it is sealed nobody can tell whether every bit of the key arrived.
        commands.burn_key([name], [io.BytesIO(key)], [HMAC_PURPOSE], no_write_protect=True, no_read_protect=True)
        now = _look(commands)["blocks"][number]
        if now["data"] != key.hex() or now["purpose"] != HMAC_PURPOSE:
            raise BurnError(f"{name} does not read back as it was burned: the chip is bad, set it aside", BurnCode.MD5)
    efuses[name].disable_read()
    efuses[name].disable_write()
    efuses.burn_all()


def _look(commands: BaseCommands) -> dict[str, Any]:
    efuses, chip = commands.efuses, str(commands.CHIP_NAME).lower().replace("-", "")
    blocks = [_block(efuses, number) for number in KEY_BLOCKS] if chip in CHIPS_WITH_HMAC else []
    # espefuse says behind the MAC whether its CRC is right
    return {"mac": str(efuses["MAC"].get())[:17], "chip": chip, "blocks": blocks}


def _block(efuses: Any, number: int) -> dict[str, Any]:
    field = efuses[f"BLOCK_KEY{number}"]
    return {
        "number": number,
        "purpose": efuses[f"KEY_PURPOSE_{number}"].get(),
        "readable": field.is_readable(),
        "writable": field.is_writeable(),
        # espefuse shows the block with its last byte first
        "data": field.get_bitstring().bytes[::-1].hex(),
    }


if __name__ == "__main__":
    main()
