"""The file of a one-time token, written and read."""

import hashlib
from datetime import timedelta

import pytest

from fleetmint.documents import token as tokens
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.documents.token import Token
from fleetmint.errors import NameRefusedError, StateError
from fleetmint.trust import bundle

TOKEN = Token("lamp-000001", "00112233445566778899aabbccddeeff", "2027-11-22T00:00:00Z")


@pytest.fixture
def contact(hierarchy):
    return FirstContact(Reach("gateway.local", 443, 8883), bundle.load(hierarchy.directory / bundle.FILE))


def test_a_token_is_kept_for_its_owner_only_and_shown_in_no_repr(tmp_path, contact):
    path = tmp_path / "lamp.token"
    tokens.save(TOKEN, path, contact)
    assert tokens.load_contact(path) == (TOKEN, contact)
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokens.load(path, "lamp-000001") == TOKEN
    assert TOKEN.token not in repr(TOKEN)
    with pytest.raises(StateError, match="a token of lamp-000001, not of lamp-000002"):
        tokens.load(path, "lamp-000002")
    path.write_text("{}")
    with pytest.raises(StateError, match="holds no token"):
        tokens.load(path, "lamp-000001")


def test_a_new_token_is_told_by_its_hash_only(now):
    made = tokens.new_token("lamp-000001", timedelta(days=3), now)
    assert made.sha256 == hashlib.sha256(made.token.encode()).hexdigest()
    assert (len(made.token), made.expires) == (32, f"{now + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}")
    with pytest.raises(NameRefusedError):
        tokens.new_token("Lamp 1", timedelta(days=3), now)
