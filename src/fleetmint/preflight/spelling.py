"""Variables that nobody reads: a misspelt one would leave its default in force, without a word."""

import difflib
from collections.abc import Collection, Iterable

from fleetmint.preflight.problem import Problem

SITE_PREFIX = "fleet_"
# How much of a name has to be right for another to be meant.
_LIKENESS = 0.8
# Ansible's own, and what plays register.
_OTHERS = ("ansible_", "__")


def unread(names: Iterable[str], known: Collection[str], prefixes: Collection[str]) -> list[Problem]:
    """Return a problem for every variable that looks like one of ours and is none.

    `known` are the names that a role or a play reads; who begins with one of `prefixes` claims to be among them.
    Variables of a person's own are nobody's business, unless they are one letter from a known one.
    """
    problems = []
    for name in names:
        if name in known or name.startswith(_OTHERS):
            continue
        claims = name.startswith((SITE_PREFIX, *prefixes))
        meant = _meant(name, known)
        if meant:
            problems.append(Problem(name, "nothing reads a variable of this name", f"did you mean {meant}?"))
        elif claims:
            prefix = name.partition("_")[0]
            remedy = f"take it out, or begin the name of a variable of your own with something else than {prefix}_"
            problems.append(Problem(name, "nothing reads a variable of this name", remedy))
    return problems


def _meant(name: str, known: Collection[str]) -> str:
    plain = name.lower().replace("-", "_")
    found = difflib.get_close_matches(plain, known, n=1, cutoff=_LIKENESS)
    return found[0] if found else ""
