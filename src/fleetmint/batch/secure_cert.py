"""What lies in the partition esp_secure_cert of a device: PEM, as Espressif's tool puts it there.

    CA certificates      the server CAs out of the trust bundle, the one in use as number 0: whom the device trusts
    device certificate   the factory CA's, as it is for a key in the NVS
    private key          SEC 1

It holds what the device was born with. A certificate that it renews, and a trust bundle that follows, lie in its NVS.
"""

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint.batch.encryption import NONE
from fleetmint.batch.identity import NVS
from fleetmint.batch.secrets import BatchSecrets, Secret
from fleetmint.errors import ImageError
from fleetmint.flash import secure_cert
from fleetmint.flash.job import Region
from fleetmint.flash.secure_cert import CA_CERTIFICATE, DEVICE_CERTIFICATE, PRIVATE_KEY, Entry
from fleetmint.flash.table import ENCRYPTED, ESP_SECURE_CERT, Partition, PartitionTable
from fleetmint.trust import bundle as trust
from fleetmint.x509.names import common_name
from fleetmint.x509.parsing import UnreadableError, parsing


def place(table: PartitionTable, nvs_encryption: str) -> Partition:
    """Return the partition esp_secure_cert of a table.

    Raises ImageError where there is none, and where the key would lie readable beside an NVS that is encrypted.
    """
    found = secure_cert.place_of(table)
    if nvs_encryption != NONE and not found.flags & ENCRYPTED:
        raise ImageError(
            f"the partition {found.name!r} is not marked `encrypted`: the device's key would stay readable beside its"
            " encrypted NVS. Mark it in the firmware's partition table, and build the firmware with flash encryption"
        )
    return found


def key_regions(device: str, known: BatchSecrets, table: PartitionTable) -> tuple[Region, ...]:
    """Return what the flash of a device has beside its NVS for its key and certificate.

    Raises ImageError where the table has no place for it.
    """
    if known.identity == NVS:
        return ()
    found = place(table, known.nvs_encryption)
    content = secure_cert.encode(_entries(device, known.of(device), known.settings.common.bundle), found.size)
    return (Region(found.offset, content, ESP_SECURE_CERT),)


def holder(data: bytes) -> str | None:
    """Return whose a partition esp_secure_cert is, by the name in its certificate; None for an empty one.

    One that is damaged, or has no name, is somebody's nevertheless: "?" then.
    """
    try:
        entries = secure_cert.decode(data)
    except ImageError:
        return "?"
    if not entries:
        return None
    for entry in entries:
        if entry.type == DEVICE_CERTIFICATE:
            return _name(entry.data) or "?"
    return "?"


def _entries(device: str, secret: Secret, bundle: bytes) -> tuple[Entry, ...]:
    """Return what Espressif's tool makes of these PEM files: each with a zero byte behind it, the key in SEC 1."""
    if secret.key is None or secret.certificate is None:
        raise ImageError(f"{device} has no key and certificate of the factory for its {ESP_SECURE_CERT}")
    anchors = trust.decode(bundle, "the trust bundle of the batch").anchors
    key = serialization.load_der_private_key(secret.key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return (
        *secure_cert.numbered(CA_CERTIFICATE, [_pem(anchor) for anchor in anchors]),
        Entry(DEVICE_CERTIFICATE, _pem(secret.certificate)),
        Entry(PRIVATE_KEY, key + b"\0"),
    )


def _pem(certificate: bytes) -> bytes:
    return x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM) + b"\0"


def _name(data: bytes) -> str | None:
    try:
        with parsing():
            if data.startswith(b"-----"):
                return common_name(x509.load_pem_x509_certificate(data.rstrip(b"\0")).subject)
            return common_name(x509.load_der_x509_certificate(data).subject)
    except UnreadableError:
        return None
