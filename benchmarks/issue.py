"""What a device certificate costs, in units of the cryptography that it cannot do without.

    python benchmarks/issue.py [--rounds N] [--count N]

Issuing (key, certificate, both as the DER that goes to the device) is compared with one bare P-256 key and one bare
signature over as many bytes. Both are measured in turns in one process, in CPU time of the process, so neither another
process nor a slower machine moves the ratio of the medians. Exits 1 when that is above the limit.
"""

import argparse
import statistics
import sys
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from measure import cpu_seconds

from fleetmint.x509 import keys
from fleetmint.x509.authority import Authority, self_signed

LIMIT = 6.0


def main(arguments: list[str] | None = None) -> int:
    """Measure, print one line, and return the exit code."""
    parser = argparse.ArgumentParser(description="CPU time of issuing a device certificate with its key.")
    parser.add_argument("--rounds", type=int, default=60, help="turns of each side [60]")
    parser.add_argument("--count", type=int, default=25, help="certificates, or keys and signatures, in a turn [25]")
    options = parser.parse_args(arguments)

    now = datetime.now(UTC)
    authority = _device_ca(now)
    signed_bytes = authority.issue("device", keys.new_key().public_key(), "lamp-000001", now=now).tbs_certificate_bytes

    def issue() -> None:
        key = keys.new_key()
        leaf = authority.issue("device", key.public_key(), "lamp-000001", now=now)
        keys.device_der(key)
        leaf.public_bytes(Encoding.DER)

    def bare() -> None:
        ec.generate_private_key(ec.SECP256R1())
        authority.key.sign(signed_bytes, ec.ECDSA(hashes.SHA256()))

    issuing, bares = [], []
    for _ in range(options.rounds):
        bares.append(cpu_seconds(bare, options.count))
        issuing.append(cpu_seconds(issue, options.count))
    cost, floor = statistics.median(issuing), statistics.median(bares)
    ratio = cost / floor
    sys.stdout.write(
        f"device certificate with key {cost * 1e6:.0f} us, bare key and signature {floor * 1e6:.0f} us:"
        f" ratio {ratio:.2f} (limit {LIMIT:g})\n"
    )
    return 0 if ratio <= LIMIT else 1


def _device_ca(now: datetime) -> Authority:
    root = self_signed("bench", "bench root", keys.new_key("P-384"), now)
    key = keys.new_key()
    return Authority(root.issue("device-ca", key.public_key(), "bench device CA", now=now), key)


if __name__ == "__main__":
    sys.exit(main())
