"""A batch as its maker describes it: a YAML or CSV file, refused as a whole when one line of it is wrong.

    batch: spring           name of the batch; that of the file by default
    prefix: lamp            ids are lamp-000001, lamp-000002, ...
    chip: esp32             esp32, esp32s3, esp32c3, esp32c6 or esp8266; linux for machines that are no boards
    layout: 4MiB            partition table: MicroPython's for that flash, that of the `board` or of the `firmware`;
                            for an esp8266 the place of its file system, such as 4M2M (docs/targets.md)
    product: Lamp           for labels and ledgers, as is
    hardware: B             its revision
    gateway: gateway        the gateway that will know the devices; the site's first by default
    wifi: default           the Wi-Fi profile of the site that they join; up to four, as [workshop, attic]
    nvs_encryption: none    none, hmac or flash; MicroPython's stock build reads `none` only (docs/targets.md)
    flash_encryption: none  none or aes128, whose boards `fleetmint secure` burns, for firmware of your own
    identity: nvs           where key and certificate lie: nvs or esp_secure_cert, which needs `key_origin: factory`
    approval: auto          auto, or manual: an operator approves each device's first certificate (docs/approval.md)
    token_binding: none     none, or mac: a token is good on the board that was handed over for it, no other
    tls: modern             the class whose listeners the devices use: tls12 or modern; those of all by default
    shelf_days: 180         how long a board may lie about before it enrols: so long an unused token is good
    first: 1                number of the first device that is counted
    values:                 further NVS values for all of them, of a type in nvs/values.py
      - {namespace: app, key: region, type: string, value: eu}
    devices:
      - count: 2            key_origin device: a one-time token; the key is made by the device and never leaves it
      - serials: [17, a7]   lamp-000017 and lamp-a7
        key_origin: factory     key and certificate come from the factory
        wifi: warehouse     wifi and values of an entry go before those of the batch
      - ids: [old-lamp]

In CSV each row is an entry of `devices`, with `count`, `serial` or `id`, and further values in columns that are called
`value:NAMESPACE:KEY:TYPE`; several profiles of Wi-Fi stand in one cell with `|` between them. The other fields are
columns too, and say the same in all rows where they say something; but the batch is always called like its file.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from fleetmint.batch.common import of_class_remedy
from fleetmint.batch.encryption import NONE, checked_flash_encryption, checked_scheme
from fleetmint.batch.entries import COUNTS, from_csv, from_yaml, line_of
from fleetmint.batch.file import BatchRefusedError, Fields, Problems, Text, read_csv, read_yaml
from fleetmint.batch.identity import NVS, checked_identity
from fleetmint.batch.networks import MOST_NETWORKS
from fleetmint.choices import APPROVALS, AUTO, TLS_CLASSES, TOKEN_BINDINGS, UNBOUND
from fleetmint.errors import ImageError, NameRefusedError, NvsError, TextRefusedError
from fleetmint.flash.esp8266 import layouts
from fleetmint.nvs import keys as nvs_names
from fleetmint.nvs.values import Value, check_name, parse
from fleetmint.text import plain
from fleetmint.x509 import names

__all__ = ["Batch", "BatchRefusedError", "Extra", "Site", "Unit", "batch_name", "read_batch"]

# A device that is no board: a machine with files of its own, which nothing is burned into.
LINUX = "linux"
CHIPS = ("esp32", "esp32s3", "esp32c3", "esp32c6", "esp8266", LINUX)
# What is written into flash; a Linux machine joins its networks by itself.
_OF_BOARDS = ("layout", "wifi", "nvs_encryption", "identity", "token_binding", "values")
DEVICE = "device"
ORIGINS = (DEVICE, "factory")
# What reads its file knows no list.
_ESP8266 = "an esp8266 joins one network"
MAX_DEVICES = 999_999
DIGITS = 6
MAX_TEXT = 100


class Extra(NamedTuple):
    """An NVS value that the maker adds."""

    namespace: str
    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Unit:
    """One device that the batch wants: its id and who makes its key (`device` or `factory`).

    `serial` is what the id has behind the prefix. `wifi` are its profiles, the best first, when these are not the
    batch's, `values` are its own; a value of the batch with the same name gives way to it.
    """

    device: str
    key_origin: str
    serial: str = ""
    wifi: tuple[str, ...] | None = None
    values: tuple[Extra, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A batch as described. `units` are in the order of the file.

    `layout`, `gateway` and `wifi` are None where the file leaves them to the station or the site.
    """

    name: str
    chip: str
    token_lifetime: timedelta
    units: tuple[Unit, ...]
    layout: str | None = None
    product: str = ""
    hardware: str = ""
    gateway: str | None = None
    wifi: tuple[str, ...] | None = None
    values: tuple[Extra, ...] = ()
    prefix: str = ""
    nvs_encryption: str = NONE
    identity: str = NVS
    flash_encryption: str = NONE
    approval: str = AUTO
    token_binding: str = UNBOUND
    tls: str | None = None


