"""What a device gets, as files: for chips without NVS.

/NAMESPACE/KEY      one file for each value of the NVS (batch/image.py), most of them /fleetmint/…
                    a blob or string as it is, a number in decimal, as ASCII
/fleetmint/anchorN  DER, N from 0: the server CAs that the device trusts, out of the trust bundle, since BearSSL
                    takes certificates and not bundles
"""

from collections.abc import Mapping

from fleetmint.errors import ImageError
from fleetmint.nvs import keys
from fleetmint.nvs.values import Entries, Value
from fleetmint.trust import bundle as trust

ANCHOR = "anchor"


def device_files(entries: Entries) -> Mapping[str, bytes]:
    """Return path → content for `entries`, which are those of the device's NVS; raise ImageError for a bad path."""
    files: dict[str, bytes] = {}
    for namespace, values in entries.items():
        for key, value in values.items():
            if "/" in namespace + key or {namespace, key} & {".", ".."}:
                raise ImageError(f"{namespace}:{key} cannot be a file: its names must hold no / and not be dots")
            content = value.content if isinstance(value, Value) else value
            files[f"{namespace}/{key}"] = content if isinstance(content, bytes) else str(content).encode()
    bundle = files.get(f"{keys.NAMESPACE}/{keys.BUNDLE}")
    if bundle is not None:
        anchors = trust.decode(bundle, "the trust bundle of the batch").anchors
        files |= {f"{keys.NAMESPACE}/{ANCHOR}{number}": anchor for number, anchor in enumerate(anchors)}
    return files
