"""Where a device of a batch has its key and its certificate.

nvs               in the NVS, with everything else
esp_secure_cert   in a partition of that name, for firmware with ESP-IDF's component (flash/secure_cert.py); what else
                  the device is told stays in the NVS. The key has to be the factory's: nothing writes it later
"""

from fleetmint.errors import ImageError
from fleetmint.flash.job import ESP8266
from fleetmint.flash.table import ESP_SECURE_CERT, STOCK_LAYOUTS

NVS = "nvs"
IDENTITIES = (NVS, ESP_SECURE_CERT)


def checked_identity(identity: str, chip: str, layout: str | None) -> str:
    """Return it; raise ImageError for one that does not exist, or that has no place with this chip or layout."""
    if identity not in IDENTITIES:
        raise ImageError(f"identity {identity!r} is unknown: choose one of {', '.join(IDENTITIES)}")
    if identity == NVS:
        return identity
    if chip == ESP8266:
        raise ImageError(f"an esp8266 has no partitions, and so no {ESP_SECURE_CERT}: identity has to be nvs")
    if layout in STOCK_LAYOUTS:
        raise ImageError(
            f"layout {layout} is MicroPython's and has no partition {ESP_SECURE_CERT}: choose the layout firmware or"
            " board"
        )
    return identity
