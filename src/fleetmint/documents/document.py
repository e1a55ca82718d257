"""What every document of the factory for a gateway has in common: a JSON object with an address and a list of devices.

{"format": F, "site": S, "gateway": G, "batch": B, "devices": […]}
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleetmint.errors import RegistrationRefusedError

# What a document says of the place that it is for.
ADDRESS = ("site", "gateway", "batch")
_BATCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document as it travels."""
    return json.dumps(document, indent=1).encode() + b"\n"


def parts(document: Mapping[str, Any], largest: int) -> Iterator[bytes]:
    """Yield `document` as several of at most `largest` bytes each, for a listener that takes no more at once."""
    empty = len(json.dumps({**document, "devices": []}))
    part: list[Any] = []
    size = empty
    for entry in document["devices"]:
        more = len(json.dumps(entry)) + 2
        if part and size + more > largest:
            yield json.dumps({**document, "devices": part}).encode()
            part, size = [], empty
        part.append(entry)
        size += more
    yield json.dumps({**document, "devices": part}).encode()


def read_object(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `data`; raise RegistrationRefusedError when there is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistrationRefusedError("this is no document of the factory: it is not JSON") from error
    if not isinstance(document, dict):
        raise RegistrationRefusedError("this is no document of the factory: it is not a JSON object")
    return document


def check_addressee(document: Mapping[str, Any], form: str, site: str, gateway: str) -> tuple[str, list[Any]]:
    """Return the batch and the devices of a document of this format; refuse one that is for somebody else."""
    for name, value in {"format": form, "site": site, "gateway": gateway}.items():
        if document.get(name) != value:
            raise RegistrationRefusedError(
                f"the document's {name} is {document.get(name)!r}, and here it has to be {value!r}: bring the batch to"
                " the gateway it was made for"
            )
    batch, listed = document.get("batch"), document.get("devices")
    if not isinstance(batch, str) or not _BATCH.fullmatch(batch):
        raise RegistrationRefusedError(f"{batch!r} is no name of a batch")
    if not isinstance(listed, list):
        raise RegistrationRefusedError("the document has no list of devices")
    return batch, listed
