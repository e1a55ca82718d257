"""Another one-time token, or other values: put into a board without touching the rest."""

from collections.abc import Callable, Mapping

from fleetmint.burn_codes import BurnCode
from fleetmint.documents.token import Token
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.flash.burn import Worker
from fleetmint.flash.identity import identity_of
from fleetmint.flash.job import Board, Job, Region
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode_typed
from fleetmint.nvs.encode import encode
from fleetmint.nvs.values import Value


def with_token(nvs: bytes, token: Token) -> bytes:
    """Return the NVS image `nvs` with this token in it, as `with_values` does."""
    return with_values(nvs, token.device, {keys.TOKEN: token.token.encode()})


def with_values(nvs: bytes, device: str, values: Mapping[str, bytes | None]) -> bytes:
    """Return the NVS image `nvs` with these values of `device`, and every other entry with its type as it was.

    None takes a value away.

    Raises BurnError when it is the NVS of another device, NvsError when it holds what cannot be written again.
    """
    found = identity_of(nvs, 0)
    if found is None or found.device_id != device:
        whose = "holds no identity" if found is None else f"is {found.device_id!r}"
        raise BurnError(f"the board {whose}, and this is for {device}: nothing was written", BurnCode.IDENTITY)
    # What is damaged does not exist for the device either.
    typed = decode_typed(nvs, skip_damaged=True)
    entries = {space: {key: Value(*value) for key, value in ours.items()} for space, ours in typed.items()}
    for name, value in values.items():
        # Last, as a device would have added it; the older one goes.
        entries[keys.NAMESPACE].pop(name, None)
        if value is not None:
            entries[keys.NAMESPACE][name] = Value("blob", value)
    return encode(entries, len(nvs))


def check_board(worker: Worker, device: str) -> tuple[Board, Region]:
    """Return the board at the worker's port, which stays held, and its NVS; raise BurnError unless it is `device`."""
    board = worker.identify(hold=True)
    if board.device_id != device:
        whose = f"is {board.device_id!r}" if board.device_id else "holds no identity"
        worker.release()
        raise BurnError(
            f"{worker.port}: the board ({board.mac}) {whose}, not {device!r}: nothing was written",
            BurnCode.IDENTITY,
            board.mac,
        )
    return board, worker.read_nvs()


def write_token(
    worker: Worker, board: Board, nvs: Region, token: Token, again: Callable[[FleetmintError], bool]
) -> None:
    """Put the token into a board that `check_board` has held, as `write_nvs` does."""
    try:
        region = Region(nvs.offset, with_token(nvs.data, token), nvs.name)
    except FleetmintError:
        worker.release()
        raise
    write_nvs(worker, board, (region,), again)


def write_nvs(
    worker: Worker, board: Board, regions: tuple[Region, ...], again: Callable[[FleetmintError], bool]
) -> None:
    """Write regions of a board that is held, its NVS with all that it held among them, and compare them afterwards.

    The NVS also holds the device's key, of which there is no copy. So when the connection is lost meanwhile, `again` is
    asked, with the reason, whether to go on: it returns when the board may be there again. Until then the old content
    is in the memory of this process only. Raises BurnError when the answer is no.
    """
    job = Job(worker.port, board.chip, regions, reprovision=True)
    while True:
        try:
            worker.burn(job)
            return
        except BurnError as error:
            if not again(error):
                raise
        _wait_for(worker, board, again)


def _wait_for(worker: Worker, board: Board, again: Callable[[FleetmintError], bool]) -> None:
    """Hold the same board again; another one on the port is none."""
    while True:
        try:
            found = worker.identify(hold=True)
            if found.mac == board.mac:
                return
            worker.release()
            error = BurnError(
                f"{worker.port}: this is the board {found.mac}, connect {board.mac}", BurnCode.IDENTITY, found.mac
            )
        except BurnError as lost:
            error = lost
        if not again(error):
            raise error
