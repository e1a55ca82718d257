"""What leaves the gateway about a device, as plain data: the same on the command line and over HTTP."""

from datetime import datetime

from fleetmint.ledger.devices import Device, serial_text


def time_text(time: datetime) -> str:
    """Return a time as certificates have it: UTC, whole seconds."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def device_view(device: Device) -> dict[str, str | None]:
    """Return one row of the list of devices."""
    return {
        "device": device.device,
        "batch": device.batch,
        "status": device.status,
        "serial": None if device.serial is None else serial_text(device.serial),
        "not_before": None if device.not_before is None else time_text(device.not_before),
        "not_after": None if device.not_after is None else time_text(device.not_after),
        "issuer": device.issuer,
        "mac": device.mac,
        "result": device.result,
        "token_expires": None if device.token_expires is None else time_text(device.token_expires),
    }
