"""What a CA is called: text and identifier say the same, and nothing else is a CA."""

import pytest

from fleetmint.ca.identifier import FACTORY, ROOT, SERVER, CaId, Kind, Phase, device_ca
from fleetmint.errors import NameRefusedError
from fleetmint.x509.profiles import PROFILES


@pytest.mark.parametrize(
    ("text", "ca"),
    [
        ("root", ROOT),
        ("server-next", CaId(Kind.SERVER_NEXT)),
        ("device-gateway", device_ca("gateway")),
        ("outgoing/device-second-gateway", device_ca("second-gateway").at(Phase.PREVIOUS)),
        ("incoming/factory", FACTORY.at(Phase.PENDING)),
        ("leaving/root", ROOT.at(Phase.DISTRUSTED)),
    ],
)
def test_an_identifier_is_read_from_the_text_that_it_writes(text, ca):
    assert CaId.parse(text) == ca
    assert str(ca) == text
    assert ca.at(Phase.ACTIVE).name == text.rpartition("/")[2]


@pytest.mark.parametrize(
    "text", ["", "house", "device", "device-", "device-No", "old/server", "outgoing/", "/root", "../root", "a/b/root"]
)
def test_what_is_no_ca_is_refused_with_what_there_is(text):
    with pytest.raises(NameRefusedError):
        CaId.parse(text)


def test_every_kind_has_a_profile_that_is_a_ca_and_a_title():
    for ca in (*(CaId(kind) for kind in Kind if kind is not Kind.DEVICE), device_ca("gateway")):
        assert PROFILES[ca.profile].is_ca
        assert ca.title
        assert ca.passphrase == ("root" if ca == ROOT else "issuing")
    assert SERVER.title == "server CA"
