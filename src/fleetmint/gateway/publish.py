"""Putting the CRLs in front of nginx and Mosquitto: check, rename, reload what changed, end revoked sessions.

Whatever interrupts it, the next run finishes: a reload is written down as owed before the file changes, and a session
as ended after it was. The listeners are independent: a list that is no good keeps its own listener as it was, and is
reported.

A certificate that ends without anybody's doing is looked after, too: the broker lets its sessions go on, and resumes
them for hours, until it reloads and its session is ended.

A device has one session, which is taken over and dropped alone. Operators choose their client ids and have several,
and no Mosquitto 2.0 tells whose is whose or ends what its CRL now refuses: a revoked operator costs a restart of the
broker. Devices come back by themselves, and what was queued for them is on disk.

What the factory CA issued to a device that was revoked here is not on that CA's list before the controller has signed
it. Until then the broker's rules deny that device everything, and its session is ended like any other.
"""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives import serialization

from fleetmint import commands, files
from fleetmint.documents.times import text_time, time_text
from fleetmint.errors import FleetmintError, PublishError, StateError
from fleetmint.gateway.config import Config
from fleetmint.gateway.crl_files import Bundle, checked_lists, installed_lists, read_bundle, refuse_older
from fleetmint.gateway.denied import rules_path, with_denied, write_rules
from fleetmint.gateway.disconnect import end_session
from fleetmint.gateway.session_owners import ask, unlisted
from fleetmint.ledger.devices import serial_text
from fleetmint.x509.listeners import DEVICES, LISTENERS, OPERATORS
from fleetmint.x509.revocation import crl_pem

NGINX, MOSQUITTO = "nginx", "mosquitto"
_SERVERS = (NGINX, MOSQUITTO)
_TIMEOUT_SECONDS = 60
# Serials of 40 digits, as many as a CRL may have.
_LARGEST_MEMORY = 32 << 20


@dataclass(frozen=True)
class Published:
    """What a run did, or in check mode would do. `problems` are sentences; when there are any, the run has failed."""

    changed: bool = False
    reloaded: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Memory:
    """What has to survive between runs: servers owed a reload, and serials whose sessions have been ended.

    What ended by itself until `expired` has been looked after.
    """

    owed: frozenset[str] = frozenset(_SERVERS)
    ended: frozenset[str] = frozenset()
    expired: datetime | None = None


@dataclass
class _Run:
    """One run: what it has found and done so far."""

    config: Config
    now: datetime
    check: bool
    memory: _Memory
    # serials that no list has yet, and whose they are
    unlisted: dict[int, str] = field(default_factory=dict)
    # who may have a certificate of a time that a restore has forgotten
    forgotten: frozenset[str] = frozenset()
    changed: bool = False
    reloaded: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    disconnected: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def publish(
    config: Config, lists: Mapping[str, bytes] = MappingProxyType({}), *, now: datetime, check: bool = False
) -> Published:
    """Bring both listeners of both servers up to date; with `check` only say what would be done.

    `lists` are those that somebody brings from the controller, PEM or DER by the name of their CA: however they came,
    by the play or by a station, this puts them in force. A list that is no good leaves the one that is here.
    Expected failures are in `problems`: the run goes on with what is left to do.
    """
    with _alone(config.published.parent):
        run = _Run(config, now, check, _remembered(config.published))
        for name, data in lists.items():
            _take(run, name, data)
        bundles = [bundle for listener in LISTENERS if (bundle := _try_read(run, listener)) is not None]
        _deny_unlisted(run, bundles)
        for server in _SERVERS:
            _update(run, server, bundles)
        _update_public(run, bundles)
        _end_sessions(run, bundles)
        _end_operators_sessions(run, bundles)
    return Published(
        run.changed, tuple(run.reloaded), tuple(run.restarted), tuple(run.disconnected), tuple(run.problems)
    )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other run is under way: a timer and a play may start one each."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PublishError(
            f"cannot open {directory}: {error.strerror}; first run {commands.playbook('gateway.yml')}"
        ) from error
    try:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise PublishError(f"another run has held {directory} for {_TIMEOUT_SECONDS} s: end it") from error
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def bundle_path(config: Config, server: str, listener: str) -> Path:
    """Return the file that `server` loads at `listener`."""
    directory = config.nginx if server == NGINX else config.mosquitto
    return directory / f"{listener}.crl.pem"


def _take(run: _Run, name: str, data: bytes) -> None:
    """Put lists that were brought in the place of the older ones of the same CA."""
    try:
        pem = b"".join(map(crl_pem, checked_lists(run.config, name, data, run.now)))
        path = run.config.crl(name)
        if path.exists() and files.read(path, "CRL") == pem:
            return
        if not run.check:
            files.write_atomically(path, pem, files.PUBLIC_FILE)
        run.changed = True
    except FleetmintError as error:
        run.problems.append(str(error))