@dataclass(frozen=True)
class Site:
    """The names that a batch can use: the site's gateways and Wi-Fi profiles, and of gateways the classes they have."""

    gateways: Collection[str]
    wifi: Collection[str]
    classes: Mapping[str, Collection[str]] = field(default_factory=dict)


def read_batch(path: Path, site: Site | None = None) -> Batch:
    """Read a batch file, for `site` when that is known.

    Raises BatchRefusedError with a line for each problem: the file, the line and the reason.
    """
    problems = Problems(path)
    if _is_csv(path):
        head, entries = from_csv(*read_csv(path, problems), problems)
    else:
        head, entries = from_yaml(read_yaml(path, problems), problems)
    reader = _Reader(problems, site)
    batch = reader.batch(path.stem, head, entries)
    problems.end()
    return batch


def batch_name(path: Path) -> str:
    """Return what the batch of the file at `path` is called, and read nothing else of it; raise BatchRefusedError."""
    problems = Problems(path)
    head = Fields(1, {}) if _is_csv(path) else read_yaml(path, problems)
    name = _Reader(problems, None).name(head, path.stem)
    problems.end()
    return name


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


class _Reader:
    """Turns fields into a batch, noting every problem."""

    def __init__(self, problems: Problems, site: Site | None) -> None:
        self._problems = problems
        self._site = site
        self._lines: dict[str, int] = {}
        self._most_networks = MOST_NETWORKS
        self._identity = NVS

    def batch(self, stem: str, head: Fields, entries: list[Fields]) -> Batch:
        name = self.name(head, stem)
        prefix = self._text(head, "prefix")
        if prefix is None and not all("ids" in entry.values for entry in entries):
            self._problems.add(head.line, "the batch lacks a prefix, which ids begin with")
        elif prefix is not None:
            prefix = self._prefix(prefix, self._where(head, "prefix"))
        chip = self._choice(head, "chip", CHIPS) or "esp32"
        self._most_networks = 1 if chip == "esp8266" else MOST_NETWORKS
        if chip == LINUX:
            self._refuse_what_is_of_boards(head, *entries)
        layout = self._choice(head, "layout", layouts(chip))
        self._identity = self._identity_of(head, chip, layout)
        first = self._whole(head, "first", 1, MAX_DEVICES, 1)
        units = tuple(self._units(entries, prefix or "x", first))
        if not entries or len(units) > MAX_DEVICES:
            self._problems.add(head.line, f"a batch has 1 to {MAX_DEVICES} devices, this one {len(units)}")
        encryption = self._encryption(head, chip)
        return Batch(
            name,
            chip,
            timedelta(days=self._whole(head, "shelf_days", 1, 3650, 180)),
            units,
            layout,
            self._text(head, "product") or "",
            self._text(head, "hardware") or "",
            self._choice(head, "gateway", self._site.gateways if self._site else None, "gateway of this site"),
            self._wifi(head),
            self._values(head),
            prefix or "",
            encryption,
            self._identity,
            self._flash_encryption(head, chip, encryption, layout),
            self._choice(head, "approval", APPROVALS) or AUTO,
            self._choice(head, "token_binding", TOKEN_BINDINGS) or UNBOUND,
            self._class(head),
        )

    def _class(self, head: Fields) -> str | None:
        """Return the class of the devices, if the gateway that will know them has listeners of that."""
        name = self._choice(head, "tls", TLS_CLASSES)
        if name not in TLS_CLASSES or self._site is None or not self._site.gateways:
            return name
        gateway = self._text(head, "gateway") or next(iter(self._site.gateways))
        if name not in self._site.classes.get(gateway, TLS_CLASSES):
            where = self._where(head, "tls")
            self._problems.add(where, f"{gateway} has no listeners of the class {name}: {of_class_remedy(name)}")
        return name

    def _units(self, entries: list[Fields], prefix: str, number: int) -> Iterator[Unit]:
        for entry in entries:
            origin = self._choice(entry, "key_origin", ORIGINS) or DEVICE
            if self._identity != NVS and origin == DEVICE:
                self._problems.add(
                    self._where(entry, "key_origin"),
                    f"identity {self._identity} holds a key that the factory makes: say key_origin: factory",
                )
            wifi, values = self._wifi(entry), self._values(entry)
            chosen = [name for name in COUNTS if name in entry.values]
            if len(chosen) != 1:
                self._problems.add(entry.line, "say which devices with one of count, serials and ids")
            elif chosen[0] == "count":
                count = self._whole(entry, "count", 1, MAX_DEVICES, 1)
                if number + count - 1 > MAX_DEVICES:
                    self._problems.add(entry.line, f"numbers end at {MAX_DEVICES}, and these would go beyond")
                    continue
                for each in range(number, number + count):
                    serial = f"{each:0{DIGITS}d}"
                    yield from self._unit(f"{prefix}-{serial}", serial, entry.line, origin, wifi, values)
                number += count
            else:
                for text in self._list(entry, chosen[0]):
                    serial = text.text.zfill(DIGITS) if text.text.isascii() and text.text.isdigit() else text.text
                    device = f"{prefix}-{serial}" if chosen[0] == "serials" else text.text
                    if chosen[0] == "ids":
                        serial = text.text.removeprefix(f"{prefix}-")
                    yield from self._unit(device, serial, text.line, origin, wifi, values)

    def _unit(
        self, device: str, serial: str, line: int, origin: str, wifi: tuple[str, ...] | None, values: tuple[Extra, ...]
    ) -> Iterator[Unit]:
        try:
            names.device_id(device)
        except NameRefusedError as error:
            self._problems.add(line, str(error))
            return
        if device in self._lines:
            self._problems.add(line, f"{device} is there twice, first in line {self._lines[device]}")
            return
        self._lines[device] = line
        yield Unit(device, origin, serial, wifi, values)

    def name(self, head: Fields, stem: str) -> str:
        """Return what the batch is called: what `head` says as it is written, or the `stem` of its file."""
        text = self._text(head, "batch")
        text = stem if text is None else text
        try:
            return names.device_id(text)
        except NameRefusedError:
            self._problems.add(
                self._where(head, "batch"),
                f"{text!r} is no name of a batch: 3 to 63 lower-case letters, digits and hyphens, not a hyphen first",
            )
            return "x"

    def _refuse_what_is_of_boards(self, *told: Fields) -> None:
        for fields in told:
            for name in _OF_BOARDS:
                if name in fields.values:
                    self._problems.add(
                        self._where(fields, name), f"{name} is for boards, and a chip linux has no flash"
                    )

    def _encryption(self, head: Fields, chip: str) -> str:
        try:
            return checked_scheme(self._text(head, "nvs_encryption") or NONE, chip)
        except ImageError as error:
            self._problems.add(self._where(head, "nvs_encryption"), str(error))
            return NONE

    def _flash_encryption(self, head: Fields, chip: str, encryption: str, layout: str | None) -> str:
        try:
            scheme = self._text(head, "flash_encryption") or NONE
            return checked_flash_encryption(scheme, chip, encryption, layout)
        except ImageError as error:
            self._problems.add(self._where(head, "flash_encryption"), str(error))
            return NONE

    def _identity_of(self, head: Fields, chip: str, layout: str | None) -> str:
        try:
            return checked_identity(self._text(head, "identity") or NVS, chip, layout)
        except ImageError as error:
            self._problems.add(self._where(head, "identity"), str(error))
            return NVS

    def _prefix(self, prefix: str, line: int) -> str:
        try:
            names.device_id(f"{prefix}-{1:0{DIGITS}d}")
        except NameRefusedError as error:
            self._problems.add(line, f"prefix {prefix!r}: {error}")
            return "x"  # the ids are wrong because of it, and need not be told one by one
        return prefix

    def _values(self, fields: Fields) -> tuple[Extra, ...]:
        found: dict[tuple[str, str], Extra] = {}
        rows = fields.values.get("values", [])
        if not isinstance(rows, list):
            self._problems.add(rows.line, "values is a list of entries with namespace, key, type and value")
            return ()
        for row in rows:
            extra = self._value(row)
            if extra is not None and (extra.namespace, extra.key) in found:
                self._problems.add(row.line, f"{extra.namespace}:{extra.key} is there twice")
            elif extra is not None:
                found[extra.namespace, extra.key] = extra
        return tuple(found.values())

    def _value(self, row: Text | Fields) -> Extra | None:
        wanted = ("namespace", "key", "type", "value")
        if not isinstance(row, Fields) or set(row.values) != set(wanted):
            self._problems.add(row.line, f"an entry of values has exactly {', '.join(wanted)}")
            return None
        namespace, key, kind, value = (
            self._text(row, name, None if name == "value" else MAX_TEXT) or "" for name in wanted
        )
        label = f"{namespace}:{key}"
        try:
            check_name(namespace, "namespace")
            check_name(key, "key")
            if namespace == nvs_names.NAMESPACE:
                raise NvsError(f"the namespace {namespace!r} is Fleetmint's own: choose another")
            return Extra(namespace, key, parse(kind, value))
        except NvsError as error:
            self._problems.add(row.line, f"{label}: {error}")
            return None

    def _wifi(self, fields: Fields) -> tuple[str, ...] | None:
        written = fields.values.get("wifi")
        if isinstance(written, list):
            chosen = list(self._list(fields, "wifi"))
        else:
            text = self._text(fields, "wifi")
            chosen = [] if text is None else [Text(text, self._where(fields, "wifi"))]
        line = self._where(fields, "wifi")
        if len(chosen) > self._most_networks:
            what = f"a device joins at most {MOST_NETWORKS} networks" if self._most_networks > 1 else _ESP8266
            self._problems.add(line, f"{what}, not {len(chosen)}")
        names = [each.text for each in chosen]
        for each in chosen:
            self._known(each.text, each.line, self._site.wifi if self._site else None, "Wi-Fi profile of this site")
        if len(set(names)) < len(names):
            self._problems.add(line, "a Wi-Fi profile is there twice: name each at its place")
        return tuple(names) or None

    def _choice(self, fields: Fields, name: str, choices: Collection[str] | None, what: str = "") -> str | None:
        text = self._text(fields, name)
        if text is not None:
            self._known(text, self._where(fields, name), choices, what or name)
        return text

    def _known(self, text: str, line: int, choices: Collection[str] | None, what: str) -> None:
        if choices is not None and text not in choices:
            self._problems.add(line, f"{text!r} is no {what}: choose one of {', '.join(choices) or '(none)'}")

    def _list(self, fields: Fields, name: str) -> Iterator[Text]:
        value = fields.values[name]
        if not isinstance(value, list) or not value:
            self._problems.add(self._where(fields, name), f"{name} is a list of at least one")
            return
        for item in value:
            if isinstance(item, Text):
                yield item
            else:
                self._problems.add(item.line, f"one of {name} is text")

    def _whole(self, fields: Fields, name: str, least: int, most: int, default: int) -> int:
        text = self._text(fields, name)
        if text is None:
            return default
        # 010 is ten to some and eight to YAML
        whole = re.fullmatch("0|[1-9][0-9]{0,8}", text)
        if not whole or not least <= int(text) <= most:
            line = self._where(fields, name)
            self._problems.add(line, f"{name} has to be a whole number from {least} to {most}, not {text!r}")
            return default
        return int(text)

    def _text(self, fields: Fields, name: str, most: int | None = MAX_TEXT) -> str | None:
        value = fields.values.get(name)
        if value is None:
            return None
        limit = f" of at most {most} characters on one line" if most else ""
        if not isinstance(value, Text) or (most is not None and len(value.text) > most):
            self._problems.add(self._where(fields, name), f"{name} is text{limit}")
            return None
        try:
            return value.text if most is None else plain(value.text, name)
        except TextRefusedError as error:
            self._problems.add(value.line, str(error))
            return None

    @staticmethod
    def _where(fields: Fields, name: str) -> int:
        return line_of(fields.values.get(name, []), fields)
