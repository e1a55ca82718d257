"""Which serial ports have a board on them, by the USB ids of the bridges that ESP32 boards carry.

Source of the ids: the data sheets of the bridges, and "USB VID and PID" in the linux kernel's drivers cp210x, ch341,
cdc_acm and ftdi_sio; Espressif's own are from its usb-pids repository.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serial.tools.list_ports import comports

# vendor → product → what it is, and the driver that Linux needs for it
BRIDGES = {
    0x10C4: {0xEA60: ("CP210x", "cp210x"), 0xEA70: ("CP2105", "cp210x"), 0xEA71: ("CP2108", "cp210x")},
    0x1A86: {
        0x7522: ("CH340", "ch341"),
        0x7523: ("CH340", "ch341"),
        0x55D3: ("CH343", "cdc_acm"),
        0x55D4: ("CH9102", "cdc_acm"),
    },
    0x0403: {
        0x6001: ("FT232", "ftdi_sio"),
        0x6010: ("FT2232", "ftdi_sio"),
        0x6011: ("FT4232", "ftdi_sio"),
        0x6014: ("FT232H", "ftdi_sio"),
        0x6015: ("FT231X", "ftdi_sio"),
    },
    0x303A: {0x1001: ("Espressif USB JTAG/serial", "cdc_acm"), 0x1002: ("Espressif USB bridge", "cdc_acm")},
}
_SYSFS = Path("/sys/bus/usb/devices")


@dataclass(frozen=True)
class Found:
    """A serial port, and what is known of it; `left_out` says why it is not taken for a board's, or is empty."""

    device: str
    title: str
    left_out: str = ""


def find_ports() -> tuple[Found, ...]:
    """Return every serial port of this machine, by name."""
    return tuple(_judge(port.device, port.vid, port.pid) for port in sorted(comports(), key=lambda p: str(p.device)))


def boards(found: Iterable[Found]) -> tuple[str, ...]:
    """Return the devices of those ports that are taken for a board's."""
    return tuple(port.device for port in found if not port.left_out)


def without_driver(found: Iterable[Found], sysfs: Path = _SYSFS) -> tuple[str, ...]:
    """Say which known bridges are on the USB and yet give no port, and what they need."""
    served = [port.title for port in found]
    sentences = []
    for path in sorted(sysfs.glob("*/idVendor")):
        known = _known(_hex(path), _hex(path.with_name("idProduct")))
        if known is None:
            continue
        title, driver = known
        if title in served:
            served.remove(title)
        else:
            sentences.append(
                f"a {title} is on the USB ({path.parent.name}) and has no port: load its driver (sudo modprobe"
                f" {driver}), and remove brltty if that took it (sudo apt-get remove brltty)"
            )
    return tuple(sentences)


def _judge(device: str, vendor: int | None, product: int | None) -> Found:
    if vendor is None or product is None:
        return Found(device, "no USB device", "it is no USB device: name it with --port if a board is on it")
    known = _known(vendor, product)
    if known is None:
        title = f"USB {vendor:04x}:{product:04x}"
        return Found(device, title, f"{title} is none of the usual bridges: name it with --port if it is a board")
    return Found(device, known[0])


def _known(vendor: int | None, product: int | None) -> tuple[str, str] | None:
    return BRIDGES.get(vendor or 0, {}).get(product or 0)


def _hex(path: Path) -> int | None:
    try:
        return int(path.read_text(), 16)
    except (OSError, ValueError):
        return None