def _try_read(run: _Run, listener: str) -> Bundle | None:
    try:
        bundle = read_bundle(run.config, listener, now=run.now)
        for server in _SERVERS:
            path = bundle_path(run.config, server, listener)
            refuse_older(bundle, _installed(path), str(path))
        return bundle
    except FleetmintError as error:
        run.problems.append(f"the CRLs of the {listener}' listener stay as they were: {error}")
        return None


def _deny_unlisted(run: _Run, bundles: list[Bundle]) -> None:
    """Have the broker's rules deny what its lists would let in; a broker that has no rules yet has no sessions."""
    path = rules_path(run.config)
    if not path.exists():
        return
    try:
        listed = {entry.serial_number for each in bundles for crl in each.lists.values() for entry in crl}
        found = unlisted(run.config, run.now)
        run.unlisted = {serial: device for serial, device in found.by_factory.items() if serial not in listed}
        run.forgotten = found.forgotten
        rules = files.read(path, "rules of the broker").decode()
        wanted = with_denied(rules, {*run.unlisted.values(), *run.forgotten})
        if wanted != rules:
            _remember(run, replace(run.memory, owed=run.memory.owed | {MOSQUITTO}))
            if not run.check:
                write_rules(path, wanted)
            run.changed = True
    except (FleetmintError, OSError) as error:
        run.problems.append(str(error))


def _update(run: _Run, server: str, bundles: list[Bundle]) -> None:
    try:
        for bundle in bundles:
            path = bundle_path(run.config, server, bundle.listener)
            if _installed(path) == bundle.pem:
                continue
            owed, ended = run.memory.owed | {server}, run.memory.ended
            if server == MOSQUITTO:
                ended -= _let_in(path, bundle)
            _remember(run, replace(run.memory, owed=owed, ended=ended))
            if not run.check:
                files.write_atomically(path, bundle.pem, files.PUBLIC_FILE)
            run.changed = True
        if server not in run.memory.owed:
            return
        if _is_up(run.config, server):
            _reload(run, server)
        # A server that is down reads the new files when it starts.
        _remember(run, replace(run.memory, owed=run.memory.owed - {server}))
    except FleetmintError as error:
        run.problems.append(str(error))


def _let_in(path: Path, bundle: Bundle) -> frozenset[str]:
    """The serials that a damaged file no longer refused: they may have sessions again, whatever was ended before."""
    known = {entry.serial_number for crl in installed_lists(_installed(path)) for entry in crl}
    return frozenset(
        serial_text(entry.serial_number)
        for crl in bundle.lists.values()
        for entry in crl
        if entry.serial_number not in known
    )


def _reload(run: _Run, server: str) -> None:
    if not run.check:
        if server == NGINX:
            _call(run.config.program_nginx, "-t")
        _call(run.config.program_systemctl, "reload", server)
    run.changed = True
    run.reloaded.append(server)


def _update_public(run: _Run, bundles: list[Bundle]) -> None:
    directory = run.config.public
    if directory is None:
        return
    lists = {f"{name}.crl": crl for bundle in bundles for name, crl in bundle.lists.items()}
    try:
        for file, crl in lists.items():
            path, der = directory / file, crl.public_bytes(serialization.Encoding.DER)
            if path.exists() and files.read(path, "CRL") == der:
                continue
            if not run.check:
                files.write_atomically(path, der, files.PUBLIC_FILE)
            run.changed = True
        if len(bundles) == len(LISTENERS):  # else nobody knows which are left over from a CA that was retired
            for path in sorted(directory.glob("*.crl")):
                if path.name not in lists:
                    if not run.check:
                        path.unlink()
                    run.changed = True
    except (FleetmintError, OSError) as error:
        run.problems.append(str(error))


