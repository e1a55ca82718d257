"""Variables that nobody reads: a misspelt one would leave its default in force, without a word."""

import difflib
import re
from collections.abc import Collection, Iterable

from fleetmint.preflight.problem import Problem

SITE_PREFIX = "fleet_"
# How much of a name has to be right for another to be meant, where it was to be one of ours.
_LIKENESS = 0.8
# Ansible's own, and what plays register.
_OTHERS = ("ansible_", "__")


def unread(
    names: Iterable[str], known: Collection[str], prefixes: Collection[str], typed: Collection[str] = ()
) -> list[Problem]:
    """Return a problem for every variable that looks like one of ours and is none.

    `known` are the names that a role or a play reads; who begins with one of `prefixes`, or is `typed` on the command
    line, claims to be among them. Variables of a person's own are nobody's business, unless they are one letter from a
    known one of several words: `devices` may well be theirs, `operator_names` is not.
    """
    problems = []
    for name in names:
        if name in known or name.startswith(_OTHERS):
            continue
        claims = name.startswith((SITE_PREFIX, *prefixes))
        meant = _meant(name, known, _LIKENESS) if claims or name in typed else _one_letter_away(name, known)
        if meant:
            problems.append(Problem(name, "nothing reads a variable of this name", f"did you mean {meant}?"))
        elif claims:
            prefix = name.partition("_")[0]
            remedy = f"take it out, or begin the name of a variable of your own with something else than {prefix}_"
            problems.append(Problem(name, "nothing reads a variable of this name", remedy))
    return problems


def _meant(name: str, known: Collection[str], likeness: float) -> str:
    plain = name.lower().replace("-", "_")
    found = difflib.get_close_matches(plain, known, n=1, cutoff=likeness)
    return found[0] if found else ""


def _one_letter_away(name: str, known: Collection[str]) -> str:
    meant = _meant(name, [each for each in known if "_" in each], _LIKENESS)
    # what difflib makes of one letter that is another, missing, too many or changed places with the next
    return meant if _meant(name, [meant], 1 - 1 / max(len(name), len(meant))) else ""


def another_number(line: str, value: int) -> str:
    """Return what YAML has made of the number at the start of `line` that a person would read otherwise.

    0443 is 291 to it, and 8:44 is 524. Empty where the digits are those of `value`.
    """
    found = re.match(r"[+-]?[0-9][0-9a-zA-Z_:]*", line)
    if found is None or found[0] == str(int(value)):
        return ""
    return f"YAML takes {found[0]} for {int(value)}"
