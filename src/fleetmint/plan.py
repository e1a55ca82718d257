"""Plan, then apply: what a change would do and why, before anything is done.

Check mode, diff mode and "why did it change" all come from a plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Generic, TypeVar, overload

R = TypeVar("R", covariant=True)


class Plan(Generic[R]):
    """A change that has been decided and not yet made.

    `reasons` holds one sentence for each thing that will change; a plan without reasons changes nothing.
    `before` and `after` describe the state for a diff and hold no secret.
    `expected` is what `apply` will return, as far as that is known before: what a look ahead shows. A plan of which
    nobody wants to know more than that it was carried out has None.
    """

    @overload
    def __init__(
        self: "Plan[None]",
        reasons: tuple[str, ...] = (),
        run: Callable[[], None] | None = None,
        before: str = "",
        after: str = "",
    ) -> None: ...

    @overload
    def __init__(
        self,
        reasons: tuple[str, ...] = (),
        run: Callable[[], R] | None = None,
        before: str = "",
        after: str = "",
        *,
        expected: R,
    ) -> None: ...

    def __init__(
        self,
        reasons: tuple[str, ...] = (),
        run: Callable[[], Any] | None = None,
        before: str = "",
        after: str = "",
        *,
        expected: Any = None,
    ) -> None:
        """Decide on a change that `run` makes; without one there is nothing to do."""
        self.reasons = reasons
        self.before = before
        self.after = after
        self.expected: R = expected
        self._run: Callable[[], R] | None = run

    @property
    def changed(self) -> bool:
        """Whether applying it would change anything."""
        return bool(self.reasons)

    def apply(self) -> R:
        """Make the change, and return what came of it."""
        return self.expected if self._run is None else self._run()

    def carry_out(self, *, check: bool) -> R:
        """Make the change unless it is only to be looked at; return what came, or would come, of it."""
        return self.expected if check else self.apply()


@dataclass(frozen=True)
class Warned:
    """A result that is only what a person has to be told: whole sentences."""

    warnings: tuple[str, ...] = ()


def plain(result: object) -> dict[str, Any]:
    """Return the result of a plan, a dataclass, a mapping or None, as plain values for JSON, without what is None."""
    if result is None:
        return {}
    if is_dataclass(result) and not isinstance(result, type):
        fields = asdict(result)
    elif isinstance(result, Mapping):
        fields = dict(result)
    else:
        raise TypeError(f"{type(result).__name__} has no names for its values")
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items() if value is not None
    }
