"""Plan, then apply: what a change would do and why, before anything is done.

Check mode, diff mode and "why did it change" all come from a plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _nothing() -> None:
    """Apply an empty plan."""


@dataclass(frozen=True)
class Plan:
    """A change that has been decided and not yet made.

    `reasons` holds one sentence for each thing that will change; a plan without reasons changes nothing.
    `before` and `after` describe the state for a diff and hold no secret.
    `facts` is what the caller may use afterwards (paths, serials); it is the same whether or not the plan is applied.
    """

    reasons: tuple[str, ...] = ()
    apply: Callable[[], None] = _nothing
    before: str = ""
    after: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether applying it would change anything."""
        return bool(self.reasons)