def _end_sessions(run: _Run, bundles: list[Bundle]) -> None:
    """End the sessions of certificates that the broker now refuses, each once, and of those that have ended."""
    if MOSQUITTO in run.memory.owed and not run.check:
        return  # before it has loaded the list, the device would be back at once
    try:
        new = {serial for serial in run.unlisted if serial_text(serial) not in run.memory.ended}
        owners = ask(run.config, _not_ended(run, DEVICES, bundles) | new, run.memory.expired, run.now)
        forgotten = {device for device in run.forgotten if _by_name(device) not in run.memory.ended}
        devices = sorted({*owners.of_revoked.values(), *owners.of_ended, *forgotten})
        up = bool(devices) and _has_sessions(run.config)
        if owners.of_ended and up and MOSQUITTO not in run.reloaded:
            _reload(run, MOSQUITTO)  # or it would resume what began while the certificate was good
    except FleetmintError as error:
        if str(error) not in run.problems:
            run.problems.append(str(error))
        return
    failed = False
    for device in devices:
        mine = {serial_text(serial) for serial, owner in owners.of_revoked.items() if owner == device}
        mine |= {_by_name(device)} & set(map(_by_name, forgotten))
        try:
            if up:
                if not run.check:
                    end_session(run.config.disconnect_socket, device, keep=device in owners.going_on)
                run.changed = True
                run.disconnected.append(device)
            _remember(run, replace(run.memory, ended=run.memory.ended | mine))
        except FleetmintError as error:
            failed = True
            run.problems.append(str(error))
    if owners.of_ended and not failed:
        _remember(run, replace(run.memory, expired=run.now))


def _by_name(device: str) -> str:
    """Return what is remembered of a session that was ended for no serial that is known; no serial looks like it."""
    return f"device {device}"


def _end_operators_sessions(run: _Run, bundles: list[Bundle]) -> None:
    """Restart the broker when it refuses an operator whose sessions may still be there, once for each certificate."""
    if MOSQUITTO in run.memory.owed and not run.check:
        return  # as above: the next run reloads, and then restarts
    try:
        new = _not_ended(run, OPERATORS, bundles)
        if not new:
            return
        if _has_sessions(run.config):
            if not run.check:
                _call(run.config.program_systemctl, "restart", MOSQUITTO)
            run.changed = True
            run.restarted.append(MOSQUITTO)
        _remember(run, replace(run.memory, ended=run.memory.ended | {serial_text(serial) for serial in new}))
    except FleetmintError as error:
        run.problems.append(str(error))


def _not_ended(run: _Run, listener: str, bundles: list[Bundle]) -> set[int]:
    """The serials that a listener of the broker refuses and whose sessions nobody has ended yet.

    In check mode those of the new lists too.
    """
    lists = list(installed_lists(_installed(bundle_path(run.config, MOSQUITTO, listener))))
    if run.check:
        lists += [crl for bundle in bundles if bundle.listener == listener for crl in bundle.lists.values()]
    serials = {entry.serial_number for crl in lists for entry in crl}
    return {serial for serial in serials if serial_text(serial) not in run.memory.ended}


def _installed(path: Path) -> bytes:
    return files.read(path, "bundle") if path.exists() else b""


def _remembered(path: Path) -> _Memory:
    """Read the memory. When it is lost, both reloads are owed: one too many is harmless, one too few is not."""
    if not os.path.lexists(path):
        return _Memory()
    try:
        found = json.loads(files.read_checked(path, "record of what was published", limit=_LARGEST_MEMORY))
        return _Memory(
            frozenset(str(server) for server in found["owed"]) & frozenset(_SERVERS),
            frozenset(str(serial) for serial in found["ended"]),
            text_time(found["expired"]) if found.get("expired") else None,
        )
    except (StateError, ValueError, KeyError, TypeError):
        return _Memory()  # whatever is there is replaced, and not followed when it is a link


def _remember(run: _Run, memory: _Memory) -> None:
    if memory == run.memory:
        return
    run.memory = memory
    if not run.check:
        _write(run.config.published, memory)


def _write(path: Path, memory: _Memory) -> None:
    found: dict[str, object] = {"owed": sorted(memory.owed), "ended": sorted(memory.ended)}
    if memory.expired is not None:
        found["expired"] = time_text(memory.expired)
    text = json.dumps(found, indent=1)
    files.write_atomically(path, text.encode() + b"\n")


def _has_sessions(config: Config) -> bool:
    """Whether the broker may have sessions of the fleet.

    On a Pi that takes the place of another one, what was revoked before is published before the broker is configured:
    what runs until then is Debian's, which lets nobody in from outside.
    """
    ours = rules_path(config).exists() or config.disconnect_socket.exists()
    return ours and _is_up(config, MOSQUITTO)


def _is_up(config: Config, server: str) -> bool:
    """Whether the server runs, or is just changing its state and may have read the old files."""
    done = _run([config.program_systemctl, "is-active", server])
    return done.stdout.decode(errors="replace").strip() not in ("inactive", "failed", "unknown")


def _call(*command: str) -> None:
    done = _run(list(command))
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PublishError(
            f"`{' '.join(command)}` failed ({said[-1] if said else f'exit code {done.returncode}'}): the new CRL is in"
            " place and not in force; mend that and publish again"
        )


def _run(command: list[str]) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PublishError(f"cannot run {command[0]}: {error}") from error
