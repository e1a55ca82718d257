"""What an NVS image costs, in units of Espressif's own library.

    python benchmarks/nvs.py [--rounds N] [--count N]

The image of a device with a key from the factory (its largest content) is made by fleetmint.nvs and by the API of
esp-idf-nvs-partition-gen, plain and encrypted, after both were seen to make the same bytes. They are measured in turns
in one process, in CPU time of the process, so neither another process nor a slower machine moves the ratio of the
medians. Exits 1 when one is above the limit.
"""

import argparse
import io
import statistics
import sys
from collections.abc import Callable

from esp_idf_nvs_partition_gen import nvs_partition_gen as espressif
from measure import cpu_seconds

from fleetmint.nvs import keys
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.encode import encode
from fleetmint.nvs.layout import PAGE_SIZE
from fleetmint.nvs.values import Value

LIMIT = 1 / 2.5
SIZE = 0x6000
# as large as what a batch writes; which bytes does not matter
ENTRIES: dict[str, dict[str, int | bytes | Value]] = {
    keys.NAMESPACE: {
        keys.DEVICE_ID: b"lamp-000001",
        keys.WIFI_SSID: b"workshop",
        keys.WIFI_PSK: b"correct horse battery",
        keys.GATEWAY: b"gateway.example",
        keys.HTTPS_PORT: 443,
        keys.MQTT_PORT: 8883,
        keys.BUNDLE: bytes(range(256)) * 6,
        keys.CLOCK_FLOOR: 848_000_000,
        keys.KEYS[0]: bytes(range(121)),
        keys.CERTIFICATES[0]: bytes(range(256)) * 2,
        keys.SLOT: 0,
    }
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a line for each kind of image, and return the exit code."""
    parser = argparse.ArgumentParser(description="CPU time of an NVS image, against Espressif's library.")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each side [40]")
    parser.add_argument("--count", type=int, default=20, help="images in a turn [20]")
    options = parser.parse_args(arguments)
    ratios = [_compare(kind, secret, options) for kind, secret in (("plain", None), ("encrypted", NvsKeys.new()))]
    return 0 if max(ratios) <= LIMIT else 1


def _compare(kind: str, secret: NvsKeys | None, options: argparse.Namespace) -> float:
    def ours() -> bytes:
        return encode(ENTRIES, SIZE, secret)

    def theirs() -> bytes:
        file = io.BytesIO()
        encryption = {"is_encrypt": True, "key": secret.data} if secret else {}
        with espressif.nvs_open(file, SIZE - PAGE_SIZE, espressif.Page.VERSION2, **encryption) as nvs:
            for namespace, values in ENTRIES.items():
                nvs.write_namespace(namespace)
                for key, value in values.items():
                    nvs.write_entry(key, value, "i32" if isinstance(value, int) else "binary")
        return file.getvalue()

    if ours() != theirs():
        raise SystemExit(f"the {kind} images differ: there is nothing to compare")
    times: dict[Callable[[], bytes], list[float]] = {ours: [], theirs: []}
    for _ in range(options.rounds):
        for work, seconds in times.items():
            seconds.append(cpu_seconds(work, options.count))
    cost, reference = statistics.median(times[ours]), statistics.median(times[theirs])
    sys.stdout.write(
        f"{kind} NVS image {cost * 1e6:.0f} us, Espressif's library {reference * 1e6:.0f} us:"
        f" ratio 1/{reference / cost:.2f} (limit 1/{1 / LIMIT:g})\n"
    )
    return cost / reference


if __name__ == "__main__":
    sys.exit(main())
