"""What was found in a file: one thing, in words and as facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a file. `facts` can go into JSON as they are; `title` is the thing in words."""

    kind: str
    title: str
    facts: Mapping[str, Any]
