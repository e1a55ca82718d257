"""Passphrases that people keep: made here at random, or chosen by somebody and then looked at."""

import base64
import secrets

from fleetmint.errors import SecretError
from fleetmint.passphrases.source import RANDOM_BYTES

# The name of the passphrase of a site's backup in a source.
BACKUP = "backup"
_LEAST_LENGTH, _LEAST_LETTERS = 20, 8


def new_passphrase() -> str:
    """Return 160 random bits as eight groups of four letters and digits (RFC 4648 base32)."""
    text = base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def refuse_weak(passphrase: str) -> None:
    """Raise SecretError for a passphrase that is soon guessed; the message never repeats it."""
    if len(passphrase) < _LEAST_LENGTH or len(set(passphrase)) < _LEAST_LETTERS:
        raise SecretError(
            f"this passphrase is too easily guessed: take at least {_LEAST_LENGTH} characters, {_LEAST_LETTERS} of them"
            " different, six random words say, or have one made with --new-passphrase"
        )
