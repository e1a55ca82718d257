"""One thing that is wrong with a site, in the words that a person gets."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """What is wrong: `what` says it and `remedy` what to do. Neither ever holds a secret.

    `variable` is the name, with `index` for an item of a list; `hosts` are those whose variable it is, none where it is
    nobody's in particular. `where` is file and line, where that is known.
    """

    variable: str
    what: str
    remedy: str
    index: int | None = None
    hosts: tuple[str, ...] = ()
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        item = "" if self.index is None else f"[{self.index}]"
        hosts = f" of {', '.join(self.hosts)}" if self.hosts else ""
        name = f"{self.variable}{item}{hosts}: " if self.variable else ""
        return f"{place}{name}{self.what}: {self.remedy}"


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems, each once: what several hosts have from one place is one thing to mend."""
    found: dict[Problem, tuple[str, ...]] = {}
    for problem in problems:
        alike = replace(problem, hosts=())
        known = found.get(alike, ())
        found[alike] = (*known, *(host for host in problem.hosts if host not in known))
    return [replace(alike, hosts=hosts) for alike, hosts in found.items()]


def report(lines: Iterable[object]) -> str:
    """Return all problems for a person, one to a line."""
    found = [str(line) for line in lines]
    head = "One thing has" if len(found) == 1 else f"{len(found)} things have"
    return "\n".join((f"{head} to be mended before anything is made:", *(f"- {line}" for line in found)))
