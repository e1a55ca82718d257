# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables as somebody wrote them: before Ansible has made templates of their text, and with the place they stand at.

By the time a module sees a passphrase, `{#…#}` has been cut out of it in silence. Here it is still there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeGuard

from ansible.errors import AnsibleError
from ansible.parsing.vault import EncryptedString
from ansible.template import Templar, is_trusted_as_template, trust_as_template

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # no part of Ansible's public interface; without it messages lack the line
    Origin = None

_MARKS = ("{{", "{%", "{#")
# One expression and nothing around it is meant as one; a name alone leads to another variable.
_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}|\{%|\{#).)*)\}\}\s*", re.DOTALL)
_NAME = re.compile(r"-?\s*([A-Za-z_]\w*)\s*-?")
_WORD = re.compile(r"\b[A-Za-z_]\w*")
Variables = Mapping[str, Any]
# So many variables may lead to each other.
_DEPTH = 10


class WrittenError(Exception):
    """A value is a template that was hardly meant as one, or cannot be worked out. The message never repeats it."""


def place(*values: object) -> str:
    """Return `FILE, line N: ` of the first of the values of which Ansible knows it, or nothing."""
    for value in values:
        origin = Origin.get_tag(value) if Origin else None
        if origin is not None and origin.path:
            return f"{origin.path}, line {origin.line_num}: " if origin.line_num else f"{origin.path}: "
    return ""


def followed(value: object, variables: Variables) -> object:
    """Return a value as it is written; where it only names another variable, that one's."""
    return _followed(value, variables, _DEPTH)


def _followed(value: object, variables: Variables, steps: int) -> object:
    expression = _EXPRESSION.fullmatch(value) if steps and _is_template(value) else None
    name = _NAME.fullmatch(expression[1]) if expression else None
    if name is None or name[1] not in variables:
        return value
    return _followed(variables[name[1]], variables, steps - 1)


def mappings_in(value: object, key: str, variables: Variables, depth: int = _DEPTH) -> Iterator[dict[str, Any]]:
    """Yield the mappings with this key that are written in a value, or in the variables that it works with."""
    found: Iterable[object]
    if _is_template(value):
        found = [variables[name] for name in _WORD.findall(value) if name in variables]
    else:
        found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if isinstance(value, dict) and key in value:
            yield value
    for each in found if depth else ():
        yield from mappings_in(each, key, variables, depth - 1)


def text(value: object, variables: Variables, templar: Templar) -> object:
    """Return a single value as a module would get it; raise WrittenError for a template that was hardly meant.

    None stands for an expression that comes to nothing, such as a variable of the environment that is not set.
    """
    value = followed(value, variables)
    if _is_template(value) and not _EXPRESSION.fullmatch(value):
        raise WrittenError(
            "holds {{, {% or {#, which Ansible would take for a template and change: write !unsafe before the quoted"
            " text, or encrypt it alone with ansible-vault encrypt_string; if it is meant as a template, make the whole"
            " value one expression, such as {{ a ~ '-b' }}"
        )
    if not _is_template(value):
        return worked_out(value, templar)
    for name in _WORD.findall(value):
        if "{#" in _plain(followed(variables.get(name), variables)):
            raise WrittenError(f"works with {name}, which holds {{#, where Ansible cuts it: write !unsafe before that")
    found = worked_out(value, templar)
    number = _number_of(value, templar)
    return None if found == "" else found if number is None else number


def worked_out(value: object, templar: Templar) -> object:
    """Return what Ansible makes of an expression or an encrypted value; raise WrittenError when it cannot."""
    if not _is_template(value) and not isinstance(value, EncryptedString):
        return value
    try:
        return templar.template(value)
    except AnsibleError as error:
        # Ansible's own message would show the line, and with it the passphrase
        what = (
            "cannot be decrypted" if isinstance(value, EncryptedString) else "is a template that cannot be worked out"
        )
        raise WrittenError(
            f"{what}: check the vault password and the variables it names; text with braces needs !unsafe before it"
        ) from error


def _plain(value: object) -> str:
    return value if _is_template(value) else ""


def _number_of(value: str, templar: Templar) -> int | float | date | None:
    """Return the number or date that an expression turns into text by a filter: not the digits somebody wrote."""
    expression = _EXPRESSION.fullmatch(value)
    value_of, *filters = expression[1].split("|", 1) if expression else [""]
    if not filters:
        return None
    try:
        found = templar.template(trust_as_template("{{" + value_of + "}}"))
    except AnsibleError:
        return None
    return found if isinstance(found, (int, float, date)) and not isinstance(found, bool) else None


def _is_template(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_trusted_as_template(value) and any(mark in value for mark in _MARKS)
