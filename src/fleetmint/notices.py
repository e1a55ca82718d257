"""What a person should know although the work goes on: collected here, said by whoever started the work."""

_said: dict[str, None] = {}


def add(sentence: str) -> None:
    """Note a sentence; the same one is said once."""
    _said[sentence] = None


def take() -> list[str]:
    """Return what was noted, and forget it."""
    found = list(_said)
    _said.clear()
    return found
