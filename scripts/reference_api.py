"""The second half of docs/api.md, made from the OpenAPI document: every route, and every code of a refusal."""

from collections.abc import Iterator

from fleetmint.service.api.document import FOR
from fleetmint.service.api.operations import JSON, OPERATIONS, Operation
from fleetmint.service.api.refusals import REFUSALS
from fleetmint.service.api.schemas import SCHEMAS


def routes() -> Iterator[str]:
    """Yield the lines of both tables."""
    yield "## The routes\n"
    for who, words in FOR.items():
        rows = [each for each in OPERATIONS if each.who == who]
        yield f"For {words}:\n"
        yield "| route | what | query | body | answer |\n|---|---|---|---|---|"
        yield from (f"| {' | '.join(_cells(each))} |" for each in rows)
        yield ""
    yield "## The refusals\n"
    yield "| status | `error` | what is wrong |\n|---|---|---|"
    for code, refusal in sorted(REFUSALS.items(), key=lambda each: (each[1].status, each[0])):
        yield f"| {refusal.status} | `{code}` | {refusal.text} |"


def _cells(row: Operation) -> tuple[str, ...]:
    query = ", ".join(f"`{each.name}`" for each in row.query) or "-"
    answer = _members(row.answer) if row.answer or not row.answer_type else f"`{row.answer_type}`"
    body = _members(row.body) if row.body_type == JSON else f"`{row.body_type}`"
    return f"`{row.method} {row.path}`", row.summary, query, body, answer


def _members(name: str) -> str:
    if not name:
        return "-"
    shape = SCHEMAS[name]
    required = shape.get("required", [])
    return (
        ", ".join(f"`{each}`" if each in required else f"[`{each}`]" for each in shape.get("properties", {}))
        or "an object"
    )
